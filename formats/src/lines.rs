//! Looking for what ends a line, once.

use crate::error::FormatError;

/// What happens to a line that is longer than allowed.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Default)]
pub enum Overlong {
    /// It ends the connection.
    #[default]
    Close,
    /// It is reported once and passed over up to its delimiter; decoding goes on behind it.
    Resync,
}

/// What the first bytes are.
pub(crate) enum Line {
    /// No end yet.
    Need(usize),
    /// A line of so many bytes without its delimiter, and with it.
    Whole { length: usize, taken: usize },
    /// The beginning of a line that is too long, to be passed over.
    Overlong { error: FormatError, taken: usize },
    /// More of it.
    Rest(usize),
}

/// How far a stream was looked through.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lines {
    /// In so many bytes from the start no delimiter begins.
    clear: usize,
    /// Within a line that was too long.
    skipping: bool,
}

impl Lines {
    /// The first line of `input`. `find` looks for the delimiter, of `width` bytes.
    #[inline]
    pub(crate) fn next(
        &mut self,
        input: &[u8],
        width: usize,
        max: usize,
        overlong: Overlong,
        find: impl Fn(&[u8]) -> Option<usize>,
    ) -> Result<Line, FormatError> {
        if self.skipping {
            return Ok(self.skip(input, width, find));
        }
        // What lies behind the longest line cannot end it.
        let window = input.get(..max + width).unwrap_or(input);
        let clear = self.clear.min(window.len());
        if let Some(at) = find(window.get(clear..).unwrap_or_default()) {
            self.clear = 0;
            let length = clear + at;
            return Ok(Line::Whole { length, taken: length + width });
        }
        // A delimiter may have begun in the last bytes.
        let clear = (window.len() + 1).saturating_sub(width);
        if window.len() < max + width {
            self.clear = clear;
            return Ok(Line::Need(input.len() + 1));
        }
        self.clear = 0;
        let error = FormatError::NoDelimiter { limit: max };
        match overlong {
            Overlong::Close => Err(error),
            Overlong::Resync => {
                self.skipping = true;
                Ok(Line::Overlong { error, taken: clear })
            }
        }
    }

    /// Whether the stream is within a line that was too long.
    pub(crate) const fn is_skipping(&self) -> bool {
        self.skipping
    }

    fn skip(&mut self, input: &[u8], width: usize, find: impl Fn(&[u8]) -> Option<usize>) -> Line {
        if let Some(at) = find(input) {
            self.skipping = false;
            return Line::Rest(at + width);
        }
        match (input.len() + 1).saturating_sub(width) {
            0 => Line::Need(input.len() + 1),
            clear => Line::Rest(clear),
        }
    }
}
