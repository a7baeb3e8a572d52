//! Sessions restored from arbitrary bytes: refused, or sound enough to be used.

use outlast_core::wire::Route;
use outlast_core::{Attach, Config, HANDSHAKE_MAX, Instant, Session};

/// Bytes of the checksum behind a snapshot.
const CRC_LEN: usize = 4;

/// The bytes as a snapshot: as they are, and with the checksum made to fit, since a fuzzer does not
/// guess one.
pub fn run(data: &[u8]) {
    restore(data);
    let mut sealed = data.to_vec();
    let body = sealed.len().saturating_sub(CRC_LEN);
    sealed.truncate(body);
    let crc = crc32c(&sealed);
    sealed.extend_from_slice(&crc.to_le_bytes());
    restore(&sealed);
}

/// The limits that the seeds were made with.
#[must_use]
pub fn config() -> Config {
    Config { max_requests: 4, max_requests_out: 4, ..Config::CONSTRAINED }
}

fn restore(bytes: &[u8]) {
    let Ok(restored) = Session::restore(config(), bytes, false, [0_u8; 1_024]) else {
        return;
    };
    assert!(restored.partial.len() <= bytes.len());
    let mut session = restored.session;
    let mut again = vec![0; session.snapshot_len(restored.partial.len())];
    let len = session.snapshot(restored.retention_left_s, restored.partial, &mut again);
    let len = len.expect("what was restored can be stored");
    let twice = Session::restore(config(), &again[..len], false, [0_u8; 1_024]);
    let twice = twice.expect("what was stored can be restored").session;
    assert_eq!(twice.unacknowledged(), session.unacknowledged());
    assert_eq!(twice.received(), session.received());
    exercise(&mut session, bytes);
}

/// It can be dialled with, sent with and listened with, without a panic.
fn exercise(session: &mut Session<[u8; 1_024]>, said: &[u8]) {
    let now = Instant::from_micros(1);
    let mut out = [0; HANDSHAKE_MAX];
    let _ = session.send(Route::from(7_u8), b"more");
    let _ = session.attach(now, &Attach::default(), &mut out);
    let mut input = said;
    while let Ok(Some(_)) = session.handle_input(now, &mut input) {}
    session.poll_transmit(now, &mut out);
    session.handle_timeout(now.after(60_000_000));
    assert!(session.acknowledged() <= session.transmitted());
    assert!(session.transmitted() <= session.sent());
    session.detach(now);
}

/// Where a snapshot holds the position acknowledged by the peer, and the one released here.
const POSITIONS: [usize; 2] = [64, 84];

/// Moves both directions of a snapshot on by `shift`.
pub fn shift_positions(bytes: &mut [u8], shift: u64) {
    for at in POSITIONS {
        let field: &mut [u8; 8] =
            bytes[at..].first_chunk_mut().expect("a snapshot has its fixed part");
        *field = (u64::from_le_bytes(*field) + shift).to_le_bytes();
    }
    let (body, crc) = bytes.split_last_chunk_mut::<CRC_LEN>().expect("longer than its checksum");
    *crc = crc32c(body).to_le_bytes();
}

/// CRC-32C, bit by bit: written again here so that a mistake in the core's cannot hide.
#[must_use]
pub fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32| {
        if crc & 1 == 1 { (crc >> 1) ^ 0x82F6_3B78 } else { crc >> 1 }
    };
    let whole = |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc));
    !bytes.iter().fold(!0, whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_published_one() {
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
    }
}
