//! This project's own client over tokio.

use core::net::SocketAddr;
use core::time::Duration;
use std::io;
use std::time::Instant;

use outlast_tokio::{Client, Handle, Incoming, Peer, ReconnectPolicy, Runner};
use tokio::task::{JoinHandle, spawn};

use super::{CALL_SIZE, SEND_SIZE, SENDS_PER_LOOK, Work};
use crate::groups::Relay;

/// Where the echo server's messages and requests go.
const ROUTE: u8 = 7;

fn connect(address: SocketAddr) -> io::Result<(Handle, Runner)> {
    // Cuts are made on purpose here, so there is nobody to be spared by waiting.
    let eager =
        ReconnectPolicy { backoff_base: 1_000, backoff_cap: 5_000, ..ReconnectPolicy::default() };
    Client::builder()
        .address(address.to_string())
        .reconnect(eager)
        .connect(|_: &mut Peer<'_>, _: Incoming<'_>| {})
}

/// Does `work` for `duration` over one client and returns how much was done.
pub(super) async fn run(address: SocketAddr, work: Work, duration: Duration) -> io::Result<u64> {
    let (handle, runner) = connect(address)?;
    let client = spawn(runner);
    let deadline = Instant::now() + duration;
    let done = match work {
        Work::Calls(callers) => {
            let callers: Vec<JoinHandle<io::Result<u64>>> =
                (0..callers).map(|_| spawn(call_until(handle.clone(), deadline))).collect();
            let mut done = 0;
            for caller in callers {
                done += caller.await.map_err(io::Error::other)??;
            }
            done
        }
        Work::Send => send_until(&handle, deadline).await?,
    };
    client.abort();
    Ok(done)
}

async fn call_until(handle: Handle, deadline: Instant) -> io::Result<u64> {
    let payload = [7; CALL_SIZE];
    let mut done = 0;
    while Instant::now() < deadline {
        let response = handle.request(ROUTE, &payload).await.map_err(io::Error::other)?;
        assert_eq!(response.payload.len(), CALL_SIZE);
        done += 1;
    }
    Ok(done)
}

async fn send_until(handle: &Handle, deadline: Instant) -> io::Result<u64> {
    let payload = [7; SEND_SIZE];
    let mut done = 0;
    while Instant::now() < deadline {
        for _ in 0..SENDS_PER_LOOK {
            handle.send(ROUTE, &payload).await.map_err(io::Error::other)?;
        }
        done += SENDS_PER_LOOK;
    }
    let receipt = handle.send_receipted(ROUTE, &payload).await.map_err(io::Error::other)?;
    receipt.await.map_err(io::Error::other)?;
    Ok(done + 1)
}

/// Connects through `relay`, then `cuts` times: cuts the connection and measures until the answer
/// to the next request, sent right behind the cut, is here.
pub(crate) async fn cut_times(relay: &Relay, cuts: usize) -> io::Result<Vec<Duration>> {
    let (handle, runner) = connect(relay.address())?;
    let client = spawn(runner);
    let mut times = Vec::with_capacity(cuts);
    handle.request(ROUTE, b"warm").await.map_err(io::Error::other)?;
    for _ in 0..cuts {
        let begun = Instant::now();
        relay.cut();
        handle.request(ROUTE, b"again").await.map_err(io::Error::other)?;
        times.push(begun.elapsed());
    }
    client.abort();
    Ok(times)
}
