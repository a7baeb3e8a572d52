//! The cases. Each goes through every format for which it means something.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use outlast_core::client::{Attempts, DialerConfig};
use outlast_service::Limits;
use outlast_service::net::Net;
use outlast_service::plain::formats::{Format, FormatError, FormatKind};
use outlast_service::plain::{PlainCause, PlainConfig, PlainError};

use super::ground::Host;
use super::subject::{ECHO, SUBJECTS, Subject};
use super::wire::Wire;
use crate::net::{Ground, Unserved};

/// Tries once.
fn once() -> DialerConfig {
    DialerConfig { attempts: Attempts::Once, ..DialerConfig::default() }
}

/// Deadlines that no case comes near by itself, however long the machine does something else.
fn patient() -> PlainConfig {
    const HOUR: Duration = Duration::from_secs(3_600);
    PlainConfig {
        idle_timeout: HOUR,
        packet_timeout: HOUR,
        write_timeout: HOUR,
        ..PlainConfig::default()
    }
}

fn host<N: Net>(ground: &Ground<N>, subject: &Subject) -> Host {
    ground.serve(subject.format(), patient(), Limits::one_source())
}

fn payloads(subject: &Subject, count: u32) -> Vec<Vec<u8>> {
    (0..count).map(|number| subject.payload(number, 7 * number as usize)).collect()
}

/// Messages are echoed, whatever happened before.
fn works(host: &Host, subject: &Subject) {
    assert!(echoes(host, subject), "{}", subject.name);
}

/// Whether they are, all of them.
fn echoes(host: &Host, subject: &Subject) -> bool {
    let sent = payloads(subject, 3);
    let mut wire = Wire::to(host.address, subject.format());
    wire.offer(&subject.bytes(&sent));
    wire.take(&sent) == sent
}

/// Any byte split and any coalescing gives the same packets.
pub fn c01_any_division_gives_the_same_packets<N: Net>(ground: &Ground<N>) {
    for subject in SUBJECTS {
        let host = host(ground, subject);
        let sent = payloads(subject, 20);
        let bytes = subject.bytes(&sent);
        for size in [1, 2, 3, 7, 64, bytes.len()] {
            let mut wire = Wire::to(host.address, subject.format());
            for piece in bytes.chunks(size) {
                wire.write(piece);
            }
            assert_eq!(wire.take(&sent), sent, "{} in pieces of {size}", subject.name);
        }
    }
}

/// What one connection has begun another one does not see.
pub fn c02_a_connection_keeps_its_bytes_to_itself<N: Net>(ground: &Ground<N>) {
    for subject in SUBJECTS {
        let host = host(ground, subject);
        let sent = payloads(subject, 5);
        let bytes = subject.bytes(&sent);
        let mut wires: Vec<Wire> =
            (0..5).map(|_| Wire::to(host.address, subject.format())).collect();
        for piece in bytes.chunks(5) {
            wires.iter_mut().for_each(|wire| wire.write(piece));
        }
        for wire in &mut wires {
            assert_eq!(wire.take(&sent), sent, "{}", subject.name);
        }
    }
}

/// Bytes that were read stay, however long the rest takes within its deadline.
pub fn c03_a_pause_within_a_packet_loses_nothing<N: Net>(ground: &Ground<N>) {
    for subject in SUBJECTS.iter().filter(|subject| subject.has_packets()) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let config = patient();
        let (_handle, told) = ground.dial(address, subject.format(), config, once());
        let (mut stream, _) = listener.accept().expect("the client");
        let sent = payloads(subject, 3);
        for byte in subject.bytes(&sent).chunks(1) {
            stream.write_all(byte).expect("the client");
            // Nothing depends on how long this is: a read finds one byte, or some.
            std::thread::yield_now();
        }
        let heard = told.until(|heard| (heard.payloads.len() == 3).then(|| heard.payloads.clone()));
        assert_eq!(heard, sent, "{}", subject.name);
    }
}

/// An empty packet, the end of the stream and half a packet are told apart.
pub fn c04_empty_end_and_truncated_are_three_things<N: Net>(ground: &Ground<N>) {
    for subject in SUBJECTS.iter().filter(|subject| subject.has_packets()) {
        let (clean, cut) = (host(ground, subject), host(ground, subject));
        let sent = vec![match subject.has_empty() {
            true => Vec::new(),
            false => subject.payload(1, 0),
        }];
        let bytes = subject.bytes(&sent);
        let mut wire = Wire::to(clean.address, subject.format());
        wire.write(&bytes);
        assert_eq!(wire.take(&sent), sent, "{}", subject.name);
        wire.shut();
        assert_eq!(wire.next(), None);
        assert_eq!(clean.told.end().cause, PlainCause::Finished, "{}", subject.name);
        let mut wire = Wire::to(cut.address, subject.format());
        wire.write(&bytes[..bytes.len() - 1]);
        wire.shut();
        let cause = cut.told.end().cause;
        let have = bytes.len() - 1;
        assert!(
            matches!(cause, PlainCause::Truncated { have: told, .. } if told == have),
            "{}: {cause:?}",
            subject.name
        );
    }
}

