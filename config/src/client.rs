//! Settings of a client.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::OnceLock;

use outlast_core::Config;
use outlast_core::client::DialerConfig;
use outlast_service::Outgoing;
use outlast_service::net::{ClientBuilder, Net, SocketOptions};
use outlast_service::plain::PlainConfig;
use outlast_service::plain::formats::AnyFormat;
use outlast_service::pool::PoolConfig;

use crate::address::Address;
use crate::item::{Item, items};
use crate::kind::Kind;
use crate::listener::{Listener, NATIVE, check_format, format_of};
use crate::preset::Preset;
use crate::sections::{outgoing_items, plain_items, session_items, socket_items};
use crate::settings::{Fault, Settings};
use crate::units::{DAY, MILLISECOND, SECOND};

/// Everything that can be set of a client. Secrets stay in their files: only the paths are here.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientSettings {
    /// Servers to choose from, the first one first: at least one.
    pub addresses: Vec<Address>,
    /// `native` for sessions, or the name of another system's format.
    pub format: String,
    /// Options of that format.
    pub options: BTreeMap<String, String>,
    /// When it dials again, and when it gives up. The number of addresses is that of
    /// [`addresses`](Self::addresses), and [`idle`](DialerConfig::idle) has no key.
    pub dial: DialerConfig,
    /// Limits and intervals of the session. [`release`](Config::release) is the program's business
    /// and has no key.
    pub session: Config,
    /// How it sends.
    pub outgoing: Outgoing,
    /// Socket options. Those of listeners have no key here.
    pub socket: SocketOptions,
    /// Connections without sessions.
    pub plain: PlainConfig,
    /// How many sessions a pool has.
    pub pool: PoolConfig,
    /// PEM file with the authorities to trust; TLS is spoken if there is one.
    pub tls_ca: Option<PathBuf>,
    /// The name that the server's certificate must be for, if it is not the address's host.
    pub tls_name: Option<String>,
    /// PEM file with the certificate to show to servers that ask for one.
    pub tls_cert: Option<PathBuf>,
    /// PEM file with its private key.
    pub tls_key: Option<PathBuf>,
    /// File with the token to show.
    pub token_file: Option<PathBuf>,
    /// The user whose password to prove.
    pub user: Option<String>,
    /// File with that user's password.
    pub password_file: Option<PathBuf>,
}

impl Default for ClientSettings {
    /// Sessions with 127.0.0.1:7411, without TLS, what each part has otherwise.
    fn default() -> Self {
        Self {
            addresses: vec![Address::default()],
            format: NATIVE.to_owned(),
            options: BTreeMap::new(),
            dial: DialerConfig::default(),
            session: Config::CLIENT,
            outgoing: Outgoing::default(),
            socket: SocketOptions::default(),
            plain: PlainConfig::default(),
            pool: PoolConfig::default(),
            tls_ca: None,
            tls_name: None,
            tls_cert: None,
            tls_key: None,
            token_file: None,
            user: None,
            password_file: None,
        }
    }
}

impl ClientSettings {
    /// The format that the server speaks, if it is another system's.
    ///
    /// # Errors
    ///
    /// What is wrong with its name or its options.
    pub fn format(&self) -> Result<Option<AnyFormat>, String> {
        format_of(&self.format, &self.options)
    }

    /// Gives a client everything but TLS and its secrets.
    #[must_use]
    pub fn apply<N: Net>(&self, builder: ClientBuilder<N>) -> ClientBuilder<N> {
        let addresses = self.addresses.iter();
        addresses
            .fold(builder, |builder, address| builder.address(address.to_string()))
            .config(self.session)
            .reconnect(self.dial)
            .outgoing(self.outgoing)
            .socket(self.socket.clone())
    }
}

