//! TLS below outlast sessions, on every runtime.
//!
//! [`TlsStream`] is a [`Transport`](outlast_service::Transport) over a transport: rustls, driven as
//! the state machine that it is, with the reads and writes of whatever runtime there is below. So
//! there is one TLS for tokio, async-std, smol, and threads that block.
//!
//! # Both ends
//!
//! One line on either builder. `outlast cert pki` makes certificates to try it with.
//!
//! ```no_run
//! use outlast_tls::{ClientTls, ServerTls};
//! use outlast_tokio::{Client, Incoming, Peer, Server, SessionInfo};
//!
//! # async fn both() -> Result<(), Box<dyn std::error::Error>> {
//! let tls = ServerTls::files("server.pem", "server.key").build()?;
//! let server = Server::builder().layer(tls).bind("[::]:7411").await?;
//! let server = server.start(|_: &SessionInfo| |_: &mut Peer<'_>, _: Incoming<'_>| {})?;
//!
//! let tls = ClientTls::builder().roots_file("ca.pem").build()?;
//! let client = Client::builder().layer(tls).address("example.net:7411");
//! let (handle, runner) = client.connect(|_: &mut Peer<'_>, _: Incoming<'_>| {})?;
//! # Ok(())
//! # }
//! ```
//!
//! # What is where
//!
//! | you want | take |
//! |---|---|
//! | a server with a certificate | [`ServerTls::files`] or [`ServerTls::pem`], then `layer` |
//! | the next certificate without a restart | [`ServerTls::reload`], [`ServerTls::replace`] |
//! | a client that trusts an authority of yours | [`ClientTls::builder`] and `roots_file` |
//! | one that trusts whom the system trusts | feature `platform-roots` and `platform_roots` |
//! | clients that show certificates | `client_roots_file` of the server, [`Certificates`] |
//! | to know who a client is | [`PeerIdentity`], [`principal_of`] |
//! | TLS only if the configuration says so | [`Maybe`] |
//! | TLS over a stream of your own | [`ClientTls::connect`], [`ServerTls::accept`] |
//! | one layer for what dials and what listens | [`Tls`] |
//! | how many handshakes failed, and why | [`ServerTls::stats`], [`TlsStats`] |
//!
//! # What is promised
//!
//! * TLS 1.3, and 1.2 for those who ask for it (feature `tls12`). The protocol's name in ALPN is
//!   `outlast/1`.
//! * The limit on the time for a session's handshake covers that of TLS: one limit, at either end.
//! * A client tells its handler why TLS failed ([`TlsError`]) and goes on trying, as its policy
//!   says; see [`DialError`](outlast_service::DialError). A server counts it
//!   ([`ServerTls::stats`]). What the peer hears are the alerts of TLS and nothing else.
//! * A stream that was cut off is told apart from one that ended.
//! * The proof that a client owns a session is bound to the TLS connection that it is shown over
//!   ([RFC 9266](https://www.rfc-editor.org/rfc/rfc9266)), and there is no way to switch the
//!   verification of certificates off.
//! * Per connection at most 64 KiB of plaintext wait encrypted for the transport, and less than
//!   64 KiB of ciphertext and a record for the session. Nothing more is read or taken meanwhile.
//!
//! # Cryptography
//!
//! That of ring, or of aws-lc-rs with the feature `aws-lc-rs`, which then goes first:
//!
//! ```toml
//! outlast-tls = { version = "0.1", default-features = false, features = ["aws-lc-rs"] }
//! ```
//!
//! Any other use of rustls in a program is not concerned: no provider is installed for the process.
//!
//! # When it fails
//!
//! A certificate or a key that does not do is a [`SetupError`] when the layer is built; it names
//! the file. What happens in a handshake is a [`TlsError`], in words that say what to do. A client
//! finds it in what its handler is told of an attempt:
//!
//! ```
//! use outlast_service::{Incoming, Peer};
//! use outlast_tls::TlsError;
//!
//! fn on_event(_: &mut Peer<'_>, event: Incoming<'_>) {
//!     if let Incoming::DialFailed { error, .. } = event
//!         && let Some(tls) = error.io().and_then(TlsError::of)
//!     {
//!         eprintln!("{tls}");
//!         if !tls.is_retryable() {
//!             eprintln!("somebody has to do something about it");
//!         }
//!     }
//! }
//! # let _ = on_event;
//! ```
//!
//! | error | whose business |
//! |---|---|
//! | `UnknownIssuer`, `WrongHost` | the client's: whom it trusts, and whom it dials |
//! | `Expired`, `NotYetValid` | the certificate's, or that of a clock |
//! | `NotTls` | the port, or a peer that was not told to speak TLS |
//! | `CertificateRequired` | the client needs a certificate of its own |
//! | `CertificateRefused` | the other end's: it does not accept this one |
//! | `EndedInHandshake`, `Truncated`, `Broken` | the network's: it is tried again |
//!
//! # What is not promised
//!
//! Revocation lists are not looked at, and early data is neither sent nor taken. A certificate says
//! who somebody is; whether that one may have a session is decided by the server's
//! [`Authenticator`](outlast_service::Authenticator).
//!
//! # Features
//!
//! | feature | what for | what it adds |
//! |---|---|---|
//! | `ring` (default) | the cryptography of ring | `ring`, built with a C compiler |
//! | `aws-lc-rs` | that of AWS, with post-quantum key exchange | `aws-lc-rs` |
//! | `platform-roots` | the authorities that the system trusts | `rustls-platform-verifier` |
//! | `tls12` | TLS 1.2 for those who ask for it | code alone |
//!
//! One of the first two has to be there. Rust 1.91 or newer. `docs/tls.md` of the repository has
//! it step by step: certificates of one's own, clients with certificates, reloading, figures.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

#[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
compile_error!("outlast-tls needs somebody's cryptography: feature `ring` or `aws-lc-rs`");

mod auth;
mod client;
mod error;
mod identity;
mod maybe;
mod net;
mod pem;
mod server;
mod stats;
mod stream;

use std::sync::Arc;

use rustls::SupportedProtocolVersion;
use rustls::crypto::CryptoProvider;
#[cfg(feature = "aws-lc-rs")]
use rustls::crypto::aws_lc_rs as cryptography;
#[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
use rustls::crypto::ring as cryptography;

pub use auth::{Certificates, principal_of};
pub use client::{ClientTls, ClientTlsBuilder};
pub use error::{SetupError, TlsError};
pub use maybe::{Maybe, MaybeTls, MaybeTlsStream};
pub use net::Tls;
pub use outlast_service::PeerIdentity;
pub use rustls;
pub use server::{ServerTls, ServerTlsBuilder};
pub use stats::TlsStats;
pub use stream::TlsStream;

/// The protocol's name in ALPN.
pub const ALPN: &[u8] = b"outlast/1";

fn provider() -> Arc<CryptoProvider> {
    Arc::new(cryptography::default_provider())
}

fn ticketer() -> Result<Arc<dyn rustls::server::ProducesTickets>, rustls::Error> {
    cryptography::Ticketer::new()
}

/// The versions that are spoken.
fn versions(tls12: bool) -> &'static [&'static SupportedProtocolVersion] {
    #[cfg(feature = "tls12")]
    if tls12 {
        return rustls::ALL_VERSIONS;
    }
    let _ = tls12;
    static NEWEST: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];
    NEWEST
}

/// The examples of the document are compiled like those of this crate.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../../docs/tls.md")]
    struct Tls;
}
