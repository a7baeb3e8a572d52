//! One connection of the judge, and what it waits for there.

use super::{Difference, Done, Fault, Judge, Said};
use crate::driver::Stream;
use crate::raw::{Frame, kind};

/// Longer than anything takes that no limit of the protocol delays; reaching it is a failure.
const PATIENCE: u64 = 20_000_000;
/// What is kept of what was said, for the report.
const MOST_SAID: usize = 64 << 10;

/// A byte as it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Match {
    /// Anything.
    Any,
    /// This.
    Is(u8),
    /// With these bits.
    Bits(u8),
}

impl Match {
    const fn fits(self, byte: u8) -> bool {
        match self {
            Self::Any => true,
            Self::Is(wanted) => byte == wanted,
            Self::Bits(wanted) => byte & wanted == wanted,
        }
    }

    /// A byte that fits, as near as can be to the one that does not.
    const fn nearest(self, byte: u8) -> u8 {
        match self {
            Self::Any => byte,
            Self::Is(wanted) => wanted,
            Self::Bits(wanted) => byte | wanted,
        }
    }
}

/// CLOSE with this code and at least these flags.
pub(crate) fn close(code: u16, flags: u8) -> Vec<Match> {
    let [low, high] = code.to_le_bytes();
    use Match::{Any, Bits, Is};
    vec![Is(kind::CLOSE), Is(0), Any, Any, Is(low), Is(high), Bits(flags), Is(0)]
}

/// One connection.
pub(crate) struct Far {
    pub(crate) stream: Box<dyn Stream>,
    pub(crate) inbox: Vec<u8>,
    pub(crate) open: bool,
    /// Bytes that were taken from the inbox.
    pub(crate) taken: usize,
    /// When the last byte came.
    pub(crate) heard: u64,
    frames: usize,
}

impl Far {
    fn pull(&mut self, said: &mut Vec<Said>, now: u64) {
        let before = self.inbox.len();
        while self.open {
            let length = self.inbox.len();
            self.open = self.stream.read(&mut self.inbox);
            if self.inbox.len() == length {
                break;
            }
        }
        if self.inbox.len() > before {
            self.heard = now;
        }
        note(said, false, &self.inbox[before..]);
    }
}

fn note(said: &mut Vec<Said>, by_judge: bool, bytes: &[u8]) {
    let kept: usize = said.iter().map(|said| said.bytes.len()).sum();
    if bytes.is_empty() || kept + bytes.len() > MOST_SAID {
        return;
    }
    match said.last_mut() {
        Some(last) if last.by_judge == by_judge => last.bytes.extend(bytes),
        _ => said.push(Said { by_judge, bytes: bytes.to_vec() }),
    }
}

