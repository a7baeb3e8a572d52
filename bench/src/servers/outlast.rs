//! This project's server over tokio. The slot to fill: [`AVAILABLE`] and [`serve`].

use std::io;

use super::Mode;

/// Whether the server is built in; while `false` its rows are left out with a note.
pub(super) const AVAILABLE: bool = false;

/// Serves sessions on a free loopback port.
///
/// * bind with [`super::tokio_listener`] (or the library's own builder with a backlog of 4096)
///   and tell the port with [`super::announce`];
/// * [`Mode::Sink`]: every message goes through `black_box` and is released, whole;
/// * [`Mode::Chunks`]: the same, but the handler takes the pieces of a long message as they come;
/// * [`Mode::Echo`]: a request is answered with its payload, a message is sent back;
/// * [`Mode::FanOut`]: a message goes to every session, the sender's too.
///
/// The generator asks for a session, a window of 1 MiB and at least 128 open requests.
pub(super) async fn serve(mode: Mode) -> io::Result<()> {
    Err(io::Error::other(format!("outlast {} is not built in yet", mode.name())))
}
