//! The judge is judged: an end that keeps the rules passes, and one that breaks a single rule is
//! told which byte was the first.

use std::cell::Cell;

use super::reach::Within;
use super::{Failure, Options, Outcome, Reach, Role, judge, wire_cases};
use crate::driver::{Driver, Stream};
use crate::memory::Memory;
use crate::raw::{self, Claim, Frame, Hello, kind};
use outlast_core::Config;

/// Small enough that its limits are reached in no time.
const SERVER: Config = Config {
    max_body: 2_000,
    max_message: 20_000,
    window: 16_000,
    window_max: 16_000,
    send_buffer: 64 << 10,
    idle_timeout_ms: 3_000,
    ..Config::SERVER
};

const ALL: Options = Options { echo: true, slow: true, token: None, only: None };

/// What a wrong end does to each frame that a right one says: zero, one or more frames.
type Spoil = fn(Frame) -> Vec<Frame>;

/// A right server whose frames are spoilt.
struct Spoilt<'d> {
    right: Within<'d>,
    spoil: Spoil,
}

impl Reach for Spoilt<'_> {
    fn connect(&mut self) -> Result<Box<dyn Stream>, String> {
        let (right, spoil) = (self.right.connect()?, self.spoil);
        Ok(Box::new(SpoiltStream { right, spoil, whole: Vec::new() }))
    }

    fn now(&self) -> u64 {
        self.right.now()
    }

    fn pause(&mut self, micros: u64) {
        self.right.pause(micros);
    }
}

struct SpoiltStream {
    right: Box<dyn Stream>,
    spoil: Spoil,
    whole: Vec<u8>,
}

impl Stream for SpoiltStream {
    fn write(&mut self, bytes: &[u8]) -> usize {
        self.right.write(bytes)
    }

    fn read(&mut self, out: &mut Vec<u8>) -> bool {
        let before = self.whole.len();
        let open = self.right.read(&mut self.whole);
        while let Some(frame) = Frame::take(&mut self.whole) {
            for frame in (self.spoil)(frame) {
                out.extend(super::far::bytes_of(&frame));
            }
        }
        open || self.whole.len() > before
    }

    fn shut(&mut self) {
        self.right.shut();
    }

    fn cut(&mut self) {
        self.right.cut();
    }
}

/// The verdict on a server of this kind in one case.
fn verdict(case: &str, spoil: Spoil) -> Outcome {
    let mut memory = Memory::default();
    let subject = memory.server(SERVER);
    let right = Within::new(&mut memory, subject, true);
    let mut reach = Spoilt { right, spoil };
    let options = Options { only: Some(case.into()), ..ALL };
    let mut verdicts = judge(&mut reach, Role::Server, &options);
    let verdict = verdicts.next().expect("there is such a case");
    assert_eq!(verdict.case.name, case);
    verdict.outcome
}

/// What is wrong with a server of this kind.
fn failure(case: &str, spoil: Spoil) -> Failure {
    match verdict(case, spoil) {
        Outcome::Failed(failure) => *failure,
        other => panic!("{case}: {other:?}"),
    }
}

#[test]
fn the_core_passes() {
    for case in wire_cases() {
        if case.role == Role::Server {
            let outcome = verdict(case.name, |frame| vec![frame]);
            assert_eq!(outcome, Outcome::Passed, "{}", case.name);
        }
    }
}

#[test]
fn names_are_told_apart() {
    let cases = wire_cases();
    for (at, case) in cases.iter().enumerate() {
        let same = cases[..at].iter().any(|other| other.name.contains(case.name));
        assert!(!same, "{} is part of another name before it", case.name);
    }
}

/// Changes one byte of the frames of this kind.
fn byte_of(mut frame: Frame, kind: u8, at: usize, byte: u8) -> Vec<Frame> {
    if frame.kind == kind && frame.body.len() > at {
        frame.body[at] = byte;
    }
    vec![frame]
}

#[test]
fn another_code_is_told_by_its_byte() {
    // BAD_STATE for BAD_FRAME
    let failure = failure("greeting_foreign_protocols", |f| byte_of(f, kind::CLOSE, 0, 4));
    let difference = failure.difference.clone().expect("a byte differs");
    assert_eq!((difference.offset, difference.in_frame), (4, 4));
    assert_eq!((difference.expected, difference.got), (1, Some(4)));
    assert!(failure.said[0].by_judge && !failure.said[1].by_judge, "{failure:?}");
}

#[test]
fn a_welcome_that_takes_back_is_found() {
    // c_idle_ms below what was asked for.
    failure("greeting_welcome_is_legal", |f| byte_of(f, kind::WELCOME, 17, 0));
    // A reserved byte.
    failure("greeting_welcome_is_legal", |f| byte_of(f, kind::WELCOME, 5, 1));
}

#[test]
fn an_end_that_is_not_told_is_found() {
    // CLOSE without SESSION_ENDED
    let failure = failure("open_wrong_acks", |f| byte_of(f, kind::CLOSE, 2, 4));
    let difference = failure.difference.expect("a byte differs");
    assert_eq!((difference.in_frame, difference.expected, difference.got), (6, 5, Some(4)));
}

#[test]
fn a_wrong_nonce_is_found() {
    failure("open_pings_are_answered", |f| byte_of(f, kind::PONG, 0, 9));
}

