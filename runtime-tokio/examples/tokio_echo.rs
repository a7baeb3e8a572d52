//! Both ends of an echo over tokio.

use std::time::Duration;

use outlast_tokio as outlast;

include!("../../examples/echo.rs");

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = serve().await?;
    let (handle, runner) = connect(&server)?;
    tokio::spawn(runner);
    talk(&handle).await?;
    server.shutdown(Duration::from_secs(1)).await;
    Ok(())
}