impl Judge<'_> {
    /// Lets so many microseconds pass.
    pub(crate) fn pass(&mut self, micros: u64) {
        let end = self.reach.now() + micros;
        while self.reach.now() < end {
            let rest = end - self.reach.now();
            self.reach.pause(rest.min(1_000));
        }
    }

    pub(crate) fn now(&self) -> u64 {
        self.reach.now()
    }

    /// A connection.
    pub(crate) fn connect(&mut self) -> Done<Far> {
        let stream = self.reach.connect().map_err(|why| Fault::Wrong(why, None))?;
        self.said.clear();
        let heard = self.reach.now();
        Ok(Far { stream, inbox: Vec::new(), open: true, taken: 0, heard, frames: 0 })
    }

    /// Whether a client dials within so many microseconds.
    pub(crate) fn dials_within(&mut self, micros: u64) -> bool {
        let end = self.reach.now() + micros;
        while self.reach.now() < end {
            if self.reach.waiting().is_some() {
                return true;
            }
            self.reach.pause(1_000);
        }
        false
    }

    /// Writes all of this; what an end does not take that has closed is lost.
    pub(crate) fn write(&mut self, far: &mut Far, bytes: &[u8]) -> Done {
        note(&mut self.said, true, bytes);
        let end = self.reach.now() + PATIENCE;
        let mut rest = bytes;
        while !rest.is_empty() && far.open {
            rest = &rest[far.stream.write(rest)..];
            if !rest.is_empty() {
                // An end that writes too may wait for the judge to read.
                self.pull(far);
                self.reach.pause(1_000);
            }
            if self.reach.now() > end {
                return Err(Fault::Wrong("it does not read".into(), None));
            }
        }
        Ok(())
    }

    pub(crate) fn pull(&mut self, far: &mut Far) {
        let now = self.reach.now();
        far.pull(&mut self.said, now);
    }

    /// The next frame and its place in the stream; `None` at the end of the stream.
    pub(crate) fn try_frame(&mut self, far: &mut Far, patience: u64) -> Done<Option<Frame>> {
        let end = self.reach.now() + patience;
        loop {
            self.pull(far);
            let before = far.inbox.len();
            if let Some(frame) = Frame::take(&mut far.inbox) {
                far.taken += before - far.inbox.len();
                far.frames += 1;
                let busy = frame.close().is_some_and(|(code, _)| code == 5);
                if busy && far.frames == 1 {
                    return Err(Fault::Busy(frame.number::<4>(4) as u32));
                }
                return Ok(Some(frame));
            }
            if !far.open {
                return Ok(None);
            }
            if self.reach.now() > end {
                return Err(Fault::Wrong("nothing came in time".into(), None));
            }
            self.reach.pause(1_000);
        }
    }

    /// The next frame.
    pub(crate) fn frame(&mut self, far: &mut Far) -> Done<Frame> {
        let frame = self.try_frame(far, PATIENCE)?;
        frame.ok_or_else(|| Fault::Wrong("the stream ended".into(), None))
    }

    /// The next frame that is not a heartbeat, an acknowledgement or best effort must be this.
    pub(crate) fn expect(&mut self, far: &mut Far, what: &str, wanted: &[Match]) -> Done<Frame> {
        self.expect_within(far, what, wanted, PATIENCE)
    }

    pub(crate) fn expect_within(
        &mut self,
        far: &mut Far,
        what: &str,
        wanted: &[Match],
        patience: u64,
    ) -> Done<Frame> {
        loop {
            let start = far.taken;
            let frame = match self.try_frame(far, patience) {
                Ok(Some(frame)) => frame,
                Ok(None) => return Err(nothing(what, "the stream ended", start, wanted)),
                Err(Fault::Wrong(why, None)) => return Err(nothing(what, &why, start, wanted)),
                Err(fault) => return Err(fault),
            };
            let bytes = bytes_of(&frame);
            match first_difference(&bytes, wanted, start) {
                None => return Ok(frame),
                Some(_) if is_background(&frame) => {}
                difference => return Err(Fault::Wrong(format!("{what} was expected"), difference)),
            }
        }
    }

    /// The connection must be closed with this code and at least these flags, and then end.
    pub(crate) fn closes(&mut self, far: &mut Far, code: u16, flags: u8) -> Done<Frame> {
        self.closes_within(far, code, flags, PATIENCE)
    }

    pub(crate) fn closes_within(
        &mut self,
        far: &mut Far,
        code: u16,
        flags: u8,
        patience: u64,
    ) -> Done<Frame> {
        let name = outlast_core::CloseCode::new(code).name();
        let what = format!("CLOSE with {name}");
        let frame = self.expect_within(far, &what, &close(code, flags), patience)?;
        match self.try_frame(far, PATIENCE) {
            Ok(None) => Ok(frame),
            Ok(Some(_)) => Err(Fault::Wrong("a frame came behind CLOSE".into(), None)),
            Err(_) => Err(Fault::Wrong("the stream does not end behind CLOSE".into(), None)),
        }
    }
}

fn nothing(what: &str, why: &str, offset: usize, wanted: &[Match]) -> Fault {
    let expected = wanted.first().map_or(0, |wanted| wanted.nearest(0));
    let difference = Difference { offset, in_frame: 0, expected, got: None };
    Fault::Wrong(format!("{what} was expected, {why}"), Some(difference))
}

fn first_difference(bytes: &[u8], wanted: &[Match], start: usize) -> Option<Difference> {
    wanted.iter().enumerate().find_map(|(at, wanted)| {
        let got = bytes.get(at).copied();
        if got.is_some_and(|got| wanted.fits(got)) {
            return None;
        }
        let expected = wanted.nearest(got.unwrap_or_default());
        Some(Difference { offset: start + at, in_frame: at, expected, got })
    })
}

/// The frame as it came.
pub(crate) fn bytes_of(frame: &Frame) -> Vec<u8> {
    let bits = if frame.more { crate::raw::MORE } else { 0 };
    crate::raw::frame_with(frame.kind, frame.tag, bits, &frame.body)
}

/// What may come at any time.
fn is_background(frame: &Frame) -> bool {
    let known = [kind::ACK, kind::PING, kind::PONG, kind::NOTE, kind::GREASE, kind::TOKEN, 0x41];
    known.contains(&frame.kind)
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn the_first_byte_that_differs_is_named() {
        let got = crate::raw::frame(kind::CLOSE, 0, &[1, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(first_difference(&got, &close(0x0101, 0), 100), None);
        let difference = first_difference(&got, &close(0x0102, 0), 100);
        let expected = Difference { offset: 104, in_frame: 4, expected: 2, got: Some(1) };
        assert_eq!(difference, Some(expected));
        let difference = first_difference(&got, &close(0x0101, 5), 100);
        let expected = Difference { offset: 106, in_frame: 6, expected: 5, got: Some(0) };
        assert_eq!(difference, Some(expected));
    }
}
