//! What is fuzzed: functions that take any bytes and panic only if a promise is broken.
//!
//! libFuzzer and the random engine (`replay`) run the same functions. A finding becomes a file in
//! `regressions/NAME/` and is replayed by `cargo test` ever after.

pub mod bytes;
pub mod decoder;
pub mod engine;
pub mod formats;
pub mod handshake;
pub mod seeds;
pub mod session;
pub mod snapshot;
pub mod world;

/// Something to fuzz.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, also that of its libFuzzer binary and of its folders.
    pub name: &'static str,
    /// Panics if what is fuzzed misbehaves on this input.
    pub run: fn(&[u8]),
    /// Inputs worth starting from.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target { name: "decoder", run: decoder::run, seeds: seeds::decoder },
    Target { name: "formats", run: formats::run, seeds: formats::seeds },
    Target { name: "handshake", run: handshake::run, seeds: seeds::handshake },
    Target { name: "session", run: session::run, seeds: seeds::session },
    Target { name: "snapshot", run: snapshot::run, seeds: seeds::snapshot },
];

/// The target of this name.
#[must_use]
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
