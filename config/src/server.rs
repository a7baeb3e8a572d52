//! Settings of a server.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use outlast_core::Config;
use outlast_core::admission::{Access, GateConfig};
use outlast_core::registry::RegistryConfig;
use outlast_service::net::{Net, ServerBuilder, SocketOptions};
use outlast_service::plain::PlainConfig;
use outlast_service::{AccessList, Limits, MemoryLimits, Outgoing, TrafficLimits};

use crate::address::Address;
use crate::item::{Item, items};
use crate::kind::Kind;
use crate::listener::Listener;
use crate::preset::Preset;
use crate::sections::{outgoing_items, plain_items, session_items, socket_items};
use crate::settings::{Fault, Settings};
use crate::units::{DAY, MILLISECOND, SECOND};

/// Everything that can be set of a server. Secrets stay in their files: only the paths are here.
///
/// Each key of [the table](https://github.com/outlast-rs/outlast/blob/main/docs/configuration.md)
/// is a field of the same name, with its unit where the type does not say it.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerSettings {
    /// Where it listens: at least one.
    pub listen: Vec<Listener>,
    /// Limits and intervals of sessions. [`release`](Config::release) is the program's business
    /// and has no key.
    pub session: Config,
    /// Whether sessions get another key each time they are resumed.
    pub rotate_keys: bool,
    /// How it sends.
    pub outgoing: Outgoing,
    /// Connections: how many, of whom, how fast they come.
    pub connections: GateConfig,
    /// How long a connection that may not come in yet waits for another one to go: up to a day.
    pub patience: Duration,
    /// How many sessions. What `session` says of retention and handshake counts here as well, and
    /// the epoch has no key.
    pub sessions: RegistryConfig,
    /// Who may connect.
    pub access: AccessSettings,
    /// How fast connections may send.
    pub traffic: TrafficLimits,
    /// How much memory sessions may hold together.
    pub memory: MemoryLimits,
    /// Socket options.
    pub socket: SocketOptions,
    /// Connections without sessions. [`heartbeat`](PlainConfig::heartbeat) is for clients and has
    /// no key here.
    pub plain: PlainConfig,
    /// File with the token that clients must show.
    pub token_file: Option<PathBuf>,
    /// File with users and what is stored of their passwords.
    pub passwords_file: Option<PathBuf>,
    /// File to write to who was kept out and who broke rules; `-` is standard error.
    pub security_log: Option<PathBuf>,
    /// How much the program tells of what it does.
    pub log_level: LogLevel,
    /// Where the server shows itself; nowhere without it.
    pub admin_listen: Option<Address>,
    /// File with the token of those who may act there.
    pub admin_token_file: Option<PathBuf>,
    /// Where and how often sessions are stored, so that they outlast the server.
    pub snapshots: SnapshotSettings,
    /// How long clients get to leave when the server stops: up to a day.
    pub drain_grace: Duration,
    /// Over how long they leave, and come again to the next server: up to a day. Without it: half
    /// of `drain_grace`, or a second if sessions are stored.
    pub drain_spread: Option<Duration>,
}

/// Where sessions are stored while no server has them. The program opens the store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SnapshotSettings {
    /// Folder to store them in; they end with the server without it.
    pub folder: Option<PathBuf>,
    /// How often they are stored while the server runs, from a tenth of a second to a day; without
    /// it only when it stops.
    pub every: Option<Duration>,
    /// File with the 32 bytes that they are encrypted with; otherwise a file `key` in the folder.
    pub key_file: Option<PathBuf>,
}

/// How much a program tells of what it does, each with what stands before it.
#[derive(Debug, Copy, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Nothing.
    #[default]
    Off,
    /// Who was turned away, which limits were reached.
    Warn,
    /// Sessions that begin, resume and end.
    Info,
    /// Every connection.
    Debug,
}

/// Networks that may connect, and networks that may not: the longest prefix decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessSettings {
    /// What becomes of the others.
    pub otherwise: Access,
    /// Networks that are let in.
    pub allow: Vec<String>,
    /// Networks that are not.
    pub deny: Vec<String>,
}

impl Default for AccessSettings {
    /// Everybody is let in.
    fn default() -> Self {
        Self { otherwise: Access::Allow, allow: Vec::new(), deny: Vec::new() }
    }
}

