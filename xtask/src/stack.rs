//! A bound on the stack of every call of the core, on a Cortex-M4.
//!
//! The compiler records the frame of each function; the calls between them are read from the
//! disassembly of the linked program. The deepest path from a function is its bound. Recursion and
//! calls through pointers make a bound void, and so fail.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::process::Process;
use crate::steps::{Outcome, Verdict};
use crate::tools;
use crate::workspace::Workspace;

/// What no call of the core may need more of, in bytes.
pub(crate) const LIMIT: u64 = 512;
const TARGET: &str = "thumbv7em-none-eabihf";
/// What the names of the functions to be bounded begin with.
const ROOT: &str = "core_";

/// Functions by their frames and by what they call.
#[derive(Debug, Default)]
struct Graph {
    /// Frames that the compiler recorded.
    recorded: BTreeMap<String, u64>,
    /// Frames read from the instructions, for what was compiled elsewhere.
    read: BTreeMap<String, u64>,
    calls: BTreeMap<String, BTreeSet<String>>,
    /// Jumps at the end of a function, which has given its frame back then.
    tail_calls: BTreeMap<String, BTreeSet<String>>,
    indirect: BTreeSet<String>,
}

/// A function's bound and the path that leads to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bound {
    pub(crate) bytes: u64,
    pub(crate) path: Vec<String>,
}

impl Graph {
    fn new(sizes: &str, listing: &str) -> Self {
        let mut graph = Self::default();
        graph.read_sizes(sizes);
        let mut function = String::new();
        for line in listing.lines() {
            let name = line.strip_suffix(">:").and_then(|line| line.split_once('<'));
            if let Some((_, name)) = name {
                function = name.to_owned();
                graph.calls.entry(function.clone()).or_default();
                graph.read.entry(function.clone()).or_default();
            } else if let Some((_, instruction)) = line.split_once('\t') {
                graph.note(&function, instruction);
            }
        }
        graph
    }

    /// `Functions: [a, b]` and, on the next line, `Size: 0x10`.
    fn read_sizes(&mut self, sizes: &str) {
        let mut names = "";
        for line in sizes.lines().map(str::trim) {
            if let Some(list) = line.strip_prefix("Functions: [") {
                names = list.trim_end_matches(']');
            } else if let Some(size) = line.strip_prefix("Size: 0x") {
                let size = u64::from_str_radix(size, 16).unwrap_or(u64::MAX);
                self.recorded.extend(names.split(", ").map(|name| (name.to_owned(), size)));
            }
        }
    }

    fn note(&mut self, function: &str, instruction: &str) {
        let (op, arguments) = instruction.split_once('\t').unwrap_or((instruction, ""));
        let op = op.trim().trim_end_matches(".w");
        if is_jump(op) {
            let target = arguments.split_once('<').and_then(|(_, name)| name.split_once('>'));
            let (target, offset) = target.map_or(("", ""), |(name, _)| {
                name.split_once('+').map_or((name, ""), |(name, offset)| (name, offset))
            });
            // The linker fills the gap between functions with 0xD4D4, which reads as a jump.
            let is_filler = op == "bmi" && !offset.is_empty() && target != function;
            // A jump to its own start is a loop.
            if !target.is_empty() && !is_filler && (target != function || op == "bl") {
                let is_tail = op == "b" && offset.is_empty();
                let calls = if is_tail { &mut self.tail_calls } else { &mut self.calls };
                calls.entry(function.to_owned()).or_default().insert(target.to_owned());
            }
        } else if (op == "blx" || op == "bx") && arguments.trim() != "lr" {
            self.indirect.insert(function.to_owned());
        }
        let bytes = match op {
            "push" | "vpush" => 4 * registers(arguments),
            "sub" | "subw" if arguments.starts_with("sp") => immediate(arguments),
            "str" if arguments.contains("[sp, #-") => 4,
            _ => 0,
        };
        *self.read.entry(function.to_owned()).or_default() += bytes;
    }

    fn frame(&self, function: &str) -> u64 {
        let read = || self.read.get(function).copied().unwrap_or(0);
        self.recorded.get(function).copied().unwrap_or_else(read)
    }

