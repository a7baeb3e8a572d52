//! `docs/errors.md` has every close code, every status and every error that the crates show.
//!
//! The lists come from the sources: an enum or struct is an error if it says so by its name or by
//! implementing `Error`, or is among [`ALSO`]. It has a heading of its own, such as
//! `outlast_service::SendError`, and under it a row for each variant. Where the source says whether
//! trying again makes sense (`is_retryable`), the row says the same.

use std::collections::{BTreeMap, BTreeSet};

use super::features::{rows, spans};
use super::source::{Source, is_word};
use super::{File, Finding, Tree};

const ERRORS: &str = "docs/errors.md";
const RULE: &str = "errors";
const CODES: &str = "core/src/code.rs";
const STATUSES: &str = "core/src/wire/ids.rs";

/// The crates whose errors people see, by folder.
const CRATES: [(&str, &str); 8] = [
    ("admin/src/", "outlast_admin"),
    ("config/src/", "outlast_config"),
    ("core/src/", "outlast_core"),
    ("formats/src/", "outlast_formats"),
    ("runtime-embedded/src/", "outlast_embedded"),
    ("runtime-std/src/", "outlast_std"),
    ("service/src/", "outlast_service"),
    ("tls/src/", "outlast_tls"),
];

/// What says why something ended or was refused, and is no error by name.
const ALSO: [&str; 5] = [
    "outlast_core::StopReason",
    "outlast_embedded::Ended",
    "outlast_service::Rejection",
    "outlast_service::Why",
    "outlast_service::WhyRefused",
];

/// How a body begins that says yes to what it lists, and no to everything else.
const MATCHES: &str = "matches!(self,";

/// Whether the same call may succeed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Again {
    Yes,
    No,
    /// What it holds decides.
    Depends,
}

/// The variants of each error; none for a struct.
type Errors = BTreeMap<String, Vec<String>>;

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(file) = tree.file(ERRORS) else {
        return Vec::new();
    };
    let mut found = codes(tree, file);
    found.extend(statuses(tree, file));
    found.extend(types(tree, file));
    found
}

/// The rows of a document whose first cell satisfies `is`, by what it returns.
fn rows_of<'t>(
    text: &'t str,
    is: impl Fn(&'t str) -> Option<String>,
) -> BTreeMap<String, (usize, Vec<&'t str>)> {
    let named = rows(text).into_iter().filter_map(|(line, cells)| {
        let name = is(cells.first()?)?;
        Some((name, (line, cells)))
    });
    named.collect()
}

/// Every code has a row with its number, its name and its class.
fn codes(tree: &Tree, file: &File) -> Vec<Finding> {
    let Some(source) = tree.file(CODES) else {
        return Vec::new();
    };
    let known = source.text.lines().filter_map(|line| {
        let mut words = line.trim().strip_prefix("0x")?.split(' ');
        let (number, name, class) = (words.next()?, words.next()?, words.next()?);
        let class = match class {
            "NewSession" => "new".to_owned(),
            other => other.to_lowercase(),
        };
        (number.len() == 4).then(|| (number.to_owned(), (name.to_owned(), class)))
    });
    let known: BTreeMap<_, _> = known.collect();
    let number = |cell: &str| {
        let number = spans(cell).next()?;
        let is_code = number.len() == 4 && number.chars().all(|c| c.is_ascii_hexdigit());
        (is_code && cell.contains("](spec.md#")).then(|| number.to_owned())
    };
    let mut told = rows_of(&file.text, number);
    let mut found = Vec::new();
    for (number, (name, class)) in &known {
        let Some((line, cells)) = told.remove(number) else {
            found.push(file.finding(0, RULE, format!("there is no row for the code {name}")));
            continue;
        };
        let link = format!("[{name}](spec.md#{})", name.to_lowercase());
        if !cells.first().is_some_and(|cell| cell.contains(&link)) {
            found.push(file.finding(line, RULE, format!("the code {number} is {name}")));
        }
        if cells.last() != Some(&class.as_str()) {
            found.push(file.finding(line, RULE, format!("again is `{class}` for {name}")));
        }
        found.extend(whole(file, line, &cells));
    }
    let gone = told.into_iter();
    found.extend(
        gone.map(|(number, (line, _))| {
            file.finding(line, RULE, format!("there is no code {number}"))
        }),
    );
    found
}

