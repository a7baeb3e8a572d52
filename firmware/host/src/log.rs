//! What the firmware says, decoded: its frames hold numbers, and the texts are in its file.

use std::collections::VecDeque;
use std::io::Read;
use std::path::Path;

use defmt_decoder::{DecodeError, StreamDecoder, Table};

use crate::Outcome;

/// Lines of a board's log.
pub(crate) struct Log<R> {
    input: R,
    frames: Box<dyn StreamDecoder>,
    lines: VecDeque<String>,
}

impl<R: Read> Log<R> {
    /// The log that comes from `input`, of the program in the file `elf`.
    pub(crate) fn new(elf: &Path, input: R) -> Outcome<Self> {
        let bytes = std::fs::read(elf).map_err(|e| format!("{}: {e}", elf.display()))?;
        let table = Table::parse(&bytes).map_err(|e| format!("{}: {e}", elf.display()))?;
        let table = table.ok_or_else(|| format!("{} has no texts", elf.display()))?;
        // Each run reads one or two files, and then this program ends.
        let frames = Box::leak(Box::new(table)).new_stream_decoder();
        Ok(Self { input, frames, lines: VecDeque::new() })
    }

    /// The next line; `None` at the end.
    pub(crate) fn next(&mut self) -> Outcome<Option<String>> {
        let mut bytes = [0; 4096];
        loop {
            if let Some(line) = self.lines.pop_front() {
                return Ok(Some(line));
            }
            let count = self.input.read(&mut bytes).map_err(|e| e.to_string())?;
            if count == 0 {
                return Ok(None);
            }
            self.frames.received(&bytes[..count]);
            loop {
                match self.frames.decode() {
                    Ok(frame) => self.lines.push_back(frame.display_message().to_string()),
                    Err(DecodeError::UnexpectedEof) => break,
                    Err(DecodeError::Malformed) => return Err("a malformed frame".to_owned()),
                }
            }
        }
    }
}
