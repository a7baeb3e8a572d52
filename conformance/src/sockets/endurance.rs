//! A million messages through the smallest queues that may be set.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use outlast_core::Config;
use outlast_service::net::Net;
use outlast_service::router::{Link, QueueLimits, Router};
use outlast_service::{Bytes, Incoming, Outgoing, Peer};

use super::tools::{Listening, a_client, a_server, dial, until};

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
pub async fn a_million_messages_pass_a_handler_that_awaits_each_echo<N: Net>(net: N) {
    NARROW.validate().unwrap();
    let outgoing = Outgoing { queue: 16_387, ..Outgoing::default() };
    let routes = Router::new()
        .queue(QueueLimits { count: 1, bytes: 1, ..QueueLimits::default() })
        .route(1u8, async |payload: Bytes, link: Link| {
            link.send(1u8, &payload).await.map_err(|error| error.to_string())
        })
        .build()
        .unwrap();
    let builder = a_server(&net).config(NARROW).outgoing(outgoing);
    let server = Listening::start(&net, builder, routes.factory()).await;
    let heard = Arc::new(AtomicU64::new(0));
    let next = Arc::clone(&heard);
    let handler = move |_: &mut Peer<'_>, event: Incoming<'_>| {
        if let Incoming::Message { payload, .. } = event {
            let number = u64::from_le_bytes(payload.try_into().unwrap());
            assert_eq!(next.fetch_add(1, Ordering::Relaxed), number, "in order and once");
        }
    };
    let builder = a_client(&net, server.local_addr()).config(NARROW).outgoing(outgoing);
    let client = dial(&net, builder, handler);
    for number in 0..COUNT {
        client.send(1u8, &number.to_le_bytes()).await.unwrap();
    }
    // That it ends at all is what is tested: the limit is that of the whole test run.
    client.flushed().await.unwrap();
    until(|| heard.load(Ordering::Relaxed) == COUNT && routes.stats().handled == COUNT).await;
}
