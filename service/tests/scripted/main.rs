//! The whole service over connections that do what a script says, in virtual time.

mod admission;
mod calls;
mod driver;
mod ends;
mod executor;
#[cfg(feature = "formats")]
mod features;
mod graves;
mod histories;
mod link;
mod memory;
mod outgoing;
#[cfg(feature = "formats")]
mod plain;
#[cfg(feature = "formats")]
mod plain_traffic;
mod races;
mod replaced;
mod routed;
mod routed_hooks;
mod routed_queues;
mod security;
mod takeover;
mod traffic;
mod world;
