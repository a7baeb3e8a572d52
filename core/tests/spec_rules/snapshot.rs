//! Area SNP: a session as bytes.

use super::*;

fn snapshot(end: &End) -> Vec<u8> {
    let mut bytes = vec![0; end.snapshot_len(0)];
    let len = end.snapshot(600, &[], &mut bytes).unwrap();
    assert_eq!(len, bytes.len());
    bytes
}

fn restore(bytes: &[u8], durable: bool) -> Result<End, SnapshotError> {
    Session::restore(config(), bytes, durable, Vec::new()).map(|restored| restored.session)
}

fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg())
        })
    })
}

/// Makes the checksum right again.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let at = bytes.len() - 4;
    let crc = crc32c(&bytes[..at]);
    bytes[at..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

//= test SNP-3
#[test]
fn a_server_that_was_restored_is_a_newer_owner() {
    let (mut client, server) = pair(config(), config());
    let epoch = |bytes: &[u8]| u32::from_le_bytes(*bytes[16..].first_chunk().unwrap());
    assert_eq!(epoch(&snapshot(&server)), GRANT.epoch + 1);
    assert_eq!(epoch(&snapshot(&client)), GRANT.epoch);
    let mut newer = restore(&snapshot(&server), false).unwrap();
    connect(&mut client, &mut newer);
    assert_eq!(client.state(), SessionState::Attached);
    // The one it was taken from has been left behind.
    let mut older = server;
    let welcome = reopen(&mut client, &mut older);
    assert_eq!(take(&mut client, &welcome).1, Some(CloseCode::BAD_STATE));
}

/// Whichever end was restored, and both: applications do not begin anew.
//= test SNP-13
#[test]
fn a_session_that_was_restored_is_resumed() {
    let (client, server) = pair(config(), config());
    let (mut client, mut server) =
        (restore(&snapshot(&client), false).unwrap(), restore(&snapshot(&server), false).unwrap());
    let welcome = reopen(&mut client, &mut server);
    let resumed = Event::Resumed { resent: 0 };
    assert_eq!(take(&mut client, &welcome), (vec![resumed], None));
    assert_eq!(take(&mut server, &[]), (vec![resumed], None));
}

//= test SNP-4
#[test]
fn only_a_detached_session_is_exported_and_it_takes_nothing_afterwards() {
    let (mut client, mut server) = pair(config(), config());
    let mut out = [0; 200];
    assert!(server.export(1, &[], &mut out).is_err(), "attached");
    assert_eq!(server.state(), SessionState::Attached);
    server.detach(T);
    server.export(1, &[], &mut out).unwrap();
    assert_eq!(state_of(server.send(route(), b"x")), "exported");
    assert!(server.export(1, &[], &mut out).is_err());
    assert!(server.snapshot(1, &[], &mut out).is_err());
    let said = hello_of(&mut client, T, 7);
    let mut welcome = [0; HANDSHAKE_MAX];
    assert!(server.accept(T, &hello(&said), 5, &mut welcome).is_err());
}

//= test SNP-7
#[test]
fn a_snapshot_needs_the_limits_it_was_taken_with_and_room() {
    let (mut client, _) = pair(config(), config());
    for _ in 0..5 {
        client.send(route(), &[1; 200]).unwrap();
    }
    let bytes = snapshot(&client);
    let others = [
        Config { max_body: 201, ..config() },
        Config { max_message: 1 << 19, ..config() },
        Config { max_requests: 8, ..config() },
    ];
    for other in others {
        let refused = Session::restore(other, &bytes, false, Vec::new()).err();
        assert_eq!(refused, Some(SnapshotError::Limits), "{other:?}");
    }
    let refused = Session::restore(config(), &bytes, false, [0; 512]).err();
    assert!(matches!(refused, Some(SnapshotError::TooSmall { .. })));
    assert!(Session::restore(config(), &bytes, false, [0; 2048]).is_ok());
}

//= test SNP-8
//= test SNP-9
#[test]
fn what_may_have_been_seen_is_restored_in_whole_frames_or_as_everything() {
    let (mut client, _) = pair(config(), config());
    for _ in 0..3 {
        client.send(route(), &[1; 96]).unwrap();
    }
    assert_eq!(client.poll_transmit(T, &mut [0; 150]), 150);
    assert_eq!(client.transmitted().get(), 150);
    let bytes = snapshot(&client);
    assert_eq!(restore(&bytes, false).unwrap().transmitted().get(), 100);
    assert_eq!(restore(&bytes, true).unwrap().transmitted().get(), 300);
}

//= test SNP-12
#[test]
fn no_field_makes_a_restore_take_more_than_the_bytes_hold() {
    let (mut client, mut server) = pair(config(), config());
    client.request(RequestId(3), route(), b"?").unwrap();
    exchange(&mut client, &mut server);
    client.send(route(), &[1; 100]).unwrap();
    let bytes = snapshot(&client);
    for len in 0..bytes.len() {
        assert!(restore(&bytes[..len], false).is_err());
        if len >= 4 {
            assert!(restore(&sealed(bytes[..len].to_vec()), false).is_err());
        }
    }
    for at in 4..bytes.len() - 4 {
        for (size, fill) in [(1, 0xFF), (2, 0xFF), (4, 0xFF), (4, 0x7F), (8, 0xFF)] {
            let mut changed = bytes.clone();
            let end = (at + size).min(bytes.len() - 4);
            changed[at..end].fill(fill);
            if let Ok(session) = restore(&sealed(changed), false) {
                let held = session.held_bytes();
                assert!(held <= 4 * bytes.len(), "{held} bytes for a change at {at}");
                assert_eq!(session.unacknowledged(), client.unacknowledged());
            }
        }
    }
}
