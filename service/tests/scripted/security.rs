//! Who is kept out, what is told of it here, and what is not told there.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use outlast_core::client::Attempts;
use outlast_core::wire::{AuthData, Frame, MAX_BODY, Op};
use outlast_core::{Attach, CloseCode, Config, HANDSHAKE_MAX, Session};
use outlast_service::router::{Reply, Router};
use outlast_service::{
    AccessList, Authenticator, Credentials, Limits, Password, Passwords, Runner, SecurityEvent,
    SecurityKind, SecurityLog, Server, ServerConfig, SessionInfo, StoredPassword, Token, Tokens,
};

use crate::executor::Sim;
use crate::link::{Faults, Link};
use crate::world::{Net, Notes, Raw, deaf, eager, served};

/// What happened, in which session, and what the peer was told.
type Seen = (SecurityKind, Option<u64>, Option<CloseCode>);

/// A server that connections come to from anywhere, and the lines of its log.
#[derive(Clone)]
struct Fort {
    sim: Sim,
    accept: Arc<dyn Fn(crate::link::Io, SocketAddr) + Send + Sync>,
    notes: Notes,
    events: Arc<Mutex<Vec<Seen>>>,
}

impl Fort {
    fn new(sim: &Sim, limits: Limits, authenticator: Option<Arc<dyn Authenticator>>) -> Self {
        let (notes, events) = (Notes::default(), Arc::new(Mutex::new(Vec::new())));
        let (lines, kinds) = (notes.clone(), Arc::clone(&events));
        let security = Some(SecurityLog::new(move |event: &SecurityEvent<'_>| {
            lines.add(event.to_string());
            kinds.lock().unwrap().push((event.kind, event.session, event.code));
        }));
        let session = Config { handshake_timeout_ms: 1_000, ..Config::SERVER };
        let config = ServerConfig { limits, authenticator, security, ..served(session) };
        let server = Server::new(sim.clone(), config, |_: &SessionInfo| deaf).unwrap();
        let accept = Arc::new(move |io, from| server.spawn_connection(io, Some(from)));
        Self { sim: sim.clone(), accept, notes, events }
    }

    /// A connection from this address, and everything that goes over it.
    fn knock(&self, from: &str) -> (Raw, Link) {
        let link = Link::new(&self.sim, Faults::default(), Faults::default(), 7);
        let (near, far) = link.ends();
        (self.accept)(far, SocketAddr::new(from.parse().unwrap(), 4000));
        (Raw::new(&self.sim, near), link)
    }

    /// What one attempt with this first step of authentication is answered, to the end.
    async fn try_with(&self, from: &str, auth: Option<(u8, &[u8])>) -> Vec<u8> {
        let (mut raw, link) = self.knock(from);
        let mut session = Session::client(Config::CLIENT, Vec::new()).unwrap();
        let auth = auth.map(|(method, data)| AuthData { method, data });
        let attach = Attach { auth, ..Attach::default() };
        let mut hello = [0; HANDSHAKE_MAX];
        let len = session.attach(raw.now(), &attach, &mut hello).unwrap();
        // Who is turned away at the door may be gone already.
        let _ = raw.write(&hello[..len]).await;
        while raw.frame().await.is_some_and(|frame| frame[0] != Op::Welcome as u8) {}
        link.down().log.clone()
    }

    /// What kinds of events there were since this was asked last.
    fn kinds(&self) -> Vec<SecurityKind> {
        self.events.lock().unwrap().drain(..).map(|(kind, ..)| kind).collect()
    }
}

fn tokens() -> Option<Arc<dyn Authenticator>> {
    Some(Arc::new(Tokens::new([(&b"open sesame"[..], 41)]).allow_plaintext()))
}

const GOOD: Option<(u8, &[u8])> = Some((1, b"open sesame"));
const BAD: Option<(u8, &[u8])> = Some((1, b"open barley"));

#[test]
fn whoever_is_kept_out_is_told_of_and_nothing_secret_is() {
    let sim = Sim::new(1);
    let access = AccessList::open().deny("203.0.113.0/24").unwrap();
    let mut limits = Limits { access, ..Limits::one_source() };
    limits.connections.free_failures = 2;
    limits.connections.lockout_base = 60_000_000;
    let fort = Fort::new(&sim, limits, tokens());
    let world = sim.clone();
    sim.run(async move {
        use SecurityKind::{AddressDenied, AuthenticationFailed, LockedOut};
        fort.try_with("192.0.2.1", GOOD).await;
        assert_eq!(fort.kinds(), [], "who may come in is none");
        fort.try_with("192.0.2.1", None).await;
        for _ in 0..3 {
            fort.try_with("192.0.2.1", BAD).await;
        }
        fort.try_with("192.0.2.1", GOOD).await;
        fort.try_with("203.0.113.7", GOOD).await;
        let failed = AuthenticationFailed;
        assert_eq!(fort.kinds(), [failed, failed, failed, failed, LockedOut, AddressDenied]);
        assert_eq!(
            fort.notes.all(),
            [
                "authentication-failed from 192.0.2.1:4000: AUTH_REQUIRED",
                "authentication-failed from 192.0.2.1:4000: AUTH_FAILED",
                "authentication-failed from 192.0.2.1:4000: AUTH_FAILED",
                "authentication-failed from 192.0.2.1:4000: AUTH_FAILED",
                "locked-out from 192.0.2.1:4000",
                "address-denied from 203.0.113.7:4000",
            ]
        );
        world.sleep(1).await;
    });
}

