//! Cases of servers: what comes first on a connection.

use super::play::hello;
use super::{Done, Judge, Match, close, ensure};
use crate::raw::{self, Frame, Hello, LANE, kind};

/// A connection that begins with these bytes is closed with this code.
fn refuses(judge: &mut Judge<'_>, bytes: &[u8], code: u16) -> Done<Frame> {
    let mut far = judge.connect()?;
    judge.write(&mut far, bytes)?;
    judge.closes(&mut far, code, 0)
}

pub(super) fn foreign_protocols(judge: &mut Judge<'_>) -> Done {
    let openings: [&[u8]; 10] = [
        &[0; 64],
        &[0xFF; 64],
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /x HTTP/1.0\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"*1\r\n$4\r\nPING\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"{\"message_type\": \"login_request\"}\n",
        b"EHLO mail.example\r\n",
    ];
    for opening in openings {
        let close = refuses(judge, opening, 0x0101)?;
        ensure(close.body.len() == 8, || "CLOSE says more than its code".into())?;
        // One byte is enough to know it.
        refuses(judge, &opening[..1], 0x0101)?;
    }
    Ok(())
}

pub(super) fn wrong_magic(judge: &mut Judge<'_>) -> Done {
    for at in 4..8 {
        let mut bytes = hello(judge).encode();
        bytes[at] ^= 0x20;
        refuses(judge, &bytes[..=at], 0x0101)?;
    }
    Ok(())
}

pub(super) fn no_common_version(judge: &mut Judge<'_>) -> Done {
    let newer = Hello { versions: (2, 3), ..hello(judge) };
    let mut far = judge.connect()?;
    judge.write(&mut far, &newer.encode())?;
    let mut wanted = close(0x0201, 16);
    wanted.extend([Match::Any; 4]);
    wanted.extend([Match::Is(1), Match::Any]);
    judge.expect(&mut far, "CLOSE with VERSION and the range", &wanted)?;
    let mut layout = hello(judge).encode();
    layout[1] = 2;
    refuses(judge, &layout, 0x0201)?;
    for versions in [(0, 1), (2, 1)] {
        refuses(judge, &Hello { versions, ..hello(judge) }.encode(), 0x0101)?;
    }
    // The highest that both speak.
    let play = judge.play_with(Hello { versions: (1, 9), ..hello(judge) })?;
    ensure(play.welcome.body[4] == 1, || format!("version {}", play.welcome.body[4]))
}

pub(super) fn welcome_is_legal(judge: &mut Judge<'_>) -> Done {
    let asked = Hello { idle_ms: 7_000, beat_ms: 400, retention_s: 60, ..hello(judge) };
    let play = judge.play_with(asked)?;
    let welcome = &play.welcome;
    let number = |at: usize| welcome.number::<4>(at);
    let (body, window) = (welcome.number::<2>(8), number(20));
    ensure((60..=16_383).contains(&body), || format!("max_body {body}"))?;
    ensure(window >= body + 4 && window < 1 << 31, || format!("window {window}"))?;
    ensure(number(24) >= body, || format!("max_msg {} below max_body {body}", number(24)))?;
    let idle = number(12);
    ensure(idle == 0 || idle >= 1_200, || format!("idle_ms {idle} for beats each 400 ms"))?;
    ensure(number(16) >= 7_000, || format!("c_idle_ms {}, asked for 7000", number(16)))?;
    ensure(number(28) <= 60, || format!("ttl_s {}, asked for 60", number(28)))?;
    ensure(welcome.number::<2>(6) == 2, || format!("flags {}", welcome.number::<2>(6)))?;
    ensure(welcome.body[5] == 0, || "a reserved byte is used".into())?;
    let option = welcome.option(0x10).unwrap_or_default();
    ensure(option.len() == 32 && option[13..16] == [0; 3], || format!("SESSION {option:02x?}"))?;
    let other = judge.play()?;
    let differ = other.claim.sid != play.claim.sid && other.claim.key != play.claim.key;
    ensure(differ, || "two sessions with one number or key".into())
}

pub(super) fn illegal_limits(judge: &mut Judge<'_>) -> Done {
    let base = || hello_of(judge.options.token.as_deref());
    let hellos = [
        Hello { max_body: 59, ..base() },
        Hello { max_body: 16_384, ..base() },
        Hello { window: 16_386, ..base() },
        Hello { window: 1 << 31, ..base() },
        Hello { beat_ms: 600_001, ..base() },
    ];
    for hello in hellos {
        refuses(judge, &hello.encode(), 0x0206)?;
    }
    Ok(())
}

fn hello_of(token: Option<&[u8]>) -> Hello {
    let mut hello = Hello::default();
    if let Some(token) = token {
        hello.flags |= 4;
        hello.options.extend([0x03, (token.len() + 1) as u8, 1]);
        hello.options.extend(token);
    }
    hello
}

pub(super) fn extreme_fields(judge: &mut Judge<'_>) -> Done {
    for value in [0, 1, u32::MAX] {
        let base = || hello_of(judge.options.token.as_deref());
        let hellos = [
            Hello { max_requests: value as u16, ..base() },
            Hello { idle_ms: value, ..base() },
            Hello { max_message: value, ..base() },
            Hello { retention_s: value, ..base() },
            Hello { send_buffer: value, ..base() },
        ];
        for hello in hellos {
            let mut far = judge.connect()?;
            judge.write(&mut far, &hello.encode())?;
            let frame = judge.frame(&mut far)?;
            let fits = frame.kind == kind::WELCOME || frame.close().is_some();
            ensure(fits, || format!("{frame:?} to {hello:?}"))?;
            // So that it does not keep a place among the unconfirmed.
            judge.write(&mut far, &raw::ack(0, hello.window))?;
        }
    }
    Ok(())
}

pub(super) fn options(judge: &mut Judge<'_>) -> Done {
    let wrong: [&[u8]; 6] = [
        &[0x01],
        &[0x01, 4, 0, 0],
        &[0x01, 3, 0, 0, 0],
        &[0x01, 4, 0, 0, 0, 0, 0x01, 4, 0, 0, 0, 0],
        &[0xF0, 0],
        &[0x02, 47],
    ];
    for options in wrong {
        let mut hello = hello(judge);
        hello.options.extend(options);
        refuses(judge, &hello.encode(), 0x0109)?;
    }
    let mut hello = hello(judge);
    hello.options.extend([0x70, 2, 1, 2, 0x71, 0]);
    judge.play_with(hello).map(drop)
}

pub(super) fn flags(judge: &mut Judge<'_>) -> Done {
    let with = |judge: &Judge<'_>, flags: u16| {
        let hello = hello(judge);
        Hello { flags: hello.flags ^ flags, ..hello }.encode()
    };
    refuses(judge, &with(judge, 8), 0x0101)?;
    refuses(judge, &with(judge, 1), 0x0109)?;
    // Neither SESSION nor RESUME.
    refuses(judge, &with(judge, 2), 0x0202).map(drop)
}

