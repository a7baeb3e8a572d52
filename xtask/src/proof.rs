//! Link proofs: no panic of the core can be reached, and nothing in it allocates.
//!
//! `proof/link` calls every entry of the core, those of `proof/entries`, and with the feature
//! `serial` those of a client over a serial line. Its panic handler calls a symbol that nobody
//! defines, so the symbol is in the archive exactly if some call can panic. Negative controls add
//! a panic and an allocation, and must be found: a proof that cannot fail proves nothing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::process::Process;
use crate::steps::{Outcome, Verdict};
use crate::tools;
use crate::workspace::Workspace;

const TARGETS: [&str; 3] =
    ["thumbv6m-none-eabi", "thumbv7em-none-eabihf", "riscv32imac-unknown-none-elf"];
/// How to build, and what: everything as the product is built, and what keeps no state with every
/// sum checked as well.
const PROOFS: [(&str, &str); 4] = [
    ("speed", ""),
    ("size", ""),
    ("checked", "--no-default-features"),
    // And a whole client for microcontrollers, over the one transport that is all of our making.
    ("size", "--features serial"),
];
/// Where what is planted must be found, on every target.
const PROFILES: [&str; 3] = ["speed", "size", "checked"];
/// Beside what keeps no state, which is soon built.
const PANICKING: &str = "--no-default-features --features panicking";
const ALLOCATING: &str = "--no-default-features --features allocating";
const PANIC_SYMBOL: &str = "outlast_reachable_panic";
const ENTRY: &str = "outlast_proof";

/// One build of the proof.
struct Build<'w> {
    workspace: &'w Workspace,
    target: &'w str,
    profile: &'w str,
    features: &'w str,
}

impl Build<'_> {
    fn process(&self) -> Process {
        let folder = self.workspace.root().join("proof");
        let process = Process::cargo(&folder, "build --package link --target-dir")
            .arg(self.workspace.target_dir().join("proof"))
            .words(&format!("--profile {} --target {}", self.profile, self.target));
        process.words(self.features)
    }

    fn archive(&self) -> PathBuf {
        let dir = self.workspace.target_dir().join("proof");
        dir.join(self.target).join(self.profile).join("liblink.a")
    }
}

/// What `llvm-nm` says of an archive, as far as it matters here.
#[derive(Debug, PartialEq, Eq)]
struct Symbols {
    has_entry: bool,
    has_panic: bool,
    /// Panic functions of the library that are in the archive: a hint, not a proof.
    panics: BTreeSet<String>,
}

fn symbols(listing: &str) -> Symbols {
    let names: Vec<&str> = listing.lines().filter_map(|line| line.split(' ').next_back()).collect();
    let defined = |line: &&str| line.ends_with(ENTRY) && line.contains(" T ");
    let panics = names.iter().filter(|name| name.contains("panicking") || name.contains("_fail"));
    Symbols {
        has_entry: listing.lines().any(|line| defined(&line)),
        has_panic: names.contains(&PANIC_SYMBOL),
        panics: panics.map(|name| (*name).to_owned()).collect(),
    }
}

fn inspect(nm: &Path, archive: &Path) -> Result<Symbols, String> {
    let listing = Process::new(nm).words("--demangle").arg(archive).capture()?;
    let symbols = symbols(&listing);
    if symbols.has_entry {
        Ok(symbols)
    } else {
        Err(format!("{} does not define {ENTRY}: nothing was proved", archive.display()))
    }
}

/// Proves every target and profile, and that the proof would notice a breach.
pub(crate) fn step(workspace: &Workspace) -> Verdict {
    let nm = match tools::llvm(workspace, "llvm-nm") {
        Ok(nm) => nm,
        Err(why) => return Ok(Outcome::Skipped(why)),
    };
    if let Err(why) = tools::targets(workspace, &TARGETS) {
        return Ok(Outcome::Skipped(why));
    }
    let host = tools::host()?;
    let targets: Vec<&str> = TARGETS.into_iter().chain([host.as_str()]).collect();
    for &target in &targets {
        for (profile, features) in PROOFS {
            prove(&nm, &Build { workspace, target, profile, features })?;
        }
        for profile in PROFILES {
            let build = |features| Build { workspace, target, profile, features };
            expect_panic(&nm, &build(PANICKING))?;
            expect_no_allocator(&build(ALLOCATING))?;
        }
    }
    let (targets, profiles) = (targets.join(" "), PROFILES.join(", "));
    Ok(Outcome::Passed(format!("{targets}; planted breaches found on each at {profiles}")))
}

fn prove(nm: &Path, build: &Build<'_>) -> Result<(), String> {
    build.process().run()?;
    let symbols = inspect(nm, &build.archive())?;
    if !symbols.has_panic {
        return Ok(());
    }
    let panics: Vec<String> = symbols.panics.into_iter().collect();
    let callers = callers(build.workspace, &build.archive());
    Err(format!(
        "a panic can be reached on {} at {}\n  what panics: {}\n  called from: {}",
        build.target,
        build.profile,
        panics.join(", "),
        callers.unwrap_or_else(|why| why),
    ))
}

/// The functions whose code refers to a panic function.
fn callers(workspace: &Workspace, archive: &Path) -> Result<String, String> {
    let objdump = tools::llvm(workspace, "llvm-objdump")?;
    let line = "--disassemble --reloc --demangle --no-show-raw-insn";
    let listing = Process::new(objdump).words(line).arg(archive).capture()?;
    let mut function = "";
    let mut callers = BTreeSet::new();
    for line in listing.lines() {
        if let Some(name) = line.strip_suffix(">:").and_then(|line| line.split_once('<')) {
            function = name.1;
        } else if line.contains("panicking") && !function.contains("panicking") {
            callers.insert(function.to_owned());
        }
    }
    Ok(callers.into_iter().collect::<Vec<String>>().join(", "))
}

fn expect_panic(nm: &Path, build: &Build<'_>) -> Result<(), String> {
    build.process().run()?;
    if inspect(nm, &build.archive())?.has_panic {
        Ok(())
    } else {
        let (target, profile) = (build.target, build.profile);
        Err(format!("the planted panic was not found on {target} at {profile}"))
    }
}

fn expect_no_allocator(build: &Build<'_>) -> Result<(), String> {
    let process = build.process();
    println!("$ {} (must fail)", process.shown());
    let output = process.output()?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() && complaint.contains("no global memory allocator found") {
        Ok(())
    } else {
        Err(format!("the planted allocation was not found:\n{complaint}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_symbol_of_the_handler_is_found() {
        let clean = "liblink.a(link.o):\n00000000 T outlast_proof\n         U memcpy\n";
        assert!(!symbols(clean).has_panic && symbols(clean).has_entry);
        let dirty =
            format!("{clean}         U {PANIC_SYMBOL}\n00000010 t core::panicking::panic_fmt\n");
        let found = symbols(&dirty);
        assert!(found.has_panic);
        assert!(found.panics.contains("core::panicking::panic_fmt"));
    }

    #[test]
    fn an_archive_without_the_entry_proves_nothing() {
        assert!(!symbols("         U outlast_proof\n").has_entry);
    }
}
