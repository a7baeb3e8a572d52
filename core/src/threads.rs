//! Lists and hash chains threaded through a slice of entries, by index.
//!
//! A table of sessions or addresses lives in one slice, whoever owns that slice. Everything that
//! orders the entries is a number inside an entry, so no operation allocates, and none can fail
//! half-way. Numbers that name no entry are ignored.

/// Names no entry.
pub(crate) const NONE: u32 = u32::MAX;

/// Memory for the entries of a table: `[T; N]`, `&mut [T]`, or (feature `alloc`) a `Vec<T>` that
/// grows to the limit the table was configured with.
pub trait Slots<T> {
    /// The entries there are now.
    fn as_slice(&self) -> &[T];

    /// The entries there are now, mutably.
    fn as_mut_slice(&mut self) -> &mut [T];

    /// Tries to hold more entries, `limit` at most, and says whether there are more now. The
    /// present ones stay at the front. Fixed memory never grows.
    fn grow(&mut self, limit: usize) -> bool {
        let _ = limit;
        false
    }
}

impl<T, const N: usize> Slots<T> for [T; N] {
    fn as_slice(&self) -> &[T] {
        self
    }
    fn as_mut_slice(&mut self) -> &mut [T] {
        self
    }
}

impl<T> Slots<T> for [T] {
    fn as_slice(&self) -> &[T] {
        self
    }
    fn as_mut_slice(&mut self) -> &mut [T] {
        self
    }
}

impl<T> Slots<T> for &mut [T] {
    fn as_slice(&self) -> &[T] {
        self
    }
    fn as_mut_slice(&mut self) -> &mut [T] {
        self
    }
}

#[cfg(feature = "alloc")]
impl<T: Default> Slots<T> for alloc::vec::Vec<T> {
    fn as_slice(&self) -> &[T] {
        self
    }
    fn as_mut_slice(&mut self) -> &mut [T] {
        self
    }
    fn grow(&mut self, limit: usize) -> bool {
        /// Growing by a quarter keeps both the cost of growing and what lies idle small.
        const FIRST: usize = 16;
        let step = (self.len() / 4).max(FIRST);
        let target = self.len().saturating_add(step).min(limit);
        let additional = target.saturating_sub(self.len());
        if additional == 0 || self.try_reserve_exact(additional).is_err() {
            return false;
        }
        self.resize_with(target, T::default);
        true
    }
}

/// The number of entries as an index, `NONE` where there are more than indices.
pub(crate) fn count<T>(entries: &[T]) -> u32 {
    u32::try_from(entries.len()).unwrap_or(NONE)
}

/// A place in a [`List`].
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    before: u32,
    after: u32,
}

impl Link {
    pub(crate) const NEW: Self = Self { before: NONE, after: NONE };
}

/// A list through one [`Link`] field of the entries; an entry is in one such list at most.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) struct List {
    first: u32,
    last: u32,
    len: u32,
}

impl List {
    pub(crate) const NEW: Self = Self { first: NONE, last: NONE, len: 0 };

    pub(crate) const fn first(&self) -> Option<u32> {
        if self.first == NONE { None } else { Some(self.first) }
    }

    pub(crate) const fn len(&self) -> u32 {
        self.len
    }

    /// Appends entry `at`, which is in no list through this field.
    pub(crate) fn push<E>(&mut self, entries: &mut [E], link: fn(&mut E) -> &mut Link, at: u32) {
        let Some(entry) = entries.get_mut(at as usize) else {
            return;
        };
        *link(entry) = Link { before: self.last, after: NONE };
        match entries.get_mut(self.last as usize) {
            Some(last) => link(last).after = at,
            None => self.first = at,
        }
        self.last = at;
        self.len = self.len.wrapping_add(1);
    }

    /// Takes entry `at`, which is in this list, out of it.
    pub(crate) fn remove<E>(&mut self, entries: &mut [E], link: fn(&mut E) -> &mut Link, at: u32) {
        let Some(entry) = entries.get_mut(at as usize) else {
            return;
        };
        let Link { before, after } = core::mem::replace(link(entry), Link::NEW);
        match entries.get_mut(before as usize) {
            Some(entry) => link(entry).after = after,
            None => self.first = after,
        }
        match entries.get_mut(after as usize) {
            Some(entry) => link(entry).before = before,
            None => self.last = before,
        }
        self.len = self.len.wrapping_sub(1);
    }
}

/// Where a chain keeps its two numbers in an entry of type `E`.
///
/// Entry `n` holds the head of bucket `n` besides its own link, so there are as many buckets as
/// entries, and chains stay short.
pub(crate) trait Chain<E> {
    fn head(entry: &mut E) -> &mut u32;
    fn next(entry: &mut E) -> &mut u32;
    fn peek_head(entry: &E) -> u32;
    fn peek_next(entry: &E) -> u32;
}

/// The bucket of `hash` among as many as there are entries.
fn bucket<E>(entries: &[E], hash: u64) -> usize {
    // The high half of the product maps the hash evenly onto the length, without a division.
    #[expect(clippy::cast_possible_truncation, reason = "the product's high half is below len")]
    let index = ((u128::from(hash) * entries.len() as u128) >> 64) as usize;
    index
}

/// The first entry in the chain of `hash` that `is_it`.
pub(crate) fn find<E, C: Chain<E>>(
    entries: &[E],
    hash: u64,
    is_it: impl Fn(&E) -> bool,
) -> Option<u32> {
    let mut at = C::peek_head(entries.get(bucket(entries, hash))?);
    loop {
        let entry = entries.get(at as usize)?;
        if is_it(entry) {
            return Some(at);
        }
        at = C::peek_next(entry);
    }
}

/// Puts entry `at` into the chain of `hash`.
pub(crate) fn insert<E, C: Chain<E>>(entries: &mut [E], hash: u64, at: u32) {
    let bucket = bucket(entries, hash);
    let Some(head) = entries.get_mut(bucket).map(C::head) else {
        return;
    };
    let next = core::mem::replace(head, at);
    if let Some(entry) = entries.get_mut(at as usize) {
        *C::next(entry) = next;
    }
}

/// Takes entry `at` out of the chain of `hash`.
pub(crate) fn remove<E, C: Chain<E>>(entries: &mut [E], hash: u64, at: u32) {
    let Some(entry) = entries.get_mut(at as usize) else {
        return;
    };
    let next = core::mem::replace(C::next(entry), NONE);
    let bucket = bucket(entries, hash);
    let Some(head) = entries.get_mut(bucket).map(C::head) else {
        return;
    };
    if *head == at {
        *head = next;
        return;
    }
    let mut seek = *head;
    while let Some(entry) = entries.get_mut(seek as usize) {
        if C::peek_next(entry) == at {
            *C::next(entry) = next;
            return;
        }
        seek = C::peek_next(entry);
    }
}
