//! What a connection has only now and then: bytes that are not whole or not written, and what holds
//! it up. An idle one has nothing of the kind and takes a pointer for it: connections are many.

use std::io;

use outlast_core::Instant;

use crate::outgoing::Lingering;

/// What is not whole yet, what is not written yet, and why not.
#[derive(Debug, Default)]
pub(crate) struct Pieces(Option<Box<Held>>);

#[derive(Debug, Default)]
struct Held {
    /// Bytes of a frame that is not whole yet.
    tail: Vec<u8>,
    /// Control frames that the transport has not taken yet.
    carry: Vec<u8>,
    /// Since when the transport takes nothing.
    blocked_since: Option<Instant>,
    /// Small messages wait for others until then.
    lingering: Option<Box<Lingering>>,
    /// What the transport said when it failed.
    error: Option<io::Error>,
}

impl Held {
    fn is_empty(&self) -> bool {
        self.tail.is_empty()
            && self.carry.is_empty()
            && self.blocked_since.is_none()
            && self.lingering.is_none()
            && self.error.is_none()
    }
}

impl Pieces {
    /// Bytes of a frame that is not whole yet.
    #[inline]
    pub(crate) fn tail(&self) -> &[u8] {
        self.0.as_deref().map_or(&[], |some| &some.tail)
    }

    /// Control frames that the transport has not taken yet.
    #[inline]
    pub(crate) fn carried(&self) -> &[u8] {
        self.0.as_deref().map_or(&[], |some| &some.carry)
    }

    /// Whether there is something that the transport has not taken yet.
    #[inline]
    pub(crate) fn is_carrying(&self) -> bool {
        !self.carried().is_empty()
    }

    /// Since when the transport takes nothing.
    #[inline]
    pub(crate) fn blocked_since(&self) -> Option<Instant> {
        self.0.as_deref().and_then(|some| some.blocked_since)
    }

    /// Until when small messages wait for others, if some do.
    #[inline]
    pub(crate) fn lingers_until(&self) -> Option<Instant> {
        self.0.as_deref()?.lingering.as_deref()?.until
    }

    /// What the transport said when it failed.
    #[inline]
    pub(crate) fn error(&self) -> Option<&io::Error> {
        self.0.as_deref().and_then(|some| some.error.as_ref())
    }

    /// Keeps the beginning of a frame until the rest of it comes.
    pub(crate) fn keep_tail(&mut self, rest: &[u8]) {
        if !rest.is_empty() {
            let tail = &mut self.0.get_or_insert_default().tail;
            tail.clear();
            tail.extend_from_slice(rest);
        } else if let Some(some) = &mut self.0 {
            some.tail = Vec::new();
            self.let_go();
        }
    }

    /// Adds to what the transport has to take next.
    pub(crate) fn carry(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.0.get_or_insert_default().carry.extend_from_slice(bytes);
        }
    }

    /// The transport took so much of that.
    pub(crate) fn took(&mut self, written: usize) {
        if let Some(some) = &mut self.0 {
            some.carry.drain(..written);
            if some.carry.is_empty() {
                some.carry = Vec::new();
                self.let_go();
            }
        }
    }

    /// The transport takes nothing since then, or takes something.
    #[inline]
    pub(crate) fn set_blocked(&mut self, since: Option<Instant>) {
        if since.is_some() {
            self.0.get_or_insert_default().blocked_since = since;
        } else if let Some(some) = &mut self.0 {
            some.blocked_since = None;
            self.let_go();
        }
    }

    /// Small messages wait for others here. There it stays.
    pub(crate) fn lingering(&mut self) -> &mut Lingering {
        self.0.get_or_insert_default().lingering.get_or_insert_default()
    }

    /// The transport failed.
    #[cold]
    pub(crate) fn fail(&mut self, error: io::Error) {
        self.0.get_or_insert_default().error = Some(error);
    }

    pub(crate) fn take_error(&mut self) -> Option<io::Error> {
        self.0.as_deref_mut().and_then(|some| some.error.take())
    }

    /// Without anything there is nothing to keep.
    fn let_go(&mut self) {
        if self.0.as_deref().is_some_and(Held::is_empty) {
            self.0 = None;
        }
    }
}
