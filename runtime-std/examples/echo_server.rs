//! An echo server over threads. `echo_client` is the other end; either may be another runtime's.
//!
//! The application is the file that asynchronous runtimes share, as it is; `client` and `server`
//! show the calls that block.

#![expect(dead_code, reason = "the other end has the rest of the file that both share")]

use outlast_std::block_on;

/// What the application finds under this name: the calls that are futures, over threads.
mod outlast {
    use outlast_std::{Std, net};

    pub(crate) use outlast_std::{
        AsyncHandle as Handle, Incoming, Peer, Runner, SessionInfo, Status,
    };

    pub(crate) type Client = net::Client<Std>;
    pub(crate) type Server = net::Server<Std>;
}

include!("../../examples/echo.rs");

fn main() -> std::io::Result<()> {
    block_on(serve("127.0.0.1:7413"))
}
