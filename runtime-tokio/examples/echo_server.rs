//! An echo server over tokio. `echo_client` is the other end; either may be another runtime's.

#![expect(dead_code, reason = "the other end has the rest of the file that both share")]

use outlast_tokio as outlast;

include!("../../examples/echo.rs");

#[tokio::main]
async fn main() -> std::io::Result<()> {
    serve("127.0.0.1:7413").await
}
