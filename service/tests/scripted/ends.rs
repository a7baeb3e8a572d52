//! Whatever becomes of the tasks that have a session: nobody waits for ever.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use outlast_core::client::Attempts;
use outlast_core::wire::Op;
use outlast_core::{Attach, CloseCode, Config, Event, HANDSHAKE_MAX, Instant, Session};
use outlast_service::{
    Cause, Closed, Handle, Handler, Incoming, Peer, RequestError, SendError, Server, SessionInfo,
};

use crate::executor::Sim;
use crate::link::{Faults, Io};
use crate::world::{Net, Notes, Raw, client, deaf, eager, for_seeds, serve, welcome};

pub(crate) const PATIENT: Config = Config { idle_timeout_ms: 0, ..Config::SERVER };

/// Polls all of them once.
async fn poll_once<T>(futures: &mut [Pin<Box<dyn Future<Output = T> + Send + '_>>]) -> Vec<bool> {
    poll_fn(|cx| Poll::Ready(futures.iter_mut().map(|f| f.as_mut().poll(cx).is_ready()).collect()))
        .await
}

/// What those come to who wait on a handle.
fn waiting(handle: &Handle) -> Vec<Pin<Box<dyn Future<Output = Closed> + Send + '_>>> {
    vec![
        Box::pin(handle.closed()),
        Box::pin(async { handle.flushed().await.unwrap_err() }),
        Box::pin(async { handle.send_receipted(1u8, b"x").await.unwrap().await.unwrap_err() }),
        Box::pin(async {
            match handle.request(1u8, b"x").await.unwrap_err() {
                RequestError::OutcomeUnknown(closed) => closed,
                RequestError::NotSent(SendError::Closed(closed)) => closed,
                other => panic!("{other}"),
            }
        }),
    ]
}

#[test]
fn everybody_is_told_when_a_clients_task_is_dropped() {
    let sim = Sim::new(1);
    let (_server, net) = serve(&sim, PATIENT, |_: &SessionInfo| deaf);
    let (handle, runner) = client(&sim, &net, eager(1), deaf);
    let world = sim.clone();
    sim.run(async move {
        let mut runner = Some(Box::pin(runner));
        // The first connection is all there is.
        net.plan(|number| (number == 0).then(Default::default));
        let sends = handle.clone();
        let mut sent = pin!(async move { sends.send(1u8, b"first").await.unwrap() });
        let mut slept = pin!(world.sleep(100_000));
        poll_fn(|cx| {
            let _ = runner.as_mut().unwrap().as_mut().poll(cx);
            let _ = slept.as_mut().poll(cx);
            sent.as_mut().poll(cx)
        })
        .await;
        net.last().cut(true);
        let mut waiting = waiting(&handle);
        assert!(!poll_once(&mut waiting).await.contains(&true));
        drop(runner.take());
        for told in waiting {
            assert_eq!(told.await.code, CloseCode::GOING_AWAY);
        }
    });
}

/// Opens a session by hand and leaves it, so that the server has it without a connection.
async fn detached<H: Handler>(
    sim: &Sim,
    net: &Net,
    server: &Server<Sim, H>,
) -> (Session<Vec<u8>>, Handle) {
    let mut raw = Raw::new(sim, net.dial().unwrap());
    let mut session = raw.open(PATIENT).await;
    sim.sleep(10_000).await;
    drop(raw);
    session.detach(Instant::from_micros(1 + sim.micros()));
    sim.sleep(10_000).await;
    let sessions = server.handle().sessions();
    assert!(!sessions[0].connected);
    let handle = server.handle().get(sessions[0].id).unwrap();
    (session, handle)
}

#[test]
fn a_session_without_connection_ends_when_it_is_told_to() {
    let sim = Sim::new(2);
    let notes = Notes::default();
    let told = notes.clone();
    let (server, net) = serve(&sim, PATIENT, move |_: &SessionInfo| {
        let told = told.clone();
        move |_: &mut Peer<'_>, event: Incoming<'_>| {
            if let Incoming::Lost { code, .. } = event {
                told.add(code.name());
            }
        }
    });
    let world = sim.clone();
    sim.run(async move {
        let (mut session, handle) = detached(&world, &net, &server).await;
        handle.send(1u8, b"not delivered").await.unwrap();
        let before = world.micros();
        handle.end(CloseCode::EVICTED);
        assert_eq!(handle.closed().await.code, CloseCode::EVICTED);
        assert!(world.micros() - before < 1_000, "it takes a turn, not a timer");
        assert_eq!(notes.all(), ["EVICTED"]);
        assert_eq!(server.handle().stats().sessions, 0);
        // Who comes back hears why.
        let mut raw = Raw::new(&world, net.dial().unwrap());
        let mut hello = [0; HANDSHAKE_MAX];
        let len = session.attach(raw.now(), &Attach::default(), &mut hello).unwrap();
        raw.write(&hello[..len]).await.unwrap();
        let close = raw.wait_for(Op::Close).await.unwrap();
        assert_eq!(close[4..6], CloseCode::EVICTED.get().to_le_bytes());
    });
}