/// Every status has a row, which says whether the request may have run.
fn statuses(tree: &Tree, file: &File) -> Vec<Finding> {
    let Some(source) = tree.file(STATUSES).and_then(|file| file.source.as_ref()) else {
        return Vec::new();
    };
    let code = source.whole_code();
    let Some((_, body)) = code.split_once("impl Status {") else {
        return Vec::new();
    };
    let constant = |rest: &str| {
        let (name, value) = rest.split_once(": Self = Self(")?;
        let (number, _) = value.split_once(')')?;
        name.chars().all(is_word).then(|| (name.to_owned(), format!("({number})")))
    };
    let known: BTreeMap<String, String> =
        body.split("pub const ").skip(1).filter_map(constant).collect();
    let ran_not = body.split_once("fn may_have_run").map_or("", |(_, rest)| rest);
    let ran_not = ran_not.split('}').next().unwrap_or_default();
    let section = section(&file.text, "## Statuses of answers");
    let mut found = Vec::new();
    let told = rows_of(section, |cell| spans(cell).next().map(str::to_owned));
    for (name, number) in &known {
        let Some((_, cells)) = told.get(name) else {
            found.push(file.finding(0, RULE, format!("there is no row for the status {name}")));
            continue;
        };
        if !cells.first().is_some_and(|cell| cell.ends_with(number)) {
            let message = format!("the status {name} is {number} on the wire");
            found.push(file.finding(line_of(file, cells), RULE, message));
        }
        let may = if ran_not.contains(&format!("Self::{name}")) { "no" } else { "yes" };
        if cells.last() != Some(&may) {
            let message = format!("whether it may have run is `{may}` for {name}");
            found.push(file.finding(line_of(file, cells), RULE, message));
        }
    }
    let gone = told.iter().filter(|(name, _)| !known.contains_key(*name));
    found.extend(gone.map(|(name, (_, cells))| {
        file.finding(line_of(file, cells), RULE, format!("there is no status {name}"))
    }));
    found
}

/// The line of a row that was found in a part of the document.
fn line_of(file: &File, cells: &[&str]) -> usize {
    let is = |line: &str| cells.iter().all(|cell| line.contains(cell));
    file.text.lines().position(|line| line.starts_with('|') && is(line)).map_or(0, |at| at + 1)
}

/// What stands under a heading, up to the next one of the same rank or a higher one.
fn section<'t>(text: &'t str, heading: &str) -> &'t str {
    let rank = heading.split(' ').next().unwrap_or_default().len();
    let Some((_, rest)) = text.split_once(&format!("{heading}\n")) else {
        return "";
    };
    let ends = (2..=rank).map(|rank| format!("\n{} ", "#".repeat(rank)));
    let end = ends.filter_map(|mark| rest.find(&mark)).min().unwrap_or(rest.len());
    rest.get(..end).unwrap_or_default()
}

