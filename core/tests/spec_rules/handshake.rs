//! Areas HND, AUT and RSM: who may say what until a session is attached.

use super::*;

//= test HND-11
//= test STM-7
#[test]
fn a_session_that_cannot_keep_a_message_takes_none_and_says_in_which_state_it_is() {
    let new = Session::client(config(), Vec::new()).unwrap();
    let (mut dead, mut exported) = pair(config(), config());
    dead.kill(CloseCode::EXPIRED);
    exported.detach(T);
    exported.export(1, &[], &mut [0; 200]).unwrap();
    let (mut ended, mut other) = pair(config(), config());
    ended.finish().unwrap();
    other.finish().unwrap();
    settle(&mut ended, &mut other);
    for (mut end, name) in [(new, "new"), (dead, "dead"), (exported, "exported"), (ended, "ended")]
    {
        let before = end.clone();
        assert_eq!(state_of(end.send(route(), b"x")), name);
        assert_eq!(state_of(end.finish()), name);
        assert_eq!(state_of(end.cancel(RequestId(0), 0)), name);
        assert!(end == before, "{name}");
    }
}

//= test STM-5
#[test]
fn a_call_at_the_wrong_time_names_the_state_and_changes_nothing() {
    let mut out = [0; HANDSHAKE_MAX];
    let attach = Attach::default();
    let mut client = Session::client(config(), Vec::new()).unwrap();
    let said = hello_of(&mut client, T, 7);
    let waiting = client.clone();
    let refused = client.attach(T, &attach, &mut out).unwrap_err();
    assert_eq!((refused.verb(), refused.state()), ("attach", "wait"));
    let refused = client.authenticate(&[], &mut out).unwrap_err();
    assert_eq!((refused.verb(), refused.state()), ("authenticate", "wait"));
    let refused = client.drain(T, CloseCode::OK, 0, 0).unwrap_err();
    assert_eq!((refused.verb(), refused.state()), ("drain", "wait"));
    assert!(client == waiting);
    let (mut server, _) = open(config(), &said);
    let before = server.clone();
    let refused = server.attach(T, &attach, &mut out).unwrap_err();
    assert_eq!(refused.verb(), "attach");
    assert!(server == before);
}

//= test HND-16
#[test]
fn a_client_takes_only_the_welcome_it_asked_for() {
    let (mut client, mut server) = pair(config(), config());
    let mut new = Session::client(config(), Vec::new()).unwrap();
    let (_, opened) = open(config(), &hello_of(&mut new, T, 7));
    let resumed = reopen(&mut client, &mut server);
    assert_eq!(take(&mut new, &resumed).1, Some(CloseCode::BAD_STATE));
    assert_eq!(new.state(), SessionState::New);
    assert_eq!(take(&mut client, &opened).1, Some(CloseCode::BAD_STATE));
    assert_eq!(client.state(), SessionState::Detached);
}

//= test HND-17
#[test]
fn a_hello_that_wants_no_session_is_refused() {
    let mut client = Session::client(config(), Vec::new()).unwrap();
    let said = hello_of(&mut client, T, 7);
    let greeting = Hello { wants_session: false, ..hello(&said) };
    let mut out = [0; HANDSHAKE_MAX];
    let len = greeting.encode(&mut out).unwrap();
    let mut acceptor = Acceptor::new(T, &config());
    let refused = acceptor.handle_input(T, &mut &out[..len]);
    assert_eq!(refused.unwrap_err().code(), CloseCode::CAPABILITY);
}

//= test HND-18
//= test RSM-15
#[test]
fn a_client_confirms_each_welcome_and_both_ends_a_resume() {
    let (mut client, mut server) = fresh(config(), config(), 7);
    assert_eq!(ops(&output(&mut client)), [Op::Ack]);
    assert_eq!(output(&mut server), [], "nothing that has to be confirmed");
    connect(&mut client, &mut server);
    assert_eq!(ops(&output(&mut client)), [Op::Ack]);
    assert_eq!(ops(&output(&mut server)), [Op::Ack]);
}

//= test HND-23
#[test]
fn the_longest_message_is_at_least_the_longest_body() {
    let equal = Config { max_message: 200, ..config() };
    let less = Config { max_message: 199, ..config() };
    let said = hello_of(&mut Session::client(equal, Vec::new()).unwrap(), T, 7);
    assert_eq!(hello(&said).terms.max_msg, 200);
    assert_eq!(Session::client(less, Vec::new()).unwrap_err().key(), "max_message");
}

/// An acceptor that was greeted.
fn greeted() -> Acceptor {
    let mut client = Session::client(config(), Vec::new()).unwrap();
    let said = hello_of(&mut client, T, 7);
    let mut acceptor = Acceptor::new(T, &config());
    let greeting = acceptor.handle_input(T, &mut &said[..]).unwrap();
    assert!(matches!(greeting, Some(Greeting::Hello(_))));
    acceptor
}