#[test]
fn a_connection_that_is_not_there_needs_no_closing() {
    let sim = Sim::new(3);
    let (server, net) = serve(&sim, PATIENT, |_: &SessionInfo| deaf);
    let world = sim.clone();
    sim.run(async move {
        let (mut session, handle) = detached(&world, &net, &server).await;
        handle.disconnect(CloseCode::GOING_AWAY);
        world.sleep(10_000).await;
        let mut raw = Raw::new(&world, net.dial().unwrap());
        raw.attach(&mut session).await;
        world.sleep(1_000_000).await;
        assert!(handle.is_connected(), "the next connection is another one");
    });
}

//= test RSM-16
#[test]
fn a_session_without_connection_takes_as_much_as_it_may_keep() {
    let sim = Sim::new(4);
    let config = Config { send_buffer: 1 << 20, ..PATIENT };
    let (server, net) = serve(&sim, config, |_: &SessionInfo| deaf);
    let world = sim.clone();
    sim.run(async move {
        let (mut session, handle) = detached(&world, &net, &server).await;
        let (mut sent, mut refused) = (0u32, 0);
        while refused < 10 {
            match handle.try_send(1u8, &sent.to_le_bytes().repeat(250)) {
                Ok(()) => sent += 1,
                Err(SendError::Full) => {
                    refused += 1;
                    world.sleep(100).await;
                }
                Err(error) => panic!("{error}"),
            }
        }
        let kept = sent * 1_004;
        assert!((1 << 20..2 << 20).contains(&kept), "{kept} bytes");
        // All of it is there when the client is.
        let mut raw = Raw::new(&world, net.dial().unwrap());
        raw.attach(&mut session).await;
        let mut got = 0u32;
        while got < sent {
            let frame = raw.frame().await.unwrap();
            let mut input = &frame[..];
            while let Some(event) = session.handle_input(raw.now(), &mut input).unwrap() {
                if let Event::Message { payload, position, .. } = event {
                    assert_eq!(payload[..4], got.to_le_bytes());
                    got += 1;
                    session.release(raw.now(), position);
                }
            }
            let mut out = [0; 512];
            let len = session.poll_transmit(raw.now(), &mut out);
            raw.write(&out[..len]).await.unwrap();
        }
    });
}

/// A client that may not fail even once leaves a server that drains, and comes back at once.
//= test CLI-4
#[test]
fn a_client_leaves_a_draining_server_within_the_spread_and_dials_at_once() {
    for seed in 0..20 {
        let sim = Sim::new(seed);
        let ends = Ends::new(&sim);
        let mut options = eager(seed + 1);
        options.dialer.attempts = Attempts::UpTo(1);
        options.dialer.backoff_base = 60_000_000;
        options.dialer.backoff_cap = 60_000_000;
        let (handle, runner) = client(&sim, &ends.net, options, deaf);
        let world = sim.clone();
        sim.run(async move {
            world.aside(runner);
            let mut raw = ends.next(&world).await;
            let mut session = welcome(&mut raw, PATIENT, 1).await;
            handle.send(1u8, b"x").await.unwrap();
            raw.wait_for(Op::Message).await.unwrap();
            let asked = world.micros();
            session.drain(raw.now(), CloseCode::GOING_AWAY, 2_000, 1_000).unwrap();
            let mut out = [0; 256];
            let len = session.poll_transmit(raw.now(), &mut out);
            raw.write(&out[..len]).await.unwrap();
            raw.wait_for(Op::Close).await.unwrap();
            let left = world.micros();
            assert!(left - asked < 1_010_000, "seed {seed}");
            drop(raw);
            let mut raw = ends.next(&world).await;
            assert!(world.micros() - left < 10_000, "seed {seed}: {}", world.micros() - left);
            raw.wait_for(Op::Hello).await.unwrap();
        });
    }
}

/// The limit is one for all: it does not begin anew when there is a transport.
//= test CLI-7
#[test]
fn an_attempt_has_one_limit_up_to_welcome() {
    let sim = Sim::new(5);
    let ends = Ends::new(&sim);
    let mut options = eager(1);
    options.dialer.connect_limit = 1_000_000;
    options.dialer.attempts = Attempts::Once;
    let (_handle, runner) = client(&sim, &ends.net, options, deaf);
    let world = sim.clone();
    sim.run(async move {
        world.aside(runner);
        let mut raw = ends.next(&world).await;
        raw.wait_for(Op::Hello).await.unwrap();
        assert!(raw.frame().await.is_none());
        assert!((1_000_000..1_010_000).contains(&world.micros()), "{}", world.micros());
    });
}

