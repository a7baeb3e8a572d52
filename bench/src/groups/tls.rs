//! TLS: sessions over it, beside rustls over tokio that moves the same bytes without any.
//!
//! Client and server are threads of this process with a core and a tokio runtime each.

use core::future::Future;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::time::Instant;

use outlast_tls::rustls::pki_types::pem::PemObject;
use outlast_tls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use outlast_tls::rustls::{self, crypto::ring};
use outlast_tls::{ClientTls, ServerTls};
use outlast_tokio::{Client, Handler, Incoming, Limits, Peer, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::generator::GENERATOR_CORE;
use crate::measure::Spread;
use crate::options::Options;
use crate::report::{Report, Table, digits, spread};
use crate::servers::SERVER_CORE;
use crate::sys;

/// Bytes that bare rustls is given and asked for at once.
const CHUNK: usize = 64 << 10;
/// Bytes of messages; the first is what has no messages.
const SIZES: [(&str, usize); 3] =
    [("rustls-tokio", 0), ("outlast-tls 64k", 64 << 10), ("outlast-tls 256", 256)];

/// A certificate and its key in PEM. It is its own authority.
struct Signed {
    chain: String,
    key: String,
}

fn sign() -> io::Result<Signed> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]);
    let made = made.map_err(io::Error::other)?;
    Ok(Signed { chain: made.cert.pem(), key: made.signing_key.serialize_pem() })
}

pub(super) fn run(options: &Options, report: &mut Report) -> io::Result<()> {
    let signed = Arc::new(sign()?);
    let time = options.run.max(Duration::from_millis(100)) * 2;
    let mut rates = SIZES.map(|_| Vec::<Run>::new());
    for _ in 0..options.rounds {
        for ((_, size), rates) in SIZES.iter().zip(&mut rates) {
            let signed = Arc::clone(&signed);
            let run = if *size == 0 { bare(signed, time)? } else { session(signed, *size, time)? };
            rates.push(run);
        }
    }
    let title = "TLS 1.3, one connection, one way, a core for each end";
    let columns = ["", "MB/s (min-max)", "x rustls-tokio (min-max)", "per CPU second (min-max)"];
    let mut table = Table::new(title, &columns);
    for ((name, size), own) in SIZES.iter().zip(&rates) {
        let Some(all) = Spread::of(own.iter().map(|run| run.rate)) else { continue };
        let pairs = || own.iter().zip(&rates[0]);
        let ratio = Spread::of(pairs().map(|(own, bare)| own.rate / bare.rate));
        let frugal = Spread::of(pairs().map(|(own, bare)| own.per_cpu / bare.per_cpu));
        let range = format!("{} ({}-{})", mega(all.median), mega(all.min), mega(all.max));
        table.row(vec![(*name).to_owned(), range, spread(ratio), spread(frugal)]);
        if let Some(ratio) = ratio.filter(|_| *size > 0) {
            report.ratio(format!("tls.oneway.{size}.vs_rustls_tokio"), ratio.median);
        }
        if let Some(frugal) = frugal.filter(|_| *size > 0) {
            report.ratio(format!("tls.oneway.{size}.per_cpu_vs_rustls_tokio"), frugal.median);
        }
    }
    report.table(table);
    Ok(())
}

fn mega(rate: f64) -> String {
    digits(rate / 1e6)
}

/// Bytes per second of the clock, and of the processor for both ends together.
#[derive(Clone, Copy)]
struct Run {
    rate: f64,
    per_cpu: f64,
}

