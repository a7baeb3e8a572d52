//! What a server needs for TLS, and how it gets another certificate while it runs.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use outlast_service::Transport;
use rustls::ServerConnection;
use rustls::server::WebPkiClientVerifier;

use crate::error::{SetupError, TlsError};
use crate::pem::{Pem, roots};
use crate::stats::{Counters, Observer, TlsStats};
use crate::stream::TlsStream;
use crate::{ALPN, identity, provider, versions};

/// TLS at a server: its certificate and key, and what it asks of clients. Clones are the same.
///
/// It is a [`Layer`](outlast_service::net::Layer) for a server's builder:
///
/// ```no_run
/// use outlast_tls::ServerTls;
/// # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
/// let tls = ServerTls::files("server.pem", "server.key").build()?;
/// let server = outlast_tokio::Server::builder().layer(tls.clone()).bind("[::]:7411").await?;
/// // Some day the files are others:
/// tls.reload()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct ServerTls {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    options: Mutex<ServerTlsBuilder>,
    config: RwLock<Arc<rustls::ServerConfig>>,
    binds: bool,
    counters: Arc<Counters>,
}

/// Describes TLS at a server. See [`ServerTls::files`].
#[must_use = "nothing is read before `build`"]
pub struct ServerTlsBuilder {
    chain: Pem,
    key: Pem,
    client_roots: Vec<Pem>,
    clients_optional: bool,
    tls12: bool,
    binds: bool,
    observer: Option<Observer>,
}

impl std::fmt::Debug for ServerTlsBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerTlsBuilder")
            .field("chain", &self.chain)
            .field("key", &self.key)
            .field("client_roots", &self.client_roots)
            .finish_non_exhaustive()
    }
}

impl ServerTls {
    /// The certificate with those that lead from it to a root, and its key, in PEM files.
    pub fn files(chain: impl AsRef<Path>, key: impl AsRef<Path>) -> ServerTlsBuilder {
        ServerTlsBuilder::new(Pem::file(chain), Pem::file(key))
    }

    /// As [`files`](Self::files), with what the files hold.
    pub fn pem(chain: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> ServerTlsBuilder {
        let (chain, key) = (Pem::text("certificate", chain), Pem::text("key", key));
        ServerTlsBuilder::new(chain, key)
    }

    /// Reads all files again. Connections that begin from now on have what is there now; those
    /// that are open stay as they are, and tickets from before are of no use any more.
    ///
    /// # Errors
    ///
    /// If a file cannot be read or is of no use, if key and certificate do not belong together, or
    /// if the certificate is not valid now. Everything stays as it was.
    pub fn reload(&self) -> Result<(), SetupError> {
        let options = self.inner.options.lock().unwrap_or_else(PoisonError::into_inner);
        self.swap(&options)
    }

    /// As [`reload`](Self::reload), with this certificate and key.
    ///
    /// # Errors
    ///
    /// As [`reload`](Self::reload).
    pub fn replace(
        &self,
        chain: impl AsRef<[u8]>,
        key: impl AsRef<[u8]>,
    ) -> Result<(), SetupError> {
        let mut options = self.inner.options.lock().unwrap_or_else(PoisonError::into_inner);
        let chain = std::mem::replace(&mut options.chain, Pem::text("certificate", chain));
        let key = std::mem::replace(&mut options.key, Pem::text("key", key));
        let swapped = self.swap(&options);
        if swapped.is_err() {
            (options.chain, options.key) = (chain, key);
        }
        swapped
    }

    /// What has become of its connections.
    #[must_use]
    pub fn stats(&self) -> TlsStats {
        self.inner.counters.read()
    }

    /// The server's end of TLS over `io`, which has not begun.
    ///
    /// # Errors
    ///
    /// None that could be helped: `rustls` refuses.
    pub fn accept<T: Transport>(&self, io: T) -> std::io::Result<TlsStream<T>> {
        let config = self.inner.config.read().unwrap_or_else(PoisonError::into_inner);
        let conn = ServerConnection::new(Arc::clone(&config));
        let conn = conn.map_err(|error| TlsError::Setup(error.to_string()))?;
        drop(config);
        let counters = Arc::clone(&self.inner.counters);
        Ok(TlsStream::new(io, conn.into(), self.inner.binds, counters))
    }

    fn swap(&self, options: &ServerTlsBuilder) -> Result<(), SetupError> {
        options.check_time()?;
        let config = options.config()?;
        *self.inner.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
        Ok(())
    }
}

impl ServerTlsBuilder {
    fn new(chain: Pem, key: Pem) -> Self {
        Self {
            chain,
            key,
            client_roots: Vec::new(),
            clients_optional: false,
            tls12: false,
            binds: true,
            observer: None,
        }
    }