/// Connections that are taken by hand.
struct Ends {
    net: Net,
    taken: Arc<Mutex<VecDeque<Io>>>,
}

impl Ends {
    fn new(sim: &Sim) -> Self {
        let taken = Arc::new(Mutex::new(VecDeque::new()));
        let put = Arc::clone(&taken);
        Self { net: Net::new(sim, move |io| put.lock().unwrap().push_back(io)), taken }
    }

    async fn next(&self, sim: &Sim) -> Raw {
        loop {
            let next = self.taken.lock().unwrap().pop_front();
            match next {
                Some(io) => return Raw::new(sim, io),
                None => sim.sleep(500).await,
            }
        }
    }
}

/// How a connection is brought to its end in the test below.
#[derive(Copy, Clone)]
enum End {
    Stream,
    Reset,
    Silence,
    Peer,
    Local,
}

#[test]
fn a_handler_is_told_what_ended_its_connection() {
    let broken = Cause::Transport(Some(std::io::ErrorKind::ConnectionReset));
    for (end, cause) in [
        (End::Stream, Cause::Transport(None)),
        (End::Reset, broken),
        (End::Silence, Cause::Silence),
        (End::Peer, Cause::Peer),
        (End::Local, Cause::Local),
    ] {
        let sim = Sim::new(6);
        let notes = Notes::default();
        let told = notes.clone();
        let config = Config { idle_timeout_ms: 3_000, ..Config::SERVER };
        let (server, net) = serve(&sim, config, move |_: &SessionInfo| {
            let told = told.clone();
            move |_: &mut Peer<'_>, event: Incoming<'_>| {
                if let Incoming::Disconnected { cause, .. } = event {
                    told.add(format!("{cause:?}"));
                }
            }
        });
        let world = sim.clone();
        sim.run(async move {
            let mut raw = Raw::new(&world, net.dial().unwrap());
            let mut session = raw.open(PATIENT).await;
            world.sleep(10_000).await;
            let mut raw = Some(raw);
            match end {
                End::Stream => drop(raw.take()),
                End::Reset => net.last().cut(true),
                End::Silence => world.sleep(4_000_000).await,
                End::Peer => {
                    let raw = raw.as_mut().unwrap();
                    session.close(raw.now(), CloseCode::GOING_AWAY, 0);
                    let mut out = [0; 256];
                    let len = session.poll_transmit(raw.now(), &mut out);
                    raw.write(&out[..len]).await.unwrap();
                }
                End::Local => {
                    let id = server.handle().sessions()[0].id;
                    server.handle().get(id).unwrap().disconnect(CloseCode::GOING_AWAY);
                    raw.as_mut().unwrap().wait_for(Op::Close).await.unwrap();
                }
            }
            world.sleep(10_000).await;
            drop(raw);
            world.sleep(10_000).await;
            assert_eq!(notes.all(), [format!("{cause:?}")]);
        });
    }
}

/// Who waits for the end of a session and ends the program then leaves nothing unsaid: the server's
/// session does not have to wait for a client that is done.
//= test DRV-8
#[test]
fn the_end_is_told_once_the_peer_can_know_it() {
    for_seeds(300, |seed, mut rng| {
        let sim = Sim::new(seed);
        let notes = Notes::default();
        let told = notes.clone();
        let (_server, net) = serve(&sim, PATIENT, move |_: &SessionInfo| {
            let told = told.clone();
            move |peer: &mut Peer<'_>, event: Incoming<'_>| match event {
                Incoming::Message { route, payload } => drop(peer.send(route, payload).unwrap()),
                Incoming::Finished => peer.finish(),
                Incoming::Ended => told.add("ended"),
                _ => {}
            }
        });
        let delay = rng.range(0, 40_000);
        let busy = Faults { busy: 50, write_max: 3, delay, ..Faults::default() };
        net.plan(move |_| Some((busy.clone(), busy.clone())));
        let (handle, runner) = client(&sim, &net, eager(seed + 1), deaf);
        let world = sim.clone();
        sim.run(async move {
            world.aside(runner);
            handle.send(1u8, b"x").await.unwrap();
            world.sleep(rng.range(0, 80_000)).await;
            handle.finish();
            world.aside(async move {
                assert!(handle.closed().await.complete, "seed {seed}");
                // As if the program had ended: what the system took arrives, and nothing else.
                net.last().cut(false);
            });
            notes.wait(&world, "ended").await;
        });
    });
}