pub(super) fn too_long(judge: &mut Judge<'_>) -> Done {
    let [low, high] = 1_021u16.to_le_bytes();
    refuses(judge, &[kind::HELLO, 1, low, high], 0x0102)?;
    let lane = LANE.to_le_bytes()[1];
    refuses(judge, &[kind::HELLO, 1, 36, lane], 0x0105).map(drop)
}

pub(super) fn bytes_behind_hello(judge: &mut Judge<'_>) -> Done {
    let bytes = [hello(judge).encode(), raw::message(1, b"eager")].concat();
    refuses(judge, &bytes, 0x0104).map(drop)
}

pub(super) fn other_frames_first(judge: &mut Judge<'_>) -> Done {
    for kind in [0x08, 0x09, 0x0A, 0x0C, 0x10, 0x41, 0x5E, 0x80, 0x81, 0x85, 0x8F, 0xC0] {
        // Its first byte is enough.
        refuses(judge, &[kind], 0x0104)?;
    }
    let welcome = raw::welcome(1, [0; 16], &Hello::default());
    refuses(judge, &welcome, 0x0104)?;
    refuses(judge, &raw::frame(kind::AUTH, 0, b"x"), 0x0104).map(drop)
}

pub(super) fn byte_at_a_time(judge: &mut Judge<'_>) -> Done {
    let mut far = judge.connect()?;
    for byte in hello(judge).encode() {
        judge.write(&mut far, &[byte])?;
        judge.pass(2_000);
    }
    let welcome = judge.frame(&mut far)?;
    ensure(welcome.kind == kind::WELCOME, || format!("{welcome:?}"))?;
    judge.write(&mut far, &raw::ack(0, super::play::WINDOW))
}

pub(super) fn handshake_has_an_end(judge: &mut Judge<'_>) -> Done {
    let mut far = judge.connect()?;
    let start = judge.now();
    let mut bytes = hello(judge).encode();
    bytes.truncate(35);
    for byte in bytes {
        judge.write(&mut far, &[byte])?;
        judge.pass(1_000_000);
        judge.pull(&mut far);
        if !far.open || !far.inbox.is_empty() {
            break;
        }
    }
    let passed = (judge.now() - start) / 1_000_000;
    ensure(passed < 34, || "its bytes extend the time".into())?;
    judge.closes(&mut far, 0x0106, 0).map(drop)
}
