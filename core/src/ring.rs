//! Frames sent but not yet acknowledged, kept encoded in one ring.
//!
//! The ring is send queue, replay buffer and credit account at once: a frame is encoded once, when
//! the application sends it; transmitting moves a cursor; an acknowledgement drops bytes at the
//! front; resuming moves the cursor back. Offsets here count from the oldest retained byte, so the
//! session's 64-bit positions never enter this file.
//!
//! The first `base` bytes of the storage are not ring but the bitmaps of open requests.

use core::hash::{Hash, Hasher};

use crate::storage::{Full, Storage};
use crate::wire::{HEADER_LEN, Header};

/// Growable storage starts at this size once it is needed at all.
const FIRST_SIZE: usize = 256;

/// Largest storage, in bytes.
const LARGEST: usize = 1 << 30;

#[derive(Debug, Clone)]
pub(crate) struct Ring<S: ?Sized> {
    /// Largest size the storage may grow to, bitmaps included.
    limit: u32,
    /// Where in the storage the oldest retained byte is, behind the bitmaps.
    head: usize,
    /// Bytes retained.
    len: usize,
    /// Bytes at the front of the storage that hold request bitmaps.
    base: u16,
    /// Last, so that a session can be used without naming its size.
    storage: S,
}

impl<S: Storage> Ring<S> {
    /// An empty ring of at most `limit` bytes, or of the storage's size if that cannot grow.
    pub(crate) fn new(storage: S, limit: usize) -> Self {
        Self { limit: most(&storage, limit), base: 0, head: 0, len: 0, storage }
    }
}

/// The largest size of this storage, if growing it stops at `limit`.
fn most<S: Storage + ?Sized>(storage: &S, limit: usize) -> u32 {
    let held = storage.as_slice().len();
    let limit = if storage.is_growable() { limit } else { held };
    // What is larger cannot be counted here, and no configuration asks for it.
    if held.max(limit) > LARGEST { 0 } else { short(limit) }
}

impl<S: Storage + ?Sized> Ring<S> {
    /// Forgets everything, as [`new`](Self::new) with the storage there is.
    pub(crate) fn renew(&mut self, limit: usize) {
        self.limit = most(&self.storage, limit);
        (self.base, self.head, self.len) = (0, 0, 0);
    }

    /// Bytes retained.
    #[inline]
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    #[inline]
    const fn base(&self) -> usize {
        self.base as usize
    }

    /// Largest size of the storage.
    const fn most(&self) -> usize {
        self.limit as usize
    }

    /// Most bytes of frames this ring can ever retain.
    pub(crate) const fn limit(&self) -> u32 {
        self.limit.saturating_sub(self.base as u32)
    }

    /// Bytes of memory held now.
    pub(crate) fn held(&self) -> usize {
        self.storage.as_slice().len()
    }

    /// Reserves `base` bytes for bitmaps. Only while nothing is retained.
    pub(crate) fn reserve_bits(&mut self, base: usize) {
        debug_assert!(self.len() == 0, "bitmaps are laid out before the first frame");
        self.base = u16::try_from(base.min(self.most())).unwrap_or(u16::MAX);
        self.head = self.base();
        let held = self.held().min(self.base());
        if let Some(bits) = self.storage.as_mut_slice().get_mut(..held) {
            for byte in bits {
                // Else the compiler calls its routine for it, which is longer than all of this.
                *byte = core::hint::black_box(0);
            }
        }
    }

    /// Bit `index` of the bitmap area.
    pub(crate) fn bit(&self, index: usize) -> bool {
        match self.storage.as_slice().get(index / 8) {
            Some(byte) if index / 8 < self.base() => byte >> (index % 8) & 1 == 1,
            Some(_) | None => false,
        }
    }

    /// Sets bit `index` of the bitmap area and says whether that is a change; `None` if there is no
    /// memory for it.
    #[inline]
    pub(crate) fn change_bit(&mut self, index: usize, value: bool) -> Option<bool> {
        let (at, mask) = (index / 8, 1 << (index % 8));
        if at >= self.base() {
            return (!value).then_some(false);
        }
        if at >= self.held() && !self.has_bits(value) {
            return (!value).then_some(false);
        }
        let byte = self.storage.as_mut_slice().get_mut(at)?;
        let before = *byte & mask != 0;
        *byte = if value { *byte | mask } else { *byte & !mask };
        Some(before != value)
    }

    /// Memory for the bitmaps is there, or can be had for a bit that is to be set.
    #[cold]
    fn has_bits(&mut self, value: bool) -> bool {
        value && self.grow_to(self.base()).is_ok()
    }

