//! A byte stream between two ends that goes wrong on request, without any I/O.
//!
//! A stream transport neither loses, repeats nor reorders bytes while it lives. What it can do is
//! end: and then any suffix of what was under way is lost, in each direction on its own. It can
//! also stall, take fewer bytes than it is offered, hand over any number of bytes at a time, or
//! look alive to one end only. A [`Pipe`] is one direction of such a stream; whoever owns it
//! decides what goes wrong, from a seed, from a list of all possibilities, or not at all.

use std::collections::VecDeque;

/// One direction of a byte stream.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Pipe {
    bytes: VecDeque<u8>,
    /// No byte will follow those that are under way.
    ended: bool,
    /// The reader sees nothing for now.
    stalled: bool,
    /// What is written from now on goes nowhere, and the writer does not notice.
    black: bool,
}

/// What a reader gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Got {
    /// Some bytes, never none.
    Bytes(Vec<u8>),
    /// Nothing now.
    Nothing,
    /// The stream has ended.
    End,
}

impl Pipe {
    /// Takes bytes up to `capacity` bytes under way; returns how many. A pipe that ended takes
    /// everything and keeps nothing, as a kernel does until the reset arrives.
    pub fn write(&mut self, bytes: &[u8], capacity: usize) -> usize {
        if self.ended || self.black {
            return bytes.len();
        }
        let count = bytes.len().min(capacity.saturating_sub(self.bytes.len()));
        self.bytes.extend(&bytes[..count]);
        count
    }

    /// Up to `most` bytes for the reader.
    pub fn read(&mut self, most: usize) -> Got {
        if self.stalled {
            return Got::Nothing;
        }
        match self.bytes.len().min(most) {
            0 if self.bytes.is_empty() && self.ended => Got::End,
            0 => Got::Nothing,
            count => Got::Bytes(self.bytes.drain(..count).collect()),
        }
    }

    /// Whether [`read`](Self::read) would give bytes or the end.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        !self.stalled && (self.ended || !self.bytes.is_empty())
    }

    /// Bytes under way.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing is under way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether the writer's end is known to the pipe.
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        self.ended
    }

    /// The size of the frame at the front, or all that is there if it is not whole.
    #[must_use]
    pub fn front_frame(&self) -> usize {
        let byte = |at: usize| self.bytes.get(at).copied();
        match (byte(2), byte(3)) {
            (Some(low), Some(high)) => {
                let body = u16::from_le_bytes([low, high]) & 0x3FFF;
                self.len().min(4 + usize::from(body))
            }
            _ => self.len(),
        }
    }

    /// The writer ends the stream; what is under way still arrives.
    pub const fn end(&mut self) {
        self.ended = true;
    }

    /// The stream breaks: all but the first `keep` bytes under way are lost.
    pub fn cut(&mut self, keep: usize) {
        self.bytes.truncate(keep);
        self.ended = true;
        self.stalled = false;
    }

    /// Holds back everything, or lets it go.
    pub const fn stall(&mut self, on: bool) {
        self.stalled = on;
    }

    /// Swallows everything written from now on, or no longer. What was swallowed makes a hole, so
    /// a pipe that was black can only end.
    pub const fn blacken(&mut self) {
        self.black = true;
    }

    /// Whether the pipe swallows what is written.
    #[must_use]
    pub const fn is_black(&self) -> bool {
        self.black
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_loses_a_suffix_and_then_ends() {
        let mut pipe = Pipe::default();
        assert_eq!(pipe.write(b"abcdef", 4), 4);
        pipe.cut(2);
        assert_eq!(pipe.read(1), Got::Bytes(b"a".to_vec()));
        assert_eq!(pipe.read(9), Got::Bytes(b"b".to_vec()));
        assert_eq!(pipe.read(9), Got::End);
        assert_eq!(pipe.write(b"zz", 4), 2, "swallowed");
        assert_eq!(pipe.read(9), Got::End);
    }

    #[test]
    fn a_stall_hides_even_the_end() {
        let mut pipe = Pipe::default();
        pipe.write(b"a", 4);
        pipe.end();
        pipe.stall(true);
        assert!(!pipe.is_readable());
        assert_eq!(pipe.read(1), Got::Nothing);
        pipe.stall(false);
        assert_eq!(pipe.read(1), Got::Bytes(b"a".to_vec()));
        assert_eq!(pipe.read(1), Got::End);
    }

    #[test]
    fn a_frame_is_measured_by_its_header() {
        let mut pipe = Pipe::default();
        pipe.write(&[0x80, 7, 2, 0, 1, 2, 0x85], 99);
        assert_eq!(pipe.front_frame(), 6);
        pipe.read(6);
        assert_eq!(pipe.front_frame(), 1);
    }
}
