//! Format, lints, documentation and tests.

use crate::process::Process;
use crate::steps::{Outcome, Verdict};
use crate::suites::{self, Suites};
use crate::tools;
use crate::workspace::Workspace;

/// The workspaces beside the main one, which cargo does not visit by itself.
const SIDE_WORKSPACES: [&str; 4] = ["proof", "fuzz", "firmware", "firmware/peers"];

fn passed(note: &str) -> Verdict {
    Ok(Outcome::Passed(note.to_owned()))
}

/// Every crate is formatted.
pub(crate) fn fmt(workspace: &Workspace) -> Verdict {
    Process::cargo(workspace.root(), "fmt --all --check").run()?;
    for side in SIDE_WORKSPACES {
        Process::cargo(&workspace.root().join(side), "fmt --all --check").run()?;
    }
    passed("five workspaces")
}

/// No lint anywhere. Side workspaces are linted as far as the host alone can build them.
pub(crate) fn clippy(workspace: &Workspace) -> Verdict {
    let root = workspace.root();
    Process::cargo(root, "clippy --workspace --all-targets -- -D warnings").run()?;
    let target = |name: &str| workspace.target_dir().join(name);
    // One at a time: together they would give each other features, and one must not have `alloc`.
    for package in ["count", "entries", "link"] {
        Process::cargo(&root.join("proof"), "clippy --package")
            .arg(package)
            .arg("--target-dir")
            .arg(target("proof"))
            .words("-- -D warnings")
            .run()?;
    }
    Process::cargo(&root.join("fuzz"), "clippy --no-default-features --all-targets --target-dir")
        .arg(target("fuzz"))
        .words("-- -D warnings")
        .run()?;
    firmware(workspace)?;
    passed("all crates and targets, warnings denied")
}

/// The firmware is linted for its boards, as far as their targets are there.
fn firmware(workspace: &Workspace) -> Result<(), String> {
    let targets = ["thumbv7em-none-eabihf", "riscv32imac-unknown-none-elf"];
    if tools::targets(workspace, &targets).is_err() {
        return Ok(());
    }
    let lints = [
        format!(
            "-p bare -p app -p words -p mps2 -p m4 --features bare/stack --target {}",
            targets[0]
        ),
        format!("-p suite --target {}", targets[0]),
        format!("-p rv32 --target {}", targets[1]),
        "-p host --all-targets".to_owned(),
    ];
    for line in lints {
        Process::cargo(&workspace.root().join("firmware"), &format!("clippy {line} --target-dir"))
            .arg(workspace.target_dir().join("firmware"))
            .words("-- -D warnings")
            .run()?;
    }
    Ok(())
}

/// The documentation builds without a warning, links included.
pub(crate) fn doc(workspace: &Workspace) -> Verdict {
    let line = "doc --workspace --no-deps --exclude xtask --exclude bench";
    Process::cargo(workspace.root(), line).env("RUSTDOCFLAGS", "-D warnings").run()?;
    passed("warnings denied")
}

/// Unit, integration and documentation tests, the README's examples among them.
pub(crate) fn tests(workspace: &Workspace) -> Verdict {
    suites::forget(workspace);
    let line = "test --workspace --exclude bench --no-fail-fast";
    let (said, ended) = Process::cargo(workspace.root(), line).run_and_keep()?;
    // The workspace's tests have async-std, which is its crate's default.
    let line = "test -p outlast-async-std --no-default-features --features=smol --no-fail-fast";
    let (smol, smol_ended) = Process::cargo(workspace.root(), line).run_and_keep()?;
    let all = [said, smol].concat();
    suites::keep(workspace, &all)?;
    let suites = Suites::read(&all);
    println!("\n{}\n", suites.table());
    ended?;
    smol_ended?;
    let judged = suites.judge(&suites::COLUMNS, workspace.ci())?;
    Process::cargo(&workspace.root().join("fuzz"), "test --no-default-features --target-dir")
        .arg(workspace.target_dir().join("fuzz"))
        .run()?;
    passed(&format!("cargo test; {judged}"))
}

/// The tests of the benches. They are a step of their own because they build the peers that the
/// benches compare with, which nothing else of the repository needs.
pub(crate) fn bench(workspace: &Workspace) -> Verdict {
    Process::cargo(workspace.root(), "test --package bench --bins").run()?;
    passed("options, figures and gates")
}

/// Every rule of the session that was taken out of the code is caught by the searches.
pub(crate) fn mutants(workspace: &Workspace) -> Verdict {
    Process::cargo(workspace.root(), "run --package outlast-conformance --bin mutants").run()?;
    passed("every mutation was caught")
}

/// The command that the README shows first, as it shows it.
pub(crate) fn demo(workspace: &Workspace) -> Verdict {
    Process::cargo(workspace.root(), "run --release -- demo").run()?;
    passed("nothing lost, doubled or reordered")
}
