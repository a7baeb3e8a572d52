//! Sessions that start at any position: what a snapshot says can be anything.

use outlast_core::Session;

use super::{Action, Party, Rules, World};
use crate::model::Wrong;

/// Offsets in a snapshot of the positions that are absolute; all others are distances from them.
const ACKED: usize = 64;
const DONE: usize = 84;

impl World {
    /// A world whose session is established and lost its first connection, and whose positions
    /// begin at `up` (client to server) and `down`.
    ///
    /// # Errors
    ///
    /// If the first handshake or the restored snapshots fail.
    pub fn established(rules: &Rules, up: u64, down: u64) -> Result<Self, Wrong> {
        let rules = &Rules { capacity: usize::MAX, ..rules.clone() };
        let mut world = Self::new(rules)?;
        let (wire, buffer, take) = (1, 1024, usize::MAX);
        let write = |by| Action::Write { wire, by, buffer, take };
        let read = |by| Action::Read { wire, by, most: usize::MAX };
        let mut handshake = vec![Action::Dial];
        for (from, to) in [
            (Party::Client, Party::Server),
            (Party::Server, Party::Client),
            (Party::Client, Party::Server),
        ] {
            handshake.extend([write(from), read(to)]);
        }
        handshake.push(Action::Cut { wire, up: 0, down: 0 });
        handshake.extend([read(Party::Client), read(Party::Server)]);
        for action in handshake {
            world.step(rules, action)?;
        }
        let session = &world.client.session;
        world.client.session = shifted(session, rules.client, up, down)?;
        world.client.app.released = down;
        if let Some(served) = world.served_mut() {
            served.end.session = shifted(&served.end.session, rules.server, down, up)?;
            served.end.app.released = up;
            if rules.store != super::Store::Nothing {
                served.persist();
            }
        }
        world.client.app.disconnected.clear();
        Ok(world)
    }
}

/// The same session with other positions.
fn shifted(
    session: &Session<Vec<u8>>,
    config: outlast_core::Config,
    sent: u64,
    received: u64,
) -> Result<Session<Vec<u8>>, Wrong> {
    let wrong = |error| Wrong(format!("moving a session: {error}"));
    let mut bytes = vec![0; session.snapshot_len(0)];
    let len = session.snapshot(600, &[], &mut bytes).map_err(wrong)?;
    bytes.truncate(len);
    for (at, by) in [(ACKED, sent), (DONE, received)] {
        let mut field = [0; 8];
        field.copy_from_slice(&bytes[at..at + 8]);
        let position = u64::from_le_bytes(field) + by;
        bytes[at..at + 8].copy_from_slice(&position.to_le_bytes());
    }
    let end = len - 4;
    let crc = crc32c(&bytes[..end]);
    bytes[end..].copy_from_slice(&crc.to_le_bytes());
    Ok(Session::restore(config, &bytes, false, Vec::new()).map_err(wrong)?.session)
}

/// CRC-32C, bit by bit: this crate computes it on its own, to check the core's.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ if crc & 1 == 1 { 0x82F6_3B78 } else { 0 };
        }
    }
    !crc
}
