//! Work and limits: what a frame may cost, and which configurations go together.

use super::*;
use core::cell::Cell;
use outlast_core::Storage;
use proptest::prelude::*;

std::thread_local! {
    static LOOKS: Cell<usize> = const { Cell::new(0) };
}

/// Memory that counts how often it is looked at: every step of every loop over what is retained or
/// open is such a look.
#[derive(Debug, Clone)]
struct Counted(Vec<u8>);

fn look() {
    LOOKS.with(|looks| looks.set(looks.get() + 1));
}

impl Storage for Counted {
    fn as_slice(&self) -> &[u8] {
        look();
        &self.0
    }
    fn as_mut_slice(&mut self) -> &mut [u8] {
        look();
        &mut self.0
    }
}

/// A server with `messages` messages under way, as many requests as there can be, and its grace
/// over: there is much that a number in a frame could make it walk over.
fn busy(messages: usize) -> Session<Counted> {
    let most =
        Config { max_requests: 32_768, max_requests_out: 32_768, send_buffer: 40_000, ..config() };
    let wide = Config { window: 1 << 20, window_max: 1 << 20, send_buffer: 1 << 20, ..most };
    let said = hello_of(&mut Session::client(wide, Vec::new()).unwrap(), T, 7);
    let mut out = [0; HANDSHAKE_MAX];
    let memory = Counted(vec![0; 40_000]);
    let accepted = Session::server(T, most, &hello(&said), GRANT, 5, memory, &mut out).unwrap();
    let mut server = accepted.session;
    // Of two sizes: frames of one size in a row are walked over in one look.
    for at in 0..messages {
        server.send(route(), &[1; 6][at % 2..]).unwrap();
    }
    let mut out = [0; 20_000];
    assert!(server.poll_transmit(T, &mut out) >= messages * 19 / 2);
    server
}

/// How often memory is looked at while `bytes` are taken.
fn looks(mut server: Session<Counted>, bytes: &[u8]) -> usize {
    LOOKS.with(|looks| looks.set(0));
    let mut input = bytes;
    while let Ok(Some(_)) = server.handle_input(T, &mut input) {}
    LOOKS.with(Cell::get)
}

/// Frames whose numbers are as large as they can be.
fn exaggerations() -> Vec<Vec<u8>> {
    let big = [0xFF; 16];
    let mut frames = vec![
        encode_ack(u32::MAX, u32::MAX).to_vec(),
        encode_ack(u32::MAX / 2, u32::MAX / 2).to_vec(),
        encode_ack(1_999, 1 << 30).to_vec(),
        raw(Op::Drain, 0, false, &[&[1, 0, 0, 0][..], &big[..8]].concat()),
        raw(Op::Close, 0, false, &[&[7, 0, 4, 0][..], &big[..12]].concat()),
        raw(Op::Token, 0xFF, false, &big),
        raw(Op::Message, 0xFF, true, &big),
        raw(Op::Continue, 0, false, &big),
        raw(Op::Skip, 0xFF, false, &big),
        raw(Op::Hello, 1, false, &[0xFF; 36]),
    ];
    for op in [Op::Request, Op::Response, Op::Cancel] {
        for id in [0u16, 1, 32_767, 32_768, u16::MAX] {
            frames.push(raw(op, 0, false, &id.to_le_bytes()));
        }
    }
    for op in [Op::Ping, Op::Pong] {
        frames.push(raw(op, 0, false, &big));
    }
    frames
}

//= test FRM-18
#[test]
fn no_number_in_a_frame_says_how_often_a_loop_runs() {
    let few = busy(3);
    let many = busy(2_000);
    assert!(looks(many.clone(), &encode_ack(19_000, 1 << 20)) > 1_000, "looks are counted");
    for frame in exaggerations() {
        let (least, most) = (looks(few.clone(), &frame), looks(many.clone(), &frame));
        // Acknowledging may walk over what it acknowledges, and nothing else may walk.
        let walks = frame.first() == Some(&(Op::Ack as u8));
        assert!(least <= 32 && (walks || most <= 32), "{frame:?}: {least}, {most}");
    }
    let mut late = many;
    late.drain(T, CloseCode::GOING_AWAY, 0, 0).unwrap();
    late.poll_transmit(T, &mut [0; 100]);
    while late.send(route(), &[1; 2]).is_ok() {}
    for frame in exaggerations() {
        let walks = frame.first() == Some(&(Op::Ack as u8));
        let most = looks(late.clone(), &frame);
        assert!(walks || most <= 32, "{frame:?}: {most}");
    }
}

//= test FRM-18
#[test]
fn the_work_for_acknowledging_is_that_of_what_is_acknowledged() {
    let server = busy(2_000);
    let mut last = 0;
    for frames in [1u32, 10, 100, 1_000] {
        let work = looks(server.clone(), &encode_ack(frames * 19 / 2 + frames % 2, 1 << 20));
        assert!(work <= 4 * frames as usize + 32, "{frames}: {work}");
        assert!(work > last);
        last = work;
    }
}