//= test AUT-4
#[test]
fn steps_are_numbered_from_zero_answered_by_number_and_eight_at_most() {
    let mut acceptor = greeted();
    let mut client = Session::client(config(), Vec::new()).unwrap();
    hello_of(&mut client, T, 7);
    let mut out = [0; HANDSHAKE_MAX];
    for step in 0..8 {
        let len = acceptor.challenge(b"?", &mut out).unwrap();
        let asked = out[..len].to_vec();
        assert_eq!(frames(&asked)[0].0.tag(), step);
        let (events, broken) = take(&mut client, &asked);
        assert_eq!((&events[..], broken), (&[Event::Challenge { step, data: b"?" }][..], None));
        let len = client.authenticate(b"!", &mut out).unwrap();
        assert_eq!(
            acceptor.handle_input(T, &mut &out[..len]).unwrap(),
            Some(Greeting::Auth { step, data: b"!" })
        );
    }
    assert!(acceptor.challenge(b"?", &mut out).is_err());
}

//= test AUT-8
#[test]
fn steps_out_of_turn_and_too_many_bytes_are_refused() {
    let refused = |acceptor: &mut Acceptor, step, data: &[u8]| {
        let bytes = raw(Op::Auth, step, false, data);
        acceptor.handle_input(T, &mut &bytes[..]).err().map(|violation| violation.code())
    };
    let mut out = [0; HANDSHAKE_MAX];
    assert_eq!(refused(&mut greeted(), 0, b"unasked"), Some(CloseCode::BAD_STATE));
    let mut acceptor = greeted();
    acceptor.challenge(b"?", &mut out).unwrap();
    assert_eq!(refused(&mut acceptor.clone(), 1, b""), Some(CloseCode::BAD_STATE));
    for step in 0..4 {
        assert_eq!(refused(&mut acceptor, step, &[0; 1020]), None);
        acceptor.challenge(b"?", &mut out).unwrap();
    }
    assert_eq!(refused(&mut acceptor.clone(), 4, &[0; 16]), None, "4096 bytes");
    assert_eq!(refused(&mut acceptor, 4, &[0; 17]), Some(CloseCode::AUTH_FAILED));
    let mut client = Session::client(config(), Vec::new()).unwrap();
    hello_of(&mut client, T, 7);
    let early = raw(Op::Auth, 1, false, b"?");
    assert_eq!(take(&mut client, &early).1, Some(CloseCode::BAD_STATE));
}

//= test AUT-12
#[test]
fn only_servers_replace_keys_and_one_at_a_time() {
    let (mut client, mut server) = pair(config(), config());
    assert_eq!(state_of(client.rotate_key(2, [8; 16])), "client");
    let token = raw(Op::Token, 2, false, &[8; 16]);
    assert_eq!(take(&mut server.clone(), &token).1, Some(CloseCode::BAD_STATE));
    server.rotate_key(2, [8; 16]).unwrap();
    assert_eq!(state_of(server.rotate_key(3, [9; 16])), "rotating");
    settle(&mut client, &mut server);
    assert_eq!(state_of(server.rotate_key(2, [9; 16])), "the present key has this number");
    server.rotate_key(3, [9; 16]).unwrap();
}

//= test RSM-1
#[test]
fn a_claim_says_how_far_the_session_has_come_and_proves_it() {
    let (mut client, mut server) = pair(config(), config());
    client.send(route(), b"twelve").unwrap();
    server.send(route(), &[1; 50]).unwrap();
    settle(&mut client, &mut server);
    client.send(route(), b"later").unwrap();
    let said = hello_of(&mut client, ms(60), 7);
    let claim = hello(&said).resume.unwrap();
    assert_eq!((claim.sid, claim.key_id, claim.proof_kind), (9, 1, 1));
    assert_eq!(claim.attach, 2);
    assert_eq!((claim.rx_next, claim.tx_first), (54, 10));
    let key = SessionKey::new(GRANT.key);
    assert_eq!(claim.proof, resume_proof(&key, &claim, &[]));
}

//= test RSM-20
#[test]
fn a_stale_attempt_is_followed_by_the_number_after_the_one_told() {
    let (mut client, _) = pair(config(), config());
    // Attempts so far count as well: the first one is number 2.
    for (told, next) in [(Some(7), 8), (Some(3), 9), (None, 10)] {
        let said = hello_of(&mut client, T, 7);
        let mut out = [0; 64];
        let close = Close { last_attach: told, ..Close::new(CloseCode::STALE_ATTACH) };
        let len = close.encode(&mut out).unwrap();
        assert_eq!(take(&mut client, &out[..len]).1, None);
        assert_eq!(client.state(), SessionState::Detached, "told {told:?} in {said:?}");
        let said = hello_of(&mut client.clone(), T, 7);
        assert_eq!(hello(&said).resume.unwrap().attach, next, "told {told:?}");
    }
}

/// A part of a frame may be noise, and so is what is no frame at all.
//= test REG-8
#[test]
fn a_client_is_heard_once_a_whole_frame_of_its_has_come() {
    let (mut client, mut server) = fresh(config(), config(), 7);
    let said = output(&mut client);
    for len in 0..said.len() {
        take(&mut server, &said[..len]);
        server.handle_partial(T);
        assert!(!server.is_confirmed(), "{len} of {} bytes", said.len());
    }
    take(&mut server, &said);
    assert!(server.is_confirmed());
    let (_, mut server) = fresh(config(), config(), 7);
    assert!(take(&mut server, &[0; 4]).1.is_some());
    assert!(!server.is_confirmed(), "what is illegal is no frame");
}
