//! This project's own client over tokio. The slots to fill: [`run`] and [`cut_times`].

use core::net::SocketAddr;
use core::time::Duration;
use std::io;

use super::Work;
use crate::groups::Relay;

/// Does `work` for `duration` over one client and returns how much was done.
///
/// [`Work::Calls`]: that many tasks share one handle, each with one 64-byte request open.
/// [`Work::Send`]: one task, one `send` of 16 bytes per message; it counts only once the server
/// has acknowledged, so wait for the last receipt before returning. Look at the clock once per
/// [`super::SENDS_PER_LOOK`] messages.
pub(super) async fn run(address: SocketAddr, work: Work, duration: Duration) -> io::Result<u64> {
    let _ = (address, duration);
    Err(io::Error::other(format!("outlast {} is not built in yet", work.name())))
}

/// Connects through `relay`, then `cuts` times: cuts the connection and measures until the answer
/// to the next request, sent right behind the cut, is here.
pub(crate) async fn cut_times(relay: &Relay, cuts: usize) -> io::Result<Vec<Duration>> {
    let _ = (relay.address(), cuts);
    Err(io::Error::new(io::ErrorKind::Unsupported, "outlast is not built in yet"))
}
