//! The whole service over connections that do what a script says, in virtual time.

mod calls;
mod driver;
mod ends;
mod executor;
mod histories;
mod link;
mod replaced;
mod routed;
mod routed_hooks;
mod routed_queues;
mod takeover;
mod world;
