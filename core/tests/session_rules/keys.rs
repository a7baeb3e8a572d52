//! Replacing the key of a session: what the session and a registry know of it.

use super::*;

use outlast_core::registry::Stored;

type Sessions = Registry<[Entry; 4]>;

fn admit(sessions: &mut Sessions, hello: &Hello<'_>) -> Result<Admission, CloseCode> {
    let peer = Peer { principal: None, source: 1, channel_binding: &[], encrypted: false };
    let entropy = Entropy { sid: GRANT.sid, key: GRANT.key };
    sessions.admit(T, hello, &peer, entropy).map_err(|refusal| refusal.code)
}

/// A registry with the session of [`pair`] in it.
fn registered() -> (Sessions, Lease) {
    let mut sessions = Registry::new(RegistryConfig::default(), 1, [const { Entry::EMPTY }; 4]);
    let mut client = Session::client(config(), Vec::new()).unwrap();
    let said = hello(&mut client);
    let greeting = Hello::decode(body(&said, Op::Hello)).unwrap();
    let Ok(Admission::New { lease, grant, .. }) = admit(&mut sessions, &greeting) else {
        panic!("refused");
    };
    assert_eq!(grant, GRANT);
    (sessions, lease)
}

/// The client resumes as `key_id` and key say, by the registry's judgement.
fn resume(sessions: &mut Sessions, client: &mut End, server: &mut End) -> Result<Lease, CloseCode> {
    let said = hello(client);
    let greeting = Hello::decode(body(&said, Op::Hello)).unwrap();
    let Admission::Resume { lease, .. } = admit(sessions, &greeting)? else {
        panic!("not a resume");
    };
    server.fence(T, &mut [0; 64]);
    let mut out = [0; HANDSHAKE_MAX];
    let len = server.accept(T, &greeting, 5, &mut out)?;
    assert_eq!(take(client, &out[..len]).1, None);
    Ok(lease)
}

fn confirmed(server: &mut End, input: &[u8]) -> Option<u8> {
    let (events, _) = take(server, input);
    let mut keys = events.iter().filter_map(|event| {
        if let Event::KeyConfirmed { key_id } = event { Some(*key_id) } else { None }
    });
    keys.next()
}

//= test AUT-13
//= test REG-6
#[test]
fn session_and_registry_agree_which_key_is_good() {
    for by_resume in [false, true] {
        let (mut sessions, mut lease) = registered();
        let (mut client, mut server) = pair(config(), config());
        let mut old = client.clone();
        let key_id = sessions.rotate(lease, [8; 16]).unwrap();
        server.rotate_key(key_id, [8; 16]).unwrap();
        assert!(server.rotate_key(key_id, [9; 16]).is_err(), "one at a time");
        assert_eq!(server.grant().key_id, FIRST_KEY_ID, "not yet");
        assert_eq!(take(&mut client, &output(&mut server)).0, [Event::KeyRotated { key_id }]);
        let told = if by_resume {
            lease = resume(&mut sessions, &mut client, &mut server).unwrap();
            confirmed(&mut server, &[])
        } else {
            client.close(T, CloseCode::GOING_AWAY, 0);
            client.detach(T);
            lease = resume(&mut sessions, &mut client, &mut server).unwrap();
            confirmed(&mut server, &output(&mut client))
        };
        assert_eq!(told, Some(key_id), "by resume: {by_resume}");
        assert_eq!(server.grant().key, [8; 16]);
        assert!(sessions.confirm_key(lease, key_id));
        // Whoever still has the old key has nothing; its attempt comes later than all others.
        for _ in 0..5 {
            hello(&mut old);
        }
        assert_eq!(
            resume(&mut sessions, &mut old, &mut server.clone()),
            Err(CloseCode::NO_SESSION)
        );
        resume(&mut sessions, &mut client, &mut server).unwrap();
    }
}

