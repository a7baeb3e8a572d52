//! The life of a server's process: signals, its service manager, sessions on the disk, its log.

mod keep;
mod log;
mod notify;
mod signals;

pub(crate) use keep::Kept;
pub(crate) use log::Log;
pub(crate) use notify::Notify;
pub(crate) use signals::{Signals, Word};
