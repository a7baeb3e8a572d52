//! What is said over the control line, and bytes as words.

use alloc::vec::Vec;
use core::fmt;

/// Lines that wait to be written.
#[derive(Default)]
pub(crate) struct Out {
    text: Vec<u8>,
    /// How much of it was written.
    written: usize,
    /// A session, and messages of it that found room; neighbouring lines become one.
    took: Option<(u64, u32)>,
}

impl fmt::Write for Out {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.text.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

impl Out {
    /// A line.
    pub(crate) fn say(&mut self, line: fmt::Arguments<'_>) {
        self.begin(line);
        self.text.push(b'\n');
    }

    /// A line that ends with bytes.
    pub(crate) fn say_bytes(&mut self, line: fmt::Arguments<'_>, bytes: &[u8]) {
        self.begin(line);
        self.text.push(b' ');
        if bytes.is_empty() {
            self.text.push(b'-');
        }
        let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
        self.text.extend(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
        self.text.push(b'\n');
    }

    fn begin(&mut self, line: fmt::Arguments<'_>) {
        self.say_taken();
        // Writing to memory does not fail.
        let _ = fmt::write(self, line);
    }

    /// So many further messages of this session found room.
    pub(crate) fn took(&mut self, session: u64, count: u32) {
        match &mut self.took {
            Some((same, before)) if *same == session => *before += count,
            _ => {
                self.say_taken();
                self.took = Some((session, count));
            }
        }
    }

    fn say_taken(&mut self) {
        if let Some((session, count)) = self.took.take() {
            self.say(format_args!("took {session} {count}"));
        }
    }

    /// What is to be written.
    pub(crate) fn pending(&mut self) -> &[u8] {
        self.say_taken();
        self.text.get(self.written..).unwrap_or_default()
    }

    /// So much of it was.
    pub(crate) fn written(&mut self, count: usize) {
        self.written += count;
        if self.written >= self.text.len() {
            self.text.clear();
            self.written = 0;
        }
    }
}

/// The bytes of a word; `-` is none.
pub(crate) fn bytes(word: &str) -> Option<Vec<u8>> {
    if word == "-" {
        return Some(Vec::new());
    }
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    };
    let (pairs, rest) = word.as_bytes().as_chunks::<2>();
    let pair = |[high, low]: &[u8; 2]| Some(digit(*high)? << 4 | digit(*low)?);
    let bytes: Option<Vec<u8>> = pairs.iter().map(pair).collect();
    bytes.filter(|_| rest.is_empty())
}
