//! How many of what a server takes, and what it is made from.

use std::sync::Arc;
use std::time::Duration;

use outlast_core::Config;
use outlast_core::admission::{GateConfig, Rate};
use outlast_core::registry::RegistryConfig;

use crate::access::AccessList;
use crate::auth::Authenticator;
use crate::groups::Groups;
use crate::memory::MemoryLimits;
use crate::outgoing::Outgoing;
use crate::security::SecurityLog;
use crate::traffic::TrafficLimits;

/// How many of what a server takes.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections: in total, of each source, and how fast they come. What is beyond is refused
    /// with [`BUSY`](outlast_core::CloseCode::BUSY) and told when to come again; handshakes beyond
    /// [`max_handshakes`](GateConfig::max_handshakes) wait in the listener's backlog. Connections
    /// whose address is unknown count as one source.
    pub connections: GateConfig,
    /// Sessions, with and without connection, and what allows them.
    pub sessions: RegistryConfig,
    /// Which addresses may connect at all. Nothing is said to the others.
    pub access: AccessList,
    /// How fast connections that are up may send.
    pub traffic: TrafficLimits,
    /// How much memory sessions may hold together for what is under way.
    pub memory: MemoryLimits,
    /// How long a connection that may not come in yet waits for another one to go, instead of being
    /// refused at once; at most 1,024 of them do.
    pub patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let sessions = RegistryConfig {
            max_per_owner: 4_096,
            max_unconfirmed: 1_024,
            max_detached_per_owner: 2_048,
            ..RegistryConfig::default()
        };
        let (connections, access) = (GateConfig::default(), AccessList::open());
        let (traffic, memory) = (TrafficLimits::UNLIMITED, MemoryLimits::UNLIMITED);
        Self { connections, sessions, access, traffic, memory, patience: Duration::ZERO }
    }
}

impl Limits {
    pub(crate) fn patience_ms(&self) -> u64 {
        u64::try_from(self.patience.as_millis()).unwrap_or(u64::MAX)
    }

    /// The default limits, but one source may have as many connections and sessions as all
    /// together, as fast as it can: for servers behind a proxy, for closed networks, for tests.
    #[must_use]
    pub fn one_source() -> Self {
        let mut limits = Self::default();
        limits.connections.max_per_source = limits.connections.max_connections;
        limits.connections.source_rate = Rate::UNLIMITED;
        limits.connections.total_rate = Rate::UNLIMITED;
        limits.sessions.max_per_owner = limits.sessions.max_entries;
        limits.sessions.max_unconfirmed = limits.sessions.max_entries;
        limits.sessions.max_detached_per_owner = limits.sessions.max_detached;
        // One client's failures would lock everybody out.
        limits.connections.free_failures = u32::MAX;
        limits
    }
}

/// What a server is made from.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Limits and intervals of sessions.
    pub session: Config,
    /// How many connections and sessions there may be.
    pub limits: Limits,
    /// How it sends.
    pub outgoing: Outgoing,
    /// What clients have to show; without it everybody is let in.
    pub authenticator: Option<Arc<dyn Authenticator>>,
    /// Whether a session gets another key each time it is resumed, so that a stolen or copied one
    /// is of no use after that.
    pub rotate_keys: bool,
    /// The groups that sessions join. Servers that are given the same ones share them; without, it
    /// has its own.
    pub groups: Option<Groups>,
    /// Where it is told who was kept out and who broke rules.
    pub security: Option<SecurityLog>,
    /// Whether it counts what [`Statistics`](crate::Statistics) says of messages, bytes and times,
    /// and what [`SessionInfo`](crate::SessionInfo) does. Connections and what became of them are
    /// counted anyway.
    pub statistics: bool,
    /// Over how long clients leave a server that ends, and come again to the next one. Without it:
    /// half of the grace of a drain, a second for a hand-over.
    pub spread: Option<Duration>,
}

impl Default for ServerConfig {
    /// [`Config::SERVER`], the default limits and queues, everybody let in, keys rotated, nothing
    /// told, everything counted.
    fn default() -> Self {
        let (session, limits) = (Config::SERVER, Limits::default());
        let (outgoing, rotate_keys, groups) = (Outgoing::default(), true, None);
        Self {
            session,
            limits,
            outgoing,
            authenticator: None,
            rotate_keys,
            groups,
            security: None,
            statistics: true,
            spread: None,
        }
    }
}