impl AccessSettings {
    /// The list that these are.
    ///
    /// # Errors
    ///
    /// The first that is no network.
    pub fn list(&self) -> Result<AccessList, String> {
        let open = match self.otherwise {
            Access::Allow => "default allow\n",
            Access::Deny => "default deny\n",
        };
        let lines = |word: &'static str, networks: &[String]| -> String {
            networks.iter().map(|network| format!("{word} {network}\n")).collect()
        };
        let text = [open, &lines("allow", &self.allow), &lines("deny", &self.deny)].concat();
        text.parse().map_err(|error| format!("{error}"))
    }
}

impl Default for ServerSettings {
    /// One listener for sessions at 127.0.0.1:7411, everybody let in, what each part has otherwise.
    fn default() -> Self {
        let Limits { connections, sessions, traffic, memory, patience, .. } = Limits::default();
        Self {
            listen: vec![Listener::default()],
            session: Config::SERVER,
            rotate_keys: true,
            outgoing: Outgoing::default(),
            connections,
            patience,
            sessions,
            access: AccessSettings::default(),
            traffic,
            memory,
            socket: SocketOptions::default(),
            plain: PlainConfig::default(),
            token_file: None,
            passwords_file: None,
            security_log: None,
            log_level: LogLevel::Off,
            admin_listen: None,
            admin_token_file: None,
            snapshots: SnapshotSettings::default(),
            drain_grace: Duration::from_millis(500),
            drain_spread: None,
        }
    }
}

impl ServerSettings {
    /// The limits of a server, also to be set in one that runs.
    #[must_use]
    pub fn limits(&self) -> Limits {
        let sessions = RegistryConfig {
            max_ttl_s: self.session.retention_s,
            handshake_ms: self.session.handshake_timeout_ms,
            ..self.sessions
        };
        Limits {
            connections: self.connections,
            sessions,
            // Checked with the rest; nobody gets in through a list that is none.
            access: self.access.list().unwrap_or_else(|_| AccessList::closed()),
            traffic: self.traffic,
            memory: self.memory_limits(),
            patience: self.patience,
        }
    }

    /// New sessions are refused when nobody may send more, at the latest.
    fn memory_limits(&self) -> MemoryLimits {
        let MemoryLimits { low, high } = self.memory;
        MemoryLimits { low: if low == usize::MAX { high } else { low }, high }
    }

    /// Gives a server everything but its listeners, its secrets and its log.
    #[must_use]
    pub fn apply<N: Net>(&self, builder: ServerBuilder<N>) -> ServerBuilder<N> {
        let builder = builder
            .config(self.session)
            .limits(self.limits())
            .outgoing(self.outgoing)
            .rotate_keys(self.rotate_keys)
            .socket(self.socket.clone());
        match self.drain_spread {
            Some(spread) => builder.spread(spread),
            None => builder,
        }
    }

    /// What has no effect without something else.
    fn check_pairs(&self) -> Result<(), Fault> {
        let SnapshotSettings { folder, every, key_file } = &self.snapshots;
        if self.token_file.is_some() && self.passwords_file.is_some() {
            let both = "is set, and so is auth.token_file: clients show one or the other";
            return Err(Fault::new("auth.passwords_file", both));
        }
        let no_folder = "is set, and snapshots.folder is not: nothing would be stored";
        let nowhere = "is set, and admin.listen is not: nobody could show it";
        for (key, is_set, is_missing, text) in [
            ("snapshots.every", every.is_some(), folder.is_none(), no_folder),
            ("snapshots.key_file", key_file.is_some(), folder.is_none(), no_folder),
            (
                "admin.token_file",
                self.admin_token_file.is_some(),
                self.admin_listen.is_none(),
                nowhere,
            ),
        ] {
            if is_set && is_missing {
                return Err(Fault::new(key, text));
            }
        }
        Ok(())
    }
}

impl Settings for ServerSettings {
    fn items() -> &'static [Item<Self>] {
        static ITEMS: OnceLock<Vec<Item<ServerSettings>>> = OnceLock::new();
        ITEMS.get_or_init(|| {
            let mut all = session_items!(Self);
            all.extend(declare_session());
            all.extend(outgoing_items!(Self));
            all.extend(declare_connections());
            all.extend(declare_sessions());
            all.extend(declare_traffic());
            all.extend(socket_items!(Self));
            all.extend(declare_socket());
            all.extend(plain_items!(Self));
            all.extend(declare_rest());
            all.extend(declare_life());
            all
        })
    }

    fn listeners(&self) -> Option<&[Listener]> {
        Some(&self.listen)
    }

    fn listeners_mut(&mut self) -> Option<&mut Vec<Listener>> {
        Some(&mut self.listen)
    }

    fn check(&self) -> Result<(), Fault> {
        let of = |section| move |error| Fault::of::<Self>(section, &error);
        self.session.validate().map_err(of("session"))?;
        self.outgoing.validate().map_err(of("outgoing"))?;
        self.connections.validate().map_err(of("connections"))?;
        self.sessions.validate().map_err(of("sessions"))?;
        self.memory_limits().validate().map_err(of("memory"))?;
        self.plain.validate().map_err(of("plain"))?;
        let access = self.access.list();
        access.map_err(|error| Fault::new("access.allow", format!("is wrong: {error}")))?;
        self.check_pairs()?;
        if self.listen.is_empty() {
            return Err(Fault::new("listen", "is empty: a server listens somewhere"));
        }
        Ok(())
    }

    fn preset(preset: &Preset) -> &'static [(&'static str, &'static str, &'static str)] {
        preset.server
    }
}

