//! Accepting, and connections within their limits.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::answer::Site;

/// How often followers are told.
const TICK: Duration = Duration::from_secs(1);
/// How long an answer that has begun may take to its end.
const FAREWELL: Duration = Duration::from_secs(5);

/// Answers for as long as the future lives; its connections end with it.
pub(crate) async fn serve(listener: TcpListener, site: Arc<Site>) {
    let room = Arc::new(Semaphore::new(site.limits.connections));
    let mut connections = JoinSet::new();
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let Ok(place) = Arc::clone(&room).try_acquire_owned() else {
                        continue;
                    };
                    let site = Arc::clone(&site);
                    connections.spawn(async move {
                        connection(stream, site).await;
                        drop(place);
                    });
                }
                // Out of descriptors, mostly: somebody has to go first.
                Err(_) => sleep(Duration::from_millis(100)).await,
            },
            Some(_) = connections.join_next() => {}
            _ = tick.tick() => site.tell(),
        }
    }
}

async fn connection(stream: TcpStream, site: Arc<Site>) {
    // What is written is whole answers and events.
    let _ = stream.set_nodelay(true);
    let follows = Arc::new(AtomicBool::new(false));
    let limits = site.limits;
    let service = {
        let follows = Arc::clone(&follows);
        service_fn(move |request| {
            let answer = site.answer(&request, &follows);
            async move { Ok::<_, Infallible>(answer) }
        })
    };
    let http = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_time)
        .max_buf_size(limits.header_bytes)
        .max_headers(64)
        .serve_connection(TokioIo::new(stream), service);
    let mut http = pin!(http);
    if timeout(limits.connection_time, http.as_mut()).await.is_ok() {
        return;
    }
    let more = limits.follow_time.saturating_sub(limits.connection_time);
    if follows.load(Ordering::Relaxed) && timeout(more, http.as_mut()).await.is_ok() {
        return;
    }
    http.as_mut().graceful_shutdown();
    let _ = timeout(FAREWELL, http).await;
}
