//! outlast over plain threads.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod runtime;
mod thread;
mod wake;

pub use runtime::{Listener, Std, Tcp, ThreadTimer};
pub use thread::{block_on, block_on_timeout};