#[test]
fn a_server_that_does_not_beat_is_found() {
    let mute = |frame: Frame| {
        let beats = frame.kind == kind::PONG && frame.body.is_empty();
        if beats { Vec::new() } else { vec![frame] }
    };
    failure("link_it_beats", mute);
}

#[test]
fn a_takeover_without_no_retry_is_found() {
    let failure = failure("claims_a_takeover_supersedes", |f| byte_of(f, kind::CLOSE, 2, 4));
    assert_eq!(failure.difference.map(|difference| difference.in_frame), Some(6));
}

#[test]
fn a_position_that_is_made_up_is_found() {
    // The first byte of rx_next in RESUMED.
    failure("claims_a_session_goes_on", |f| byte_of(f, kind::WELCOME, 38, 3));
}

#[test]
fn a_message_that_comes_twice_is_found() {
    let twice = |frame: Frame| {
        let is_tenth = frame.kind == kind::MSG && frame.body == 10u32.to_le_bytes();
        if is_tenth { vec![frame.clone(), frame] } else { vec![frame] }
    };
    failure("echo_exactly_once", twice);
}

#[test]
fn a_message_that_is_changed_is_found() {
    failure("echo_messages", |f| byte_of(f, kind::MSG, 0, b'j'));
}

/// An end that says the same at the beginning of each connection, and nothing else.
struct Canned {
    says: Vec<Vec<u8>>,
    count: usize,
    now: Cell<u64>,
}

impl Canned {
    fn new(says: Vec<Vec<u8>>) -> Self {
        Self { says, count: 0, now: Cell::new(0) }
    }
}

impl Reach for Canned {
    fn connect(&mut self) -> Result<Box<dyn Stream>, String> {
        let says = self.says[self.count.min(self.says.len() - 1)].clone();
        self.count += 1;
        Ok(Box::new(CannedStream(says)))
    }

    fn waiting(&mut self) -> Option<Box<dyn Stream>> {
        self.connect().ok()
    }

    fn now(&self) -> u64 {
        self.now.get()
    }

    fn pause(&mut self, micros: u64) {
        self.now.set(self.now.get() + micros);
    }
}

struct CannedStream(Vec<u8>);

impl Stream for CannedStream {
    fn write(&mut self, bytes: &[u8]) -> usize {
        bytes.len()
    }

    fn read(&mut self, out: &mut Vec<u8>) -> bool {
        out.append(&mut self.0);
        true
    }

    fn shut(&mut self) {}

    fn cut(&mut self) {}
}

/// Every case for this role but those named fails with an end that says this.
fn all_fail_but(role: Role, says: &[Vec<u8>], passing: &[&str]) {
    for case in wire_cases().into_iter().filter(|case| case.role == role) {
        let mut reach = Canned::new(says.to_vec());
        let options = Options { only: Some(case.name.into()), ..ALL };
        let verdict = judge(&mut reach, role, &options).next().expect("there is such a case");
        let passed = verdict.outcome == Outcome::Passed;
        assert_eq!(passed, passing.contains(&case.name), "{verdict}");
    }
}

#[test]
fn a_mute_server_passes_nothing() {
    all_fail_but(Role::Server, &[Vec::new()], &[]);
}

#[test]
fn a_server_that_refuses_everybody_passes_no_case_of_a_session() {
    let refuses = raw::frame(kind::CLOSE, 0, &[7, 0, 0, 0, 0, 0, 0, 0]);
    for case in wire_cases() {
        if case.role == Role::Server && !case.name.starts_with("greeting_") {
            let mut reach = Canned::new(vec![refuses.clone()]);
            let options = Options { only: Some(case.name.into()), ..ALL };
            let verdict = judge(&mut reach, Role::Server, &options).next().expect("it is there");
            assert!(matches!(verdict.outcome, Outcome::Failed(_)), "{verdict}");
        }
    }
}

fn modest() -> Hello {
    Hello { idle_ms: 1_000, ..Hello::default() }
}

#[test]
fn a_client_that_only_greets_passes_nothing_else() {
    all_fail_but(Role::Client, &[modest().encode()], &["client_hello_is_legal"]);
}

/// A client that says this fails in this case.
fn client_fails(case: &str, says: &[Vec<u8>]) {
    let mut reach = Canned::new(says.to_vec());
    let options = Options { only: Some(case.into()), ..ALL };
    let verdict = judge(&mut reach, Role::Client, &options).next().expect("there is such a case");
    assert!(matches!(verdict.outcome, Outcome::Failed(_)), "{verdict}");
}

#[test]
fn clients_that_are_wrong_from_the_start_are_found() {
    let eager = [modest().encode(), raw::message(1, b"eager")].concat();
    client_fails("client_hello_is_legal", &[eager]);
    let small = Hello { max_body: 59, ..modest() }.encode();
    client_fails("client_hello_is_legal", &[small]);
    let slow = Hello { beat_ms: 600_001, ..modest() }.encode();
    client_fails("client_hello_is_legal", &[slow]);
}

#[test]
fn a_client_with_a_wrong_proof_is_found() {
    let claim = Claim { sid: 1, attach: 2, key_id: 1, key: [1; 16], rx_next: 0, tx_first: 0 };
    let pong = raw::probe(kind::PONG, 3, 0, 0, 65_536);
    let first = [modest().encode(), raw::ack(0, 65_536), pong].concat();
    client_fails("client_resumes", &[first, modest().resuming(&claim).encode()]);
}
