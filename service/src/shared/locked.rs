//! The lock, and what is called once it is let go.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::task::Waker;

use super::{Inner, Shared};
use crate::memory::{Memory, Turn};
use crate::waiters::Key;

/// A session's lock. Wakers may do anything, even lock this again: those who wait for memory are
/// called when it is let go, and not before.
#[derive(Debug)]
pub(crate) struct Locked<'a> {
    inner: MutexGuard<'a, Inner>,
    /// Dropped behind the guard.
    tells: Tells,
}

/// Tells that there is memory, when it is dropped.
#[derive(Debug)]
struct Tells(Option<Arc<Memory>>);

impl<'a> Locked<'a> {
    #[inline(always)]
    pub(super) const fn new(inner: MutexGuard<'a, Inner>) -> Self {
        Self { inner, tells: Tells(None) }
    }
}

impl Shared {
    #[inline]
    pub(crate) fn lock(&self) -> Locked<'_> {
        Locked::new(self.lock_briefly())
    }

    /// Locks for what frees no memory that others wait for, so that nobody is told of any
    /// afterwards. Every message that is sent goes through here.
    #[inline(always)]
    pub(crate) fn lock_briefly(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is something for the owner.
    #[inline]
    pub(crate) fn is_dirty(&self) -> bool {
        self.dirty.load(Ordering::Relaxed)
    }

    /// Locks for the owner, which now takes everything there is.
    pub(crate) fn lock_clean(&self) -> Locked<'_> {
        let inner = self.lock();
        self.dirty.store(false, Ordering::Relaxed);
        inner
    }

    /// As [`notify`](Self::notify), for who has locked briefly.
    #[inline(always)]
    pub(crate) fn notify_briefly(&self, inner: MutexGuard<'_, Inner>) {
        if inner.on_board || inner.owner.is_some() {
            self.notify(Locked::new(inner));
        } else {
            self.dirty.store(true, Ordering::Release);
        }
    }

    /// Lets go of the lock and wakes the owner if it sleeps.
    pub(crate) fn notify(&self, mut inner: Locked<'_>) {
        self.dirty.store(true, Ordering::Release);
        if inner.on_board {
            inner.land();
        }
        if inner.owner.is_some() {
            let owner = inner.owner.take();
            drop(inner);
            owner.into_iter().for_each(Waker::wake);
        }
    }
}

impl Deref for Locked<'_> {
    type Target = Inner;

    #[inline(always)]
    fn deref(&self) -> &Inner {
        &self.inner
    }
}

impl DerefMut for Locked<'_> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut Inner {
        &mut self.inner
    }
}

impl Drop for Locked<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.inner.has_freed {
            self.inner.has_freed = false;
            self.tells.0.clone_from(&self.inner.ground.memory);
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.give_back();
        if let Some(memory) = self.ground.memory.as_ref().filter(|_| self.has_freed) {
            memory.tell();
        }
    }
}

impl Drop for Tells {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(memory) = &self.0 {
            memory.tell();
        }
    }
}

/// Where a future waits for room in a session's queue. Dropped, it does not wait any more.
#[derive(Debug)]
pub(crate) struct Waiting<'a> {
    shared: &'a Shared,
    pub(super) room: Key,
    pub(super) memory: Option<Turn>,
}

impl<'a> Waiting<'a> {
    pub(crate) const fn new(shared: &'a Shared) -> Self {
        Self { shared, room: Key::NONE, memory: None }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.room.is_some() {
            let waker: Option<Waker> = self.shared.lock().leave_room(self.room);
            drop(waker);
        }
    }
}
