//! A Rust file seen as two texts of equal shape: its code and its comments.
//!
//! Strings belong to neither, so a rule about code never trips over a message, nor over the
//! samples in its own tests. This is a scanner, not a parser; it knows literals and comments.

/// The two views of a file, and which of its lines are tests.
pub(crate) struct Source {
    /// Line by line, with comments and the insides of literals blanked.
    code: Vec<String>,
    /// Line by line, with everything but comments blanked.
    comments: Vec<String>,
    test: Vec<bool>,
}

/// A function and its extent in lines, counted from one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) first: usize,
    pub(crate) last: usize,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let (code, comments) = views(text);
        let lines = |view: &str| view.lines().map(str::to_owned).collect::<Vec<String>>();
        let test = test_lines(&code, is_test_path(path));
        Self { code: lines(&code), comments: lines(&comments), test }
    }

    /// Numbered lines of code.
    pub(crate) fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.iter().enumerate().map(|(index, line)| (index + 1, line.as_str()))
    }

    /// Numbered lines of comments, slashes included.
    pub(crate) fn comments(&self) -> impl Iterator<Item = (usize, &str)> {
        self.comments.iter().enumerate().map(|(index, line)| (index + 1, line.as_str()))
    }

    /// The whole code as one text.
    pub(crate) fn whole_code(&self) -> String {
        self.code.join("\n")
    }

    /// Whether the line belongs to a test, by its file or by `#[cfg(test)]`.
    pub(crate) fn is_test(&self, line: usize) -> bool {
        self.test.get(line.wrapping_sub(1)).copied().unwrap_or(false)
    }

    /// Takes the whole file for a test.
    pub(crate) fn mark_test(&mut self) {
        self.test.fill(true);
    }

    /// The modules in files of their own that are compiled for tests only.
    pub(crate) fn test_modules(&self) -> Vec<String> {
        let code = self.whole_code();
        let behind = code.split("#[cfg(test)]").skip(1);
        let named = behind.filter_map(|rest| {
            let rest = rest.trim_start().trim_start_matches("pub(crate) ");
            let (name, _) = rest.strip_prefix("mod ")?.split_once(';')?;
            name.chars().all(is_word).then(|| name.to_owned())
        });
        named.collect()
    }

    /// Whether the line above carries a marker for `rule`, with a reason.
    pub(crate) fn permits(&self, line: usize, rule: &str) -> bool {
        let above = line.checked_sub(2).and_then(|index| self.comments.get(index));
        above.is_some_and(|comment| {
            let marker = format!("// tidy: allow({rule}):");
            let reason = comment.trim().strip_prefix(&marker);
            reason.is_some_and(|reason| !reason.trim().is_empty())
        })
    }

    /// The lines that carry a marker for any rule.
    pub(crate) fn markers(&self) -> impl Iterator<Item = usize> {
        let marked = |(_, line): &(usize, &str)| line.trim().starts_with("// tidy: allow(");
        self.comments().filter(marked).map(|(number, _)| number)
    }

    /// Every function with a body.
    pub(crate) fn functions(&self) -> Vec<Function> {
        let code = self.whole_code();
        let mut found = Vec::new();
        for (at, _) in code.match_indices("fn ") {
            let before = code.get(..at).and_then(|head| head.chars().next_back());
            if before.is_some_and(is_word) {
                continue;
            }
            let rest = code.get(at + 3..).unwrap_or_default();
            let name: String = rest.chars().take_while(|c| is_word(*c)).collect();
            // A function pointer type has no name.
            if name.is_empty() {
                continue;
            }
            if let Some(end) = body_end(rest) {
                let first = line_of(&code, at);
                found.push(Function { name, first, last: line_of(&code, at + 3 + end) });
            }
        }
        found
    }
}

fn is_test_path(path: &str) -> bool {
    path.contains("/tests/")
        || path.ends_with("/tests.rs")
        || path.starts_with("conformance/")
        || path.starts_with("fuzz/")
}

pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

/// The offset of the brace that ends the body whose signature starts `rest`; nothing for a
/// declaration without a body.
fn body_end(rest: &str) -> Option<usize> {
    let mut brackets = 0_i32;
    for (at, c) in rest.char_indices() {
        match c {
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets -= 1,
            ';' if brackets == 0 => return None,
            '{' if brackets == 0 => return block_end(rest, at),
            _ => {}
        }
    }
    None
}

