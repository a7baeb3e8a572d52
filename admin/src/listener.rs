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
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::answer::Site;

/// How often followers are told.
const TICK: Duration = Duration::from_secs(1);
/// How long an answer that has begun may take to its end.
const FAREWELL: Duration = Duration::from_secs(5);

/// Answers until it is told that it is over, and what was asked by then; its connections end with
/// the future.
pub(crate) async fn serve(listener: TcpListener, site: Arc<Site>, told: watch::Receiver<bool>) {
    let mut over = told.clone();
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
                    let (site, over) = (Arc::clone(&site), told.clone());
                    connections.spawn(async move {
                        connection(stream, site, over).await;
                        drop(place);
                    });
                }
                // Out of descriptors, mostly: somebody has to go first.
                Err(_) => sleep(Duration::from_millis(100)).await,
            },
            Some(_) = connections.join_next() => {}
            _ = tick.tick() => site.tell(),
            () = told_over(&mut over) => break,
        }
    }
    drop(listener);
    site.hub.end();
    while connections.join_next().await.is_some() {}
}

/// Resolves once it is over, or nobody is left who could say so.
async fn told_over(over: &mut watch::Receiver<bool>) {
    let _ = over.wait_for(|over| *over).await;
}

async fn connection(stream: TcpStream, site: Arc<Site>, mut over: watch::Receiver<bool>) {
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
    let time_is_up = async {
        sleep(limits.connection_time).await;
        if follows.load(Ordering::Relaxed) {
            sleep(limits.follow_time.saturating_sub(limits.connection_time)).await;
        }
    };
    tokio::select! {
        _ = http.as_mut() => return,
        () = time_is_up => {}
        () = told_over(&mut over) => {}
    }
    http.as_mut().graceful_shutdown();
    let _ = timeout(FAREWELL, http).await;
}
