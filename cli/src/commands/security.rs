//! What commands are told about TLS, and whom they tell about those they keep out.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{SystemTime, UNIX_EPOCH};

use outlast_config::{ClientSettings, Listener, Sources};
use outlast_tls::{ClientTls, ServerTls};
use outlast_tokio::{SecurityEvent, SecurityLog};

use super::settings::{over, path_text};

/// Lines that wait to be written; what comes beyond is left out.
const LINES_AHEAD: usize = 1024;

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
    /// Puts these options over what other sources say.
    pub(super) fn over(&self, sources: Sources) -> Sources {
        let sources = over(sources, "tls.ca", path_text(self.tls_ca.as_ref()), "--tls-ca");
        let sources = over(sources, "tls.name", self.tls_name.as_ref(), "--tls-name");
        let sources = over(sources, "tls.cert", path_text(self.tls_cert.as_ref()), "--tls-cert");
        over(sources, "tls.key", path_text(self.tls_key.as_ref()), "--tls-key")
    }
}

/// TLS at a client with these settings.
pub(super) fn client_layer(settings: &ClientSettings) -> Result<Option<ClientTls>, String> {
    let Some(roots) = &settings.tls_ca else {
        return Ok(None);
    };
    let mut tls = ClientTls::builder().roots_file(roots);
    if let Some(name) = &settings.tls_name {
        tls = tls.server_name(name);
    }
    if let (Some(cert), Some(key)) = (&settings.tls_cert, &settings.tls_key) {
        tls = tls.identity_files(cert, key);
    }
    tls.build().map(Some).map_err(|error| error.to_string())
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
    /// Puts these options over what other sources say of the first listener.
    pub(super) fn over(&self, sources: Sources) -> Sources {
        let cert = path_text(self.tls_cert.as_ref());
        let sources = over(sources, "listen.0.tls_cert", cert, "--tls-cert");
        let key = path_text(self.tls_key.as_ref());
        let sources = over(sources, "listen.0.tls_key", key, "--tls-key");
        let roots = path_text(self.tls_client_ca.as_ref());
        let sources = over(sources, "listen.0.tls_client_ca", roots, "--tls-client-ca");
        let log = path_text(self.security_log.as_ref());
        over(sources, "security.log", log, "--security-log")
    }

    /// The same without other sources.
    pub(super) fn listener(&self) -> Listener {
        Listener {
            tls_cert: self.tls_cert.clone(),
            tls_key: self.tls_key.clone(),
            tls_client_ca: self.tls_client_ca.clone(),
            ..Listener::default()
        }
    }

    /// Where it is told who is kept out, if anywhere.
    pub(super) fn log(&self) -> Option<&Path> {
        self.security_log.as_deref()
    }
}

/// A log that is written to the end of this file.
fn open_log(path: &Path) -> Result<SecurityLog, String> {
    let out: Box<dyn Write + Send> = if path == Path::new("-") {
        Box::new(io::stderr())
    } else {
        let opened = File::options().append(true).create(true).open(path);
        let opened = opened.map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        Box::new(opened)
    };
    // The server does not wait for a disk.
    let (lines, queue) = sync_channel(LINES_AHEAD);
    std::thread::spawn(move || write_lines(out, &queue));
    Ok(SecurityLog::new(move |event: &SecurityEvent<'_>| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // A full queue has lines enough.
        let _ = lines.try_send(format!("{}.{:03} {event}\n", now.as_secs(), now.subsec_millis()));
    }))
}

/// TLS at this listener, if it is spoken there.
pub(super) fn server_layer(listener: &Listener) -> Result<Option<ServerTls>, String> {
    let (Some(cert), Some(key)) = (&listener.tls_cert, &listener.tls_key) else {
        return Ok(None);
    };
    let mut tls =
        ServerTls::files(cert, key).observe(|error| eprintln!("a connection failed: {error}"));
    if let Some(roots) = &listener.tls_client_ca {
        tls = tls.client_roots_file(roots);
    }
    tls.build().map(Some).map_err(|error| error.to_string())
}

/// The log at this path, if there is to be one.
pub(super) fn log_at(path: Option<&Path>) -> Result<Option<SecurityLog>, String> {
    path.map(open_log).transpose()
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
pub(super) async fn reload_certificate(tls: Option<ServerTls>) -> std::convert::Infallible {
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
pub(super) async fn reload_certificate(_: Option<ServerTls>) -> std::convert::Infallible {
    std::future::pending().await
}
