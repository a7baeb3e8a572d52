//! What `serve` shows of itself: options, and the listener behind them.

use std::path::PathBuf;
use std::sync::Arc;

use outlast_admin::{Showing, Source};
use outlast_config::{Address, ServerSettings, Sources};
use tokio::sync::Notify;

use super::settings::{over, path_text};
use crate::secret::{LINE_MAX, Secret};

/// What the server shows of itself
#[derive(Debug, clap::Args)]
pub(crate) struct Admin {
    /// Show metrics, health and a live page at this address
    ///
    /// `/` is the page, `/metrics` is for Prometheus, `/healthz` and `/readyz` are for whoever
    /// starts and balances servers. Everybody who reaches the address may look. The port is 7412
    /// unless it is given; `outlast top` shows the same in a terminal.
    #[arg(long, value_name = "ADDR", value_parser = Address::of_admin)]
    admin: Option<Address>,
    /// File with the token of those who may drain the server there; without it nobody may
    #[arg(long, value_name = "FILE")]
    admin_token_file: Option<PathBuf>,
}

/// Somebody who may wants the server to drain.
#[derive(Debug, Clone, Default)]
pub(crate) struct Drained(Arc<Notify>);

impl Drained {
    pub(crate) async fn wait(&self) {
        self.0.notified().await;
    }
}

impl Admin {
    /// Puts these options over what other sources say.
    pub(super) fn over(&self, sources: Sources) -> Sources {
        let sources = over(sources, "admin.listen", self.admin.as_ref(), "--admin");
        let path = path_text(self.admin_token_file.as_ref());
        over(sources, "admin.token_file", path, "--admin-token-file")
    }

    /// What these settings say.
    pub(super) fn shown(settings: &ServerSettings) -> Self {
        let (admin, token) = (&settings.admin_listen, &settings.admin_token_file);
        Self { admin: admin.clone(), admin_token_file: token.clone() }
    }

    /// Shows the server for as long as the returned value lives.
    pub(crate) async fn show(
        &self,
        source: impl Source,
        title: &str,
        drained: &Drained,
    ) -> Result<Option<Showing>, String> {
        let Some(address) = &self.admin else {
            return Ok(None);
        };
        let drained = drained.clone();
        let drain = move || {
            eprintln!("asked to drain");
            drained.0.notify_one();
        };
        let mut admin = outlast_admin::Admin::new(source).title(title).on_drain(drain);
        if let Some(path) = &self.admin_token_file {
            let token = Secret::read(path, "a token", LINE_MAX)?.trimmed_end();
            let token = token.trim_ascii_start();
            if token.is_empty() {
                return Err(format!("the token in {} is empty", path.display()));
            }
            admin = admin.token(token);
        }
        let bound = admin.bind(address.to_string()).await;
        let bound = bound.map_err(|error| super::serve::cannot_listen(address, &error))?;
        eprintln!("  shows itself at http://{}/", bound.local_addr());
        Ok(Some(bound.start()))
    }
}
