//! Handlers that block, in threads of their own.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use outlast_tokio::router::{BlockingPool, Router, blocking, blocking_in};
use outlast_tokio::{Bytes, Client, Handle, Incoming, Peer, Server, Status};

async fn client(address: &str) -> Handle {
    let client = Client::builder().address(address);
    let (handle, runner) = client.connect(|_: &mut Peer<'_>, _: Incoming<'_>| {}).unwrap();
    tokio::spawn(runner);
    handle
}

/// On one thread, which would stand still if a handler blocked it.
#[tokio::test(flavor = "current_thread")]
async fn a_handler_that_blocks_keeps_nobody_else_waiting() {
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let waiting = Arc::clone(&gate);
    let routes = Router::new()
        .route(
            1u8,
            blocking(move |bytes: Bytes| {
                let (open, opened) = &*waiting;
                drop(opened.wait_while(open.lock().unwrap(), |open| !*open).unwrap());
                assert_eq!(std::thread::current().name(), Some("outlast-blocking"));
                bytes
            }),
        )
        .route(2u8, move || {
            *gate.0.lock().unwrap() = true;
            gate.1.notify_all();
        })
        .build()
        .unwrap();
    let server = Server::builder().bind("127.0.0.1:0").await.unwrap();
    let server = server.start(routes.factory()).unwrap();
    let handle = client(&server.local_addr().to_string()).await;
    let asking = handle.clone();
    let slow = tokio::spawn(async move { asking.request(1u8, b"slow").await.unwrap() });
    assert_eq!(handle.request(2u8, b"").await.unwrap().status, Status::OK);
    assert_eq!(&slow.await.unwrap().payload[..], b"slow");
}

#[tokio::test]
async fn so_many_threads_run_and_no_more() {
    let pool = BlockingPool::new(3);
    let now = Arc::new(AtomicUsize::new(0));
    // Three have to be there for any of them to go on. Once they were, nobody waits any more: who
    // is left at the end may be fewer.
    let most = Arc::new((Mutex::new(0), Condvar::new()));
    let seen = Arc::clone(&most);
    let routes = Router::new()
        .route(
            1u8,
            blocking_in(&pool, move || {
                let (most, grown) = &*seen;
                let there = now.fetch_add(1, Ordering::SeqCst) + 1;
                let mut most = most.lock().unwrap();
                *most = there.max(*most);
                grown.notify_all();
                drop(grown.wait_while(most, |most| *most < 3).unwrap());
                now.fetch_sub(1, Ordering::SeqCst);
            }),
        )
        .route(2u8, blocking(|| -> () { panic!("in a thread") }))
        .build()
        .unwrap();
    let server = Server::builder().bind("127.0.0.1:0").await.unwrap();
    let server = server.start(routes.factory()).unwrap();
    let address = server.local_addr().to_string();
    let mut asking = Vec::new();
    for _ in 0..6 {
        let handle = client(&address).await;
        asking.push(tokio::spawn(async move {
            for _ in 0..10 {
                assert_eq!(handle.request(1u8, b"").await.unwrap().status, Status::OK);
            }
            assert_eq!(handle.request(2u8, b"").await.unwrap().status, Status::INTERNAL);
        }));
    }
    for asking in asking {
        asking.await.unwrap();
    }
    assert_eq!(*most.0.lock().unwrap(), 3);
    assert_eq!((routes.stats().handled, routes.stats().panicked), (60, 6));
}