    /// Asks clients for a certificate that was signed by one of the authorities in this PEM file.
    /// Those without are refused, unless they are [optional](Self::clients_optional). May be called
    /// several times.
    ///
    /// Whom a certificate makes of a client is the business of an
    /// [`Authenticator`](outlast_service::Authenticator), such as
    /// [`Certificates`](crate::Certificates).
    pub fn client_roots_file(mut self, path: impl AsRef<Path>) -> Self {
        self.client_roots.push(Pem::file(path));
        self
    }

    /// As [`client_roots_file`](Self::client_roots_file), with what the file holds.
    pub fn client_roots_pem(mut self, pem: impl AsRef<[u8]>) -> Self {
        self.client_roots.push(Pem::text("client roots", pem));
        self
    }

    /// Lets in clients that show no certificate, too; one that is shown has to be good.
    pub const fn clients_optional(mut self) -> Self {
        self.clients_optional = true;
        self
    }

    /// Speaks TLS 1.2 with clients that have nothing newer. Without the Extended Master Secret
    /// extension they are refused.
    #[cfg(feature = "tls12")]
    pub const fn tls12(mut self) -> Self {
        self.tls12 = true;
        self
    }

    /// Sets whether the proof of a session's owner is bound to the TLS connection (it is
    /// otherwise): both ends have to do the same. Where TLS ends ahead of this server, at a
    /// proxy, there is no `ServerTls`, and the clients have to
    /// [leave it](crate::ClientTlsBuilder::channel_binding).
    pub const fn channel_binding(mut self, binds: bool) -> Self {
        self.binds = binds;
        self
    }

    /// Tells `observer` of every connection that fails, from the task that it has: for logs.
    pub fn observe(mut self, observer: impl Fn(&TlsError) + Send + Sync + 'static) -> Self {
        self.observer = Some(Box::new(observer));
        self
    }

    /// Reads the files.
    ///
    /// # Errors
    ///
    /// If a file cannot be read or is of no use, or if key and certificate do not belong together.
    pub fn build(mut self) -> Result<ServerTls, SetupError> {
        let config = RwLock::new(Arc::new(self.config()?));
        let counters = Arc::new(Counters::observed_by(self.observer.take()));
        let binds = self.binds;
        let inner = Inner { options: Mutex::new(self), config, binds, counters };
        Ok(ServerTls { inner: Arc::new(inner) })
    }

    fn config(&self) -> Result<rustls::ServerConfig, SetupError> {
        let (chain, key) = (self.chain.chain()?, self.key.key()?);
        let provider = provider();
        let general = |error: rustls::Error| SetupError::new("TLS", error);
        let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions(self.tls12))
            .map_err(general)?;
        let builder = if self.client_roots.is_empty() {
            builder.with_no_client_auth()
        } else {
            let roots = Arc::new(roots(&self.client_roots)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
            let verifier =
                if self.clients_optional { verifier.allow_unauthenticated() } else { verifier };
            let verifier = verifier.build();
            builder.with_client_cert_verifier(
                verifier.map_err(|error| SetupError::new("client roots", error))?,
            )
        };
        let both = format!("{}, {}", self.chain.what(), self.key.what());
        let config = builder.with_single_cert(chain, key);
        let mut config = config.map_err(|error| SetupError::new(both, error))?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        #[cfg(feature = "tls12")]
        {
            config.require_ems = true;
        }
        // Fresh with each reload: what a ticket says was true under the certificates of before.
        config.ticketer = crate::ticketer().map_err(general)?;
        Ok(config)
    }

    /// Whether the certificate is valid now, as far as it says so in a way that is understood.
    fn check_time(&self) -> Result<(), SetupError> {
        let chain = self.chain.chain()?;
        let Some((from, until)) = chain.first().and_then(|leaf| identity::validity(leaf)) else {
            return Ok(());
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        match now {
            _ if now < from => Err(self.chain.wrong("the certificate is not valid yet")),
            _ if now > until => Err(self.chain.wrong("the certificate has expired")),
            _ => Ok(()),
        }
    }
}
