//! A global allocator that counts what is held, for tests that look at memory.
//!
//! Cases that look at the memory of the process need it in the program that runs them:
//!
//! ```
//! use outlast_conformance::heap;
//!
//! #[global_allocator]
//! static HEAP: heap::Counting = heap::Counting;
//!
//! let before = heap::held();
//! let some = vec![0u8; 1_000];
//! assert!(heap::held() >= before + 1_000);
//! # drop(some);
//! ```
//!
//! [`held`] counts for the whole process, [`of_thread`] for the calling thread alone: so other
//! tests may run meanwhile, as long as what is looked at stays on its thread.

#![allow(unsafe_code, reason = "a global allocator is")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

static HELD: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static OF_THREAD: Cell<OfThread> = const { Cell::new(OfThread { held: 0, most: 0, taken: 0 }) };
}

/// The allocator of the system, with a count.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counting;

/// Bytes that the process has allocated and not given back; 0 if [`Counting`] is not its allocator.
#[must_use]
pub fn held() -> usize {
    HELD.load(Relaxed)
}

/// What a thread has allocated since it began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OfThread {
    /// Bytes not given back yet; less than nothing if it gives back what others have allocated.
    pub held: isize,
    /// The most that was held since the thread began or [`forget_most`].
    pub most: isize,
    /// How often it has allocated, or changed the size of what it has.
    pub taken: usize,
}

/// What the calling thread has allocated.
#[must_use]
pub fn of_thread() -> OfThread {
    OF_THREAD.get()
}

/// Begins anew to look for the most that the calling thread holds.
pub fn forget_most() {
    OF_THREAD.set(OfThread { most: of_thread().held, ..of_thread() });
}

fn take(size: usize) {
    HELD.fetch_add(size, Relaxed);
    count(|of| {
        of.held += size.cast_signed();
        of.most = of.most.max(of.held);
        of.taken += 1;
    });
}

fn give(size: usize) {
    HELD.fetch_sub(size, Relaxed);
    count(|of| of.held -= size.cast_signed());
}

fn count(change: impl FnOnce(&mut OfThread)) {
    // A thread that ends has no counters any more.
    let _ = OF_THREAD.try_with(|cell| {
        let mut of = cell.get();
        change(&mut of);
        cell.set(of);
    });
}

// SAFETY: every call is passed on unchanged to `System`, which upholds the contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        take(layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        take(layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        give(layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // While it is copied, both are there.
        take(size);
        give(layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
