use outlast_service::core::{Event, Instant, Session};

/// What a transport does without waiting.
trait Link {
    /// Bytes that have come, as far as they fit.
    fn read(&mut self, into: &mut [u8]) -> usize;
    /// Takes bytes, as many as it can.
    fn write(&mut self, from: &[u8]) -> usize;
}

/// Bytes of a frame that is not whole yet: at least `Config::max_body` + 4, and 1,028 for a
/// handshake with all it may carry.
struct Partial {
    bytes: [u8; 2048],
    len: usize,
}

/// One turn; returns when the next is due although nothing comes.
fn turn(
    session: &mut Session<[u8]>,
    link: &mut impl Link,
    partial: &mut Partial,
    now: Instant,
    mut tell: impl FnMut(Event<'_>),
) -> Option<Instant> {
    // Input before time: a byte that has come counts before the silence does (DRV-5).
    partial.len += link.read(&mut partial.bytes[partial.len..]);
    let mut input = &partial.bytes[..partial.len];
    loop {
        match session.handle_input(now, &mut input) {
            Ok(Some(event)) => tell(event),
            Ok(None) => break,
            // The peer broke a rule. An event tells it as well, and CLOSE is among the output,
            // which is still written (DRV-17).
            Err(_) => {}
        }
    }
    // What is not a whole frame is offered again in front of what follows (DRV-10).
    let rest = input.len();
    partial.bytes.copy_within(partial.len - rest..partial.len, 0);
    partial.len = rest;
    if rest > 0 {
        session.handle_partial(now);
    }
    session.handle_timeout(now);
    while let Ok(Some(event)) = session.handle_input(now, &mut &[][..]) {
        tell(event);
    }
    // Control first, then the ring, and exactly what was taken is said (DRV-2, DRV-12).
    let mut out = [0; 512];
    loop {
        let len = session.poll_transmit(now, &mut out);
        if len == 0 {
            break;
        }
        // This transport takes what it is given; one that does not must keep the rest.
        assert_eq!(link.write(&out[..len]), len);
    }
    session.poll_timeout()
}

// What follows is not on the page: two ends that take turns.

use std::cell::RefCell;
use std::collections::VecDeque;

use outlast_service::core::wire::Route;
use outlast_service::core::{Acceptor, Attach, Config, Greeting, HANDSHAKE_MAX, wire::Grant};

type Wire = RefCell<VecDeque<u8>>;

/// One end of a pair of wires, which give seven bytes at a time: frames come in parts.
struct End<'a>(&'a Wire, &'a Wire);

impl Link for End<'_> {
    fn read(&mut self, into: &mut [u8]) -> usize {
        let mut wire = self.0.borrow_mut();
        let count = into.len().min(wire.len()).min(7);
        wire.drain(..count).zip(into).for_each(|(byte, place)| *place = byte);
        count
    }

    fn write(&mut self, from: &[u8]) -> usize {
        self.1.borrow_mut().extend(from);
        from.len()
    }
}

#[test]
fn turns_carry_messages_to_an_echo_and_back() {
    let (now, config) = (Instant::from_micros(1_000_000), Config::CONSTRAINED);
    let mut client = Session::client(config, [0; 4096]).unwrap();
    let (mut hello, mut welcome) = ([0; HANDSHAKE_MAX], [0; HANDSHAKE_MAX]);
    let attach = Attach { seed: 1, ..Attach::default() };
    let len = client.attach(now, &attach, &mut hello).unwrap();
    let mut acceptor = Acceptor::new(now, &config);
    let greeting = acceptor.handle_input(now, &mut &hello[..len]);
    let Ok(Some(Greeting::Hello(greeting))) = greeting else {
        panic!("this was a HELLO");
    };
    let grant = Grant { sid: 7, epoch: 1, key_id: 1, key: [3; 16] };
    let accepted = Session::server(now, config, &greeting, grant, 2, [0; 4096], &mut welcome);
    let accepted = accepted.unwrap();
    let mut server = accepted.session;
    let (up, down) = (Wire::default(), Wire::default());
    down.borrow_mut().extend(&welcome[..accepted.written]);

    let partial = || Partial { bytes: [0; 2048], len: 0 };
    let (mut of_client, mut of_server) = (partial(), partial());
    let mut told = Vec::new();
    let mut sent = 0_u32;
    while told.len() < 50 {
        // As many under way as the smallest of sessions has credit for, once there is one.
        let payload = sent.to_le_bytes();
        let is_due = sent < 50 && sent as usize - told.len() < 4;
        if is_due && client.send(Route::from(1u8), &payload).is_ok() {
            sent += 1;
        }
        let mut heard = Vec::new();
        turn(&mut server, &mut End(&up, &down), &mut of_server, now, |event| {
            if let Event::Message { payload, .. } = event {
                heard.push(payload.to_vec());
            }
        });
        for payload in &heard {
            server.send(Route::from(1u8), payload).unwrap();
        }
        turn(&mut client, &mut End(&down, &up), &mut of_client, now, |event| {
            if let Event::Message { payload, .. } = event {
                told.push(u32::from_le_bytes(payload.try_into().unwrap()));
            }
        });
    }
    assert_eq!(told, Vec::from_iter(0..50));
}
