//! Reading and writing of little-endian fields; nothing here can fail halfway or panic.

use super::{HEADER_LEN, Header, MAX_BODY};
use crate::CloseCode;

/// Takes fields off the front of a body.
pub(super) struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    #[inline]
    pub(super) const fn new(body: &'b [u8]) -> Self {
        Self(body)
    }

    #[inline]
    pub(super) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }

    #[inline]
    pub(super) fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    #[inline]
    pub(super) fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    #[inline]
    pub(super) fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    /// What was not taken.
    #[inline]
    pub(super) const fn rest(self) -> &'b [u8] {
        self.0
    }
}

/// A known option: its type, and the length that its value must have, if there is one.
pub(super) type Known = (u8, u8);

/// In [`Known`]: the value may have any length.
pub(super) const ANY_LEN: u8 = 0xFF;

/// Reads the options behind a fixed part: type, length, value. The values of those in `known` are
/// put into `values`, which has as many places.
///
/// One loop for all frames: each with its own would be a kilobyte more.
#[inline(never)]
pub(super) fn read_options<'b>(
    mut options: &'b [u8],
    known: &[Known],
    values: &mut [Option<&'b [u8]>],
) -> Result<(), CloseCode> {
    //= FRM-22, FRM-24
    while let [kind, len, rest @ ..] = options {
        let Some((value, rest)) = rest.split_at_checked(usize::from(*len)) else {
            return Err(CloseCode::BAD_OPTION);
        };
        options = rest;
        let place = known.iter().zip(&mut *values).find(|((known, _), _)| known == kind);
        let is_legal = match place {
            Some(((_, wants), place)) => {
                (*wants == *len || *wants == ANY_LEN) && place.replace(value).is_none()
            }
            // What nobody knows is skipped, unless its type has the critical bit.
            //= FRM-23
            None => kind & 0x80 == 0,
        };
        if !is_legal {
            return Err(CloseCode::BAD_OPTION);
        }
    }
    if options.is_empty() { Ok(()) } else { Err(CloseCode::BAD_OPTION) }
}

/// The bytes of a long field as two words.
pub(super) const fn words(long: u64) -> [[u8; 4]; 2] {
    let [a, b, c, d, e, f, g, h] = long.to_le_bytes();
    [[a, b, c, d], [e, f, g, h]]
}

/// Writes a frame's body behind the room for its header, and the header last.
///
/// Running out of room is noticed once, at the end: the code of every field stays a call.
pub(crate) struct Writer<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl<'a> Writer<'a> {
    pub(super) const fn new(out: &'a mut [u8]) -> Self {
        Self { out, len: HEADER_LEN }
    }

    /// Bytes that can still be written.
    pub(super) const fn room(&self) -> usize {
        self.out.len().saturating_sub(self.len)
    }

    // Copied into every field of every frame it would take a kilobyte of a microcontroller's flash.
    #[inline(never)]
    pub(super) fn put(&mut self, bytes: &[u8]) {
        let room = self.out.get_mut(self.len..);
        if let Some(room) = room.and_then(|room| room.get_mut(..bytes.len())) {
            room.copy_from_slice(bytes);
        }
        self.len = self.len.saturating_add(bytes.len());
    }

    /// Writes an option; a value that its length byte cannot express spoils the frame.
    pub(super) fn option(&mut self, kind: u8, value: &[u8]) {
        self.option_with(kind, &[], value);
    }

    /// Writes an option whose value is `head` and then `tail`.
    pub(super) fn option_with(&mut self, kind: u8, head: &[u8], tail: &[u8]) {
        match u8::try_from(head.len().saturating_add(tail.len())) {
            Ok(len) => self.put(&[kind, len]),
            Err(_) => self.len = usize::MAX,
        }
        self.put(head);
        self.put(tail);
    }

    /// Puts the header in front, with the body's length, and returns the frame's size.
    ///
    /// `None` if the body is too long for a header or the frame for the room.
    pub(super) fn finish(self, header: Header) -> Option<usize> {
        let body = u16::try_from(self.len.checked_sub(HEADER_LEN)?).ok()?;
        if body > MAX_BODY || self.len > self.out.len() {
            return None;
        }
        *self.out.first_chunk_mut()? = header.with_body_len(body).to_bytes();
        Some(self.len)
    }
}
