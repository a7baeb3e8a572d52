//! What a client needs for TLS.

use std::io;
use std::path::Path;
use std::sync::Arc;

use outlast_service::Transport;
use rustls::ClientConnection;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;

use crate::error::{SetupError, TlsError};
use crate::pem::{Pem, roots};
use crate::stats::Counters;
use crate::stream::TlsStream;
use crate::{ALPN, provider, versions};

/// TLS at a client: whom it trusts, and what it shows. Clones are the same.
///
/// It is a [`Layer`](outlast_service::net::Layer) for a client's builder:
///
/// ```no_run
/// use outlast_tls::ClientTls;
/// use outlast_tokio::{Client, Incoming, Peer};
/// # fn dial() -> Result<(), Box<dyn std::error::Error>> {
/// let tls = ClientTls::builder().roots_file("ca.pem").build()?;
/// let (handle, runner) = Client::builder()
///     .layer(tls)
///     .address("example.net:7411")
///     .connect(|_: &mut Peer<'_>, _: Incoming<'_>| {})?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct ClientTls {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: Arc<rustls::ClientConfig>,
    server_name: Option<ServerName<'static>>,
    binds: bool,
    counters: Arc<Counters>,
}

/// Describes TLS at a client. See [`ClientTls::builder`].
#[derive(Debug, Clone)]
#[must_use = "nothing is read before `build`"]
pub struct ClientTlsBuilder {
    roots: Vec<Pem>,
    platform: bool,
    identity: Option<(Pem, Pem)>,
    server_name: Option<String>,
    resumption: bool,
    tls12: bool,
    binds: bool,
}

impl ClientTls {
    /// Starts to describe TLS at a client.
    pub const fn builder() -> ClientTlsBuilder {
        ClientTlsBuilder {
            roots: Vec::new(),
            platform: false,
            identity: None,
            server_name: None,
            resumption: true,
            tls12: false,
            binds: true,
        }
    }

    /// The client's end of TLS over `io`, which has not begun, with the server at `address`: a
    /// host with its port, of which the host is what the server's certificate has to be for, unless
    /// there is a [server name](ClientTlsBuilder::server_name).
    ///
    /// # Errors
    ///
    /// If the host is neither a name nor an address.
    pub fn connect<T: Transport>(&self, io: T, address: &str) -> io::Result<TlsStream<T>> {
        let name = match &self.inner.server_name {
            Some(name) => name.clone(),
            None => host_of(address)?,
        };
        let conn = ClientConnection::new(Arc::clone(&self.inner.config), name);
        let conn = conn.map_err(|error| TlsError::Setup(error.to_string()))?;
        let counters = Arc::clone(&self.inner.counters);
        Ok(TlsStream::new(io, conn.into(), self.inner.binds, counters))
    }
}

/// The host of `host:port`, `[::1]:port`, or a host alone.
fn host_of(address: &str) -> Result<ServerName<'static>, TlsError> {
    let host = match address.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => match address.rsplit_once(':') {
            Some((host, _)) if !host.contains(':') => host,
            Some(_) | None => address,
        },
    };
    // The dot that ends an absolute name is in no certificate.
    let host = host.strip_suffix('.').unwrap_or(host);
    let name = ServerName::try_from(host.to_owned());
    name.map_err(|_| TlsError::Setup(format!("{host:?} is neither a host's name nor an address")))
}

impl ClientTlsBuilder {
    /// Trusts the authorities in this PEM file. May be called several times.
    pub fn roots_file(mut self, path: impl AsRef<Path>) -> Self {
        self.roots.push(Pem::file(path));
        self
    }

    /// As [`roots_file`](Self::roots_file), with what the file holds.
    pub fn roots_pem(mut self, pem: impl AsRef<[u8]>) -> Self {
        self.roots.push(Pem::text("roots", pem));
        self
    }

    /// Trusts the authorities that the system trusts.
    #[cfg(feature = "platform-roots")]
    pub const fn platform_roots(mut self) -> Self {
        self.platform = true;
        self
    }