fn types(tree: &Tree, file: &File) -> Vec<Finding> {
    let known = errors(tree);
    let again = again(tree, &known);
    let mut found = Vec::new();
    let headings = file.text.lines().enumerate().filter_map(|(at, line)| {
        let name = line.strip_prefix("### `")?.strip_suffix('`')?;
        Some((name.to_owned(), at + 1))
    });
    let headings: BTreeMap<String, usize> = headings.collect();
    for (name, at) in &headings {
        if !known.contains_key(name) {
            found.push(file.finding(*at, RULE, format!("there is no error {name}")));
        }
    }
    for (name, variants) in &known {
        let Some(at) = headings.get(name) else {
            found.push(file.finding(0, RULE, format!("there is no heading `{name}`")));
            continue;
        };
        let text = section(&file.text, &format!("### `{name}`"));
        if text.trim().is_empty() {
            found.push(file.finding(*at, RULE, format!("nothing is said of {name}")));
        }
        if variants.is_empty() {
            continue;
        }
        let told = rows_of(text, |cell| spans(cell).next().map(str::to_owned));
        for variant in variants {
            let Some((line, cells)) = told.get(variant) else {
                let message = format!("there is no row for {name}::{variant}");
                found.push(file.finding(*at, RULE, message));
                continue;
            };
            let line = at + line;
            found.extend(whole(file, line, cells));
            let said = match cells.last() {
                Some(&"yes") => Again::Yes,
                Some(&"no") => Again::No,
                _ => Again::Depends,
            };
            let right = again.get(&(name.clone(), variant.clone())).copied();
            if right.is_some_and(|right| right != said) {
                let message = format!("is_retryable of {name}::{variant} says otherwise");
                found.push(file.finding(line, RULE, message));
            }
        }
        let gone = told.iter().filter(|(variant, _)| !variants.contains(variant));
        found.extend(gone.map(|(variant, (line, _))| {
            file.finding(at + line, RULE, format!("there is no {name}::{variant}"))
        }));
    }
    found
}

fn whole(file: &File, line: usize, cells: &[&str]) -> Option<Finding> {
    let is_whole = cells.len() == 5 && cells.iter().all(|cell| !cell.is_empty());
    let message = "a row has five cells, none of them empty";
    (!is_whole).then(|| file.finding(line, RULE, message))
}

/// Where a file's types belong to.
fn crate_of(path: &str) -> Option<&'static str> {
    CRATES.iter().find(|(folder, _)| path.starts_with(folder)).map(|(_, name)| *name)
}

/// A file's code without its tests.
fn product(source: &Source) -> String {
    let keep = |(line, text)| if source.is_test(line) { "" } else { text };
    source.code().map(keep).collect::<Vec<&str>>().join("\n")
}

/// The errors of all crates.
fn errors(tree: &Tree) -> Errors {
    let mut known = Errors::new();
    let mut implementing = BTreeSet::new();
    for (file, source) in tree.sources() {
        let Some(of) = crate_of(&file.path) else {
            continue;
        };
        let code = product(source);
        for line in code.lines().filter(|line| line.trim_start().starts_with("impl")) {
            let name = line.split_once("Error for ").map(|(_, rest)| word(rest));
            implementing.extend(name.map(|name| format!("{of}::{name}")));
        }
        for kind in ["pub enum ", "pub struct "] {
            for (at, _) in code.match_indices(kind) {
                let rest = code.get(at + kind.len()..).unwrap_or_default();
                let variants = if kind == "pub enum " { variants(rest) } else { Vec::new() };
                known.insert(format!("{of}::{}", word(rest)), variants);
            }
        }
    }
    // All codes have a table of their own.
    known.remove("outlast_core::CloseCode");
    known.retain(|name, _| {
        let by_name = name.ends_with("Error") || name.ends_with("Cause");
        by_name || implementing.contains(name) || ALSO.contains(&name.as_str())
    });
    known
}

fn word(text: &str) -> &str {
    text.split(|c| !is_word(c)).next().unwrap_or_default()
}

/// The names of the variants of the enum whose name begins `rest`.
fn variants(rest: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut depth = 0;
    let mut expected = false;
    for (at, c) in rest.char_indices() {
        match c {
            '{' | '(' | '[' => {
                depth += 1;
                expected |= depth == 1 && c == '{';
            }
            '}' | ')' | ']' => {
                depth -= 1;
                if depth == 0 && c == '}' {
                    break;
                }
            }
            ',' if depth == 1 => expected = true,
            _ if depth == 1 && expected && c.is_ascii_uppercase() => {
                found.push(word(rest.get(at..).unwrap_or_default()).to_owned());
                expected = false;
            }
            _ => {}
        }
    }
    found
}