//= test AUT-13
#[test]
fn an_acknowledgement_of_the_token_confirms_the_key_once() {
    let (mut client, mut server) = pair(config(), config());
    server.rotate_key(2, [8; 16]).unwrap();
    take(&mut client, &output(&mut server));
    let later = T.after(1_000_000);
    let mut out = [0; 128];
    let len = client.poll_transmit(later, &mut out);
    assert_eq!(confirmed(&mut server, &out[..len]), Some(2));
    assert_eq!((server.grant().key_id, server.grant().key), (2, [8; 16]));
    assert_eq!(confirmed(&mut server, &[]), None);
    server.rotate_key(3, [9; 16]).unwrap();
}

//= test REG-6
#[test]
fn a_rotation_that_was_not_sent_can_be_taken_back() {
    let (mut sessions, lease) = registered();
    let key_id = sessions.rotate(lease, [8; 16]).unwrap();
    assert_eq!(sessions.rotate(lease, [9; 16]), None);
    assert!(!sessions.abandon_key(lease, key_id + 1));
    assert!(sessions.abandon_key(lease, key_id));
    assert!(!sessions.abandon_key(lease, key_id), "there is none");
    assert!(!sessions.confirm_key(lease, key_id), "nor can it be confirmed");
    assert_eq!(sessions.rotate(lease, [9; 16]), Some(key_id));
}

/// A resume may confirm a key whose TOKEN is not acknowledged, so that two can be under way.
//= test SNP-1
#[test]
fn a_snapshot_tells_the_last_of_two_tokens() {
    let (mut client, mut server) = pair(config(), config());
    server.rotate_key(2, [8; 16]).unwrap();
    take(&mut client, &output(&mut server));
    let said = hello(&mut client);
    server.detach(T);
    let mut out = [0; HANDSHAKE_MAX];
    server.accept(T, &Hello::decode(body(&said, Op::Hello)).unwrap(), 5, &mut out).unwrap();
    assert_eq!(server.unacknowledged(), 20);
    server.rotate_key(3, [9; 16]).unwrap();
    let bytes = snapshot(&server).unwrap();
    assert_eq!((bytes[24], bytes[25], &bytes[44..60]), (2, 3, &[9; 16][..]));
    let mut again = restore(config(), &bytes);
    connect(&mut client, &mut again);
    exchange(&mut client, &mut again);
    let mut out = [0; 64];
    let len = client.poll_transmit(T.after(1_000_000), &mut out);
    assert_eq!(confirmed(&mut again, &out[..len]), Some(3));
}

/// What a registry is told of a restored session lets the client in that has it.
//= test SNP-7
#[test]
fn a_snapshot_says_what_a_registry_and_a_configuration_need() {
    let small = Config { max_body: 200, max_message: 5_000, max_requests: 3, ..config() };
    let (client, mut server) = pair(config(), small);
    server.rotate_key(GRANT.key_id.wrapping_add(1), [9; 16]).unwrap();
    let bytes = snapshot(&server).unwrap();
    let stored = Stored::of_snapshot(&bytes, Some(7), 8, 900, true).unwrap();
    assert_eq!(
        (stored.sid, stored.epoch, stored.key_id),
        (GRANT.sid, GRANT.epoch + 1, GRANT.key_id)
    );
    assert_eq!((stored.principal, stored.source, stored.rx_next), (Some(7), 8, 0));
    assert_eq!((stored.ttl_s, stored.ttl_left_s, stored.last_attach), (900, 600, 1));
    assert!(stored.next_key.is_some());
    let wide = config();
    assert!(Session::restore(wide, &bytes, false, Vec::new()).is_err());
    let fitting = wide.with_limits_of(&bytes).unwrap();
    assert_eq!((fitting.max_body, fitting.max_message, fitting.max_requests), (200, 5_000, 3));
    assert_eq!(fitting.idle_timeout_ms, wide.idle_timeout_ms);
    assert!(Session::restore(fitting, &bytes, false, Vec::new()).is_ok());
    // A client's snapshot is no server's, and a damaged one nobody's.
    assert!(Stored::of_snapshot(&snapshot(&client).unwrap(), None, 0, 1, true).is_none());
    let mut damaged = bytes;
    damaged[30] ^= 1;
    assert!(Stored::of_snapshot(&damaged, None, 0, 1, true).is_none());
    assert!(wide.with_limits_of(&damaged).is_none());
}
