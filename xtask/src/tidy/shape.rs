//! Sizes that keep code readable: files, functions, lines.

use super::{Finding, Tree};

const FILE_LINES: usize = 600;
const FUNCTION_LINES: usize = 70;
const COLUMNS: usize = 100;

/// Files, functions and lines are no longer than the house allows.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in tree.files.iter().filter(|file| is_code(&file.path)) {
        let lines = file.text.lines().count();
        if lines > FILE_LINES {
            let message = format!("{lines} lines; {FILE_LINES} is the limit");
            found.push(file.finding(0, "file-length", message));
        }
        for (index, line) in file.text.lines().enumerate() {
            let columns = line.chars().count();
            if columns > COLUMNS {
                let message = format!("{columns} columns; {COLUMNS} is the limit");
                found.push(file.finding(index + 1, "line-length", message));
            }
        }
    }
    for (file, source) in tree.sources() {
        for function in source.functions() {
            let lines = function.last - function.first + 1;
            if lines > FUNCTION_LINES {
                let name = &function.name;
                let message = format!("`{name}` has {lines} lines; {FUNCTION_LINES} is the limit");
                found.push(file.finding(function.first, "function-length", message));
            }
        }
    }
    found
}

fn is_code(path: &str) -> bool {
    path == ".ci/run" || [".rs", ".py", ".sh", ".js"].iter().any(|ending| path.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Vec<&'static str> {
        check(&Tree::of(&[("core/src/a.rs", text)])).into_iter().map(|f| f.rule).collect()
    }

    #[test]
    fn the_limits_themselves_pass() {
        assert!(rules(&"\n".repeat(FILE_LINES)).is_empty());
        assert!(rules(&format!("// {}\n", "é".repeat(COLUMNS - 3))).is_empty());
        let body = "\n".repeat(FUNCTION_LINES - 1);
        assert!(rules(&format!("fn f() {{{body}}}\n")).is_empty());
    }

    #[test]
    fn one_more_is_caught() {
        assert_eq!(rules(&"\n".repeat(FILE_LINES + 1)), ["file-length"]);
        assert_eq!(rules(&format!("// {}\n", "é".repeat(COLUMNS - 2))), ["line-length"]);
        let body = "\n".repeat(FUNCTION_LINES);
        assert_eq!(rules(&format!("fn f() {{{body}}}\n")), ["function-length"]);
    }

    #[test]
    fn prose_may_be_wide() {
        let wide = "x".repeat(COLUMNS + 1);
        assert!(check(&Tree::of(&[("README.md", &wide)])).is_empty());
    }
}
