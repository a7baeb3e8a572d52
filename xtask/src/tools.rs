//! What a step needs beyond a bare Rust: found, installed when that is possible, or named.

use std::fs::{self, File};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use crate::firmware;
use crate::process::{self, Process};
use crate::steps::{Outcome, Verdict};
use crate::workspace::Workspace;

/// The targets without an operating system that the core must build for.
pub(crate) const BARE_TARGETS: [&str; 4] = [
    "thumbv6m-none-eabi",
    "thumbv7em-none-eabihf",
    "riscv32imc-unknown-none-elf",
    "wasm32-unknown-unknown",
];

/// Installs everything the later steps want, before any of them runs.
pub(crate) fn step(workspace: &Workspace) -> Verdict {
    let needs = [
        component(workspace, "rustfmt", process::exists("rustfmt")),
        component(workspace, "clippy", process::exists("clippy-driver")),
        targets(workspace, &BARE_TARGETS),
        llvm(workspace, "llvm-nm").map(drop),
        targets(workspace, &firmware::TARGETS),
        valgrind(),
        qemu(),
        tshark(),
        chromium(),
    ];
    let missing: Vec<String> = needs.into_iter().filter_map(Result::err).collect();
    if missing.is_empty() {
        let version = Process::new("rustc").arg("--version").capture()?;
        Ok(Outcome::Passed(version.trim().to_owned()))
    } else {
        Ok(Outcome::Skipped(missing.join("; ")))
    }
}

/// The standard libraries of `names`. An error is the reason and the command to run by hand.
pub(crate) fn targets(workspace: &Workspace, names: &[&str]) -> Result<(), String> {
    let missing: Vec<&str> = names.iter().copied().filter(|name| !has_target(name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    rustup(workspace, &format!("target add {}", missing.join(" ")))
}

fn has_target(name: &str) -> bool {
    let line = format!("--print target-libdir --target {name}");
    let dir = Process::new("rustc").words(&line).capture();
    dir.is_ok_and(|dir| fs::read_dir(dir.trim()).is_ok_and(|mut entries| entries.next().is_some()))
}

fn component(workspace: &Workspace, name: &str, present: bool) -> Result<(), String> {
    if present { Ok(()) } else { rustup(workspace, &format!("component add {name}")) }
}

/// The path of one of the LLVM tools that belong to the compiler.
pub(crate) fn llvm(workspace: &Workspace, tool: &str) -> Result<PathBuf, String> {
    let sysroot = Process::new("rustc").words("--print sysroot").capture()?;
    let path: PathBuf =
        [sysroot.trim(), "lib", "rustlib", &host()?, "bin", tool].into_iter().collect();
    if !path.exists() {
        rustup(workspace, "component add llvm-tools")?;
    }
    if path.exists() { Ok(path) } else { Err(format!("{tool} is not in llvm-tools")) }
}

/// The target triple of this machine.
pub(crate) fn host() -> Result<String, String> {
    let about = Process::new("rustc").arg("-vV").capture()?;
    let line = about.lines().find_map(|line| line.strip_prefix("host: "));
    line.map(str::to_owned).ok_or_else(|| "rustc -vV names no host".to_owned())
}

/// Runs one `rustup` command. Two at once spoil the list of installed components, so a lock file
/// keeps a second run of this tool waiting.
pub(crate) fn rustup(workspace: &Workspace, line: &str) -> Result<(), String> {
    let by_hand = || format!("run `rustup {line}`");
    if !process::exists("rustup") {
        return Err(format!("rustup is not here; with it, {}", by_hand()));
    }
    let target = workspace.target_dir();
    fs::create_dir_all(&target).map_err(|e| e.to_string())?;
    let lock = File::create(target.join("rustup.lock")).map_err(|e| e.to_string())?;
    lock.lock().map_err(|e| e.to_string())?;
    let install = || Process::new("rustup").words(line).run();
    tries(install).map_err(|e| format!("{e}; {}", by_hand()))
}

/// How often something is fetched from elsewhere before it counts as not to be had: in CI, where
/// nothing may be left out, and where somebody waits for an answer.
const TRIES: [u32; 2] = [4, 2];
/// The pause behind the first try; each further one is three times as long.
const PAUSE: Duration = Duration::from_secs(5);

/// Servers elsewhere, and the way there, fail for a moment now and then: what fetches from them is
/// tried again after a while.
fn tries(fetch: impl Fn() -> Result<(), String>) -> Result<(), String> {
    let [in_ci, elsewhere] = TRIES;
    let tries = if std::env::var_os("CI").is_some() { in_ci } else { elsewhere };
    for number in 1..tries {
        let Err(why) = fetch() else {
            return Ok(());
        };
        let pause = PAUSE * 3_u32.pow(number - 1);
        println!("{why}; once more in {} s", pause.as_secs());
        thread::sleep(pause);
    }
    fetch()
}

/// Valgrind, for exact instruction counts.
pub(crate) fn valgrind() -> Result<(), String> {
    debian("valgrind", "valgrind libc6-dbg")
}

/// QEMU for both kinds of boards, and what makes network namespaces.
pub(crate) fn qemu() -> Result<(), String> {
    let packages = "qemu-system-arm qemu-system-misc iproute2";
    debian("qemu-system-arm", packages)?;
    debian("qemu-system-riscv32", packages)
}

/// Tshark, which is Wireshark without windows.
pub(crate) fn tshark() -> Result<(), String> {
    debian("tshark", "tshark")
}

/// The browser in which the page of a server is looked at.
pub(crate) const CHROMIUM: &str = "chromium";

/// That browser, and a font for it.
pub(crate) fn chromium() -> Result<(), String> {
    debian(CHROMIUM, "chromium fonts-dejavu-core")
}

/// Whether this runs as root.
pub(crate) fn is_root() -> bool {
    let user = Process::new("id").arg("-u").capture().unwrap_or_default();
    user.trim() == "0"
}

/// A C++ compiler, for libFuzzer.
pub(crate) fn cpp() -> Result<(), String> {
    debian("c++", "g++")
}

/// A program of a Debian package, installed as root.
fn debian(program: &str, packages: &str) -> Result<(), String> {
    if process::exists(program) {
        return Ok(());
    }
    let by_hand = format!("{program} is missing: `apt-get install {packages}`");
    if !is_root() || !process::exists("apt-get") {
        return Err(by_hand);
    }
    // Another process that installs something is waited for.
    let apt = || Process::new("apt-get").words("-o DPkg::Lock::Timeout=300 -o Acquire::Retries=3");
    let install = || {
        // Lists that are not the newest may do.
        let updated = apt().arg("update").run();
        let installed = apt()
            .words("install -y --no-install-recommends")
            .words(packages)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .run();
        installed
            .map_err(|why| updated.err().map_or_else(|| why.clone(), |e| format!("{e}; {why}")))
    };
    tries(install).map_err(|e| format!("{e}; {by_hand}"))
}