    /// The bound of `function`; `above` is the path to it.
    fn bound(
        &self,
        function: &str,
        above: &mut Vec<String>,
        known: &mut BTreeMap<String, Bound>,
    ) -> Result<Bound, String> {
        if let Some(bound) = known.get(function) {
            return Ok(bound.clone());
        }
        if above.iter().any(|name| name == function) {
            return Err(format!("recursion: {} -> {function}", above.join(" -> ")));
        }
        if self.indirect.contains(function) {
            return Err(format!("a call through a pointer: {} -> {function}", above.join(" -> ")));
        }
        above.push(function.to_owned());
        let mut deepest = Bound { bytes: 0, path: Vec::new() };
        for callee in self.calls.get(function).into_iter().flatten() {
            let bound = self.bound(callee, above, known)?;
            if bound.bytes > deepest.bytes {
                deepest = bound;
            }
        }
        let frame = self.frame(function);
        let mut path = vec![format!("{frame} {function}")];
        path.append(&mut deepest.path);
        let mut bound = Bound { bytes: frame + deepest.bytes, path };
        for callee in self.tail_calls.get(function).into_iter().flatten() {
            let mut tail = self.bound(callee, above, known)?;
            if tail.bytes > bound.bytes {
                tail.path.insert(0, format!("0 {function}"));
                bound = tail;
            }
        }
        above.pop();
        known.insert(function.to_owned(), bound.clone());
        Ok(bound)
    }

    /// The bound of every function to be bounded, or why it has none.
    fn roots(&self) -> BTreeMap<String, Result<Bound, String>> {
        let mut known = BTreeMap::new();
        let roots = self.calls.keys().filter(|name| name.starts_with(ROOT));
        roots.map(|name| (name.clone(), self.bound(name, &mut Vec::new(), &mut known))).collect()
    }
}

/// A call, or a jump that may be one at the end of a function.
fn is_jump(op: &str) -> bool {
    const CONDITIONS: [&str; 18] = [
        "eq", "ne", "cs", "cc", "mi", "pl", "vs", "vc", "hi", "ls", "ge", "lt", "gt", "le", "hs",
        "lo", "al", "",
    ];
    matches!(op, "bl" | "cbz" | "cbnz")
        || op.strip_prefix('b').is_some_and(|rest| CONDITIONS.contains(&rest))
}

/// How many words a list like `{r4-r7, d8, lr}` is.
fn registers(list: &str) -> u64 {
    let inside = list.trim().trim_start_matches('{').trim_end_matches('}');
    let number = |name: &str| name.trim_start_matches(char::is_alphabetic).parse::<u64>();
    let words = |name: &str| if name.starts_with('d') { 2 } else { 1 };
    let count = |range: &str| match range.split_once('-') {
        Some((from, to)) => match (number(from), number(to)) {
            (Ok(first), Ok(last)) => (last + 1 - first) * words(from),
            _ => 1,
        },
        None => words(range),
    };
    inside.split(',').map(|range| count(range.trim())).sum()
}

fn immediate(arguments: &str) -> u64 {
    let text = arguments.rsplit_once('#').map_or("", |(_, text)| text.trim());
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).unwrap_or(0),
        None => text.parse().unwrap_or(0),
    }
}

fn build(workspace: &Workspace, features: &str) -> Result<PathBuf, String> {
    let dir = workspace.target_dir().join("firmware-stack");
    Process::cargo(&workspace.root().join("firmware"), "build --release -p bare --bin stack")
        .words(&format!("--target {TARGET} --features stack{features}"))
        .arg("--target-dir")
        .arg(&dir)
        // The record of frames is not stable yet; the compiler is.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_THUMBV7EM_NONE_EABIHF_RUSTFLAGS", "-Zemit-stack-sizes")
        .run()?;
    Ok(dir.join(TARGET).join("release/stack"))
}

fn inspect(
    workspace: &Workspace,
    elf: &Path,
) -> Result<BTreeMap<String, Result<Bound, String>>, String> {
    let sizes = Process::new(tools::llvm(workspace, "llvm-readobj")?)
        .arg("--stack-sizes")
        .arg(elf)
        .capture()?;
    let listing = Process::new(tools::llvm(workspace, "llvm-objdump")?)
        .words("--disassemble --no-show-raw-insn")
        .arg(elf)
        .capture()?;
    let graph = Graph::new(&sizes, &listing);
    if graph.recorded.len() < 10 {
        return Err(format!("{} has no record of frames", elf.display()));
    }
    Ok(graph.roots())
}

/// The deepest call of the core; an error names every one that is too deep or has no bound.
pub(crate) fn measure(workspace: &Workspace) -> Result<(String, Bound), String> {
    tools::targets(workspace, &[TARGET])?;
    let roots = inspect(workspace, &build(workspace, "")?)?;
    let mut deepest = (String::new(), Bound { bytes: 0, path: Vec::new() });
    let mut void = Vec::new();
    for (name, bound) in roots {
        match bound {
            Ok(bound) => {
                println!("{:>6} {name}", bound.bytes);
                if bound.bytes > LIMIT {
                    println!("    {}", bound.path.join("\n    "));
                }
                if bound.bytes > deepest.1.bytes {
                    deepest = (name, bound);
                }
            }
            Err(why) => void.push(why),
        }
    }
    println!("deepest:\n    {}", deepest.1.path.join("\n    "));
    if void.is_empty() { Ok(deepest) } else { Err(void.join("; ")) }
}

