//! What goes wrong between a client and a server over real sockets, in the words that a client's
//! handler is given: with tokio, and with threads.

mod common;

use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::Duration;

use common::{Authority, Signed, Valid, client_of, server_of};
use outlast_service::{DialError, Incoming, Peer, SessionInfo, SpeaksTls};
use outlast_tls::{ClientTls, Maybe, ServerTls, TlsError};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the client is told first.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Opened,
    Tls(TlsError, bool),
    NeedsTls,
    Other(String),
}

fn told(event: &Incoming<'_>) -> Option<Told> {
    match event {
        Incoming::Opened => Some(Told::Opened),
        Incoming::DialFailed { error: DialError::Transport(error), .. } => {
            let again = DialError::Transport(error).is_retryable();
            Some(match TlsError::of(error) {
                Some(tls) => Told::Tls(tls.clone(), again),
                None if error.get_ref().is_some_and(|inner| inner.is::<SpeaksTls>()) => {
                    assert!(!again);
                    Told::NeedsTls
                }
                None => Told::Other(error.to_string()),
            })
        }
        Incoming::DialFailed { error, .. } => Some(Told::Other(error.to_string())),
        _ => None,
    }
}

fn listen(to: mpsc::SyncSender<Told>) -> impl FnMut(&mut Peer<'_>, Incoming<'_>) + Send + 'static {
    move |_, event| {
        if let Some(told) = told(&event) {
            // Only the first is waited for.
            let _ = to.try_send(told);
        }
    }
}

fn deaf(_: &mut Peer<'_>, _: Incoming<'_>) {}

/// A runtime: what a client is told that dials a server, and what plain TLS the server counted.
type Meet = fn(Option<ClientTls>, Option<ServerTls>) -> (Told, u64);

fn with_tokio(client: Option<ClientTls>, server: Option<ServerTls>) -> (Told, u64) {
    use outlast_tokio::{Client, Server};
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).enable_all().build().unwrap();
    let (tell, told) = mpsc::sync_channel(100);
    let server = runtime.block_on(async {
        let server = Server::builder().layer(Maybe(server)).bind("127.0.0.1:0").await.unwrap();
        let server = server.start(|_: &SessionInfo| deaf).unwrap();
        let client = Client::builder().layer(Maybe(client)).address(at(server.local_addr()));
        let (_, runner) = client.connect(listen(tell)).unwrap();
        drop(tokio::spawn(runner));
        server
    });
    let first = told.recv_timeout(PATIENCE).unwrap();
    let stats = settled(|| server.handle().stats());
    runtime.block_on(server.shutdown(Duration::ZERO));
    (first, stats.tls_hellos)
}

fn with_threads(client: Option<ClientTls>, server: Option<ServerTls>) -> (Told, u64) {
    use outlast_std::{Client, Server};
    let (tell, told) = mpsc::sync_channel(100);
    let server = Server::builder().layer(Maybe(server)).bind("127.0.0.1:0").unwrap();
    let server = server.start(|_: &SessionInfo| deaf).unwrap();
    let client = Client::builder().layer(Maybe(client)).address(at(server.local_addr()));
    let handle = client.connect(listen(tell)).unwrap();
    let first = told.recv_timeout(PATIENCE).unwrap();
    handle.end(outlast_core::CloseCode::GOING_AWAY);
    let stats = settled(|| server.handle().stats());
    server.shutdown(Duration::ZERO);
    (first, stats.tls_hellos)
}

/// The counters, once the first connection is either a session or has failed.
fn settled(stats: impl Fn() -> outlast_service::ServerStats) -> outlast_service::ServerStats {
    let until = std::time::Instant::now() + PATIENCE;
    loop {
        let now = stats();
        if now.created + now.failed_handshakes > 0 {
            return now;
        }
        assert!(std::time::Instant::now() < until, "{now:?}");
        std::thread::yield_now();
    }
}

fn at(address: SocketAddr) -> String {
    address.to_string()
}

fn each_refusal_has_its_words(meet: Meet) {
    let (right, wrong) = (Authority::new("right"), Authority::new("wrong"));
    let of = |valid| {
        let Signed { chain, key } = right.sign("server", &["localhost"], valid);
        Some(ServerTls::pem(chain, key).build().unwrap())
    };
    let client = || Some(client_of(&right).build().unwrap());
    let server = || of(Valid::Now);
    let never = |error| Told::Tls(error, false);
    assert_eq!(meet(client(), server()).0, Told::Opened);
    assert_eq!(meet(None, None).0, Told::Opened);

    // The certificate is for a name and not for the address that is dialled.
    let by_address = ClientTls::builder().roots_pem(right.pem()).build().unwrap();
    let expected = "127.0.0.1".to_owned();
    let told = meet(Some(by_address), server()).0;
    assert_eq!(told, never(TlsError::WrongHost { expected }));
    let stranger = client_of(&wrong).build().unwrap();
    assert_eq!(meet(Some(stranger), server()).0, never(TlsError::UnknownIssuer));
    assert_eq!(meet(client(), of(Valid::NotAnyMore)).0, never(TlsError::Expired));
    assert_eq!(meet(client(), of(Valid::NotYet)).0, never(TlsError::NotYetValid));

    // One end speaks TLS and the other does not. The server counts it.
    assert_eq!(meet(client(), None), (never(TlsError::NotTls), 1));
    let counting = server().unwrap();
    assert_eq!(meet(None, Some(counting.clone())), (Told::NeedsTls, 0));
    assert_eq!(counting.stats().not_tls, 1);

    // Certificates of clients.
    let asking = server_of(&right).client_roots_pem(right.pem()).build().unwrap();
    let told = meet(client(), Some(asking.clone())).0;
    assert_eq!(told, never(TlsError::CertificateRequired));
    assert_eq!(asking.stats().no_certificate, 1);
    for (authority, valid) in [(&wrong, Valid::Now), (&right, Valid::NotAnyMore)] {
        let Signed { chain, key } = authority.sign("client", &["c.example"], valid);
        let shown = client_of(&right).identity_pem(chain, key).build().unwrap();
        let Told::Tls(TlsError::CertificateRefused(_), false) =
            meet(Some(shown), Some(asking.clone())).0
        else {
            panic!("a bad certificate of a client was not refused as such");
        };
    }
    assert_eq!(asking.stats().bad_certificate, 2);
    assert_eq!(asking.stats().handshakes, 0);
}

#[test]
fn each_refusal_has_its_words_with_tokio() {
    each_refusal_has_its_words(with_tokio);
}

#[test]
fn each_refusal_has_its_words_with_threads() {
    each_refusal_has_its_words(with_threads);
}
