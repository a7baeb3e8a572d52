//! Sessions, with TLS or without.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};

use outlast_tls::{ClientTls, Maybe, ServerTls};
use outlast_tokio::{Client, Handle, Handler, Incoming, Limits, Peer, Server, Status};

use super::{Begin, CHUNK, CONNECTIONS, PING, Run, Signed, measure};

/// Serves until it is told to end, by an end of the channel.
async fn serve<H: Handler>(
    signed: Option<Arc<Signed>>,
    tell: mpsc::SyncSender<SocketAddr>,
    ended: tokio::sync::oneshot::Receiver<()>,
    make: impl Fn() -> H + Send + Sync + 'static,
) -> io::Result<()> {
    let tls = signed.map(|it| ServerTls::pem(&it.chain, &it.key).build()).transpose()?;
    let server = Server::builder().layer(Maybe(tls)).limits(Limits::one_source());
    let running = server.bind("127.0.0.1:0").await?.start(move |_| make())?;
    tell.send(running.local_addr()).map_err(io::Error::other)?;
    // It ends with an error when the other half is dropped.
    let _ = ended.await;
    running.shutdown(Duration::ZERO).await;
    Ok(())
}

/// A client that hears nothing.
fn dial(
    signed: Option<&Signed>,
    address: SocketAddr,
) -> io::Result<(Handle, impl Future<Output = outlast_tokio::Closed> + Send + 'static)> {
    dial_with(signed, address, |_: &mut Peer<'_>, _: Incoming<'_>| {})
}

fn dial_with(
    signed: Option<&Signed>,
    address: SocketAddr,
    handler: impl Handler,
) -> io::Result<(Handle, impl Future<Output = outlast_tokio::Closed> + Send + 'static)> {
    let tls =
        signed.map(|it| ClientTls::builder().roots_pem(&it.chain).server_name("localhost").build());
    let client = Client::builder().layer(Maybe(tls.transpose()?)).address(address.to_string());
    client.connect(handler)
}

/// Counts what comes.
struct Sink(Arc<AtomicU64>);

impl Handler for Sink {
    fn handle(&mut self, peer: &mut Peer<'_>, event: Incoming<'_>) {
        match event {
            Incoming::Message { payload, .. } | Incoming::Fragment { payload, .. } => {
                self.0.fetch_add(payload.len() as u64, Ordering::Relaxed);
            }
            Incoming::Finished => peer.finish(),
            _ => {}
        }
    }
}

/// Messages of this many bytes, as fast as they are taken.
pub(super) fn one_way(signed: Option<Arc<Signed>>, size: usize, time: Duration) -> io::Result<Run> {
    let counted = Arc::new(AtomicU64::new(0));
    let (taken, (end, ended)) = (Arc::clone(&counted), tokio::sync::oneshot::channel::<()>());
    let pem = signed.clone();
    measure(
        move |tell| serve(pem, tell, ended, move || Sink(Arc::clone(&taken))),
        |address| async move {
            let _end = end;
            let (handle, runner) = dial(signed.as_deref(), address)?;
            let runner = tokio::spawn(runner);
            let payload = vec![7; size];
            handle.send(1u8, &payload).await.map_err(io::Error::other)?;
            let (begin, mut bytes) = (Begin::now()?, 0);
            while begin.at.elapsed() < time {
                // As many as make a chunk of the other.
                for _ in 0..(CHUNK / size).max(1) {
                    handle.send(1u8, &payload).await.map_err(io::Error::other)?;
                    bytes += size as u64;
                }
            }
            handle.finish();
            let closed = runner.await.map_err(io::Error::other)?;
            let done = begin.done(bytes);
            let all = counted.load(Ordering::Relaxed);
            if !closed.complete || all != bytes + size as u64 {
                return Err(io::Error::other(format!("{all} of {bytes} bytes: {closed}")));
            }
            Ok(done)
        },
    )
}

/// Sends messages for a while, whenever there is room.
struct Source {
    payload: Vec<u8>,
    time: Duration,
    begin: Option<Begin>,
    bytes: u64,
    /// Told once when everything is sent.
    tell: Option<tokio::sync::oneshot::Sender<(Begin, u64)>>,
}

