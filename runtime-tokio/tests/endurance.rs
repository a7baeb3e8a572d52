//! A million messages through the smallest queues that may be set.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use outlast_tokio::router::{Link, QueueLimits, Router};
use tokio::sync::Notify;

use outlast_tokio::{Bytes, Client, Config, Incoming, Outgoing, Peer, Server};

const COUNT: u64 = 1_000_000;

/// What a frame of the least `max_body` needs, and no more.
const NARROW: Config = Config {
    max_body: 1_024,
    max_message: 1_024,
    window: 1_028,
    window_max: 1_028,
    max_requests: 0,
    max_requests_out: 0,
    send_buffer: 1_028,
    ..Config::SERVER
};

/// The handler awaits each echo, so that it is stopped as soon as its client takes nothing; the
/// client takes nothing while it is stopped itself. Whoever stopped reading then would stop for
/// ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_messages_pass_a_handler_that_awaits_each_echo() {
    NARROW.validate().unwrap();
    let outgoing = Outgoing { queue: 16_387, ..Outgoing::default() };
    let routes = Router::new()
        .queue(QueueLimits { count: 1, bytes: 1, ..QueueLimits::default() })
        .route(1u8, async |payload: Bytes, link: Link| {
            link.send(1u8, &payload).await.map_err(|error| error.to_string())
        })
        .build()
        .unwrap();
    let server = Server::builder().config(NARROW).outgoing(outgoing).bind("127.0.0.1:0");
    let server = server.await.unwrap().start(routes.factory()).unwrap();
    let heard = Arc::new(AtomicU64::new(0));
    let (next, all) = (Arc::clone(&heard), Arc::new(Notify::new()));
    let done = Arc::clone(&all);
    let handler = move |_: &mut Peer<'_>, event: Incoming<'_>| {
        if let Incoming::Message { payload, .. } = event {
            let number = u64::from_le_bytes(payload.try_into().unwrap());
            assert_eq!(next.fetch_add(1, Ordering::Relaxed), number, "in order and once");
            if number + 1 == COUNT {
                done.notify_one();
            }
        }
    };
    let config = Config { max_requests_out: 0, ..NARROW };
    let (client, runner) = Client::builder()
        .address(server.local_addr().to_string())
        .config(config)
        .outgoing(outgoing)
        .connect(handler)
        .unwrap();
    let runner = tokio::spawn(runner);
    for number in 0..COUNT {
        client.send(1u8, &number.to_le_bytes()).await.unwrap();
    }
    // That it ends at all is what is tested: the limit is that of the whole test run.
    client.flushed().await.unwrap();
    all.notified().await;
    assert!(!runner.is_finished());
    assert_eq!(routes.stats().handled, COUNT);
    drop(client);
    server.shutdown(Duration::ZERO).await;
}