const COUNT: u64 = u32::MAX as u64;

fn declare_session() -> Vec<Item<ServerSettings>> {
    items! { ServerSettings;
        "session.rotate_keys" Kind::Flag, None, plain rotate_keys, Restart,
            "Whether a session gets another key each time it is resumed.";
    }
}

fn declare_connections() -> Vec<Item<ServerSettings>> {
    items! { ServerSettings;
        "connections.max_connections" Kind::Count(1, COUNT), None,
            plain connections.max_connections, AtOnce, "Connections in total.";
        "connections.reserve_share" Kind::Count(0, COUNT), None,
            plain connections.reserve_share, AtOnce,
            "One in so many of them is kept for sessions that resume, at least 2; 0: none.";
        "connections.max_handshakes" Kind::Count(1, COUNT), None,
            plain connections.max_handshakes, AtOnce,
            "Handshakes under way; further connections wait in the listener's backlog.";
        "connections.max_per_source" Kind::Count(1, COUNT), None,
            plain connections.max_per_source, AtOnce, "Connections of one address.";
        "connections.source_rate" Kind::Rate, Some("unlimited"),
            plain connections.source_rate, AtOnce, "New connections of one address.";
        "connections.total_rate" Kind::Rate, Some("unlimited"),
            plain connections.total_rate, AtOnce, "New connections in total.";
        "connections.v6_prefix" Kind::Count(1, 64), None,
            plain connections.v6_prefix, Restart,
            "How many bits of an IPv6 address count as one address.";
        "connections.free_failures" Kind::Count(0, COUNT), None,
            plain connections.free_failures, AtOnce,
            "Failed authentications in a row that cost an address nothing.";
        "connections.lockout_base" Kind::Time(0, 365 * DAY, 1_000), None,
            micros connections.lockout_base, AtOnce,
            "How long an address is locked out after the first failure beyond those; each further \
             one doubles it.";
        "connections.lockout_cap" Kind::Time(0, 365 * DAY, 1_000), None,
            micros connections.lockout_cap, AtOnce,
            "The longest of that. At least `connections.lockout_base`.";
        "connections.patience" Kind::Time(0, DAY, MILLISECOND), None, plain patience, AtOnce,
            "How long a connection that may not come in yet waits for another one to go.";
        "access.default" Kind::Choice(&["allow", "deny"]), None, plain access.otherwise, AtOnce,
            "Whether addresses may connect of which the lists say nothing.";
        "access.allow" Kind::Networks, None, plain access.allow, AtOnce,
            "Networks that may connect, such as `10.0.0.0/8`. The longest prefix decides.";
        "access.deny" Kind::Networks, None, plain access.deny, AtOnce,
            "Networks that may not connect; of the same network in both lists this one counts.";
    }
}

fn declare_sessions() -> Vec<Item<ServerSettings>> {
    items! { ServerSettings;
        "sessions.max_entries" Kind::Count(1, COUNT), None, plain sessions.max_entries, AtOnce,
            "Sessions, and the memory of those that have ended.";
        "sessions.max_per_owner" Kind::Count(1, COUNT), None,
            plain sessions.max_per_owner, AtOnce,
            "Sessions of one client: of one who was recognized, or of one address.";
        "sessions.max_unconfirmed" Kind::Count(1, COUNT), None,
            plain sessions.max_unconfirmed, AtOnce,
            "Of these, how many whose client has not been heard since it was let in.";
        "sessions.max_detached" Kind::Count(1, COUNT), None, plain sessions.max_detached, AtOnce,
            "Sessions without a connection, in total; beyond it the oldest of them ends.";
        "sessions.max_detached_per_owner" Kind::Count(1, COUNT), None,
            plain sessions.max_detached_per_owner, AtOnce, "The same, of one client.";
        "sessions.busy_retry" Kind::Time(0, DAY, MILLISECOND), None,
            millis sessions.busy_retry_ms, Restart,
            "When clients are told to come again if there is no room.";
    }
}

