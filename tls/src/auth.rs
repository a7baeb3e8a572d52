//! Clients that are known by their certificates.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use outlast_core::auth::{AuthContext, AuthStep, Verdict, Verifier};
use outlast_service::{Authenticator, PeerIdentity, Recognized};
use sha2::{Digest, Sha256};

/// Makes a client's certificate its credentials: nothing else is asked of those who show one.
///
/// The certificates are those that [`ServerTls`](crate::ServerTls) has verified, so the server has
/// to ask for them ([`client_roots_file`](crate::ServerTlsBuilder::client_roots_file)). A client
/// without one is asked what the authenticator behind this one asks
/// ([`or_else`](Certificates::or_else)), and let in by nothing if there is none.
#[derive(Clone)]
pub struct Certificates {
    known: Known,
    otherwise: Option<Arc<dyn Authenticator>>,
}

#[derive(Clone)]
enum Known {
    Names,
    By(Arc<Judge>),
}

type Judge = dyn Fn(&PeerIdentity) -> Option<u64> + Send + Sync;

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("otherwise", &self.otherwise).finish_non_exhaustive()
    }
}

impl Certificates {
    /// Lets in everybody whose certificate has a name, as the principal that
    /// [`principal_of`] makes of it: a certificate that is renewed is still the same client, and
    /// its sessions are its own.
    #[must_use]
    pub const fn by_name() -> Self {
        Self { known: Known::Names, otherwise: None }
    }

    /// Asks `known` for the principal (0: nobody in particular); `None` keeps a client out.
    #[must_use]
    pub fn by(known: impl Fn(&PeerIdentity) -> Option<u64> + Send + Sync + 'static) -> Self {
        Self { known: Known::By(Arc::new(known)), otherwise: None }
    }

    /// Lets in these certificates, by their SHA-256, each as a principal.
    #[must_use]
    pub fn pinned(known: impl IntoIterator<Item = ([u8; 32], u64)>) -> Self {
        let known: Vec<([u8; 32], u64)> = known.into_iter().collect();
        Self::by(move |identity| {
            let found = known.iter().find(|(fingerprint, _)| *fingerprint == identity.fingerprint);
            found.map(|(_, principal)| *principal)
        })
    }

    /// What is asked of clients without a certificate, where those are
    /// [optional](crate::ServerTlsBuilder::clients_optional).
    #[must_use]
    pub fn or_else(mut self, otherwise: impl Authenticator) -> Self {
        self.otherwise = Some(Arc::new(otherwise));
        self
    }
}

/// The principal that stands for the first alternative name or the common name of a certificate:
/// the first 8 bytes of its SHA-256, which is as good as different for different names. `None` if
/// it has no name.
#[must_use]
pub fn principal_of(identity: &PeerIdentity) -> Option<u64> {
    let digest = Sha256::digest(identity.name()?.as_bytes());
    let first = digest.first_chunk().copied().map(u64::from_le_bytes);
    // 0 would be nobody in particular.
    first.map(|principal| principal.max(1))
}

impl Authenticator for Certificates {
    fn verifier(&self, remote: Option<SocketAddr>) -> Box<dyn Verifier + Send> {
        match &self.otherwise {
            Some(otherwise) => otherwise.verifier(remote),
            None => Box::new(Nobody),
        }
    }

    fn recognize(&self, identity: &PeerIdentity) -> Recognized {
        let principal = match &self.known {
            Known::Names => principal_of(identity),
            Known::By(known) => known(identity),
        };
        principal.map_or(Recognized::Denied, Recognized::As)
    }
}

/// Lets nobody in.
struct Nobody;

impl Verifier for Nobody {
    fn handle_step(&mut self, _: &AuthContext<'_>, _: AuthStep<'_>, _: &mut [u8]) -> Verdict {
        Verdict::Deny
    }
}
