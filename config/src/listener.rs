//! Where a server listens, and what is spoken there.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::OnceLock;

use outlast_service::plain::formats::{AnyFormat, FormatKind};

use crate::address::Address;
use crate::item::{Item, items};
use crate::kind::{Kind, options};
use crate::settings::Fault;

/// The format of sessions.
pub(crate) const NATIVE: &str = "native";

/// One port of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Where it listens.
    pub address: Address,
    /// `native` for sessions, or the name of another system's format, see
    /// [`FormatKind`].
    pub format: String,
    /// Options of that format, by their names in
    /// [`Options`](outlast_service::plain::formats::Options).
    pub options: BTreeMap<String, String>,
    /// PEM file with the certificate; TLS is spoken if there is one.
    pub tls_cert: Option<PathBuf>,
    /// PEM file with its private key.
    pub tls_key: Option<PathBuf>,
    /// PEM file with the authorities whose certificates clients must have.
    pub tls_client_ca: Option<PathBuf>,
}

impl Default for Listener {
    /// Sessions at 127.0.0.1:7411, without TLS.
    fn default() -> Self {
        Self {
            address: Address::default(),
            format: NATIVE.to_owned(),
            options: BTreeMap::new(),
            tls_cert: None,
            tls_key: None,
            tls_client_ca: None,
        }
    }
}

impl Listener {
    /// The format that is spoken there, if it is another system's.
    ///
    /// # Errors
    ///
    /// What is wrong with its name or its options.
    pub fn format(&self) -> Result<Option<AnyFormat>, String> {
        format_of(&self.format, &self.options)
    }

    pub(crate) fn items() -> &'static [Item<Self>] {
        static ITEMS: OnceLock<Vec<Item<Listener>>> = OnceLock::new();
        ITEMS.get_or_init(declare)
    }

    pub(crate) fn check(&self) -> Result<(), Fault> {
        check_format(&self.format, &self.options, "format", "options")?;
        match (&self.tls_cert, &self.tls_key, &self.tls_client_ca) {
            (Some(_), None, _) => Err(Fault::new("tls_key", "is missing: tls_cert needs it")),
            (None, Some(_), _) => Err(Fault::new("tls_cert", "is missing: tls_key needs it")),
            (None, None, Some(_)) => {
                Err(Fault::new("tls_cert", "is missing: tls_client_ca needs it"))
            }
            _ => Ok(()),
        }
    }
}

/// The format of this name with these options; nothing for sessions.
pub(crate) fn format_of(
    name: &str,
    pairs: &BTreeMap<String, String>,
) -> Result<Option<AnyFormat>, String> {
    if name == NATIVE {
        return match pairs.keys().next() {
            Some(key) => Err(format!("`{key}` has no effect on sessions")),
            None => Ok(None),
        };
    }
    let kind: FormatKind = name.parse().map_err(|error| format!("{error}, or {NATIVE}"))?;
    AnyFormat::new(kind, &options(pairs)?).map(Some).map_err(|error| error.to_string())
}

/// Says which of the two keys is wrong.
pub(crate) fn check_format(
    name: &str,
    pairs: &BTreeMap<String, String>,
    format_key: &str,
    options_key: &str,
) -> Result<(), Fault> {
    let known = name == NATIVE || name.parse::<FormatKind>().is_ok();
    let key = if known { options_key } else { format_key };
    match format_of(name, pairs) {
        Ok(_) => Ok(()),
        Err(why) if known => Err(Fault::new(key, format!("cannot be used: {why}"))),
        Err(why) => Err(Fault::new(key, format!("is {}: {why}", crate::node::shorten(name)))),
    }
}

fn declare() -> Vec<Item<Listener>> {
    items! { Listener;
        "address" Kind::Address(Address::DEFAULT_PORT), None, plain address, Restart,
            "Where to listen, host:port. Either part may be left out; `[::]` is every address of \
             the machine.";
        "format" Kind::Text, None, plain format, Restart,
            "`native` for sessions, or the name of another system's format.";
        "options" Kind::Options, None, plain options, Restart,
            "Options of that format, as `max = 65536` in a table of its own.";
        "tls_cert" Kind::Path, Some("none"), plain tls_cert, AtOnce,
            "PEM file with the certificate: TLS is spoken. Read again with the settings; to begin \
             or to end with TLS takes a restart.";
        "tls_key" Kind::Path, Some("none"), plain tls_key, AtOnce,
            "PEM file with its private key.";
        "tls_client_ca" Kind::Path, Some("none"), plain tls_client_ca, Restart,
            "PEM file with the authorities that must have signed the certificate of a client. What \
             it holds is read again at once.";
    }
}
