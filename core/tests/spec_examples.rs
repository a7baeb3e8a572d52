//! Section 20 of the specification: its examples are frames, and what it refuses is refused.

use core::mem;
use std::fs;
use std::path::Path;

use outlast_core::CloseCode;
use outlast_core::wire::{Frame, MAX_BODY};

/// Reads `80 07 | 61*28`: bytes, bars between them, and how often a byte comes.
fn bytes(line: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for word in line.split_whitespace().filter(|word| *word != "|") {
        let (byte, times) = match word.split_once('*') {
            Some((byte, times)) => (byte, times.parse().ok()?),
            None => (word, 1),
        };
        let byte = u8::from_str_radix(byte, 16).ok().filter(|_| byte.len() == 2)?;
        bytes.resize(bytes.len() + times, byte);
    }
    Some(bytes)
}

/// The examples of section 20: a title, and the bytes of a line or more indented below it.
fn examples(spec: &str) -> Vec<(String, Vec<Vec<u8>>)> {
    let section = spec.split("\n## ").find(|section| section.starts_with("20 "));
    let mut examples: Vec<(String, Vec<Vec<u8>>)> = Vec::new();
    let mut title = String::new();
    for block in section.unwrap_or_default().split("```").skip(1).step_by(2) {
        for line in block.lines().skip(1) {
            let frames = examples.last_mut().map(|(_, frames)| frames);
            match (line.strip_prefix("    ").and_then(bytes), frames) {
                (Some(more), Some(frames)) if title.is_empty() => match frames.last_mut() {
                    Some(frame) if line.trim_start().starts_with('|') => frame.extend(more),
                    _ => frames.push(more),
                },
                (Some(first), _) => examples.push((mem::take(&mut title), vec![first])),
                (None, _) => title = format!("{title} {line}").trim().to_owned(),
            }
        }
    }
    examples
}

fn refusal(title: &str) -> Option<CloseCode> {
    let (code, _) = title.split_once(':')?;
    CloseCode::ALL.iter().copied().find(|known| known.name() == code)
}

fn verdict(frame: &[u8], is_first: bool) -> Result<bool, CloseCode> {
    let split = if is_first { Frame::split_first } else { Frame::split };
    match split(frame, MAX_BODY)? {
        Some((header, body, rest)) => Frame::decode(header, body).map(|_| rest.is_empty()),
        None => Ok(false),
    }
}

//= test FRM-1, FRM-4, FRM-30
#[test]
fn the_examples_of_the_specification_are_what_it_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/spec.md");
    let spec = fs::read_to_string(path).expect("the specification is part of the repository");
    let examples = examples(&spec);
    let (mut legal, mut refused) = (0, 0);
    for (title, frames) in &examples {
        for frame in frames {
            let is_first = title.contains("at the start of a connection");
            match (refusal(title), verdict(frame, is_first)) {
                (None, verdict) => {
                    assert_eq!(verdict, Ok(true), "{title}: {frame:02x?}");
                    legal += 1;
                }
                (Some(code), verdict) => {
                    assert_eq!(verdict, Err(code), "{title}: {frame:02x?}");
                    refused += 1;
                }
            }
        }
    }
    // Fewer would mean that the section is no longer read as it is written.
    assert!(legal >= 25 && refused >= 9, "{legal} legal and {refused} refused: {examples:?}");
}
