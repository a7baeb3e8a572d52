//! A client of `echo_server`s over async-std, or smol if that feature alone is on. Cut the
//! connection: it goes on where it was.

#![expect(dead_code, reason = "the other end has the rest of the file that both share")]

use outlast_async_std as outlast;

include!("../../examples/echo.rs");

#[cfg(feature = "async-std")]
use async_std::task::{block_on, spawn};
#[cfg(not(feature = "async-std"))]
use smol::{block_on, spawn};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (handle, runner) = connect("127.0.0.1:7413")?;
    // A task of smol ends when it is dropped, so it is held.
    let _runs = spawn(runner);
    block_on(talk(handle, 1_000_000))
}
