//! An echo server over async-std, or smol if that feature alone is on. `async_std_echo_client` is
//! the other end; either may be another runtime's.

#![expect(dead_code, reason = "the other end has the rest of the file that both share")]

use outlast_async_std as outlast;

include!("../../examples/echo.rs");

#[cfg(feature = "async-std")]
use async_std::task::block_on;
#[cfg(not(feature = "async-std"))]
use smol::block_on;

fn main() -> std::io::Result<()> {
    block_on(serve("127.0.0.1:7413"))
}
