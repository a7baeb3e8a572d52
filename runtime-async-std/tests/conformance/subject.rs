//! The runtimes as subjects of the suite. Their executors take tasks from any thread, and run those
//! of all subjects.

use outlast_async_std::AsyncIo;
use outlast_conformance::net::Over;

#[cfg(feature = "async-std")]
pub(crate) fn over_async_std() -> Over<AsyncIo<outlast_async_std::async_std::AsyncStd>> {
    Over::new("async-std over sockets", AsyncIo::default())
}

#[cfg(feature = "smol")]
pub(crate) fn over_smol() -> Over<AsyncIo<outlast_async_std::smol::Smol>> {
    Over::new("smol over sockets", AsyncIo::default())
}
