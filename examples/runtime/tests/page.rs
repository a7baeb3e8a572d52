//! What `docs/porting.md` shows is what is here, and all of it.

const PAGE: &str = include_str!("../../../docs/porting.md");
const FILES: [(&str, &str); 5] = [
    ("src/lib.rs", include_str!("../src/lib.rs")),
    ("examples/hello.rs", include_str!("../examples/hello.rs")),
    ("tests/suite_mine.rs", include_str!("../tests/suite_mine.rs")),
    ("tests/stream.rs", include_str!("../tests/stream.rs")),
    ("tests/turn.rs", include_str!("../tests/turn.rs")),
];
const MANIFEST: &str = include_str!("../Cargo.toml");

/// The blocks of the page in this language.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    PAGE.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap_or_default()).collect()
}

#[test]
fn the_code_of_the_page_is_this_package() {
    assert_eq!(PAGE.matches("```rust").count(), FILES.len(), "each block is a file, and compiled");
    for ((name, text), block) in FILES.iter().zip(blocks("rust")) {
        // The last one goes on here with what is only a test of it.
        let end = text.find("\n// What follows is not on the page").unwrap_or(text.len());
        assert!(text[..end] == *block, "{name} is not what the page shows");
        assert!(PAGE.contains(&format!("`{name}`")), "the page does not name {name}");
    }
}

#[test]
fn the_dependencies_of_the_page_are_those_of_this_package() {
    let blocks = blocks("toml");
    let own = blocks[0].replace("../outlast/", "../../");
    let dependencies = own.split_once("\n\n").map(|(_, rest)| rest).unwrap_or_default();
    assert!(dependencies.starts_with("[dependencies]\n"), "{own}");
    assert!(MANIFEST.ends_with(dependencies), "Cargo.toml does not end with\n{dependencies}");
}
