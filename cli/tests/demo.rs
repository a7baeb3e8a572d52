//! `outlast demo`, small.

mod common;

use common::{folder, noise, run};

#[test]
fn the_show_ends_well_with_the_files_it_was_given() {
    let folder = folder("demo");
    for index in 0..5_u8 {
        let bytes = noise(index.into(), 10_000 * usize::from(index));
        std::fs::write(folder.join(format!("{index}.bin")), bytes).expect("it can be written");
    }
    let folder = folder.display().to_string();
    let args = ["demo", "--cuts", "8", "--seconds", "0", "--clients", "2", "--seed", "11", &folder];
    let (status, text) = run(&args);
    assert!(status.success(), "{text}");
    for words in [
        "Nothing was lost, doubled, reordered or damaged.",
        "(5 different ones,",
        "every SHA-256 equal",
        "--seed 11",
    ] {
        assert!(text.contains(words), "`{words}` is missing:\n{text}");
    }
}

#[test]
fn without_arguments_it_carries_its_own_source() {
    let (status, text) = run(&["demo", "-q", "--cuts", "4", "--seconds", "0"]);
    assert!(status.success(), "{text}");
}

#[test]
fn fewer_resumes_than_promised_are_a_failure() {
    // Nobody can be cut a million times in the time that is left.
    let (status, text) =
        run(&["demo", "-q", "--cuts", "1000000", "--seconds", "0", "--limit", "2"]);
    assert_eq!(status.code(), Some(1), "{text}");
    assert!(text.contains("fewer resumes than promised"), "{text}");
}