    /// Whether any bit of the bitmap area is set.
    pub(crate) fn any_bit(&self) -> bool {
        let held = self.held().min(self.base());
        self.storage.as_slice().get(..held).unwrap_or_default().iter().any(|byte| *byte != 0)
    }

    /// Encodes a frame at the back: header, at most six bytes in front of the payload, payload.
    //= POS-3
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    #[cfg_attr(not(target_pointer_width = "32"), inline)]
    pub(crate) fn push(
        &mut self,
        header: Header,
        front: &[u8],
        payload: &[u8],
    ) -> Result<(), Full> {
        // A microcontroller has one copy of the short way: that of messages.
        if usize::BITS > 32 && self.push_straight(header, front, payload) {
            return Ok(());
        }
        let size = HEADER_LEN + front.len() + payload.len();
        if self.capacity() - self.len() < size {
            self.make_room(size)?;
        }
        let mut at = self.len();
        for part in [&header.to_bytes(), front, payload] {
            self.write(at, part);
            at += part.len();
        }
        self.len = at;
        Ok(())
    }

    /// As [`push`](Self::push), if it needs no memory and does not run around the end.
    #[inline]
    pub(crate) fn push_straight(&mut self, header: Header, front: &[u8], payload: &[u8]) -> bool {
        let size = HEADER_LEN + front.len() + payload.len();
        debug_assert!(size == header.frame_size(), "a header announces its body");
        if self.capacity() - self.len() < size {
            return false;
        }
        let tail = self.place(self.len());
        let slot = self.storage.as_mut_slice().get_mut(tail..).and_then(|s| s.get_mut(..size));
        if let Some(slot) = slot
            && let Some((head, body)) = slot.split_first_chunk_mut::<HEADER_LEN>()
            && let Some((ahead, rest)) = body.split_at_mut_checked(front.len())
            && rest.len() == payload.len()
        {
            *head = header.to_bytes();
            ahead.copy_from_slice(front);
            rest.copy_from_slice(payload);
            self.len += size;
            return true;
        }
        false
    }

    /// Appends frames that are already encoded.
    pub(crate) fn append(&mut self, frames: &[u8]) -> Result<(), Full> {
        if self.capacity() - self.len() < frames.len() {
            self.make_room(frames.len())?;
        }
        self.write(self.len(), frames);
        self.len += frames.len();
        Ok(())
    }

    /// Room for frames, counting memory that could still be had.
    #[inline]
    pub(crate) const fn room(&self) -> usize {
        (self.limit() as usize).saturating_sub(self.len())
    }

    /// The retained bytes `from..to` as at most two runs.
    pub(crate) fn slices(&self, from: usize, to: usize) -> [&[u8]; 2] {
        let ring = self.storage.as_slice().get(self.base()..).unwrap_or_default();
        let to = to.min(self.len());
        let count = to.saturating_sub(from);
        let start = self.place(from).saturating_sub(self.base());
        let (wrapped, straight) = ring.split_at_checked(start).unwrap_or((ring, &[]));
        match straight.get(..count) {
            Some(all) => [all, &[]],
            None => [straight, wrapped.get(..count - straight.len()).unwrap_or_default()],
        }
    }

    /// Copies retained bytes from `from` on into `out`, up to `to`; returns how many.
    #[inline]
    pub(crate) fn copy_out(&self, from: usize, to: usize, out: &mut [u8]) -> usize {
        let count = to.min(self.len()).saturating_sub(from).min(out.len());
        let (start, base) = (self.place(from), self.base());
        let bytes = self.storage.as_slice();
        let straight = count.min(bytes.len().saturating_sub(start));
        if let Some(source) = bytes.get(start..).and_then(|bytes| bytes.get(..straight))
            && let Some(target) = out.get_mut(..straight)
        {
            target.copy_from_slice(source);
        }
        if straight < count
            && let Some(source) = bytes.get(base..).and_then(|ring| ring.get(..count - straight))
            && let Some(target) = out.get_mut(straight..count)
        {
            target.copy_from_slice(source);
        }
        count
    }

    /// Drops `count` bytes at the front.
    #[inline]
    pub(crate) fn drop_front(&mut self, count: usize) {
        debug_assert!(count <= self.len(), "only retained bytes can be dropped");
        let count = count.min(self.len());
        self.head = self.place(count);
        self.len -= count;
    }

    /// Header of the frame that starts at `offset`.
    #[inline]
    pub(crate) fn header_at(&self, offset: usize) -> Header {
        let start = self.place(offset);
        let bytes = self.storage.as_slice();
        if let Some(header) = bytes.get(start..).and_then(<[u8]>::first_chunk) {
            return Header::from_bytes(*header);
        }
        self.header_around(offset)
    }

