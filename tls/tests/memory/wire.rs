//! Peers whose bytes are written by hand.

use std::future::poll_fn;
use std::io::ErrorKind;

use outlast_service::Transport;
use outlast_tls::{ServerTls, TlsError};

use crate::common::both;
use crate::ends::{handshake, meet, pair, read_all, shutdown, tls, write_all};
use crate::executor::{Rng, Sim};
use crate::link::{Faults, Link};

/// What a server makes of these first bytes, and what it answers.
fn meets(server: &ServerTls, bytes: Vec<u8>, then_end: bool) -> (TlsError, ErrorKind, Vec<u8>) {
    let sim = Sim::new(1);
    let link = Link::new(&sim, Faults::default(), Faults::default(), 1);
    let (mut near, far) = link.ends();
    let mut far = server.accept(far).unwrap();
    sim.run(async move {
        write_all(&mut near, &bytes).await.unwrap();
        if then_end {
            shutdown(&mut near).await.unwrap();
        }
        let error = handshake(&mut far).await.unwrap_err();
        shutdown(&mut far).await.unwrap();
        // Whoever has failed reads nothing more, and ends with the peer.
        if !then_end {
            shutdown(&mut near).await.unwrap();
        }
        assert_eq!(read_all(&mut far, 100).await.0, b"");
        let answer = read_all(&mut near, 1_000).await.0;
        (tls(&error), error.kind(), answer)
    })
}

#[test]
fn what_is_not_tls_is_recognised() {
    let (_, server) = both();
    let firsts: [&[u8]; 6] = [
        b"\x01\x01\x24\x00OUTL\x01\x01",
        b"GET / HTTP/1.1\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"\x00",
        b"\xFF\xFF\xFF\xFF\xFF\xFF",
        b"\x16\x05\x01",
    ];
    for first in firsts {
        let (error, kind, answer) = meets(&server, first.to_vec(), false);
        assert_eq!((error, kind), (TlsError::NotTls, ErrorKind::InvalidData), "{first:02x?}");
        // An alert, and nothing else.
        assert!(answer.starts_with(&[0x15, 0x03]) && answer.len() == 7, "{answer:02x?}");
    }
    assert_eq!(server.stats().not_tls, firsts.len() as u64);
}

#[test]
fn tls_gone_wrong_is_broken() {
    let (_, server) = both();
    // A handshake record with nonsense; a close_notify in the handshake; an endless record.
    for (bytes, ends) in [
        (b"\x16\x03\x01\x00\x05\x09\x00\x00\x01\x00".to_vec(), false),
        (b"\x15\x03\x03\x00\x02\x01\x00".to_vec(), true),
        ([&b"\x16\x03\x01\xFF\xFF"[..], &[0; 40_000]].concat(), false),
    ] {
        let (error, ..) = meets(&server, bytes.clone(), ends);
        let known = matches!(error, TlsError::Broken(_) | TlsError::EndedInHandshake);
        assert!(known, "{error:?} to {:02x?}", &bytes[..bytes.len().min(16)]);
    }
    assert_eq!(server.stats().handshakes, 0);
}

/// The first words of a client.
fn client_hello() -> Vec<u8> {
    let (client, _) = both();
    let sim = Sim::new(1);
    let link = Link::new(&sim, Faults::default(), Faults::default(), 1);
    let (near, far) = link.ends();
    let mut near = client.connect(near, "localhost").unwrap();
    let look = link;
    sim.run(async move {
        let mut buf = [0; 10];
        poll_fn(|cx| {
            assert!(near.poll_read(cx, &mut buf).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        drop(far);
    });
    look.up().log.clone()
}

/// A ClientHello in records of one byte is still one.
#[test]
fn a_greeting_in_many_records_is_one() {
    let (_, server) = both();
    let hello = client_hello();
    let pieces: Vec<u8> =
        hello[5..].iter().flat_map(|byte| [0x16, 0x03, 0x01, 0x00, 0x01, *byte]).collect();
    let (error, _, answer) = meets(&server, pieces, true);
    // The server has answered, and the client has gone.
    assert_eq!(error, TlsError::EndedInHandshake);
    assert!(answer.starts_with(&[0x16, 0x03, 0x03]), "{:02x?}", &answer[..8]);
}

/// Whatever is changed in a greeting, the server has an answer or an error and does not hang.
#[test]
fn a_greeting_that_was_changed_harms_nobody() {
    let (_, server) = both();
    let hello = client_hello();
    let seed = std::env::var("OUTLAST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
    println!("OUTLAST_SEED={seed}");
    let mut rng = Rng(seed);
    for _ in 0..1_000 {
        let mut changed = hello.clone();
        for _ in 0..rng.range(1, 4) {
            let at = rng.range(0, changed.len() as u64 - 1) as usize;
            match rng.range(0, 2) {
                0 => changed[at] = rng.next() as u8,
                1 => changed.truncate(at + 1),
                _ => changed.insert(at, rng.next() as u8),
            }
        }
        let (error, _, _) = meets(&server, changed, true);
        let known = matches!(
            error,
            TlsError::NotTls
                | TlsError::EndedInHandshake
                | TlsError::Broken(_)
                | TlsError::Incompatible(_)
                | TlsError::WrongProtocol
                | TlsError::Refused(_)
        );
        assert!(known, "{error:?}");
    }
    assert_eq!(server.stats().handshakes, 0);
}

/// Bytes that nobody has encrypted, behind a good handshake.
#[test]
fn a_stream_that_was_tampered_with_is_broken_and_says_so() {
    let (client, server) = both();
    let sim = Sim::new(1);
    let faults = (Faults::default(), Faults::default());
    let (link, mut near, mut far) = pair(&sim, (&client, &server), faults, 1);
    sim.run(async move {
        meet(&mut near, &mut far).await.unwrap();
        write_all(&mut near, b"hello").await.unwrap();
        let mut buf = [0; 10];
        assert_eq!(poll_fn(|cx| far.poll_read(cx, &mut buf)).await.unwrap(), 5);
        // A third party's connection to the same place would be another stream: the bytes are put
        // into this one through another end of it.
        let (mut third, unused) = link.ends();
        write_all(&mut third, &[&b"\x17\x03\x03\x00\x20"[..], &[7; 32]].concat()).await.unwrap();
        let (got, ended) = read_all(&mut far, 10).await;
        let error = ended.unwrap_err();
        assert!(got.is_empty() && matches!(tls(&error), TlsError::Broken(_)), "{error:?}");
        assert!(tls(&error).is_retryable());
        // The other end hears of it.
        let (_, ended) = read_all(&mut near, 10).await;
        assert!(matches!(tls(&ended.unwrap_err()), TlsError::Refused(_)));
        std::mem::forget((third, unused));
    });
}
