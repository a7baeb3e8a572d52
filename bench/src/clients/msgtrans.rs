//! msgtrans's own client over TCP.

use core::net::SocketAddr;
use core::time::Duration;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use msgtrans::{TcpClientConfig, TransportClient, TransportClientBuilder};
use tokio::task::spawn;

use super::{CALL_SIZE, SEND_SIZE, SENDS_PER_LOOK, Work};

async fn connect(address: SocketAddr) -> io::Result<TransportClient> {
    let config = TcpClientConfig::new(&address.to_string()).map_err(io::Error::other)?;
    let building = TransportClientBuilder::new().protocol(config.nodelay(true)).build();
    let mut client = building.await.map_err(io::Error::other)?;
    client.connect().await.map_err(io::Error::other)?;
    // Its event stream has to be drained, or everything else comes to a stop.
    let mut events = client.events().await.map_err(io::Error::other)?;
    spawn(async move { while events.next().await.is_some() {} });
    Ok(client)
}

pub(super) async fn run(address: SocketAddr, work: Work, duration: Duration) -> io::Result<u64> {
    let client = Arc::new(connect(address).await?);
    let begin = Instant::now();
    let mut count = 0;
    match work {
        Work::Calls(callers) => {
            let tasks = (0..callers).map(|_| {
                let client = Arc::clone(&client);
                spawn(async move {
                    let payload = [b'c'; CALL_SIZE];
                    let mut done = 0u64;
                    while begin.elapsed() < duration {
                        client.request(&payload).await.map_err(io::Error::other)?;
                        done += 1;
                    }
                    io::Result::Ok(done)
                })
            });
            for task in tasks.collect::<Vec<_>>() {
                count += task.await??;
            }
        }
        Work::Send => {
            // The detached form is the faster one: it does not wait for each write.
            let payload = [b's'; SEND_SIZE];
            while begin.elapsed() < duration {
                for _ in 0..SENDS_PER_LOOK {
                    if client.send_detached(&payload).await.is_ok() {
                        count += 1;
                    } else {
                        // Its queue is full.
                        tokio::task::yield_now().await;
                    }
                }
            }
            // An answer behind the burst says that the server has taken all of it.
            client.request(&payload).await.map_err(io::Error::other)?;
        }
    }
    Ok(count)
}
