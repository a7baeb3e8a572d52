//! The whole service over connections that do what a script says, in virtual time.

mod admission;
mod calls;
mod driver;
mod ends;
mod events;
mod everybody;
mod executor;
#[cfg(feature = "formats")]
mod features;
mod graves;
mod groups;
mod handlers;
mod histories;
#[cfg(feature = "formats")]
mod inbox;
mod link;
mod memory;
mod outgoing;
#[cfg(feature = "formats")]
mod plain;
#[cfg(feature = "formats")]
mod plain_traffic;
mod pool;
mod races;
mod replaced;
mod routed;
mod routed_hooks;
mod routed_once;
#[cfg(feature = "formats")]
mod routed_plain;
mod routed_queues;
mod security;
#[cfg(feature = "formats")]
mod settings;
mod snapshots;
#[cfg(feature = "formats")]
mod states;
#[cfg(feature = "formats")]
mod statistics;
mod takeover;
mod traffic;
mod world;
