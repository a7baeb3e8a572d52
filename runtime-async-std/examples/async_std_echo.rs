//! Both ends of an echo over async-std.

use std::time::Duration;

mod outlast {
    pub(crate) use outlast_async_std::async_std::{Client, Server};
    pub(crate) use outlast_async_std::*;
}

include!("../../examples/echo.rs");

fn main() -> Result<(), Box<dyn std::error::Error>> {
    async_std::task::block_on(async {
        let server = serve().await?;
        let (handle, runner) = connect(&server)?;
        async_std::task::spawn(runner);
        talk(&handle).await?;
        server.shutdown(Duration::from_secs(1)).await;
        Ok(())
    })
}
