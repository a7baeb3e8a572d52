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

/// Walks the options behind a fixed part: type, length, value.
pub(super) struct Options<'b>(&'b [u8]);

impl<'b> Options<'b> {
    pub(super) const fn new(options: &'b [u8]) -> Self {
        Self(options)
    }

    /// The next option, or `None` behind the last.
    pub(super) fn next(&mut self) -> Result<Option<(u8, &'b [u8])>, CloseCode> {
        //= FRM-22, FRM-24
        let [kind, len, rest @ ..] = self.0 else {
            return if self.0.is_empty() { Ok(None) } else { Err(CloseCode::BAD_OPTION) };
        };
        let Some((value, rest)) = rest.split_at_checked(usize::from(*len)) else {
            return Err(CloseCode::BAD_OPTION);
        };
        self.0 = rest;
        Ok(Some((*kind, value)))
    }
}

/// What becomes of an option nobody knows: skipped, unless its type has the critical bit.
pub(super) const fn unknown_option(kind: u8) -> Result<(), CloseCode> {
    //= FRM-23
    if kind & 0x80 == 0 { Ok(()) } else { Err(CloseCode::BAD_OPTION) }
}

/// Keeps the value of an option that may come once; `None` is a malformed value.
pub(super) fn once<T>(slot: &mut Option<T>, value: Option<T>) -> Result<(), CloseCode> {
    //= FRM-24
    if slot.is_some() || value.is_none() {
        return Err(CloseCode::BAD_OPTION);
    }
    *slot = value;
    Ok(())
}

/// Writes a frame's body behind the room for its header, and the header last.
///
/// Running out of room is noticed once, at the end: the code of every field stays a call.
pub(super) struct Writer<'a> {
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