/// A length beyond the limit costs the connection before its bytes are waited for.
pub fn c05_a_length_over_the_limit_is_refused_from_the_header<N: Net>(ground: &Ground<N>) {
    for subject in SUBJECTS {
        let Some(overlong) = subject.overlong() else {
            continue;
        };
        let host = host(ground, subject);
        let mut wire = Wire::to(host.address, subject.format());
        wire.offer(&overlong);
        while wire.next().is_some() {}
        let cause = host.told.end().cause;
        let is_limit = matches!(
            cause,
            PlainCause::Malformed(FormatError::TooLong { .. } | FormatError::NoDelimiter { .. })
        );
        assert!(is_limit, "{}: {cause:?}", subject.name);
        works(&host, subject);
    }
}

/// As many messages as one likes, all under way at once, through the smallest queue.
pub fn c06_pipelined_messages_come_back_whatever_the_queue<N: Net>(ground: &Ground<N>) {
    for subject in SUBJECTS {
        let config = PlainConfig { send_queue: 1, ..patient() };
        let host = ground.serve(subject.format(), config, Limits::one_source());
        let sent = payloads(subject, 20_000);
        let bytes = subject.bytes(&sent);
        let mut wire = Wire::to(host.address, subject.format());
        let mut socket = wire.socket();
        let writing = std::thread::spawn(move || socket.write_all(&bytes));
        assert_eq!(wire.take(&sent), sent, "{}", subject.name);
        writing.join().expect("the writer").expect("a connection");
    }
}

/// A peer that takes nothing has a bounded queue, and is dropped at a deadline.
pub fn c07_a_peer_that_never_reads_slows_only_itself<N: Net>(ground: &Ground<N>) {
    for subject in SUBJECTS {
        let config = PlainConfig {
            send_queue: 64 << 10,
            write_timeout: Duration::from_millis(300),
            ..patient()
        };
        let host = ground.serve(subject.format(), config, Limits::one_source());
        let slow = Wire::to(host.address, subject.format());
        let mut socket = slow.socket();
        let bytes = subject.bytes(&payloads(subject, 2000));
        let flooding = std::thread::spawn(move || while socket.write_all(&bytes).is_ok() {});
        works(&host, subject);
        let closed = host.told.until(|heard| {
            heard.closed.iter().find(|closed| closed.cause == PlainCause::WriteTimeout).copied()
        });
        // What one read brought is answered, and no more is read.
        assert!(closed.unsent < 512 << 10, "{}: {}", subject.name, closed.unsent);
        works(&host, subject);
        drop(slow);
        flooding.join().expect("the writer");
    }
}

/// What nobody takes is answered with an error, or not at all, and the connection goes on.
pub fn c08_an_unknown_key_costs_no_more_than_an_answer<N: Net>(ground: &Ground<N>) {
    for subject in SUBJECTS {
        let Some(unknown) = subject.unknown() else {
            continue;
        };
        let host = host(ground, subject);
        let mut wire = Wire::to(host.address, subject.format());
        let sent = payloads(subject, 2);
        wire.write(&[unknown, subject.bytes(&sent)].concat());
        if subject.has_failures() {
            let said = wire.next().expect("an error");
            assert!(!sent.contains(&said), "{}", subject.name);
        }
        assert_eq!(wire.take(&sent), sent, "{}", subject.name);
    }
}

/// Whoever closes, and whoever sends meanwhile: an error, and every hook once.
pub fn c09_close_and_send_race_and_every_hook_is_called_once<N: Net>(ground: &Ground<N>) {
    for subject in SUBJECTS {
        let host = host(ground, subject);
        for round in 0..40_u32 {
            let config = patient();
            let (handle, told) = ground.dial(host.address, subject.format(), config, once());
            told.until(|heard| (heard.connected == 1).then_some(()));
            let (sender, subject) = (handle.clone(), *subject);
            ground.aside(async move {
                let payload = subject.payload(1, 20);
                while sender.send(&subject.packet(&ECHO, 1, &payload)).await.is_ok() {}
            });
            match round % 3 {
                0 => handle.close(),
                1 => handle.finish(),
                _ => {
                    let connected = |heard: &super::ground::Heard| {
                        (heard.connected > round as usize).then_some(())
                    };
                    host.told.until(connected);
                    host.handle.close_all();
                }
            }
            told.end();
            let all = round as usize + 1;
            host.told.until(|heard| (heard.closed.len() == all).then_some(()));
            let counts = told.until(|heard| Some((heard.connected, heard.closed.len())));
            assert_eq!(counts, (1, 1), "{}", subject.name);
        }
        let counts = host.told.until(|heard| Some((heard.connected, heard.closed.len())));
        assert_eq!(counts, (40, 40), "{}", subject.name);
    }
}