    /// Header of a frame whose header runs around the end.
    #[cold]
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn header_around(&self, offset: usize) -> Header {
        let word = |word, at| word << 8 | u32::from(self.byte(offset + at));
        Header::from_word((0..HEADER_LEN).rev().fold(0, word))
    }

    /// A few bytes from `offset` on.
    pub(crate) fn bytes_at<const N: usize>(&self, offset: usize) -> [u8; N] {
        let mut bytes = [0; N];
        self.read(offset, &mut bytes);
        bytes
    }

    /// Reads a few bytes from `offset` on, one by one: `copy_out` is made for many.
    pub(crate) fn read(&self, offset: usize, out: &mut [u8]) {
        for (at, byte) in out.iter_mut().enumerate() {
            *byte = self.byte(offset + at);
        }
    }

    fn byte(&self, offset: usize) -> u8 {
        self.storage.as_slice().get(self.place(offset)).copied().unwrap_or_default()
    }

    /// First frame boundary at or after `to`, starting from the boundary `from`, but none after
    /// `limit` if `limit` comes first.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    #[cfg_attr(not(target_pointer_width = "32"), inline)]
    pub(crate) fn boundary(&self, mut from: usize, to: usize, limit: usize) -> usize {
        while from < to {
            let size = self.header_at(from).frame_size();
            if from + size > limit {
                break;
            }
            from += size;
            // What this saves in time a microcontroller would rather have in flash.
            if usize::BITS > 32 {
                from += self.run(from, size, to.min(limit).saturating_sub(from));
            }
        }
        from
    }

    /// Bytes of the frames from `offset` on that all have this size, at most `most` of them.
    ///
    /// Streams send messages of one size one after the other. To expect the next one where it then
    /// begins, and to look whether it is, lets the processor look at several at a time; to learn
    /// from each header where the next one is does not.
    fn run(&self, offset: usize, size: usize, most: usize) -> usize {
        let straight = self.storage.as_slice().get(self.place(offset)..).unwrap_or_default();
        let frames = straight.get(..most).unwrap_or(straight);
        let mut count = 0;
        while let Some(head) = frames.get(count..).and_then(<[u8]>::first_chunk)
            && Header::from_bytes(*head).frame_size() == size
            && count + size <= frames.len()
        {
            count += size;
        }
        count
    }

    /// Gives memory back after a quiet time; does nothing while something is retained.
    pub(crate) fn shrink(&mut self, bits_in_use: bool) {
        if self.len() == 0 && self.storage.is_growable() {
            self.head = self.base();
            self.storage.shrink(if bits_in_use { self.base() } else { 0 });
        }
    }

    fn capacity(&self) -> usize {
        self.held().saturating_sub(self.base())
    }

    /// Index in the storage of the byte `offset` bytes after the oldest one.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    #[cfg_attr(not(target_pointer_width = "32"), inline)]
    fn place(&self, offset: usize) -> usize {
        let place = self.head + offset;
        if place < self.held() { place } else { place - self.capacity() }
    }

    /// Copies `source` to the bytes from `offset` on, around the end if need be.
    fn write(&mut self, offset: usize, source: &[u8]) {
        let start = self.place(offset);
        let base = self.base();
        let bytes = self.storage.as_mut_slice();
        let straight = source.len().min(bytes.len().saturating_sub(start));
        let Some((first, second)) = source.split_at_checked(straight) else { return };
        if let Some(target) = bytes.get_mut(start..).and_then(|b| b.get_mut(..straight)) {
            target.copy_from_slice(first);
        }
        if !second.is_empty()
            && let Some(target) = bytes.get_mut(base..).and_then(|b| b.get_mut(..second.len()))
        {
            target.copy_from_slice(second);
        }
    }

    #[cold]
    fn make_room(&mut self, size: usize) -> Result<(), Full> {
        let needed = self.base().saturating_add(self.len()).saturating_add(size);
        if needed > self.most() {
            return Err(Full);
        }
        let wanted = needed.checked_next_power_of_two().unwrap_or(needed);
        self.grow_to(wanted.max(FIRST_SIZE).min(self.most()))
    }

    fn grow_to(&mut self, new: usize) -> Result<(), Full> {
        let old = self.held();
        if new <= old {
            return Err(Full);
        }
        self.storage.grow(new)?;
        // Bytes that ran up to the old end must run up to the new one.
        if self.head + self.len() > old && self.head > self.base() {
            let moved = old - self.head;
            let target = new - moved;
            move_up(self.storage.as_mut_slice(), self.head, target, moved);
            self.head = target;
        }
        Ok(())
    }
}

