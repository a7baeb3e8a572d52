//! Firmware under QEMU: the core's golden vectors and a session on small boards, and one
//! application on two boards over every link there is.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::process::Process;
use crate::steps::{Outcome, Verdict};
use crate::suites::{self, Suites};
use crate::tools;
use crate::workspace::Workspace;

const M0: &str = "thumbv6m-none-eabi";
const M3: &str = "thumbv7m-none-eabi";
pub(crate) const M4: &str = "thumbv7em-none-eabihf";
const RISCV: &str = "riscv32imac-unknown-none-elf";
/// Targets that the firmware is built for.
pub(crate) const TARGETS: [&str; 4] = [M0, M3, M4, RISCV];
/// What QEMU is told for a board without a network; the program follows.
const ALONE: &str = "-display none -monitor none -serial none -net none \
                     -semihosting-config enable=on,target=native";

/// How often each link is run.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) runs: u64,
    /// Whether both cores have something else to do meanwhile.
    pub(crate) loaded: bool,
    /// Only the firmware as a client of the command `outlast serve`.
    pub(crate) serve: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { runs: 2, loaded: false, serve: false }
    }
}

/// The build of a program of the firmware workspace.
pub(crate) fn building(workspace: &Workspace, line: &str, target: &str) -> Process {
    Process::cargo(&workspace.root().join("firmware"), "build --release")
        .words(&format!("{line} --target {target} --target-dir"))
        .arg(workspace.target_dir().join("firmware"))
}

/// Builds a program of the firmware workspace.
pub(crate) fn build(workspace: &Workspace, line: &str, target: &str) -> Result<PathBuf, String> {
    building(workspace, line, target).run()?;
    Ok(workspace.target_dir().join("firmware").join(target).join("release"))
}

/// Runs a program on a board without a network and returns what it said.
pub(crate) fn alone(board: &str, options: &str, elf: PathBuf) -> Result<String, String> {
    println!("$ qemu-system-arm -M {board} {ALONE} {options} -kernel {}", elf.display());
    Process::new("timeout")
        .words(&format!("120 qemu-system-arm -M {board} {ALONE} {options} -kernel"))
        .arg(elf)
        .capture()
}

/// QEMU and the targets, or why this has to be skipped; in CI that is a failure.
pub(crate) fn needs(workspace: &Workspace) -> Result<Option<String>, String> {
    match tools::qemu().and_then(|()| tools::targets(workspace, &TARGETS)) {
        Ok(()) => Ok(None),
        Err(why) if workspace.ci() => Err(why),
        Err(why) => Ok(Some(why)),
    }
}

/// The step with its usual options.
pub(crate) fn step(workspace: &Workspace) -> Verdict {
    run(workspace, &Options::default())
}

/// Everything that runs under QEMU.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Verdict {
    if let Some(why) = needs(workspace)? {
        return Ok(Outcome::Skipped(why));
    }
    if !options.serve {
        vectors(workspace)?;
        session(workspace)?;
    }
    let _load = options.loaded.then(Load::start);
    let served = serve(workspace)?;
    if options.serve {
        return Ok(Outcome::Passed(served));
    }
    let notes = links(workspace, options.runs)?;
    Ok(Outcome::Passed(format!("vectors and session on M0 and M3; {served}; {notes}")))
}

/// The golden vectors hold on two boards, and a wrong one would be noticed.
fn vectors(workspace: &Workspace) -> Result<(), String> {
    for (board, target) in [("microbit", M0), ("lm3s6965evb", M3)] {
        let dir = build(workspace, "-p bare --bin vectors", target)?;
        let said = alone(board, "", dir.join("vectors"))?;
        print!("{said}");
        if !said.contains(" vectors, 0 failed") {
            return Err(format!("{board} did not say that all vectors hold"));
        }
    }
    let dir = build(workspace, "-p bare --bin vectors --features planted", M0)?;
    match alone("microbit", "", dir.join("vectors")) {
        Ok(_) => Err("wrong vectors were not noticed".to_owned()),
        Err(_) => Ok(()),
    }
}

/// A session, both ends of it, on a Cortex-M0 in 8 KiB; what it said.
pub(crate) fn session(workspace: &Workspace) -> Result<String, String> {
    let dir = build(workspace, "-p bare --bin session", M0)?;
    let said = alone("microbit", "", dir.join("session"))?;
    print!("{said}");
    Ok(said)
}

/// The program that is the other end of every link, after its own tests.
pub(crate) fn host(workspace: &Workspace) -> Result<PathBuf, String> {
    let dir = workspace.target_dir().join("firmware");
    Process::cargo(&workspace.root().join("firmware"), "test --profile host -p host --bins")
        .arg("--target-dir")
        .arg(&dir)
        .run()?;
    Process::cargo(&workspace.root().join("firmware"), "build --profile host -p host")
        .arg("--target-dir")
        .arg(&dir)
        .run()?;
    Ok(dir.join("host/host"))
}