prop_compose! {
    /// Any configuration, most of them near a limit.
    fn any_config()(
        body in prop_oneof![Just(60u16), Just(16_383), 60u16..=16_383],
        above in prop_oneof![Just(0u32), 0u32..10_000],
        extra in prop_oneof![Just(0u32), 0u32..600, 0u32..1_000_000],
        send_buffer in prop_oneof![0u32..300, 8_000u32..13_000, Just(1 << 20)],
        requests in prop_oneof![Just(0u16), Just(32_768), 0u16..20, 0u16..=32_768],
        requests_out in prop_oneof![Just(0u16), Just(32_768), 0u16..20, 0u16..=32_768],
        manual in any::<bool>(),
    ) -> Config {
        Config {
            max_body: body,
            max_message: u32::from(body) + above,
            window: u32::from(body) + 4 + extra,
            window_max: u32::from(body) + 4 + extra + above,
            send_buffer,
            max_requests: requests,
            max_requests_out: requests_out,
            release: if manual { Release::Manual } else { Release::Automatic },
            ..config()
        }
    }
}

/// What `a` says reaches `b`, which takes it, and a while later its answer comes.
fn turn(a: &mut End, b: &mut End, time: &mut u64) -> usize {
    let said = output_at(a, ms(*time));
    let (events, broken) = take_at(b, ms(*time), &said);
    let messages = events.iter().filter(|event| matches!(event, Event::Message { .. })).count();
    assert_eq!(broken, None);
    b.release(ms(*time), b.received());
    *time += 30;
    let said = output_at(b, ms(*time));
    assert_eq!(take_at(a, ms(*time), &said).1, None);
    a.release(ms(*time), a.received());
    messages
}

/// A message as long as a frame may be, and a request, both more than once.
fn talk(a: &mut End, b: &mut End, time: &mut u64) {
    for _ in 0..3 {
        a.send(route(), &vec![7; usize::from(a.max_body())]).unwrap();
        assert_eq!((0..3).map(|_| turn(a, b, time)).sum::<usize>(), 1);
        assert_eq!(a.acknowledged(), a.sent());
        let Some(id) = a.free_request() else { continue };
        a.request(id, route(), b"").unwrap();
        turn(a, b, time);
        b.respond(id, Status::OK, b"").unwrap();
        turn(b, a, time);
        assert!(!a.is_open_out(id));
    }
}

proptest! {
    //= test HND-25
    #[test]
    fn configurations_that_are_valid_go_together(one in any_config(), other in any_config()) {
        let valid = one.validate().is_ok() && other.validate().is_ok();
        let made = Session::client(one, Vec::new());
        prop_assert_eq!(made.is_ok(), one.validate().is_ok());
        if let Ok(mut client) = made
            && valid
        {
            let said = hello_of(&mut client, T, 7);
            let (mut server, welcome) = open(other, &said);
            prop_assert_eq!(take(&mut client, &welcome).0, [Event::Opened]);
            take(&mut server, &[]);
            let mut time = 0;
            talk(&mut client, &mut server, &mut time);
            talk(&mut server, &mut client, &mut time);
        }
    }
}

//= test HND-25
#[test]
fn a_send_buffer_holds_a_frame_behind_the_bits_of_what_may_be_open() {
    for (max_requests, max_requests_out, least) in
        [(0, 0, 64), (1, 0, 68), (0, 1, 68), (8, 8, 68), (9, 9, 72), (32_768, 32_768, 12_352)]
    {
        let config = Config { max_requests, max_requests_out, send_buffer: least, ..config() };
        assert!(config.validate().is_ok(), "{least}");
        let less = Config { send_buffer: least - 1, ..config };
        let error = less.validate().unwrap_err();
        assert_eq!(error.key(), "send_buffer");
    }
    // Memory that cannot grow is not part of the configuration: it is found out when it is used.
    let said = hello_of(&mut Session::client(config(), Vec::new()).unwrap(), T, 7);
    let mut out = [0; HANDSHAKE_MAX];
    let small = Config { max_requests: 8, max_requests_out: 8, ..config() };
    for (memory, code) in [(&mut [0; 67][..], Some(CloseCode::LIMITS)), (&mut [0; 68], None)] {
        let opened = Session::server(T, small, &hello(&said), GRANT, 5, memory, &mut out);
        assert_eq!(opened.err(), code);
    }
}

#[test]
fn a_session_is_small() {
    // There is one of them for each of very many clients, and hardly more on a microcontroller;
    // the link proofs hold it to 384 bytes where a pointer has 32 bits.
    assert!(size_of::<Session<&'static mut [u8]>>() <= 400);
    assert!(size_of::<Session<Vec<u8>>>() <= 408);
    assert_eq!(size_of::<Option<Session<Vec<u8>>>>(), size_of::<Session<Vec<u8>>>());
}