/// What the functions `is_retryable` say, by type and variant.
fn again(tree: &Tree, known: &Errors) -> BTreeMap<(String, String), Again> {
    let mut said = BTreeMap::new();
    for (file, source) in tree.sources() {
        let Some(of) = crate_of(&file.path) else {
            continue;
        };
        let code = product(source);
        for (at, _) in code.match_indices("fn is_retryable(") {
            let before = code.get(..at).unwrap_or_default();
            let head = before.rsplit("\nimpl").next().unwrap_or_default();
            let head = head.split_once("> ").map_or(head, |(generics, rest)| {
                if generics.starts_with('<') { rest } else { head }
            });
            let name = format!("{of}::{}", word(head.trim_start()));
            let body = code.get(at..).unwrap_or_default();
            let body = body.split("\n    }\n").next().unwrap_or_default();
            if body.contains(MATCHES) {
                let all = known.get(&name).into_iter().flatten();
                said.extend(all.map(|variant| ((name.clone(), variant.clone()), Again::No)));
            }
            for (path, variant, says) in arms(body) {
                let kind = if path == "Self" { name.clone() } else { format!("{of}::{path}") };
                let direct = path == "Self" || known.get(&name).is_some_and(Vec::is_empty);
                if direct && known.get(&kind).is_some_and(|all| all.contains(&variant)) {
                    said.insert((kind, variant), says);
                }
            }
        }
    }
    said
}

/// The paths in the patterns of a body, each with what its arm says.
fn arms(body: &str) -> Vec<(String, String, Again)> {
    let mut found = Vec::new();
    if let Some((_, pattern)) = body.split_once(MATCHES) {
        let yes = paths(pattern).into_iter().map(|(path, name)| (path, name, Again::Yes));
        found.extend(yes);
        return found;
    }
    let mut pieces = body.split("=>");
    let mut pattern = pieces.next().unwrap_or_default();
    for piece in pieces {
        let value = piece.trim_start();
        let says = match word(value) {
            "true" => Again::Yes,
            "false" => Again::No,
            _ => Again::Depends,
        };
        found.extend(paths(pattern).into_iter().map(|(path, name)| (path, name, says)));
        pattern = piece;
    }
    found
}