/// The offset of the brace that closes the one at `open`.
fn block_end(text: &str, open: usize) -> Option<usize> {
    let mut depth = 0_i32;
    for (at, c) in text.char_indices().skip_while(|(at, _)| *at < open) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// Which lines are tests: all of them in a test file, else what `#[cfg(test)]` stands before.
fn test_lines(code: &str, all: bool) -> Vec<bool> {
    let mut marks = vec![all; code.lines().count()];
    for attribute in ["#[cfg(test)]", "#[cfg(all(test,"] {
        for (at, _) in code.match_indices(attribute) {
            let rest = code.get(at..).unwrap_or_default();
            let item = rest.find(']').map_or(attribute.len(), |bracket| bracket + 1);
            let end = rest.get(item..).and_then(body_end).map_or(at, |end| at + item + end);
            let (first, last) = (line_of(code, at), line_of(code, end));
            marks.iter_mut().take(last).skip(first - 1).for_each(|mark| *mark = true);
        }
    }
    marks
}

#[derive(Clone, Copy)]
enum Inside {
    Code,
    LineComment,
    BlockComment(u32),
    Text,
    RawText(usize),
    Character,
}

/// Splits a file into its code and its comments; lines keep their numbers.
fn views(text: &str) -> (String, String) {
    let chars: Vec<char> = text.chars().collect();
    let (mut code, mut comments) = (String::new(), String::new());
    let mut inside = Inside::Code;
    let mut at = 0;
    while at < chars.len() {
        let (next, length) = step(inside, &chars, at);
        for &c in chars.iter().skip(at).take(length) {
            let commented =
                matches!(inside, Inside::LineComment | Inside::BlockComment(_)) || in_comment(next);
            let coded = matches!(inside, Inside::Code) && !in_comment(next);
            code.push(if coded || c == '\n' { c } else { ' ' });
            comments.push(if commented || c == '\n' { c } else { ' ' });
        }
        inside = next;
        at += length;
    }
    (code, comments)
}

fn in_comment(inside: Inside) -> bool {
    matches!(inside, Inside::LineComment | Inside::BlockComment(_))
}

/// What follows the characters at `at`, and how many of them that takes.
fn step(inside: Inside, chars: &[char], at: usize) -> (Inside, usize) {
    let here = |offset: usize| chars.get(at + offset).copied().unwrap_or('\n');
    match (inside, here(0), here(1)) {
        (Inside::Code, '/', '/') => (Inside::LineComment, 2),
        (Inside::Code, '/', '*') => (Inside::BlockComment(1), 2),
        (Inside::Code, '"', _) => (Inside::Text, 1),
        (Inside::Code, 'r', '"' | '#') => raw_text(chars, at),
        (Inside::Code, '\'', '\\') => (Inside::Character, 1),
        (Inside::Code, '\'', _) if here(2) == '\'' => (Inside::Character, 1),
        (Inside::LineComment, '\n', _) => (Inside::Code, 1),
        (Inside::BlockComment(depth), '/', '*') => (Inside::BlockComment(depth + 1), 2),
        (Inside::BlockComment(1), '*', '/') => (Inside::Code, 2),
        (Inside::BlockComment(depth), '*', '/') => (Inside::BlockComment(depth - 1), 2),
        (Inside::Text | Inside::Character, '\\', _) => (inside, 2),
        (Inside::Text, '"', _) | (Inside::Character, '\'', _) => (Inside::Code, 1),
        (Inside::RawText(hashes), '"', _) if (1..=hashes).all(|n| here(n) == '#') => {
            (Inside::Code, 1 + hashes)
        }
        _ => (inside, 1),
    }
}

/// `r"` and `r#"` open a raw string; `r#name` and an `r` that ends a word do not.
fn raw_text(chars: &[char], at: usize) -> (Inside, usize) {
    let before = at.checked_sub(1).and_then(|index| chars.get(index)).copied();
    let starts_word = before.is_none_or(|c| !is_word(c) || c == 'b' || c == 'c');
    let hashes = chars.iter().skip(at + 1).take_while(|c| **c == '#').count();
    if starts_word && chars.get(at + 1 + hashes) == Some(&'"') {
        (Inside::RawText(hashes), 2 + hashes)
    } else {
        (Inside::Code, 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_and_comments_are_told_apart() {
        let text = "let a = \"// no\"; // yes\nlet b = r#\"x \" fn \"#; /* a /* b */ c */ d();\n";
        let (code, comments) = views(text);
        assert_eq!(code.lines().count(), 2);
        assert!(code.contains("let a =") && code.contains("d();"));
        assert!(!code.contains("no") && !code.contains("fn") && !code.contains('c'), "{code}");
        assert!(comments.contains("// yes") && comments.contains("/* a /* b */ c */"));
        assert!(!comments.contains("no") && !comments.contains("d()"));
    }

    #[test]
    fn quotes_of_all_kinds() {
        let (code, _) =
            views("f('\"', '\\'', b'{', \"\\\"{\", 'a: loop {}); struct S<'s>(&'s u8);");
        assert_eq!(code.matches('{').count(), 1, "{code}");
        assert!(code.contains("struct S<'s>(&'s u8);"));
    }

    #[test]
    fn functions_and_their_lines() {
        let text = "trait T { fn none(&self); }\nfn one() {}\nfn two(\n    a: [u8; 2],\n) \
            -> u8 {\n    let g: fn(u8) = h; { 1 }\n}\n";
        let found = Source::new("a.rs", text).functions();
        let told: Vec<_> = found.iter().map(|f| (f.name.as_str(), f.first, f.last)).collect();
        assert_eq!(told, [("one", 2, 2), ("two", 3, 7)]);
    }

    #[test]
    fn test_regions() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\nfn c() {}\n";
        let source = Source::new("core/src/a.rs", text);
        let tests: Vec<usize> = (1..=6).filter(|line| source.is_test(*line)).collect();
        assert_eq!(tests, [2, 3, 4, 5]);
        let declared = Source::new("a.rs", "#[cfg(test)]\nmod room;\nmod b;\n").test_modules();
        assert_eq!(declared, ["room"]);
        let both = text.replace("#[cfg(test)]", "#[cfg(all(test, unix))]");
        let source = Source::new("core/src/a.rs", &both);
        let tests: Vec<usize> = (1..=6).filter(|line| source.is_test(*line)).collect();
        assert_eq!(tests, [2, 3, 4, 5]);
        assert!(Source::new("core/tests/a.rs", text).is_test(1));
        assert!(Source::new("conformance/src/a.rs", text).is_test(6));
    }
}
