//! Both ends of an echo over threads. The application is the file that all runtimes share, as it
//! is: `blocking_client` and `blocking_server` show the calls that block.

use std::time::Duration;

use outlast_std::block_on;

/// What the application finds under this name: the calls that are futures, over threads.
mod outlast {
    pub(crate) use outlast_std::net::Running;
    pub(crate) use outlast_std::{
        AsyncHandle as Handle, CloseCode, Incoming, Peer, Runner, SessionInfo, Status, Std,
    };

    pub(crate) type Client = outlast_std::net::Client<Std>;
    pub(crate) type Server = outlast_std::net::Server<Std>;
}

include!("../../examples/echo.rs");

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = block_on(serve())?;
    let (handle, runner) = connect(&server)?;
    let client = std::thread::spawn(|| block_on(runner));
    block_on(talk(&handle))?;
    block_on(server.shutdown(Duration::from_secs(1)));
    drop(client.join());
    Ok(())
}
