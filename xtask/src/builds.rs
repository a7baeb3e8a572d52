//! Builds that prove portability: old compilers, bare targets, every set of features.

use std::collections::BTreeMap;
use std::fs;

use crate::process::Process;
use crate::steps::{Outcome, Verdict};
use crate::workspace::Workspace;
use crate::{manifest, tools};

/// The published packages by the oldest Rust each of them promises.
fn promised(workspace: &Workspace) -> Result<BTreeMap<String, Vec<String>>, String> {
    let read = |path: &str| {
        fs::read_to_string(workspace.root().join(path)).map_err(|e| format!("{path}: {e}"))
    };
    let top = read("Cargo.toml")?;
    let common = manifest::value(&top, "workspace.package", "rust-version")
        .ok_or("Cargo.toml: no rust-version in [workspace.package]")?;
    let members = manifest::value(&top, "workspace", "members").ok_or("Cargo.toml: no members")?;
    let mut promised: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for folder in members.split('"').filter(|part| part.chars().any(char::is_alphanumeric)) {
        let text = read(&format!("{folder}/Cargo.toml"))?;
        if manifest::value(&text, "package", "publish").as_deref() == Some("false") {
            continue;
        }
        let name = manifest::value(&text, "package", "name");
        let name = name.ok_or_else(|| format!("{folder}/Cargo.toml: no name"))?;
        let version = manifest::value(&text, "package", "rust-version");
        let version = version.ok_or_else(|| format!("{folder}/Cargo.toml: no rust-version"))?;
        let version = if version == "workspace" { common.clone() } else { version };
        promised.entry(version).or_default().push(name);
    }
    Ok(promised)
}

/// Each published package checks with the oldest Rust it promises.
pub(crate) fn msrv(workspace: &Workspace) -> Verdict {
    let mut absent = Vec::new();
    let mut checked = Vec::new();
    for (version, packages) in promised(workspace)? {
        if let Err(why) = toolchain(workspace, &version) {
            absent.push(why);
            continue;
        }
        let names: Vec<String> = packages.iter().map(|name| format!("-p {name}")).collect();
        Process::cargo_of(&version, workspace.root(), "check --target-dir")
            .arg(workspace.target_dir().join(format!("msrv-{version}")))
            .words(&names.join(" "))
            .run()?;
        checked.push(format!("{version}: {}", packages.join(" ")));
    }
    if absent.is_empty() {
        Ok(Outcome::Passed(checked.join("; ")))
    } else {
        Ok(Outcome::Skipped(absent.join("; ")))
    }
}

/// An old toolchain is a large download: only an unattended run fetches it unasked.
fn toolchain(workspace: &Workspace, version: &str) -> Result<(), String> {
    let probe = Process::cargo_of(version, workspace.root(), "--version").output();
    if probe.is_ok_and(|output| output.status.success()) {
        return Ok(());
    }
    let line = format!("toolchain install {version} --profile minimal");
    if workspace.ci() {
        tools::rustup(workspace, &line)
    } else {
        Err(format!("Rust {version} is not installed: `rustup {line}`"))
    }
}

/// All transports of microcontrollers, and their log lines.
const EMBEDDED: &str = "smoltcp,embedded-io,embedded-io-async,defmt";

/// The core, its transports for microcontrollers, and the formats of other systems build where
/// there is no operating system.
pub(crate) fn targets(workspace: &Workspace) -> Verdict {
    if let Err(why) = tools::targets(workspace, &tools::BARE_TARGETS) {
        return Ok(Outcome::Skipped(why));
    }
    for target in tools::BARE_TARGETS {
        let line = format!("build -p outlast-core --no-default-features --target {target}");
        Process::cargo(workspace.root(), &line).run()?;
        let line = format!("build -p outlast-embedded --features {EMBEDDED} --target {target}");
        Process::cargo(workspace.root(), &line).run()?;
        let line = format!("build -p outlast-formats --features zstd --target {target}");
        Process::cargo(workspace.root(), &line).run()?;
    }
    Ok(Outcome::Passed(tools::BARE_TARGETS.join(" ")))
}