/// `Type::Variant` wherever it stands at the beginning of a pattern.
fn paths(pattern: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (at, _) in pattern.match_indices("::") {
        let head = pattern.get(..at).unwrap_or_default();
        let path = head.rsplit(|c| !is_word(c)).next().unwrap_or_default();
        let name = word(pattern.get(at + 2..).unwrap_or_default());
        if name.starts_with(|c: char| c.is_ascii_uppercase()) {
            found.push((path.to_owned(), name.to_owned()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = r#"codes! {
    0x0000 OK Never
        "it ended"
    0x0301 GONE NewSession
        "it is gone"
}
"#;
    const STATUS: &str = "impl Status {
    pub const OK: Self = Self(0);
    pub const BUSY: Self = Self(1);
    pub const fn may_have_run(self) -> bool {
        !matches!(self, Self::BUSY)
    }
}
";
    const SERVICE: &str = r#"pub struct Ended;
impl std::error::Error for Ended {}
pub struct Other;
pub enum AskError {
    #[cfg(feature = "x")]
    Full,
    Long { limit: usize },
    Over(Ended),
}
impl AskError {
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Full => true,
            Self::Long { .. } => false,
            Self::Over(ended) => ended.is_retryable(),
        }
    }
}
#[cfg(test)]
mod tests {
    pub enum MadeUpError { A }
}
"#;
    const PAGE: &str = "# Errors

HEAD
| `0000` [OK](spec.md#ok) | it | it | it | never |
| `0301` [GONE](spec.md#gone) | it | it | it | new |

## Statuses of answers

HEAD
| `OK` (0) | it | it | it | yes |
| `BUSY` (1) | it | it | it | no |

## More

### `outlast_service::AskError`

HEAD
| `Full` | it | it | it | yes |
| `Long` | it | it | it | no |
| `Over` | it | it | it | as it says |

### `outlast_service::Ended`

It ended.
";

    fn page() -> String {
        PAGE.replace("HEAD", "| a | b | c | d | e |\n|---|---|---|---|---|")
    }

    fn told(page: &str) -> Vec<String> {
        let tree = Tree::of(&[
            (ERRORS, page),
            (CODES, CODE),
            (STATUSES, STATUS),
            ("service/src/error.rs", SERVICE),
            ("conformance/src/a.rs", "pub enum OwnError { A }\n"),
        ]);
        check(&tree).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn a_page_that_has_everything_passes() {
        assert_eq!(told(&page()), [""; 0]);
    }

    #[test]
    fn what_is_missing_wrong_or_gone_is_named() {
        for (from, to, expected) in [
            ("| `0301` [GONE]", "| 0301 [GONE]", "no row for the code GONE"),
            ("| `0301` [GONE](spec.md#gone)", "| `0301` [LOST](spec.md#lost)", "0301 is GONE"),
            ("| it | new |", "| it | now |", "again is `new` for GONE"),
            ("| `0000` [OK]", "| `0001` [OK]", "there is no code 0001"),
            ("| `BUSY` (1) |", "| `LAZY` (1) |", "there is no status LAZY"),
            ("| `BUSY` (1) |", "| `BUSY` (2) |", "BUSY is (1)"),
            ("| `BUSY` (1) | it | it | it | no |", "", "no row for the status BUSY"),
            (
                "| `BUSY` (1) | it | it | it | no |",
                "| `BUSY` (1) | it | it | it | yes |",
                "it may have run is `no` for BUSY",
            ),
            ("### `outlast_service::AskError`", "### `outlast_service::TellError`", "no error"),
            ("### `outlast_service::AskError`", "### Asking", "no heading"),
            ("| `Full` |", "| `Empty` |", "no row for outlast_service::AskError::Full"),
            ("| `Full` |", "| `Empty` |", "there is no outlast_service::AskError::Empty"),
            ("| `Full` | it |", "| `Full` |  |", "five cells"),
            (
                "| `Full` | it | it | it | yes |",
                "| `Full` | it | it | it | no |",
                "AskError::Full says otherwise",
            ),
            ("| as it says |", "| yes |", "AskError::Over says otherwise"),
            ("It ended.", "", "nothing is said of outlast_service::Ended"),
        ] {
            let changed = page().replace(from, to);
            assert_ne!(changed, page(), "{from}");
            let told = told(&changed);
            assert!(told.iter().any(|told| told.contains(expected)), "{from}: {told:?}");
        }
    }

    #[test]
    fn short_answers_and_answers_by_a_part_are_read() {
        let code = "pub enum WaitError { Empty, Ended }
impl WaitError {
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Empty)
    }
}
pub struct Closed<'a> {
    why: Why,
}
impl std::error::Error for Closed<'_> {}
pub enum Why { Lost, Done }
impl<'a> Closed<'a> {
    pub fn is_retryable(&self) -> bool {
        match self.why {
            Why::Lost => f(),
            Why::Done => false,
        }
    }
}
";
        let tree = Tree::of(&[("service/src/error.rs", code)]);
        let said = again(&tree, &errors(&tree));
        let mut said: Vec<_> =
            said.iter().map(|((_, name), again)| (name.as_str(), *again)).collect();
        said.sort_by_key(|(name, _)| *name);
        assert_eq!(
            said,
            [
                ("Done", Again::No),
                ("Empty", Again::Yes),
                ("Ended", Again::No),
                ("Lost", Again::Depends),
            ]
        );
    }
}
