//! What commands are told about TLS.

use std::path::PathBuf;

use outlast_tls::{ClientTls, ServerTls};

/// TLS at a client
#[derive(Debug, clap::Args)]
pub(super) struct ClientSecurity {
    /// Use TLS, and trust servers whose certificate was signed by one in this PEM file
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// The name that the server's certificate must be for, if it is not the host of ADDR
    #[arg(long, value_name = "HOST", requires = "tls_ca")]
    tls_name: Option<String>,
    /// PEM file with the certificate to show to servers that ask for one
    #[arg(long, value_name = "FILE", requires = "tls_ca", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// PEM file with its private key
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

impl ClientSecurity {
    pub(super) fn layer(&self) -> Result<Option<ClientTls>, String> {
        let Some(roots) = &self.tls_ca else {
            return Ok(None);
        };
        let mut tls = ClientTls::builder().roots_file(roots);
        if let Some(name) = &self.tls_name {
            tls = tls.server_name(name);
        }
        if let (Some(cert), Some(key)) = (&self.tls_cert, &self.tls_key) {
            tls = tls.identity_files(cert, key);
        }
        tls.build().map(Some).map_err(|error| error.to_string())
    }
}

/// TLS at a server
#[derive(Debug, clap::Args)]
pub(super) struct ServerSecurity {
    /// Use TLS, with the certificate in this PEM file (`outlast cert` makes one)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// PEM file with its private key
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Let in clients alone that have a certificate signed by one in this PEM file
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_client_ca: Option<PathBuf>,
}

impl ServerSecurity {
    pub(super) fn layer(&self) -> Result<Option<ServerTls>, String> {
        let (Some(cert), Some(key)) = (&self.tls_cert, &self.tls_key) else {
            return Ok(None);
        };
        let mut tls =
            ServerTls::files(cert, key).observe(|error| eprintln!("a connection failed: {error}"));
        if let Some(roots) = &self.tls_client_ca {
            tls = tls.client_roots_file(roots);
        }
        tls.build().map(Some).map_err(|error| error.to_string())
    }

    /// Whether clients are asked for a certificate.
    pub(super) const fn asks(&self) -> bool {
        self.tls_client_ca.is_some()
    }
}

/// Reads the files again whenever the process is told to (SIGHUP). Never returns.
#[cfg(unix)]
pub(super) async fn reload_when_told(tls: Option<ServerTls>) -> std::convert::Infallible {
    use tokio::signal::unix::{SignalKind, signal};
    let (Some(tls), Ok(mut told)) = (tls, signal(SignalKind::hangup())) else {
        return std::future::pending().await;
    };
    while told.recv().await.is_some() {
        match tls.reload() {
            Ok(()) => eprintln!("the certificate was read again"),
            Err(error) => eprintln!("the certificate stays as it was: {error}"),
        }
    }
    std::future::pending().await
}

#[cfg(not(unix))]
pub(super) async fn reload_when_told(_: Option<ServerTls>) -> std::convert::Infallible {
    std::future::pending().await
}