impl Settings for ClientSettings {
    fn items() -> &'static [Item<Self>] {
        static ITEMS: OnceLock<Vec<Item<ClientSettings>>> = OnceLock::new();
        ITEMS.get_or_init(|| {
            let mut all = declare_connect();
            all.extend(session_items!(Self));
            all.extend(outgoing_items!(Self));
            all.extend(socket_items!(Self));
            all.extend(plain_items!(Self));
            all.extend(declare_rest());
            all
        })
    }

    fn listeners(&self) -> Option<&[Listener]> {
        None
    }

    fn listeners_mut(&mut self) -> Option<&mut Vec<Listener>> {
        None
    }

    fn check(&self) -> Result<(), Fault> {
        let of = |section| move |error| Fault::of::<Self>(section, &error);
        self.session.validate().map_err(of("session"))?;
        self.outgoing.validate().map_err(of("outgoing"))?;
        self.plain.validate().map_err(of("plain"))?;
        self.pool.validate().map_err(of("pool"))?;
        self.dial.validate().map_err(of("dial"))?;
        if self.addresses.is_empty() {
            return Err(Fault::new("connect.addresses", "is empty: a client dials somewhere"));
        }
        check_format(&self.format, &self.options, "connect.format", "connect.options")?;
        let missing = |key, by: &str| Err(Fault::new(key, format!("is missing: {by} needs it")));
        match (&self.tls_ca, &self.tls_name, &self.tls_cert, &self.tls_key) {
            (None, Some(_), _, _) => return missing("tls.ca", "tls.name"),
            (None, _, Some(_), _) => return missing("tls.ca", "tls.cert"),
            (_, _, Some(_), None) => return missing("tls.key", "tls.cert"),
            (_, _, None, Some(_)) => return missing("tls.cert", "tls.key"),
            _ => {}
        }
        match (&self.user, &self.password_file, &self.token_file) {
            (Some(_), None, _) => missing("auth.password_file", "auth.user"),
            (None, Some(_), _) => missing("auth.user", "auth.password_file"),
            (Some(_), _, Some(_)) => {
                let both = "is set, and so is auth.token_file: a client shows one or the other";
                Err(Fault::new("auth.user", both))
            }
            _ => Ok(()),
        }
    }

    fn preset(preset: &Preset) -> &'static [(&'static str, &'static str, &'static str)] {
        preset.client
    }
}

fn declare_connect() -> Vec<Item<ClientSettings>> {
    items! { ClientSettings;
        "connect.addresses" Kind::Addresses, None, plain addresses, Restart,
            "Servers to choose from, as host:port; the first is tried first.";
        "connect.format" Kind::Text, None, plain format, Restart,
            "`native` for sessions, or the name of another system's format.";
        "connect.options" Kind::Options, None, plain options, Restart,
            "Options of that format, as `max = 65536` in a table of its own.";
        "dial.backoff_base" Kind::Time(1_000, 365 * DAY, 1_000), None,
            micros dial.backoff_base, Restart,
            "The longest first pause between attempts; each further failure doubles it.";
        "dial.backoff_cap" Kind::Time(1_000, 365 * DAY, 1_000), None,
            micros dial.backoff_cap, Restart,
            "The longest pause. At least `dial.backoff_base`.";
        "dial.connect_limit" Kind::Time(1_000, 365 * DAY, 1_000), None,
            micros dial.connect_limit, Restart,
            "Time from the beginning of an attempt to the session.";
        "dial.attempts" Kind::Count(0, u32::MAX as u64), Some("unlimited"),
            plain dial.attempts, Restart,
            "Failures in a row after which it gives up; 0: one attempt, and nothing is repeated, \
             not even after a connection that worked.";
        "dial.on_lost" Kind::Choice(&["replace", "stop"]), None, plain dial.on_lost, Restart,
            "Whether a session that is lost is replaced by a new one.";
    }
}

fn declare_rest() -> Vec<Item<ClientSettings>> {
    items! { ClientSettings;
        "plain.heartbeat" Kind::Time(0, u32::MAX as u64 * MILLISECOND, MILLISECOND), None,
            plain plain.heartbeat, Restart,
            "How often it shows that it lives, where the format has heartbeats; 0: never.";
        "pool.connections" Kind::Count(1, 4_096), None, plain pool.connections, Restart,
            "Sessions at most, in programs that open a pool.";
        "pool.keep" Kind::Count(0, 4_096), None, plain pool.keep, Restart,
            "Sessions that are opened at once. Up to `pool.connections`.";
        "pool.in_use" Kind::Count(1, 65_536), None, plain pool.in_use, Restart,
            "Uses of one session at the same time.";
        "pool.waiting" Kind::Count(0, 1 << 20), None, plain pool.waiting, Restart,
            "Callers that may wait for a session.";
        "pool.patience" Kind::Time(0, DAY, MILLISECOND), None, plain pool.patience, Restart,
            "How long a caller waits that says nothing else.";
        "pool.replace_after" Kind::Time(0, DAY, MILLISECOND), None,
            plain pool.replace_after, Restart,
            "A session that is over for good is replaced after this.";
        "tls.ca" Kind::Path, Some("none"), plain tls_ca, Restart,
            "PEM file with the authorities to trust: TLS is spoken.";
        "tls.name" Kind::Text, Some("none"), plain tls_name, Restart,
            "The name that the server's certificate must be for, if it is not the address's host.";
        "tls.cert" Kind::Path, Some("none"), plain tls_cert, Restart,
            "PEM file with the certificate to show to servers that ask for one.";
        "tls.key" Kind::Path, Some("none"), plain tls_key, Restart,
            "PEM file with its private key.";
        "auth.token_file" Kind::Path, Some("none"), plain token_file, Restart,
            "File with the token to show.";
        "auth.user" Kind::Text, Some("none"), plain user, Restart,
            "The user whose password is proven, over TLS alone.";
        "auth.password_file" Kind::Path, Some("none"), plain password_file, Restart,
            "File with that user's password.";
    }
}
