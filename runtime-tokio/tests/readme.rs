//! The two programs of the README: what it shows is what is here, it is short, and it runs.

use std::net::TcpListener as Probe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const README: &str = include_str!("../../README.md");

#[expect(dead_code, reason = "the program's own entry is not used here")]
mod server {
    include!("../examples/server.rs");

    pub(crate) async fn run(address: &str) -> std::io::Result<()> {
        serve(address).await
    }
}

#[expect(dead_code, reason = "the program's own entry is not used here")]
mod client {
    include!("../examples/client.rs");

    pub(crate) async fn run(address: &str, to: u32) -> Result<(), Box<dyn std::error::Error>> {
        count(address, to).await.map(drop)
    }
}

#[test]
fn readme_shows_the_examples_as_they_are() {
    let programs = [include_str!("../examples/server.rs"), include_str!("../examples/client.rs")];
    for program in programs {
        assert!(README.contains(program), "the README shows another program than\n{program}");
        assert!(program.lines().count() <= 20, "{program}");
    }
}

/// Carries connections to `server` and cuts each of the first ones in the middle of its bytes.
async fn cutting_relay(listener: TcpListener, server: String, cuts: Arc<AtomicU32>, most: u32) {
    while let Ok((near, _)) = listener.accept().await {
        let (server, cuts) = (server.clone(), Arc::clone(&cuts));
        tokio::spawn(async move {
            let Ok(far) = TcpStream::connect(&server).await else {
                return;
            };
            let (mut from_client, to_client) = near.into_split();
            let (from_server, mut to_server) = far.into_split();
            let answers = tokio::spawn(forward(from_server, to_client));
            let limit = if cuts.load(Ordering::Relaxed) < most { 1_001 } else { u64::MAX };
            let mut limited = (&mut from_client).take(limit);
            let carried = tokio::io::copy(&mut limited, &mut to_server).await;
            if carried.is_ok_and(|carried| carried == limit) {
                cuts.fetch_add(1, Ordering::Relaxed);
            }
            answers.abort();
        });
    }
}

async fn forward(mut from: impl AsyncReadExt + Unpin, mut to: impl AsyncWriteExt + Unpin) {
    // A connection that is cut is what this is for.
    let _ = tokio::io::copy(&mut from, &mut to).await;
    let _ = to.shutdown().await;
}

/// Starts the README's server at a port that is free, as far as that can be known.
async fn start_server() -> String {
    loop {
        let port = Probe::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let server = tokio::spawn({
            let address = address.clone();
            async move { server::run(&address).await.unwrap() }
        });
        loop {
            if TcpStream::connect(&address).await.is_ok() {
                return address;
            }
            if server.is_finished() {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn readme_client_survives_three_pulled_cables() {
    let server = start_server().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let cuts = Arc::new(AtomicU32::new(0));
    tokio::spawn(cutting_relay(listener, server, Arc::clone(&cuts), 3));
    client::run(&address, 1_000).await.unwrap();
    assert_eq!(cuts.load(Ordering::Relaxed), 3);
}