/// The firmware as a client of the command `outlast serve`, with what both of them say.
fn serve(workspace: &Workspace) -> Result<String, String> {
    Process::cargo(workspace.root(), "build --release -p outlast").run()?;
    let outlast = workspace.target_dir().join("release/outlast");
    let elf = build(workspace, "-p m4", M4)?.join("m4");
    let process = Process::new(host(workspace)?).arg("serve").arg(elf).arg(outlast);
    process.words("--count 20").run()?;
    Ok("a client of `outlast serve`".to_owned())
}

/// Every board over every link.
fn links(workspace: &Workspace, runs: u64) -> Result<String, String> {
    let host = host(workspace)?;
    // Only what is to be reset keeps its session; one build writes over the other.
    let m4 = build(workspace, "-p m4 --features reset", M4)?.join("m4");
    let kept = m4.with_file_name("m4_reset");
    std::fs::copy(&m4, &kept).map_err(|e| format!("{}: {e}", kept.display()))?;
    let m4 = build(workspace, "-p m4", M4)?.join("m4");
    let riscv = build(workspace, "-p rv32", RISCV)?.join("rv32");
    let root = tools::is_root() && std::path::Path::new("/dev/net/tun").exists();
    let mut notes = Vec::new();
    for (name, elf) in [("M4", &m4), ("riscv32", &riscv)] {
        for (link, options) in [
            ("user", ""),
            ("wire", ""),
            // Faults are those of the seed; this one's first frames meet each kind, each way.
            ("wire", "--count 200 --loss 3 --duplicate 2 --reorder 2 --seed 518"),
            ("wire", "--reset-at 250"),
            ("tap", ""),
            ("tap", "--reset-at 250"),
            ("reset", "--count 300"),
        ] {
            let needs_root = matches!(link, "tap" | "reset");
            // Only the M4 has memory that outlasts a reset, and one board is enough for the kernel.
            let needs_m4 = needs_root || options.contains("--reset-at");
            if needs_root && !root || needs_m4 && name != "M4" {
                continue;
            }
            let elf = if options.contains("--reset-at") { &kept } else { elf };
            let process = Process::new(&host).arg(link).arg(elf).words(options);
            let said = process.words(&format!("--runs {runs}")).capture()?;
            let last = said.lines().next_back().unwrap_or_default();
            println!("{name} {link} {options}: {last}");
            if !last.starts_with(&format!("ok {runs}/{runs} ")) {
                return Err(format!("{name} {link} {options}: {last}"));
            }
            notes.push(format!(
                "{name} {link}{}",
                if options.contains("loss") { " 3 %" } else { "" }
            ));
        }
    }
    if !root {
        notes.push("tap SKIPPED: it wants root and /dev/net/tun".to_owned());
    }
    Ok(format!("{runs}/{runs} on {}", notes.join(", ")))
}

/// The whole suite over firmware, as one more column of the table of the step `tests`.
pub(crate) fn board(workspace: &Workspace) -> Verdict {
    if let Some(why) = needs(workspace)? {
        return Ok(Outcome::Skipped(format!("the suite over firmware: {why}")));
    }
    let elf = build(workspace, "-p suite", M4)?.join("suite");
    let line = "test --profile host -p host --test suite_firmware --no-fail-fast";
    let (said, ended) = Process::cargo(&workspace.root().join("firmware"), line)
        .arg("--target-dir")
        .arg(workspace.target_dir().join("firmware"))
        .env("OUTLAST_SUITE_ELF", elf)
        .run_and_keep()?;
    let (others, stale) = match suites::kept(workspace) {
        Ok(others) => (others, None),
        Err(stale) => (String::new(), Some(stale)),
    };
    let suites = Suites::read(&[others, said].concat());
    println!("\n{}\n", suites.table());
    ended?;
    let columns = match stale {
        None => [&suites::COLUMNS[..], &[suites::BOARD]].concat(),
        Some(_) => vec![suites::BOARD],
    };
    let judged = suites.judge(&columns, workspace.ci())?;
    let alone = stale.map(|why| format!(", firmware alone: {why}"));
    Ok(Outcome::Passed(format!("{judged}{}", alone.unwrap_or_default())))
}

/// Two threads that keep two cores busy until this is dropped.
struct Load(Arc<AtomicBool>);

impl Load {
    fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        for _ in 0..2 {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || while !stop.load(Ordering::Relaxed) {});
        }
        Self(stop)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
