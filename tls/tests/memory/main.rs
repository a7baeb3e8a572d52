//! TLS over connections in memory that split, stall and cut as they are told, in virtual time.

#[path = "../common/mod.rs"]
mod common;
#[path = "../../../service/tests/scripted/executor.rs"]
#[allow(dead_code, reason = "shared with the service's own tests")]
mod executor;
#[path = "../../../service/tests/scripted/link.rs"]
#[allow(dead_code, reason = "shared with the service's own tests")]
mod link;

#[path = "../../../service/tests/scripted/world.rs"]
#[allow(dead_code, reason = "shared with the service's own tests")]
mod world;

mod ends;
mod pieces;
mod reload;
mod sessions;
mod wire;
