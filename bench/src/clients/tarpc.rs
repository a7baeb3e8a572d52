//! tarpc's own client.

use core::net::SocketAddr;
use core::time::Duration;
use std::io;
use std::time::Instant;

use tarpc::tokio_serde::formats::Bincode;
use tarpc::{client, context, serde_transport::tcp};
use tokio::task::spawn;

use super::{CALL_SIZE, Work, no_such_work};
use crate::servers::{EchoClient, FRAME_LIMIT};

pub(super) async fn run(address: SocketAddr, work: Work, duration: Duration) -> io::Result<u64> {
    let Work::Calls(callers) = work else {
        return Err(no_such_work());
    };
    let mut connecting = tcp::connect(address, Bincode::default);
    connecting.config_mut().max_frame_length(FRAME_LIMIT);
    let transport = connecting.await?;
    transport.get_ref().set_nodelay(true)?;
    let client = EchoClient::new(client::Config::default(), transport).spawn();
    let begin = Instant::now();
    let tasks = (0..callers).map(|_| {
        let client = client.clone();
        spawn(async move {
            let mut done = 0u64;
            while begin.elapsed() < duration {
                let payload = vec![b'c'; CALL_SIZE];
                client.echo(context::current(), payload).await.map_err(io::Error::other)?;
                done += 1;
            }
            io::Result::Ok(done)
        })
    });
    let mut count = 0;
    for task in tasks.collect::<Vec<_>>() {
        count += task.await??;
    }
    Ok(count)
}
