//! Sessions over real sockets on loopback, in tasks of async-std and of smol: one text for both,
//! and the examples' application code.

use std::net::TcpStream;
use std::time::Duration;

use outlast_async_std::{
    Attempts, CloseCode, Incoming, Password, Passwords, Peer, ReconnectPolicy, Status,
    StoredPassword,
};
use outlast_conformance::net::Unserved;

macro_rules! over {
    ($runtime:ident, $block_on:path, $spawn:path) => {
        mod $runtime {
            use super::*;
            use outlast_async_std::$runtime as outlast;
            use outlast_async_std::{Running, SessionInfo};

            async fn echo_server() -> Running {
                let server = outlast::Server::builder().bind("localhost:0").await.unwrap();
                server.start(|_: &SessionInfo| echo).unwrap()
            }

            #[test]
            fn requests_of_every_length_outlast_cuts() {
                $block_on(async {
                    let server = echo_server().await;
                    let port = server.local_addr().port();
                    let client = outlast::Client::builder().reconnect(eager());
                    // A name, which has to be looked up first.
                    let client = client.address(format!("localhost:{port}"));
                    let (handle, runner) = client.connect(quiet).unwrap();
                    let client = $spawn(runner);
                    for size in [0, 1, 100, 16_383, 16_384, 100_000, 1_000_000] {
                        let payload: Vec<u8> = (0..size).map(|i| i as u8).collect();
                        let sent = handle.send_receipted(9u8, b"taken").await.unwrap();
                        handle.disconnect(CloseCode::GOING_AWAY);
                        let response = handle.request(3u8, &payload).await.unwrap();
                        assert_eq!(response.status, Status::OK, "{size}");
                        assert!(response.payload == payload, "{size}");
                        sent.await.unwrap();
                    }
                    assert!(server.handle().stats().resumed > 0);
                    handle.finish();
                    let closed = client.await;
                    assert!(closed.complete, "{closed}");
                    server.shutdown(Duration::from_secs(1)).await;
                });
            }

            #[test]
            fn whom_nobody_answers_is_told_why() {
                $block_on(async {
                    let nobody = Unserved::new();
                    let address = nobody.address().to_string();
                    let client = outlast::Client::builder().address(address);
                    let once = ReconnectPolicy { attempts: Attempts::UpTo(2), ..eager() };
                    let (handle, runner) = client.reconnect(once).connect(quiet).unwrap();
                    let closed = runner.await;
                    assert!(!closed.complete, "{closed}");
                    assert!(handle.request(1u8, b"?").await.is_err());
                });
            }

            #[test]
            fn who_knows_the_password_is_let_in() {
                $block_on(async {
                    let stored = StoredPassword::with_iterations("open sesame", 4_096).unwrap();
                    let users = Passwords::new([("ada", stored, 41)]).allow_plaintext();
                    let server = outlast::Server::builder().authenticator(users);
                    let server = server.bind("localhost:0").await.unwrap();
                    let server = server.start(|_: &SessionInfo| echo).unwrap();
                    for (password, lets_in) in [("open sesame", true), ("open barley", false)] {
                        let user = Password::new("ada", password).unwrap().allow_plaintext();
                        let client = outlast::Client::builder().credentials(user);
                        let client = client.address(server.local_addr().to_string());
                        let (handle, runner) = client.connect(quiet).unwrap();
                        let client = $spawn(runner);
                        assert_eq!(handle.request(3u8, b"?").await.is_ok(), lets_in);
                        handle.finish();
                        assert_eq!(client.await.complete, lets_in);
                    }
                    server.shutdown(Duration::ZERO).await;
                });
            }

            #[test]
            fn a_server_that_was_shut_down_listens_no_more() {
                $block_on(async {
                    let server = echo_server().await;
                    let address = server.local_addr();
                    let stream = TcpStream::connect(address).unwrap();
                    server.shutdown(Duration::ZERO).await;
                    drop(stream);
                    assert!(TcpStream::connect(address).is_err());
                });
            }
        }
    };
}

#[cfg(feature = "async-std")]
over!(async_std, ::async_std::task::block_on, ::async_std::task::spawn);
#[cfg(feature = "smol")]
over!(smol, ::smol::block_on, ::smol::spawn);

fn echo(peer: &mut Peer<'_>, event: Incoming<'_>) {
    match event {
        Incoming::Request { id, payload, .. } => {
            peer.respond(id, Status::OK, payload).unwrap();
        }
        Incoming::Finished => peer.finish(),
        _ => {}
    }
}

fn quiet(_: &mut Peer<'_>, _: Incoming<'_>) {}

/// Cuts here are many and wanted: there is nothing to wait for.
fn eager() -> ReconnectPolicy {
    ReconnectPolicy { backoff_base: 1_000, backoff_cap: 10_000, ..ReconnectPolicy::default() }
}
