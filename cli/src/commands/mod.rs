//! One module for each subcommand: its arguments and what it does with them. What they share is in
//! `common`.

mod admin;
pub(crate) mod bench;
pub(crate) mod cert;
mod common;
pub(crate) mod conformance;
pub(crate) mod connect;
pub(crate) mod demo;
mod desk;
mod foreign;
mod gate;
pub(crate) mod inspect;
pub(crate) mod password;
pub(crate) mod proxy;
pub(crate) mod receive;
mod security;
pub(crate) mod send;
pub(crate) mod serve;
mod settings;
pub(crate) mod top;

use std::future::Future;
use std::io::{self, Write};
use std::process::ExitCode;

/// How a command ends: its exit code, or a sentence about what went wrong.
pub(crate) type Outcome = Result<ExitCode, String>;

/// Runs `future` on all cores. Threads that wait for input are not waited for.
pub(crate) fn block_on(future: impl Future<Output = Outcome>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the system gives no threads: {error}"))?;
    let outcome = runtime.block_on(future);
    runtime.shutdown_background();
    outcome
}

/// Writes to standard output. Whoever reads it may stop before the end, as `head` does.
pub(crate) fn print(text: &str) {
    let mut out = io::stdout().lock();
    if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}
