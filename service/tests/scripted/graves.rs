//! Sessions that end while somebody comes for them, or as soon as they begin: what is left of them
//! says how they ended.

use std::io::IoSlice;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use outlast_core::wire::{Close, CloseFlags, Frame, MAX_BODY, Op};
use outlast_core::{Attach, CloseCode, HANDSHAKE_MAX, Session};
use outlast_service::{Incoming, Peer, SessionInfo, Transport};

use crate::ends::PATIENT;
use crate::executor::Sim;
use crate::link::Io;
use crate::world::{Net, Raw, deaf, for_seeds, op_of, serve};

const CODE: CloseCode = CloseCode::new(0x8001);

/// HELLO, with the claim to the session if it is one already.
fn hello(raw: &Raw, session: &mut Session<Vec<u8>>) -> Vec<u8> {
    let mut hello = vec![0; HANDSHAKE_MAX];
    let len = session.attach(raw.now(), &Attach::default(), &mut hello).unwrap();
    hello.truncate(len);
    hello
}

/// With which code a connection is refused, and whether that ends the session.
async fn refused(raw: &mut Raw) -> (CloseCode, bool) {
    let close = raw.wait_for(Op::Close).await.unwrap();
    let (header, body, _) = Frame::split(&close, MAX_BODY).unwrap().unwrap();
    match Frame::decode(header, body).unwrap() {
        Frame::Close(close) => (close.code, close.flags.contains(CloseFlags::SESSION_ENDED)),
        other => panic!("{other:?}"),
    }
}

/// A connection that is not read yet, and what is to be said over it.
type Caller = Arc<Mutex<Option<(Io, Vec<u8>)>>>;

/// The claim is admitted, waits for the session, and finds it gone.
//= test RSM-12
#[test]
fn who_comes_while_the_session_ends_is_told_how() {
    for_seeds(50, |seed, _| {
        let sim = Sim::new(seed);
        let caller = Caller::default();
        let (comes, world) = (Arc::clone(&caller), sim.clone());
        let (_server, net) = serve(&sim, PATIENT, move |_: &SessionInfo| {
            let (comes, world) = (Arc::clone(&comes), world.clone());
            move |peer: &mut Peer<'_>, event: Incoming<'_>| {
                if let Incoming::Message { .. } = event {
                    let mut caller = comes.lock().unwrap();
                    let (io, hello) = caller.as_mut().unwrap();
                    let mut cx = Context::from_waker(Waker::noop());
                    let said = io.poll_write(&mut cx, &[IoSlice::new(hello)]);
                    assert!(matches!(said, Poll::Ready(Ok(len)) if len == hello.len()));
                    drop(caller);
                    // On other threads the claim comes as far as it can: it needs this connection
                    // to give the session back.
                    (0..200).for_each(|_| world.meanwhile());
                    peer.handle().end(CODE);
                }
            }
        });
        let world = sim.clone();
        sim.run(async move {
            let mut raw = Raw::new(&world, net.dial().unwrap());
            let mut session = raw.open(PATIENT).await;
            session.send(1u8.into(), b"now").unwrap();
            let mut message = [0; 64];
            let len = session.poll_transmit(raw.now(), &mut message);
            session.detach(raw.now());
            let claim = hello(&raw, &mut session);
            *caller.lock().unwrap() = Some((net.dial().unwrap(), claim));
            raw.write(&message[..len]).await.unwrap();
            while raw.frame().await.is_some() {}
            let (io, _) = caller.lock().unwrap().take().unwrap();
            let told = refused(&mut Raw::new(&world, io)).await;
            assert_eq!(told, (CODE, true), "seed {seed}");
        });
    });
}

/// Opens a session by hand; the connection breaks behind its first frame and what `more` adds, all
/// of which the server's task has in one turn. Returns the client's session, detached.
async fn heard_once(world: &Sim, net: &Net, more: &[u8]) -> Session<Vec<u8>> {
    let mut raw = Raw::new(world, net.dial().unwrap());
    let mut session = Session::client(PATIENT, Vec::new()).unwrap();
    let greeting = hello(&raw, &mut session);
    raw.write(&greeting).await.unwrap();
    let welcome = raw.wait_for(Op::Welcome).await.unwrap();
    let mut input = &welcome[..];
    while session.handle_input(raw.now(), &mut input).unwrap().is_some() {}
    let mut said = vec![0; 256];
    let len = session.poll_transmit(raw.now(), &mut said);
    assert!(len > 0, "the first frame confirms the session");
    raw.write(&[&said[..len], more].concat()).await.unwrap();
    net.last().cut(false);
    session.detach(raw.now());
    session
}

/// Whoever was heard in the last moment of a connection has a session to come back to.
//= test REG-8
#[test]
fn who_is_heard_at_the_last_moment_is_kept() {
    let sim = Sim::new(1);
    let (_server, net) = serve(&sim, PATIENT, |_: &SessionInfo| deaf);
    let world = sim.clone();
    sim.run(async move {
        let mut session = heard_once(&world, &net, &[]).await;
        let limit = u64::from(PATIENT.handshake_timeout_ms) * 1_000;
        world.sleep(4 * limit).await;
        let mut raw = Raw::new(&world, net.dial().unwrap());
        let claim = hello(&raw, &mut session);
        raw.write(&claim).await.unwrap();
        assert_eq!(raw.frame().await.as_deref().and_then(op_of), Some(Op::Welcome));
    });
}

/// A session whose client says all it ever says in one go leaves a tombstone like any other.
//= test REG-8
//= test REG-9
#[test]
fn who_ends_a_session_with_the_second_frame_leaves_a_tombstone() {
    let sim = Sim::new(1);
    let (_server, net) = serve(&sim, PATIENT, |_: &SessionInfo| deaf);
    let world = sim.clone();
    sim.run(async move {
        let close = Close {
            code: CODE,
            flags: CloseFlags::SESSION_ENDED,
            retry_ms: 0,
            rx_next: Some(0),
            last_attach: None,
            versions: None,
            reason: "",
        };
        let mut last = vec![0; 64];
        let len = close.encode(&mut last).unwrap();
        let mut session = heard_once(&world, &net, &last[..len]).await;
        world.sleep(1_000).await;
        let mut raw = Raw::new(&world, net.dial().unwrap());
        let claim = hello(&raw, &mut session);
        raw.write(&claim).await.unwrap();
        assert_eq!(refused(&mut raw).await, (CODE, true));
    });
}