/// A peer that says nothing loses its place, though no byte ever comes.
pub fn c10_a_silent_peer_is_closed_on_time_and_its_place_is_free<N: Net>(ground: &Ground<N>) {
    for subject in SUBJECTS {
        let idle_timeout = Duration::from_millis(150);
        let config = PlainConfig { idle_timeout, ..patient() };
        let mut limits = Limits::one_source();
        (limits.connections.max_connections, limits.connections.reserve_share) = (1, 0);
        let host = ground.serve(subject.format(), config, limits);
        let since = Instant::now();
        let mut silent = Wire::to(host.address, subject.format());
        assert_eq!(silent.next(), None);
        assert!(since.elapsed() >= idle_timeout);
        assert_eq!(host.told.end().cause, PlainCause::Silence, "{}", subject.name);
        // On a machine that does something else the next one may be as late, but it is let in.
        for number in 1_usize.. {
            while host.handle.stats().connections > 0 {
                std::thread::yield_now();
            }
            if echoes(&host, subject) {
                break;
            }
            let ended = host.told.until(|heard| heard.closed.get(number).copied());
            assert_eq!(ended.cause, PlainCause::Silence, "{}", subject.name);
        }
    }
}

/// Attempts are as many as they are to be, and what cannot be sent costs nothing.
pub fn c11_attempts_are_counted_and_misuse_leaves_the_connection<N: Net>(ground: &Ground<N>) {
    let nobody = Unserved::new();
    let dialer = DialerConfig {
        attempts: Attempts::UpTo(3),
        backoff_base: 1000,
        backoff_cap: 1000,
        ..DialerConfig::default()
    };
    for subject in SUBJECTS {
        let config = patient();
        let (_, told) = ground.dial(nobody.address(), subject.format(), config, dialer);
        let failed = told.until(|heard| (heard.failed.len() == 3).then(|| heard.failed.clone()));
        assert_eq!(failed, [(1, true), (2, true), (3, false)], "{}", subject.name);
        let host = host(ground, subject);
        let (handle, told) = ground.dial(host.address, subject.format(), config, once());
        told.until(|heard| (heard.connected == 1).then_some(()));
        if !matches!(subject.format().kind(), FormatKind::Raw | FormatKind::Ndjson) {
            let long = vec![b'x'; subject.format().max_input().max((16 << 20) + 1)];
            let refused = handle.try_send(&subject.packet(&ECHO, 1, &long));
            let is_limit =
                matches!(refused, Err(PlainError::Format(FormatError::TooLongToSend { .. })));
            assert!(is_limit, "{}: {refused:?}", subject.name);
        }
        let payload = subject.payload(1, 20);
        handle.try_send(&subject.packet(&ECHO, 1, &payload)).expect("a connection");
        let heard = told.until(|heard| heard.payloads.first().cloned());
        assert_eq!(heard, payload, "{}", subject.name);
    }
}

/// The same bytes are taken or refused as the limit says.
pub fn c12_a_limit_that_is_set_is_kept<N: Net>(ground: &Ground<N>) {
    for subject in SUBJECTS {
        let kind = subject.format().kind();
        let most = match kind {
            FormatKind::Fixed | FormatKind::Raw | FormatKind::Htlv => continue,
            FormatKind::RocketMq => "40",
            FormatKind::MsgTrans => "64",
            _ => "30",
        };
        let tight = subject.with(&[("max", most)]);
        let sent = vec![subject.payload(123, 200)];
        let bytes = subject.bytes(&sent);
        let host = ground.serve(tight, patient(), Limits::one_source());
        let mut stream = TcpStream::connect(host.address).expect("a listener");
        // It may be closed while this is under way.
        let _ = stream.write_all(&bytes);
        let cause = host.told.end().cause;
        assert!(matches!(cause, PlainCause::Malformed(_)), "{}: {cause:?}", subject.name);
        works(&self::host(ground, subject), subject);
    }
}

/// As many requests as one likes, one after the other.
pub fn c13_requests_leave_nothing_behind<N: Net>(ground: &Ground<N>) {
    for subject in SUBJECTS.iter().filter(|subject| subject.has_requests()) {
        let host = host(ground, subject);
        let config = PlainConfig { max_requests: 1, ..patient() };
        let (handle, told) = ground.dial(host.address, subject.format(), config, once());
        told.until(|heard| (heard.connected == 1).then_some(()));
        let asking = handle.clone();
        let asked = ground.run(async move {
            let mut asked = 0;
            for number in 0..5000_u32 {
                let payload = number.to_le_bytes();
                let answer = asking.request(ECHO.0, &payload, Duration::from_secs(30)).await;
                asked += u32::from(answer.is_ok_and(|answer| answer.payload[..] == payload));
            }
            asked
        });
        assert_eq!(asked, 5000, "{}", subject.name);
        // An answer is given to who waits before it is counted.
        while handle.info().packets_in < 5000 {
            std::thread::yield_now();
        }
        let info = handle.info();
        assert_eq!((info.packets_out, info.packets_in, info.queued), (5000, 5000, 0));
    }
}