#[test]
fn broken_rules_are_told_of_in_handshakes_and_behind_them() {
    let sim = Sim::new(2);
    let fort = Fort::new(&sim, Limits::one_source(), None);
    let world = sim.clone();
    sim.run(async move {
        let (mut noise, _) = fort.knock("192.0.2.1");
        noise.write(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        while noise.frame().await.is_some() {}
        let (mut silent, _) = fort.knock("192.0.2.2");
        while silent.frame().await.is_some() {}
        assert_eq!(fort.kinds(), [SecurityKind::Violation, SecurityKind::SlowHandshake]);

        // A session of somebody who then breaks off, and one of somebody who then breaks a rule.
        let (mut honest, _) = fort.knock("192.0.2.3");
        let first = honest.open(Config::CLIENT).await;
        drop(honest);
        let (mut raw, _) = fort.knock("192.0.2.4");
        let session = raw.open(Config::CLIENT).await;
        raw.write(&[0; 8]).await.unwrap();
        raw.wait_for(Op::Close).await.unwrap();
        drop(raw);
        world.sleep(1_000_000).await;
        let violation = (SecurityKind::Violation, session.id(), Some(CloseCode::BAD_FRAME));
        assert_eq!(*fort.events.lock().unwrap(), [violation]);
        fort.kinds();

        // Somebody else comes for the first session, without its key.
        let mut claim = [0; HANDSHAKE_MAX];
        let mut thief = first;
        thief.detach(outlast_core::Instant::from_micros(world.micros() + 1));
        let (mut raw, _) = fort.knock("192.0.2.5");
        let len = thief.attach(raw.now(), &Attach::default(), &mut claim).unwrap();
        let (header, body, _) = Frame::split(&claim[..len], MAX_BODY).unwrap().unwrap();
        let Ok(Frame::Hello(mut hello)) = Frame::decode(header, body) else {
            panic!("no HELLO");
        };
        hello.resume.as_mut().unwrap().proof[3] ^= 1;
        let mut forged = [0; HANDSHAKE_MAX];
        let len = hello.encode(&mut forged).unwrap();
        raw.write(&forged[..len]).await.unwrap();
        raw.wait_for(Op::Close).await.unwrap();
        let refused = (SecurityKind::ClaimRefused, thief.id(), Some(CloseCode::NO_SESSION));
        assert_eq!(*fort.events.lock().unwrap(), [refused]);
        assert_eq!(fort.notes.count("claim-refused from 192.0.2.5:4000: NO_SESSION"), 1);
    });
}

/// Whatever is wrong with them, those who may not come in hear the same.
//= test AUT-9
//= test AUT-18
#[test]
fn a_wrong_password_and_an_unknown_name_are_told_the_same() {
    let stored = StoredPassword::with_iterations("pencil", 4_096).unwrap();
    let users = Passwords::new([("user", stored, 41)]).allow_plaintext();
    let users: Arc<dyn Authenticator> = Arc::new(users);
    let heard = |name: &str, password: &str| {
        let sim = Sim::new(3);
        let fort = Fort::new(&sim, Limits::one_source(), Some(Arc::clone(&users)));
        let accept = Arc::clone(&fort.accept);
        let net = Net::new(&sim, move |io| accept(io, SocketAddr::from(([192, 0, 2, 1], 4000))));
        let mut options = eager(1);
        options.dialer.attempts = Attempts::Once;
        let user: Arc<dyn Credentials> =
            Arc::new(Password::new(name, password).unwrap().allow_plaintext());
        options.credentials = Some(user);
        let (_, runner) = Runner::new(sim.clone(), options, net.clone(), deaf).unwrap();
        let closed = sim.run(runner);
        assert_eq!(closed.code, CloseCode::AUTH_FAILED);
        assert_eq!(fort.kinds(), [SecurityKind::AuthenticationFailed]);
        let link = net.last();
        let bytes = link.down();
        bytes.log.clone()
    };
    let frames = |mut bytes: &[u8]| {
        let mut frames = Vec::new();
        while let Some((_, _, rest)) = Frame::split(bytes, MAX_BODY).unwrap() {
            frames.push(bytes[..bytes.len() - rest.len()].to_vec());
            bytes = rest;
        }
        frames
    };
    let (known, unknown) = (frames(&heard("user", "crayon")), frames(&heard("usar", "pencil")));
    assert_eq!((known.len(), unknown.len()), (2, 2));
    // The challenge differs in nonce and salt alone, and what follows in nothing.
    assert_eq!((known[0].len(), &known[0][..4]), (unknown[0].len(), &unknown[0][..4]));
    assert_eq!(known[1], unknown[1]);
    assert_eq!(known[1].len(), 12, "a code, and no reason");

    // The same for everything that can be wrong with the first step.
    let sim = Sim::new(4);
    let fort = Fort::new(&sim, Limits::one_source(), Some(users));
    sim.run(async move {
        for (method, data) in [
            (3, &b"nonsense"[..]),
            (3, b"n,,n=user,r=short"),
            (3, b"\xFF\xFE"),
            (1, b"pencil"),
            (200, b""),
        ] {
            let told = fort.try_with("192.0.2.1", Some((method, data))).await;
            assert_eq!(told, known[1], "{method}");
        }
    });
}

/// What goes wrong inside of a server is told here, and its peers hear that it did.
#[test]
fn what_goes_wrong_inside_stays_inside() {
    let sim = Sim::new(5);
    let notes = Notes::default();
    let told = notes.clone();
    let routes = Router::new()
        .on_error(move |_, error| told.add(error.to_string()))
        .route(1u8, || Reply::fault("the table `users` in /var/db is gone"))
        .build()
        .unwrap();
    let server = Server::new(sim.clone(), served(Config::SERVER), routes.factory()).unwrap();
    let net = Net::serving(&sim, &server);
    let (handle, runner) = Runner::new(sim.clone(), eager(1), net.clone(), deaf).unwrap();
    let world = sim.clone();
    sim.run(async move {
        world.aside(runner);
        let answer = handle.request(1u8, b"").await.unwrap();
        assert_eq!(answer.status, outlast_core::wire::Status::INTERNAL);
        assert!(answer.payload.is_empty());
        assert!(notes.all()[0].contains("/var/db"), "{:?}", notes.all());
        let bytes = net.last().down().log.clone();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(!text.contains("users") && !text.contains("/var"), "{text}");
    });
}

/// Longer and longer, for a whole network of IPv6, and not for ever.
//= test REG-12
#[test]
fn failures_cost_their_source_more_and_more_time() {
    const SECOND: u64 = 1_000_000;
    let sim = Sim::new(6);
    let mut limits = Limits::one_source();
    limits.connections.free_failures = 1;
    limits.connections.lockout_base = SECOND;
    limits.connections.lockout_cap = 8 * SECOND;
    let fort = Fort::new(&sim, limits, tokens());
    let world = sim.clone();
    sim.run(async move {
        let welcomed = |heard: Vec<u8>| heard.contains(&(Op::Welcome as u8)) && heard.len() > 20;
        fort.try_with("2001:db8::1", BAD).await;
        for wait in [1, 2, 4, 8, 8] {
            fort.try_with("2001:db8::1", BAD).await;
            // Another address of the same network is the same source; its neighbour is not.
            let told = fort.try_with("2001:db8::ffff", GOOD).await;
            assert_eq!(told[4..6], CloseCode::BUSY.get().to_le_bytes(), "{wait} s: {told:02x?}");
            let retry_ms = u32::from_le_bytes(told[8..12].try_into().unwrap());
            assert_eq!(u64::from(retry_ms), wait * 1_000);
            assert!(welcomed(fort.try_with("2001:db8:0:1::1", GOOD).await));
            world.sleep(wait * SECOND).await;
        }
        // It has been quiet for so long that less is held against it.
        world.sleep(24 * SECOND).await;
        fort.try_with("2001:db8::1", BAD).await;
        let told = fort.try_with("2001:db8::1", GOOD).await;
        assert_eq!(u32::from_le_bytes(told[8..12].try_into().unwrap()), 1_000);
        world.sleep(SECOND).await;
        // Who authenticates begins anew.
        assert!(welcomed(fort.try_with("2001:db8::1", GOOD).await));
        fort.try_with("2001:db8::1", BAD).await;
        assert!(welcomed(fort.try_with("2001:db8::1", GOOD).await));
    });
}

/// A token is nobody's business but its server's.
//= test AUT-14
#[test]
fn no_log_has_a_secret() {
    let token = Token::new(*b"open sesame");
    let shown = format!("{token:?} {:?}", Tokens::new([(&b"open sesame"[..], 1)]));
    assert!(!shown.contains("sesame"), "{shown}");
    let log = SecurityLog::new(|_| {});
    assert!(format!("{log:?}").starts_with("SecurityLog"));
}
