//! The only module with `unsafe`: thin safe faces over the few libc calls that the standard
//! library lacks, and the counting allocator.
//!
//! Every function owns or borrows what it hands to the kernel for the length of the call, checks
//! the return value, and keeps no pointer.
#![allow(unsafe_code, reason = "epoll, pinning and a counting allocator are in no safe interface")]

mod alloc;
mod epoll;
mod process;

pub(crate) use alloc::{Counting, allocations_during};
pub(crate) use epoll::{Epoll, Event, Interest};
pub(crate) use process::{cpu_time, interrupt, make_fifo, pin_to_core, raise_open_file_limit};
