//! This project's server over threads.

use std::io;

use outlast_std::{Config, Limits, Server};

use super::outlast::Echo;

/// Serves sessions on a free loopback port until the process ends.
pub(super) fn serve() -> io::Result<()> {
    let server = Server::builder()
        .config(Config { max_requests: 256, ..Config::SERVER })
        .limits(Limits::one_source())
        .bind("127.0.0.1:0")?;
    let port = server.local_addr()?.port();
    let mut running = server.start(|_| Echo)?;
    super::announce(port)?;
    running.finished();
    Ok(())
}