/// A size within the storage, which is at most [`LARGEST`].
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the storage is smaller")]
const fn short(size: usize) -> u32 {
    size as u32
}

/// Moves `count` bytes at `source` up to `target`, without a way to panic.
fn move_up(bytes: &mut [u8], source: usize, target: usize, count: usize) {
    if let Some((low, high)) = bytes.split_at_mut_checked(target)
        && let Some(from) = low.get(source..).and_then(|low| low.get(..count))
        && let Some(to) = high.get_mut(..count)
    {
        to.copy_from_slice(from);
        return;
    }
    // They overlap, so that the last byte has to go first.
    for at in (0..count).rev() {
        if let Some(byte) = bytes.get(source + at).copied()
            && let Some(slot) = bytes.get_mut(target + at)
        {
            *slot = byte;
        }
    }
}

/// Two rings are equal when they retain the same bytes and bits, wherever in memory those are.
impl<S: Storage> PartialEq for Ring<S> {
    fn eq(&self, other: &Self) -> bool {
        let bits = |ring: &Self| ring.held().min(ring.base());
        let [a, b] = self.slices(0, self.len());
        let [c, d] = other.slices(0, other.len());
        self.len() == other.len()
            && self.base() == other.base()
            && self.storage.as_slice().get(..bits(self))
                == other.storage.as_slice().get(..bits(other))
            && a.iter().chain(b).eq(c.iter().chain(d))
    }
}

impl<S: Storage> Eq for Ring<S> {}

impl<S: Storage> Hash for Ring<S> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.len().hash(state);
        self.storage.as_slice().get(..self.held().min(self.base())).hash(state);
        let [a, b] = self.slices(0, self.len());
        for byte in a.iter().chain(b) {
            state.write_u8(*byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Op;

    fn frame(len: u16) -> Header {
        Header::new(Op::Message, 1, len)
    }

    #[test]
    fn wraps_and_keeps_order() {
        let mut ring = Ring::new([0u8; 64], 0);
        let mut expected = 0u8;
        let mut next = 0u8;
        for _ in 0..100 {
            while ring.push(frame(10), &[], &[next; 10]).is_ok() {
                next = next.wrapping_add(1);
            }
            let mut out = [0; 14];
            assert_eq!(ring.copy_out(0, ring.len(), &mut out), 14);
            assert_eq!(out[4..], [expected; 10]);
            assert_eq!(ring.header_at(0), frame(10));
            ring.drop_front(14);
            expected = expected.wrapping_add(1);
        }
    }

    #[cfg(feature = "alloc")]
    #[test]
    fn grows_while_wrapped() {
        for start in 0..300usize {
            let mut ring = Ring::new(alloc::vec::Vec::new(), 4096);
            ring.reserve_bits(3);
            ring.push(frame(200), &[], &[9; 200]).unwrap();
            ring.drop_front(204);
            for i in 0..start % 40 {
                ring.push(frame(4), &[], &[u8::try_from(i).unwrap(); 4]).unwrap();
                ring.drop_front(8);
            }
            for i in 0..100u8 {
                ring.push(frame(4), &[], &[i; 4]).unwrap();
            }
            for i in 0..100u8 {
                let mut out = [0; 8];
                assert_eq!(ring.copy_out(usize::from(i) * 8, 800, &mut out), 8);
                assert_eq!(out[4..], [i; 4], "start {start}");
            }
        }
    }

    #[test]
    fn bytes_move_up_also_over_themselves() {
        for count in 0..12usize {
            for shift in 0..12usize {
                let mut bytes: [u8; 24] = core::array::from_fn(|at| u8::try_from(at).unwrap());
                let mut expected = bytes;
                expected.copy_within(1..=count, 1 + shift);
                move_up(&mut bytes, 1, 1 + shift, count);
                assert_eq!(bytes[1 + shift..], expected[1 + shift..], "{count} by {shift}");
            }
        }
    }

    #[test]
    fn bits_live_in_front_of_the_ring() {
        let mut ring = Ring::new([0xffu8; 32], 0);
        ring.reserve_bits(2);
        assert!(!ring.bit(0) && !ring.bit(15) && !ring.bit(16));
        assert!(ring.change_bit(15, true).is_some() && ring.bit(15));
        assert!(ring.change_bit(16, true).is_none(), "beyond the bitmap");
        ring.push(frame(26), &[], &[1; 26]).unwrap();
        assert!(ring.push(frame(0), &[], &[]).is_err());
        assert!(ring.bit(15) && !ring.bit(14));
    }
}
