//! What commands are told about TLS, and whom they tell about those they keep out.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{SystemTime, UNIX_EPOCH};

use outlast_tls::{Certificates, ClientTls, MaybeTls, ServerTls};
use outlast_tokio::{SecurityEvent, SecurityLog, Tokio};

/// Lines that wait to be written; what comes beyond is left out.
const LINES_AHEAD: usize = 1024;

/// A server, with TLS or without.
type ServerBuilder = outlast_tokio::net::ServerBuilder<MaybeTls<Tokio>>;

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

/// TLS at a server, and who is kept out
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
    /// Write who was kept out, and who broke rules, to the end of this file; - is standard error
    ///
    /// One line each: seconds since 1970, what happened, the address, the code. At most 10 a second
    /// of each kind, which say how many were left out.
    #[arg(long, value_name = "FILE")]
    security_log: Option<PathBuf>,
}

impl ServerSecurity {
    /// The log, if there is to be one.
    fn log(&self) -> Result<Option<SecurityLog>, String> {
        let Some(path) = &self.security_log else {
            return Ok(None);
        };
        let out: Box<dyn Write + Send> = if path == Path::new("-") {
            Box::new(io::stderr())
        } else {
            let opened = File::options().append(true).create(true).open(path);
            let opened =
                opened.map_err(|error| format!("cannot write {}: {error}", path.display()))?;
            Box::new(opened)
        };
        // The server does not wait for a disk.
        let (lines, queue) = sync_channel(LINES_AHEAD);
        std::thread::spawn(move || write_lines(out, &queue));
        Ok(Some(SecurityLog::new(move |event: &SecurityEvent<'_>| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            // A full queue has lines enough.
            let _ =
                lines.try_send(format!("{}.{:03} {event}\n", now.as_secs(), now.subsec_millis()));
        })))
    }

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

    /// Asks clients for what they have to show, and tells the log who has not.
    pub(super) fn guard(
        &self,
        server: ServerBuilder,
        token: Option<Vec<u8>>,
    ) -> Result<ServerBuilder, String> {
        let server = match token {
            Some(token) => server.token(token),
            None if self.asks() => server.authenticator(Certificates::by_name()),
            None => server,
        };
        Ok(match self.log()? {
            Some(log) => server.security_log(log),
            None => server,
        })
    }

    /// Whether clients are asked for a certificate.
    pub(super) const fn asks(&self) -> bool {
        self.tls_client_ca.is_some()
    }
}

/// Writes lines as they come, until nobody sends any more or they cannot be written.
fn write_lines(mut out: Box<dyn Write + Send>, queue: &Receiver<String>) {
    while let Ok(line) = queue.recv() {
        if out.write_all(line.as_bytes()).and_then(|()| out.flush()).is_err() {
            return eprintln!("the security log ends: it cannot be written");
        }
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