/// Runs a server on a thread and core of its own, and a client here.
fn measure<S, C>(
    server: impl FnOnce(mpsc::SyncSender<SocketAddr>) -> S + Send + 'static,
    client: impl FnOnce(SocketAddr) -> C,
) -> io::Result<Run>
where
    S: Future<Output = io::Result<()>>,
    C: Future<Output = io::Result<(u64, Duration)>>,
{
    let before = sys::cpu_time(std::process::id())?;
    let (tell, told) = mpsc::sync_channel(1);
    let serving = std::thread::spawn(move || {
        sys::pin_to_core(SERVER_CORE)?;
        runtime()?.block_on(server(tell))
    });
    sys::pin_to_core(GENERATOR_CORE)?;
    let address = told.recv().map_err(io::Error::other)?;
    let (bytes, time) = runtime()?.block_on(client(address))?;
    serving.join().map_err(|_| io::Error::other("the server panicked"))??;
    let cpu = sys::cpu_time(std::process::id())?.saturating_sub(before);
    let rate = bytes as f64 / time.as_secs_f64();
    Ok(Run { rate, per_cpu: bytes as f64 / cpu.as_secs_f64().max(0.01) })
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// rustls over tokio, and nothing else.
fn bare(signed: Arc<Signed>, time: Duration) -> io::Result<Run> {
    let chain = vec![CertificateDer::from_pem_slice(signed.chain.as_bytes()).expect("PEM")];
    let key = PrivateKeyDer::from_pem_slice(signed.key.as_bytes()).expect("PEM");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(chain[0].clone()).map_err(io::Error::other)?;
    let provider = Arc::new(ring::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let server = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(io::Error::other)?;
    measure(
        move |tell| async move {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            tell.send(listener.local_addr()?).map_err(io::Error::other)?;
            let (tcp, _) = listener.accept().await?;
            tcp.set_nodelay(true)?;
            let mut tls = TlsAcceptor::from(Arc::new(server)).accept(tcp).await?;
            let mut buf = vec![0; CHUNK];
            while tls.read(&mut buf).await? > 0 {}
            tls.write_all(b"!").await?;
            tls.shutdown().await
        },
        |address| async move {
            let tcp = TcpStream::connect(address).await?;
            tcp.set_nodelay(true)?;
            let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
            let mut tls = TlsConnector::from(Arc::new(client)).connect(name, tcp).await?;
            let (chunk, begin, mut bytes) = (vec![7; CHUNK], Instant::now(), 0);
            while begin.elapsed() < time {
                tls.write_all(&chunk).await?;
                bytes += chunk.len() as u64;
            }
            tls.shutdown().await?;
            // The server has taken everything once it answers.
            tls.read_u8().await?;
            Ok((bytes, begin.elapsed()))
        },
    )
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

/// A session over TLS, with messages of this many bytes.
fn session(signed: Arc<Signed>, size: usize, time: Duration) -> io::Result<Run> {
    let counted = Arc::new(AtomicU64::new(0));
    let (taken, ended) = (Arc::clone(&counted), tokio::sync::oneshot::channel::<()>());
    let pem = Arc::clone(&signed);
    measure(
        move |tell| async move {
            let tls = ServerTls::pem(&pem.chain, &pem.key).build()?;
            let server = Server::builder().layer(tls).limits(Limits::one_source());
            let server = server.bind("127.0.0.1:0").await?;
            let running = server.start(move |_| Sink(Arc::clone(&taken)))?;
            tell.send(running.local_addr()).map_err(io::Error::other)?;
            // It ends with an error when the other half is dropped.
            let _ = ended.1.await;
            running.shutdown(Duration::ZERO).await;
            Ok(())
        },
        |address| async move {
            let _end = ended.0;
            let tls = ClientTls::builder().roots_pem(&signed.chain).server_name("localhost");
            let client = Client::builder().layer(tls.build()?).address(address.to_string());
            let (handle, runner) = client.connect(|_: &mut Peer<'_>, _: Incoming<'_>| {})?;
            let runner = tokio::spawn(runner);
            let payload = vec![7; size];
            handle.send(1u8, &payload).await.map_err(io::Error::other)?;
            let (begin, mut bytes) = (Instant::now(), 0);
            while begin.elapsed() < time {
                // As many as make a chunk of the other.
                for _ in 0..(CHUNK / size).max(1) {
                    handle.send(1u8, &payload).await.map_err(io::Error::other)?;
                    bytes += size as u64;
                }
            }
            handle.finish();
            let closed = runner.await.map_err(io::Error::other)?;
            let took = begin.elapsed();
            let all = counted.load(Ordering::Relaxed);
            if !closed.complete || all != bytes + size as u64 {
                return Err(io::Error::other(format!("{all} of {bytes} bytes: {closed}")));
            }
            Ok((bytes, took))
        },
    )
}