    /// Shows the certificate in this PEM file, with those that lead from it to a root, to servers
    /// that ask for one.
    pub fn identity_files(mut self, chain: impl AsRef<Path>, key: impl AsRef<Path>) -> Self {
        self.identity = Some((Pem::file(chain), Pem::file(key)));
        self
    }

    /// As [`identity_files`](Self::identity_files), with what the files hold.
    pub fn identity_pem(mut self, chain: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Self {
        self.identity = Some((Pem::text("certificate", chain), Pem::text("key", key)));
        self
    }

    /// Sets the name or address that the server's certificate has to be for; the host that is
    /// dialled otherwise.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Sets whether a connection after the first does without certificates, by a ticket that the
    /// server gave; it does otherwise. How long a ticket is good is up to the server.
    pub const fn resumption(mut self, resumption: bool) -> Self {
        self.resumption = resumption;
        self
    }

    /// Speaks TLS 1.2 with servers that have nothing newer.
    #[cfg(feature = "tls12")]
    pub const fn tls12(mut self) -> Self {
        self.tls12 = true;
        self
    }

    /// Sets whether the proof of a session's owner is bound to the TLS connection; it is
    /// otherwise. Where TLS ends ahead of the server, at a proxy, the two ends have different
    /// connections, and a client that binds its proofs could not resume.
    pub const fn channel_binding(mut self, binds: bool) -> Self {
        self.binds = binds;
        self
    }

    /// Reads the files.
    ///
    /// # Errors
    ///
    /// If a file cannot be read or is of no use, if key and certificate do not belong together, if
    /// the server name is none, or if there are no roots: nobody would be trusted.
    pub fn build(self) -> Result<ClientTls, SetupError> {
        let general = |error: rustls::Error| SetupError::new("TLS", error);
        let builder = rustls::ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions(self.tls12))
            .map_err(general)?;
        let builder = if self.platform {
            self.with_platform_roots(builder)?
        } else if self.roots.is_empty() {
            return Err(SetupError::new("roots", "there are none, so that no server is trusted"));
        } else {
            builder.with_root_certificates(roots(&self.roots)?)
        };
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let config = builder.with_client_auth_cert(chain.chain()?, key.key()?);
                let both = format!("{}, {}", chain.what(), key.what());
                config.map_err(|error| SetupError::new(both, error))?
            }
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        #[cfg(feature = "tls12")]
        {
            config.require_ems = true;
        }
        if !self.resumption {
            config.resumption = Resumption::disabled();
        }
        let named =
            |name: String| host_of(&name).map_err(|error| SetupError::new("server name", error));
        let inner = Inner {
            config: Arc::new(config),
            server_name: self.server_name.map(named).transpose()?,
            binds: self.binds,
            counters: Arc::default(),
        };
        Ok(ClientTls { inner: Arc::new(inner) })
    }

    #[cfg(feature = "platform-roots")]
    fn with_platform_roots(&self, builder: WantsRoots) -> Result<WantsIdentity, SetupError> {
        let mut extra = Vec::new();
        for source in &self.roots {
            extra.extend(source.chain()?);
        }
        let verifier = rustls_platform_verifier::Verifier::new_with_extra_roots(extra, provider());
        let verifier = verifier.map_err(|error| SetupError::new("the system's roots", error))?;
        Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)))
    }

    #[cfg(not(feature = "platform-roots"))]
    #[expect(clippy::unused_self, reason = "the feature is off")]
    fn with_platform_roots(&self, _: WantsRoots) -> Result<WantsIdentity, SetupError> {
        Err(SetupError::new("the system's roots", "feature `platform-roots` is off"))
    }
}

type WantsRoots = rustls::ConfigBuilder<rustls::ClientConfig, rustls::WantsVerifier>;
type WantsIdentity = rustls::ConfigBuilder<rustls::ClientConfig, rustls::client::WantsClientCert>;