impl Source {
    fn fill(&mut self, peer: &mut Peer<'_>) {
        let Some(begin) = &self.begin else { return };
        while begin.at.elapsed() < self.time {
            // As many as make a chunk of the other.
            for _ in 0..(CHUNK / self.payload.len()).max(1) {
                if peer.send(1u8, &self.payload).is_err() {
                    return;
                }
                self.bytes += self.payload.len() as u64;
            }
        }
        if let (Some(tell), Some(begin)) = (self.tell.take(), self.begin.take()) {
            // Who waits for it has an error of its own if it is not there any more.
            let _ = tell.send((begin, self.bytes));
        }
        peer.finish();
    }
}

impl Handler for Source {
    fn handle(&mut self, peer: &mut Peer<'_>, event: Incoming<'_>) {
        match event {
            Incoming::Opened => {
                self.begin = Begin::now().ok();
                self.fill(peer);
            }
            Incoming::Writable => self.fill(peer),
            _ => {}
        }
    }
}

/// As [`one_way`], sent by the client's handler, which needs no lock and no queue.
pub(super) fn from_handler(
    signed: Option<Arc<Signed>>,
    size: usize,
    time: Duration,
) -> io::Result<Run> {
    let counted = Arc::new(AtomicU64::new(0));
    let (taken, (end, ended)) = (Arc::clone(&counted), tokio::sync::oneshot::channel::<()>());
    let pem = signed.clone();
    measure(
        move |tell| serve(pem, tell, ended, move || Sink(Arc::clone(&taken))),
        |address| async move {
            let _end = end;
            let (tell, told) = tokio::sync::oneshot::channel();
            let payload = vec![7; size];
            let source = Source { payload, time, begin: None, bytes: 0, tell: Some(tell) };
            let (_handle, runner) = dial_with(signed.as_deref(), address, source)?;
            let closed = runner.await;
            let (begin, bytes) = told.await.map_err(io::Error::other)?;
            let done = begin.done(bytes);
            let all = counted.load(Ordering::Relaxed);
            if !closed.complete || all != bytes {
                return Err(io::Error::other(format!("{all} of {bytes} bytes: {closed}")));
            }
            Ok(done)
        },
    )
}

/// Answers requests with what they say.
struct Echo;

impl Handler for Echo {
    fn handle(&mut self, peer: &mut Peer<'_>, event: Incoming<'_>) {
        match event {
            Incoming::Request { id, payload, .. } => {
                let _ = peer.respond(id, Status::OK, payload);
            }
            Incoming::Finished => peer.finish(),
            _ => {}
        }
    }
}

/// Requests, one under way on each connection.
pub(super) fn echo(signed: Option<Arc<Signed>>, time: Duration) -> io::Result<Run> {
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let pem = signed.clone();
    measure(
        move |tell| serve(pem, tell, ended, || Echo),
        |address| async move {
            let _end = end;
            let mut all = Vec::new();
            for _ in 0..CONNECTIONS {
                let (handle, runner) = dial(signed.as_deref(), address)?;
                all.push((handle, tokio::spawn(runner)));
            }
            // All are connected once all have an answer.
            for (handle, _) in &all {
                handle.request(1u8, b"!").await.map_err(io::Error::other)?;
            }
            let begin = Begin::now()?;
            let start = begin.at;
            let asking = all.into_iter().map(|(handle, runner)| {
                tokio::spawn(async move {
                    let mut count = 0;
                    while start.elapsed() < time {
                        let answer = handle.request(1u8, &[7; PING]).await;
                        count += u64::from(answer.map_err(io::Error::other)?.status.is_ok());
                    }
                    handle.finish();
                    runner.await.map_err(io::Error::other)?;
                    io::Result::Ok(count)
                })
            });
            let mut count = 0;
            for one in asking.collect::<Vec<_>>() {
                count += one.await??;
            }
            Ok(begin.done(count))
        },
    )
}