fn declare_traffic() -> Vec<Item<ServerSettings>> {
    items! { ServerSettings;
        "traffic.messages" Kind::Rate, Some("unlimited"), plain traffic.messages, AtOnce,
            "Messages, requests and answers that one session or connection may send.";
        "traffic.bytes" Kind::Rate, Some("unlimited"), plain traffic.bytes, AtOnce,
            "Bytes that one session or connection may send.";
        "traffic.source_messages" Kind::Rate, Some("unlimited"),
            plain traffic.source_messages, AtOnce,
            "Messages that everybody behind one address may send together.";
        "traffic.source_bytes" Kind::Rate, Some("unlimited"), plain traffic.source_bytes, AtOnce,
            "Bytes that everybody behind one address may send together.";
        "traffic.when_exceeded" Kind::Choice(&["wait", "disconnect"]), None,
            plain traffic.when_exceeded, AtOnce, "What becomes of who sends faster.";
        "memory.low" Kind::Size(0, i64::MAX as u64), Some("unlimited"), limit memory.low, AtOnce,
            "With so many bytes under way in all sessions together, new sessions are refused; \
             `unlimited`: as with `memory.high`.";
        "memory.high" Kind::Size(0, i64::MAX as u64), Some("unlimited"), limit memory.high, AtOnce,
            "With so many, nobody may send more until it is `memory.low` again. At least that.";
    }
}

fn declare_socket() -> Vec<Item<ServerSettings>> {
    items! { ServerSettings;
        "socket.reuse_address" Kind::Flag, None, plain socket.reuse_address, Restart,
            "A server that starts again has its port at once (`SO_REUSEADDR`).";
        "socket.backlog" Kind::Count(1, i32::MAX as u64), None, plain socket.backlog, Restart,
            "Connections that the kernel holds until they are taken.";
        "socket.dual_stack" Kind::Flag, None, plain socket.dual_stack, Restart,
            "Whether a listener at an IPv6 address takes IPv4 connections as well.";
    }
}

fn declare_rest() -> Vec<Item<ServerSettings>> {
    items! { ServerSettings;
        "auth.token_file" Kind::Path, Some("none"), plain token_file, AtOnce,
            "File with the token that clients must show. Read again with the settings; to begin or \
             to end with tokens takes a restart.";
        "auth.passwords_file" Kind::Path, Some("none"), plain passwords_file, AtOnce,
            "File with a line `NAME:STORED` for each user: a password is asked for, and is not in \
             the file.";
        "security.log" Kind::Path, Some("none"), plain security_log, Restart,
            "File to write to who was kept out and who broke rules; `-` is standard error.";
        "log.level" Kind::Choice(&["off", "warn", "info", "debug"]), None,
            plain log_level, AtOnce,
            "What is told on standard error of sessions, connections and those who were refused.";
        "admin.listen" Kind::Address(Address::ADMIN_PORT), Some("none"),
            plain admin_listen, Restart,
            "Where the server shows its page, metrics and health, host:port; the port is 7412 \
             unless it is given.";
        "admin.token_file" Kind::Path, Some("none"), plain admin_token_file, Restart,
            "File with the token of those who may drain the server there; without it nobody may.";
    }
}

fn declare_life() -> Vec<Item<ServerSettings>> {
    items! { ServerSettings;
        "snapshots.folder" Kind::Path, Some("none"), plain snapshots.folder, Restart,
            "Folder to store sessions in, for the next server to go on with; one for each server. \
             `none`: they end with the server.";
        "snapshots.every" Kind::Time(100 * MILLISECOND, DAY, MILLISECOND), Some("never"),
            plain snapshots.every, Restart,
            "How often sessions are stored while the server runs, for one that ends without \
             warning; `never`: when it stops, and not before.";
        "snapshots.key_file" Kind::Path, Some("none"), plain snapshots.key_file, Restart,
            "File with the 32 bytes that stored sessions are encrypted with; `none`: the file \
             `key` in the folder, which is made.";
        "drain.grace" Kind::Time(0, DAY, MILLISECOND), None, plain drain_grace, AtOnce,
            "How long clients get to leave when the server stops.";
        "drain.spread" Kind::Time(0, DAY, MILLISECOND), Some("auto"), plain drain_spread, Restart,
            "Over how long they leave, each at a time of its own, and come again to the next \
             server. `auto`: half of `drain.grace`, or a second if sessions are stored.";
    }
}
