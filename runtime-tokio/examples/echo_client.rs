//! A client of `echo_server` over tokio. Cut the connection: it goes on where it was.

#![expect(dead_code, reason = "the other end has the rest of the file that both share")]

use outlast_tokio as outlast;

include!("../../examples/echo.rs");

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (handle, runner) = connect("127.0.0.1:7413")?;
    tokio::spawn(runner);
    talk(handle, 1_000_000).await
}