/// The core passes clippy in every set of its features, each set by itself; so do the formats, the
/// service and the crate for microcontrollers with each feature alone, and the runtime of async-std
/// and smol, and without the former's feature the former is not there.
pub(crate) fn features(workspace: &Workspace) -> Verdict {
    let path = workspace.root().join("core/Cargo.toml");
    let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let sets = subsets(&manifest::features(&text));
    for set in &sets {
        let line = format!("clippy -p outlast-core --no-default-features --features={set}");
        Process::cargo(workspace.root(), &line).words("-- -D warnings").run()?;
    }
    for set in ["", "zlib", "zstd"] {
        let line = format!("clippy -p outlast-formats --no-default-features --features={set}");
        Process::cargo(workspace.root(), &line).words("-- -D warnings").run()?;
    }
    for set in ["", "net", "formats", "router", "snapshots", "tracing"] {
        let line = format!("clippy -p outlast-service --no-default-features --features={set}");
        Process::cargo(workspace.root(), &line).words("-- -D warnings").run()?;
    }
    for set in ["", "smoltcp", "embedded-io", "embedded-io-async", "log", "defmt"] {
        let line = format!("clippy -p outlast-embedded --no-default-features --features={set}");
        Process::cargo(workspace.root(), &line).words("-- -D warnings").run()?;
    }
    let executors = executors(workspace)?;
    Ok(Outcome::Passed(format!("{} sets of the core, {executors}", sets.len())))
}

/// The package that runs on async-std or on smol.
const ASYNC_STD: &str = "outlast-async-std";

fn executors(workspace: &Workspace) -> Result<String, String> {
    let sets = ["async-std", "smol", "async-std,smol"];
    for set in sets {
        let line = format!("clippy -p {ASYNC_STD} --no-default-features --features={set}");
        Process::cargo(workspace.root(), &line).words("--all-targets -- -D warnings").run()?;
        // Without what tests depend on, as those who use it build it.
        let line = format!("tree -p {ASYNC_STD} --no-default-features --features={set}");
        let tree = Process::cargo(workspace.root(), &line);
        let tree = tree.words("--edges normal --prefix none").capture()?;
        for package in ["async-std", "smol"] {
            let wanted = set.split(',').any(|feature| feature == package);
            if has_package(&tree, package) != wanted {
                return Err(format!("features {set}: `{package}` is a dependency: {}", !wanted));
            }
        }
    }
    let line = format!("check -p {ASYNC_STD} --no-default-features");
    let output = Process::cargo(workspace.root(), &line).output()?;
    let says = String::from_utf8_lossy(&output.stderr);
    if output.status.success() || !says.contains("feature `async-std` or `smol`") {
        return Err(format!("{ASYNC_STD} without an executor should say what is missing: {says}"));
    }
    Ok(format!("{} of {ASYNC_STD}", sets.len()))
}

/// Whether a package of this name stands in a tree that is printed without its branches.
fn has_package(tree: &str, name: &str) -> bool {
    tree.lines().any(|line| line.split(' ').next() == Some(name))
}

/// Every subset of `names`, each as a list with commas.
fn subsets(names: &[String]) -> Vec<String> {
    let mut sets = vec![String::new()];
    for name in names {
        let with = |set: &String| {
            if set.is_empty() { name.clone() } else { format!("{set},{name}") }
        };
        let more: Vec<String> = sets.iter().map(with).collect();
        sets.extend(more);
    }
    sets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subsets_are_complete() {
        let names = ["a".to_owned(), "b".to_owned()];
        assert_eq!(subsets(&names), ["", "a", "b", "a,b"]);
        assert_eq!(subsets(&[]), [""]);
    }

    #[test]
    fn packages_are_told_by_their_whole_name() {
        let tree = "outlast-async-std v0.1.0 (/x)\nasync-io v2.6.0\nsmol v2.0.2 (*)\n";
        assert!(has_package(tree, "smol") && has_package(tree, "async-io"));
        assert!(!has_package(tree, "async-std"));
    }

    #[test]
    fn every_published_package_promises_a_version() {
        let promised = promised(&Workspace::find()).expect("manifests of this repository");
        let packages: Vec<&String> = promised.values().flatten().collect();
        assert!(packages.iter().any(|name| *name == "outlast-core"));
        assert!(promised.keys().all(|version| version.starts_with("1.")));
    }
}
