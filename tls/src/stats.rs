//! What was counted of TLS connections.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::TlsError;

/// What became of the connections of a [`ServerTls`](crate::ServerTls).
#[derive(Debug, Copy, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsStats {
    /// Handshakes that succeeded.
    pub handshakes: u64,
    /// Of these, how many were resumed from a ticket, without certificates and their signatures.
    pub resumed: u64,
    /// Handshakes that neither succeeded nor failed: too slow, or the connection broke.
    pub abandoned: u64,
    /// Peers whose first bytes were not TLS.
    pub not_tls: u64,
    /// Clients that showed no certificate where one is asked for.
    pub no_certificate: u64,
    /// Clients whose certificate is not accepted.
    pub bad_certificate: u64,
    /// Clients that do not accept this server's certificate.
    pub refused_by_peer: u64,
    /// Clients with another protocol, or no version and cipher in common.
    pub incompatible: u64,
    /// Streams that ended without the end that TLS has.
    pub truncated: u64,
    /// What else broke.
    pub broken: u64,
}

/// Who is told of every connection that fails.
pub(crate) type Observer = Box<dyn Fn(&TlsError) + Send + Sync>;

/// Counts, from any task.
#[derive(Default)]
pub(crate) struct Counters {
    counts: [AtomicU64; 10],
    observer: Option<Observer>,
}

impl fmt::Debug for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.read().fmt(f)
    }
}

/// What is counted, as the index of its count.
#[derive(Copy, Clone)]
enum Count {
    Handshakes,
    Resumed,
    Abandoned,
    NotTls,
    NoCertificate,
    BadCertificate,
    RefusedByPeer,
    Incompatible,
    Truncated,
    Broken,
}

impl Counters {
    pub(crate) fn observed_by(observer: Option<Observer>) -> Self {
        Self { observer, ..Self::default() }
    }

    fn add(&self, count: Count) {
        self.counts[count as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn established(&self, resumed: bool) {
        self.add(Count::Handshakes);
        if resumed {
            self.add(Count::Resumed);
        }
    }

    pub(crate) fn abandoned(&self) {
        self.add(Count::Abandoned);
    }

    pub(crate) fn failed(&self, error: &TlsError) {
        self.add(match error {
            TlsError::WrongHost { .. }
            | TlsError::UnknownIssuer
            | TlsError::Expired
            | TlsError::NotYetValid
            | TlsError::Revoked
            | TlsError::BadCertificate(_) => Count::BadCertificate,
            TlsError::NoCertificate => Count::NoCertificate,
            TlsError::CertificateRequired
            | TlsError::CertificateRefused(_)
            | TlsError::Refused(_) => Count::RefusedByPeer,
            TlsError::NotTls => Count::NotTls,
            TlsError::WrongProtocol | TlsError::Incompatible(_) => Count::Incompatible,
            TlsError::EndedInHandshake => Count::Abandoned,
            TlsError::Truncated => Count::Truncated,
            TlsError::Broken(_) | TlsError::Setup(_) => Count::Broken,
        });
        if let Some(observer) = &self.observer {
            observer(error);
        }
    }

    pub(crate) fn read(&self) -> TlsStats {
        let of = |count: Count| self.counts[count as usize].load(Ordering::Relaxed);
        TlsStats {
            handshakes: of(Count::Handshakes),
            resumed: of(Count::Resumed),
            abandoned: of(Count::Abandoned),
            not_tls: of(Count::NotTls),
            no_certificate: of(Count::NoCertificate),
            bad_certificate: of(Count::BadCertificate),
            refused_by_peer: of(Count::RefusedByPeer),
            incompatible: of(Count::Incompatible),
            truncated: of(Count::Truncated),
            broken: of(Count::Broken),
        }
    }
}
