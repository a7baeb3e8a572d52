//! Both ends of an echo over smol.

use std::time::Duration;

mod outlast {
    pub(crate) use outlast_async_std::smol::{Client, Server};
    pub(crate) use outlast_async_std::*;
}

include!("../../examples/echo.rs");

fn main() -> Result<(), Box<dyn std::error::Error>> {
    smol::block_on(async {
        let server = serve().await?;
        let (handle, runner) = connect(&server)?;
        // A task of smol ends when it is dropped.
        smol::spawn(runner).detach();
        talk(&handle).await?;
        server.shutdown(Duration::from_secs(1)).await;
        Ok(())
    })
}