/// Prints every bound; one that is too deep fails.
pub(crate) fn run(workspace: &Workspace) -> Verdict {
    let (name, bound) = measure(workspace)?;
    let said = format!("{} B at most, in {name}; {LIMIT} B is the limit", bound.bytes);
    if bound.bytes <= LIMIT { Ok(Outcome::Passed(said)) } else { Err(said) }
}

/// The planted breaches are found: a frame of 600 bytes, recursion, a call through a pointer.
pub(crate) fn controls(workspace: &Workspace) -> Result<(), String> {
    let roots = inspect(workspace, &build(workspace, ",planted")?)?;
    let found = |name: &str, is_breach: fn(&Result<Bound, String>) -> bool| {
        if roots.get(name).is_some_and(is_breach) {
            Ok(())
        } else {
            Err(format!("{name} was not found: {:?}", roots.get(name)))
        }
    };
    found("core_planted_frame", |bound| bound.as_ref().is_ok_and(|b| b.bytes > LIMIT))?;
    found("core_planted_recursion", |b| b.as_ref().is_err_and(|e| e.starts_with("recursion")))?;
    found("core_planted_indirect", |b| b.as_ref().is_err_and(|e| e.starts_with("a call through")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: &str = "Entry {\n Functions: [core_a]\n Size: 0x10\n }\n\
                         Entry {\n Functions: [b, c]\n Size: 0x20\n }";
    const CODE: &str = "00000400 <core_a>:\n\
                        \x20 400:\tpush\t{r4, lr}\n\
                        \x20 402:\tbl\t0x410 <b>\n\
                        \x20 406:\tb\t0x402 <core_a+0x2>\n\n\
                        00000410 <b>:\n\
                        \x20 410:\tbl\t0x420 <asm>\n\n\
                        00000420 <asm>:\n\
                        \x20 420:\tpush\t{r4-r6, lr}\n\
                        \x20 422:\tsub\tsp, #0x18\n\
                        \x20 424:\tbx\tlr\n";

    fn bound_of(code: &str) -> Result<Bound, String> {
        Graph::new(SIZES, code).roots().remove("core_a").expect("it is there")
    }

    #[test]
    fn the_deepest_path_is_summed_up() {
        let bound = bound_of(CODE).expect("it has a bound");
        assert_eq!(bound.bytes, 16 + 32 + 16 + 24);
        assert_eq!(bound.path, ["16 core_a", "32 b", "40 asm"]);
    }

    #[test]
    fn a_function_that_jumps_away_has_given_its_frame_back() {
        let jumps = CODE.replace("bl\t0x420 <asm>", "b.w\t0x420 <asm>");
        let bound = bound_of(&jumps).expect("it has a bound");
        assert_eq!(bound.path, ["16 core_a", "0 b", "40 asm"]);
        assert_eq!(bound.bytes, 16 + 40);
    }

    #[test]
    fn what_fills_gaps_is_no_call() {
        let filled = CODE.replace(" 406:\tb\t0x402 <core_a+0x2>", " 406:\tbmi\t0x422 <asm+0x2>");
        assert_ne!(filled, CODE);
        assert!(bound_of(&filled).is_ok_and(|bound| bound.path == ["16 core_a", "32 b", "40 asm"]));
        let only = filled.replace(" 402:\tbl\t0x410 <b>\n\x20", "");
        assert!(bound_of(&only).is_ok_and(|bound| bound.path == ["16 core_a"]), "{only}");
        let jumps = only.replace("bmi", "b");
        assert!(bound_of(&jumps).is_ok_and(|bound| bound.path == ["16 core_a", "40 asm"]));
    }

    #[test]
    fn recursion_and_pointers_are_no_bound() {
        let recursive = CODE.replace("bx\tlr", "bl\t0x410 <b>");
        assert!(bound_of(&recursive).is_err_and(|why| why.starts_with("recursion")));
        let indirect = CODE.replace("bx\tlr", "blx\tr3");
        assert!(bound_of(&indirect).is_err_and(|why| why.starts_with("a call through")));
    }

    #[test]
    fn lists_of_registers_are_counted() {
        assert_eq!(registers("{r4, r5, r7, lr}"), 4);
        assert_eq!(registers("{r4-r11, lr}"), 9);
        assert_eq!(registers("{d8-d9}"), 4);
    }
}
