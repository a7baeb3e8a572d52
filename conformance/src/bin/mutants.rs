//! Explores, simulates, and takes rules out of the code to see that it is noticed.
//!
//! ```text
//! mutants                 every mutation: patch a copy of the sources, build it, search it
//! mutants NAME…           these mutations
//! mutants list            the mutations and what notices them
//! mutants search [NAME…]  the searches over the code as it is
//! mutants sim [SEEDS]     the simulator over the code as it is
//! ```
//!
//! The exit code is 0 if all is well, 1 if not, and 10 if `search` found something.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use outlast_conformance::explore::Search;
use outlast_conformance::mutation::{Mutation, MutationError};
use outlast_conformance::sim;

/// Exit code of a search that found something.
const TROUBLE: u8 = 10;

/// Packages of the copy: the one whose tests notice, and what it depends on.
const MEMBERS: [&str; 4] = ["core", "service", "formats", "conformance"];

/// What the copy needs beside its members: a profile that builds fast and searches fast.
const PROFILE: &str = r#"
[profile.mutant]
inherits = "release"
opt-level = 1
lto = false
codegen-units = 16
debug = false
"#;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((command, names)) if command == "search" => search(names),
        Some((command, seeds)) if command == "sim" => simulate(seeds),
        Some((command, [])) if command == "list" => list(),
        _ => match run(&arguments) {
            Ok(code) => code,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        },
    }
}

fn search(names: &[String]) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for search in Search::all() {
        if names.is_empty() || names.iter().any(|name| name == search.name) {
            let outcome = search.run();
            println!("{}: {outcome}", search.name);
            if outcome.trouble.is_some() {
                code = TROUBLE.into();
            }
        }
    }
    code
}

fn simulate(seeds: &[String]) -> ExitCode {
    let count = seeds.first().and_then(|text| text.parse().ok()).unwrap_or(10_000);
    let start = Instant::now();
    let mut failures = 0;
    for seed in sim::seeds(count) {
        if let Err(failure) = sim::run(seed) {
            println!("{failure}");
            failures += 1;
        }
    }
    println!("{count} histories, {failures} failures, {:.1} s", start.elapsed().as_secs_f64());
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn list() -> ExitCode {
    match Mutation::read_all(&conformance().join("mutations")) {
        Ok(mutations) => {
            for Mutation { name, about, search, .. } in mutations {
                println!("{name:34} {search:10} {about}");
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Builds and searches every mutation that was named; all if none was.
fn run(names: &[String]) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let root = conformance().join("..");
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let copy = std::path::absolute(target)?.join("mutants");
    let mut missed = 0;
    let mut rows = Vec::new();
    for mutation in Mutation::read_all(&conformance().join("mutations"))? {
        if !names.is_empty() && !names.contains(&mutation.name) {
            continue;
        }
        let start = Instant::now();
        write_copy(&root, &copy.join("tree"), &mutation)?;
        let verdict = judge(&copy, &mutation)?;
        missed += u32::from(verdict.is_none());
        let word = verdict.unwrap_or_else(|| "MISSED".to_owned());
        println!("{:34} {:5.1} s  {word}", mutation.name, start.elapsed().as_secs_f64());
        rows.push(mutation.name);
    }
    println!("{} mutations, {missed} missed", rows.len());
    let all_well = missed == 0 && !rows.is_empty();
    Ok(if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What the mutated code was caught by; `None` if it was not.
fn judge(copy: &Path, mutation: &Mutation) -> Result<Option<String>, Box<dyn std::error::Error>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["run", "--quiet", "--offline", "--profile", "mutant"])
        .args(["-p", "outlast-conformance", "--bin", "mutants", "--"])
        .args(["search", &mutation.search])
        .current_dir(copy.join("tree"))
        .env("CARGO_TARGET_DIR", copy.join("target"))
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    match output.status.code() {
        Some(0) => Ok(None),
        Some(code) if code == i32::from(TROUBLE) => {
            Ok(Some(text.lines().nth(1).unwrap_or_default().to_owned()))
        }
        // A debug assertion of the core's own.
        _ if String::from_utf8_lossy(&output.stderr).contains("panicked at") => {
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            Ok(Some(stderr.lines().filter(|line| !line.is_empty()).take(2).collect()))
        }
        code => {
            let stderr = String::from_utf8_lossy(&output.stderr);
            Err(MutationError(format!("{}: exit code {code:?}\n{stderr}", mutation.name)).into())
        }
    }
}

/// Brings the copy of the packages up to date, mutated; one is there because a manifest names it.
/// Files that stay the same are not
/// written, so that only what changed is built again.
fn write_copy(
    root: &Path,
    tree: &Path,
    mutation: &Mutation,
) -> Result<(), Box<dyn std::error::Error>> {
    let (mut files, mut old) = (Vec::new(), Vec::new());
    for package in MEMBERS {
        files_below(&root.join(package), &mut files)?;
        files_below(&tree.join(package), &mut old).ok();
    }
    // What is not there any more must not stay in the copy.
    for path in old {
        if !root.join(path.strip_prefix(tree)?).exists() {
            std::fs::remove_file(path)?;
        }
    }
    for path in files {
        let relative = path.strip_prefix(root)?;
        let mut content = std::fs::read(&path)?;
        for edit in mutation.edits.iter().filter(|edit| edit.file == relative) {
            content = edit.apply(std::str::from_utf8(&content)?)?.into_bytes();
        }
        write_if_new(&tree.join(relative), &content)?;
    }
    let manifest = std::fs::read_to_string(root.join("Cargo.toml"))?;
    let mut text = String::new();
    for line in manifest.lines() {
        match line.split_once(" = ") {
            Some(("members", _)) => {
                text.push_str(&format!("members = {MEMBERS:?}\n"));
            }
            Some(("default-members" | "exclude", _)) => {}
            _ => text.extend([line, "\n"]),
        }
    }
    text.push_str(PROFILE);
    write_if_new(&tree.join("Cargo.toml"), text.as_bytes())?;
    let lock = tree.join("Cargo.lock");
    if !lock.exists() {
        std::fs::copy(root.join("Cargo.lock"), lock)?;
    }
    Ok(())
}

fn write_if_new(path: &Path, content: &[u8]) -> std::io::Result<()> {
    if std::fs::read(path).is_ok_and(|old| old == content) {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(path, content)
}

fn files_below(dir: &Path, out: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            if path.file_name().is_none_or(|name| name != "target") {
                files_below(&path, out)?;
            }
        } else {
            out.push(path);
        }
    }
    Ok(())
}

fn conformance() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
