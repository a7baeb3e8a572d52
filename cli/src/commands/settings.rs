//! Where commands take their settings from, and what becomes of them while a server runs.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use outlast_config::{Listener, Reloaded, Reloader, ServerSettings, Settings, Sources};
use outlast_tls::ServerTls;
use outlast_tokio::ServerHandle;
use outlast_tokio::plain::PlainServerHandle;

use super::gate::Shown;
use crate::life::Log;
use crate::secret::Secret;

/// Bytes of a file with certificates or a key, at most: as many as when the server begins.
const PEM_MAX: usize = 4 << 20;

/// Settings from files, presets and the environment
#[derive(Debug, clap::Args)]
pub(super) struct Configured {
    /// Read settings from this file: TOML, JSON or YAML, as its name ends
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Begin with default, high-throughput, low-latency, debug or constrained
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
    /// Set one key, such as session.window=1MiB; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Print all settings as TOML, with the origin of each, and stop
    #[arg(long)]
    pub(super) print_config: bool,
}

impl Configured {
    /// Everything but the command's own options, which go over it.
    pub(super) fn sources(&self) -> Result<Sources, String> {
        let mut sources = Sources::new().process_environment();
        if let Some(preset) = &self.preset {
            sources = sources.preset(preset);
        }
        if let Some(path) = &self.config {
            sources = sources.file(path);
        }
        self.set
            .iter()
            .try_fold(sources, |sources, pair| sources.set_pair(pair))
            .map_err(|error| error.to_string())
    }
}

/// Sets a key from an option of the command, if it was given.
pub(super) fn over(
    sources: Sources,
    key: &str,
    value: Option<impl Display>,
    option: &str,
) -> Sources {
    match value {
        Some(value) => sources.set(key, value.to_string(), option),
        None => sources,
    }
}

/// A path as a text that is read as the same path.
pub(super) fn path_text(path: Option<&PathBuf>) -> Option<String> {
    path.map(|path| path.display().to_string())
}

/// Reads the settings of a server; nothing if they were to be printed alone.
pub(super) fn read<S: Settings>(
    sources: Sources,
    base: S,
    print_config: bool,
) -> Result<Option<Reloader<S>>, String> {
    let reloader = Reloader::new(sources, base).map_err(|error| error.to_string())?;
    warn(&reloader.current().warnings);
    if print_config {
        super::print(&reloader.current().print());
        return Ok(None);
    }
    Ok(Some(reloader))
}

fn warn(warnings: &[String]) {
    warnings.iter().for_each(|warning| eprintln!("outlast: {warning}"));
}

/// A server that runs, with what can change of it.
pub(super) struct Live {
    pub(super) server: Option<ServerHandle>,
    pub(super) plain: Vec<PlainServerHandle>,
    /// By the numbers of their listeners.
    pub(super) tls: Vec<(usize, ServerTls)>,
    pub(super) shown: Shown,
    pub(super) log: Log,
}

impl Live {
    /// Goes by these settings from now on. All files are looked at before anything is changed.
    fn apply(&self, settings: &ServerSettings) -> Result<(), String> {
        let secrets = self.shown.read(settings)?;
        let mut read = Vec::new();
        for (index, tls) in &self.tls {
            let listener = settings.listen.get(*index);
            let paths = listener.and_then(|it| it.tls_cert.as_ref().zip(it.tls_key.as_ref()));
            if let Some((cert, key)) = paths {
                let (chain, secret) = (pem(cert)?, pem(key)?);
                ServerTls::pem(&chain, &secret).build().map_err(stays)?;
                read.push((tls, chain, secret));
            }
        }
        for (tls, chain, secret) in read {
            tls.replace(chain, secret).map_err(stays)?;
        }
        self.shown.renew(secrets);
        self.log.set(settings.log_level);
        let limits = settings.limits();
        let error = |error| format!("{error}");
        for plain in &self.plain {
            plain.set_limits(&limits).map_err(error)?;
        }
        self.server.as_ref().map_or(Ok(()), |server| server.set_limits(&limits).map_err(error))
    }

    /// A line for whoever looks after the process.
    pub(super) fn status(&self) -> String {
        let sessions = self.server.as_ref().map(ServerHandle::stats);
        let connections = self.plain.iter().map(|plain| plain.stats().connections).sum::<usize>();
        match sessions {
            Some(stats) if self.plain.is_empty() => format!("serves {} sessions", stats.sessions),
            Some(stats) => {
                format!("serves {} sessions, {connections} connections without", stats.sessions)
            }
            None => format!("serves {connections} connections without sessions"),
        }
    }

    /// Reads the settings again, and says what came of it.
    pub(super) fn reload(&self, reloader: &mut Reloader<ServerSettings>) {
        match reloader.reload(|settings| self.apply(settings)) {
            Ok(Reloaded { at_once, restart, warnings }) => {
                warn(&warnings);
                if !self.tls.is_empty() {
                    eprintln!("the certificate was read again");
                }
                let said = if at_once.is_empty() {
                    "nothing changed".to_owned()
                } else {
                    format!("in effect now: {}", at_once.join(", "))
                };
                eprintln!("settings were read again: {said}");
                if !restart.is_empty() {
                    eprintln!("  in effect after a restart: {}", restart.join(", "));
                }
            }
            Err(error) => eprintln!("the settings stay as they were: {error}"),
        }
    }
}

/// A chain or a key.
fn pem(path: &Path) -> Result<Secret, String> {
    Secret::read(path, "certificates or a key", PEM_MAX).map_err(stays)
}

fn stays(why: impl Display) -> String {
    format!("the certificate stays as it was: {why}")
}

/// Whether there is anything to be read again: settings, certificates, what clients have to show.
pub(super) fn reads(reloader: &Reloader<ServerSettings>, shown: &Shown) -> bool {
    let listeners = &reloader.current().settings.listen;
    let secure = listeners.iter().any(|listener| listener.tls_cert.is_some());
    reloader.path().is_some() || secure || !shown.is_nothing()
}

/// Whether sessions are spoken at this listener.
pub(super) fn is_native(listener: &Listener) -> bool {
    listener.format == Listener::default().format
}
