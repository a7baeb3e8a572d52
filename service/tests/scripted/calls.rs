//! What handles and handlers are told, and when.

use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use outlast_core::client::{Attempts, OnLost};
use outlast_core::wire::{Op, RequestId, Route, Status};
use outlast_core::{CloseCode, Config};
use outlast_service::{DialError, Handle, Handler, Incoming, Peer, RequestError, Responder};
use outlast_service::{SendError, Server, ServerConfig, SessionInfo, Tokens, Why};

use crate::ends::PATIENT;
use crate::executor::Sim;
use crate::histories::join;
use crate::link::Faults;
use crate::world::{Net, Notes, Raw, client, deaf, eager, serve};

/// Notes what a client is told of its connections.
fn listen(notes: &Notes) -> impl FnMut(&mut Peer<'_>, Incoming<'_>) + Send + 'static {
    let told = notes.clone();
    move |_, event| match event {
        Incoming::Opened => told.add("opened"),
        Incoming::Resumed { .. } => told.add("resumed"),
        Incoming::Disconnected { code, .. } => told.add(format!("disconnected {}", code.name())),
        Incoming::DialFailed { attempt, error, retry_in } => {
            let why = match error {
                DialError::Unreachable(error) => format!("{:?}", error.kind()),
                DialError::Refused(code) => format!("refused {}", code.name()),
                other => format!("{other:?}"),
            };
            assert!(retry_in.is_none_or(|wait| wait <= Duration::from_secs(8)), "{retry_in:?}");
            let more = if retry_in.is_some() { "again" } else { "no more" };
            told.add(format!("failed {attempt} {why}, {more}"));
        }
        Incoming::Lost { code, .. } => told.add(format!("lost {}", code.name())),
        Incoming::Ended => told.add("ended"),
        _ => {}
    }
}

//= test CLI-13
#[test]
fn a_client_tells_how_its_connections_come_and_go() {
    let (sim, notes) = (Sim::new(1), Notes::default());
    let (server, net) = serve(&sim, Config::SERVER, |_: &SessionInfo| deaf);
    // Not reached, swallowed, good; not reached, good; lost and replaced; then never again.
    net.plan(|number| match number {
        0 | 3 => None,
        1 => Some((Faults { hole: true, ..Faults::default() }, Faults::default())),
        2 | 4 | 5 => Some((Faults::default(), Faults::default())),
        _ => None,
    });
    let mut options = eager(1);
    options.dialer.attempts = Attempts::UpTo(3);
    options.dialer.idle = 1_000;
    let (handle, runner) = client(&sim, &net, options, listen(&notes));
    let (world, told) = (sim.clone(), notes.clone());
    let closed = sim.run(async move {
        let runner = join(&world, runner);
        told.wait(&world, "opened").await;
        handle.send_receipted(1u8, b"progress").await.unwrap().await.unwrap();
        world.sleep(100_000).await;
        net.last().cut(true);
        told.wait(&world, "resumed").await;
        handle.send_receipted(1u8, b"progress").await.unwrap().await.unwrap();
        world.sleep(100_000).await;
        let id = handle.id().unwrap();
        server.handle().get(id).unwrap().end(CloseCode::EVICTED);
        told.wait(&world, "lost").await;
        while told.count("opened") < 2 {
            world.sleep(1_000).await;
        }
        handle.send_receipted(1u8, b"progress").await.unwrap().await.unwrap();
        world.sleep(100_000).await;
        net.last().cut(true);
        runner.await
    });
    assert_eq!(closed.code, CloseCode::GOING_AWAY);
    let all = notes.all();
    assert_eq!(
        all[..2],
        ["failed 1 ConnectionRefused, again", "failed 2 NoWelcome(HS_TIMEOUT(0x0106)), again"]
    );
    assert_eq!(
        all[2..6],
        ["opened", "disconnected IDLE", "failed 4 ConnectionRefused, again", "resumed"]
    );
    assert_eq!(all[6..9], ["lost EVICTED", "opened", "disconnected IDLE"]);
    assert_eq!(
        all[9..],
        [
            "failed 7 ConnectionRefused, again",
            "failed 8 ConnectionRefused, no more",
            "lost GOING_AWAY"
        ]
    );
}

#[test]
fn a_client_that_is_refused_for_good_says_so_and_stops() {
    let (sim, notes) = (Sim::new(2), Notes::default());
    let tokens = Tokens::new([(&b"secret"[..], 0)]);
    let config = ServerConfig { authenticator: Some(Arc::new(tokens)), ..ServerConfig::default() };
    let server = Server::new(sim.clone(), config, |_: &SessionInfo| deaf);
    let net = Net::serving(&sim, &server.unwrap());
    let mut options = eager(1);
    options.dialer.on_lost = OnLost::Stop;
    let (_handle, runner) = client(&sim, &net, options, listen(&notes));
    let closed = sim.run(runner);
    assert_eq!(closed.code, CloseCode::AUTH_REQUIRED);
    assert_eq!(notes.all(), ["failed 1 refused AUTH_REQUIRED, no more", "lost AUTH_REQUIRED"]);
}

/// What a handler orders when it hears of the loss is meant for what comes next.
#[test]
fn a_handler_that_wants_no_session_after_the_lost_one_gets_none() {
    let sim = Sim::new(8);
    let (server, net) = serve(&sim, Config::SERVER, |_: &SessionInfo| deaf);
    let handler = |peer: &mut Peer<'_>, event: Incoming<'_>| {
        if let Incoming::Lost { .. } = event {
            peer.handle().end(CloseCode::OK);
        }
    };
    let (handle, runner) = client(&sim, &net, eager(1), handler);
    let world = sim.clone();
    sim.run(async move {
        let runner = join(&world, runner);
        handle.send_receipted(1u8, b"hello").await.unwrap().await.unwrap();
        server.handle().get(handle.id().unwrap()).unwrap().end(CloseCode::EVICTED);
        runner.await;
        assert_eq!(net.state().dialled, 1);
    });
}

/// A server that keeps requests, and what it kept.
fn keeper(sim: &Sim, config: Config) -> (Net, Arc<Mutex<Vec<Responder>>>, Notes) {
    let (kept, notes) = (Arc::new(Mutex::new(Vec::new())), Notes::default());
    let (keep, told) = (Arc::clone(&kept), notes.clone());
    let (_server, net) = serve(sim, config, move |_: &SessionInfo| {
        let (keep, told) = (Arc::clone(&keep), told.clone());
        move |peer: &mut Peer<'_>, event: Incoming<'_>| match event {
            Incoming::Message { .. } => told.add("message"),
            Incoming::Request { id, .. } => {
                told.add("request");
                keep.lock().unwrap().push(peer.defer(id));
            }
            Incoming::Cancelled { .. } => told.add("cancelled"),
            Incoming::Aborted { .. } => told.add("aborted"),
            _ => {}
        }
    });
    (net, kept, notes)
}

#[test]
fn a_request_whose_time_is_over_is_cancelled_at_the_peer() {
    let sim = Sim::new(3);
    let config = Config { max_requests: 2, window: 64 << 10, ..Config::SERVER };
    let (net, kept, notes) = keeper(&sim, config);
    let mut options = eager(1);
    options.session = Some(Config { send_buffer: 64 << 10, ..Config::CLIENT });
    let (handle, runner) = client(&sim, &net, options, deaf);
    let world = sim.clone();
    sim.run(async move {
        world.aside(runner);
        handle.send(1u8, b"hello").await.unwrap();
        let second = Duration::from_secs(1);
        let before = world.micros();
        let late = handle.request_timeout(1u8, b"?", second).await;
        assert_eq!(late, Err(RequestError::TimedOut));
        assert_eq!(world.micros() - before, 1_000_000);
        world.sleep(10_000).await;
        assert_eq!(notes.all(), ["message", "request", "cancelled"]);
        // The answer comes all the same, and is nobody's. Its number is used again after that.
        drop(kept.lock().unwrap().pop().unwrap());
        world.sleep(10_000).await;
        let asked = handle.clone();
        let asking = join(&world, async move { asked.request_timeout(1u8, b"?", second).await });
        world.sleep(10_000).await;
        let responder = kept.lock().unwrap().pop().unwrap();
        responder.reply(b"in time").await.unwrap();
        assert_eq!(&asking.await.unwrap().payload[..], b"in time");
        // No number is free: nothing was sent.
        let asked = handle.clone();
        let held: Vec<_> = (0..2)
            .map(|_| {
                let asked = asked.clone();
                join(&world, async move { asked.request(1u8, b"held").await })
            })
            .collect();
        world.sleep(10_000).await;
        let late = handle.request_timeout(1u8, b"?", second).await;
        assert_eq!(late, Err(RequestError::NotSent(SendError::TimedOut)));
        assert_eq!(notes.count("request"), 4);
        kept.lock().unwrap().clear();
        for held in held {
            assert_eq!(held.await.unwrap().status, Status::INTERNAL);
        }
        // Half of it was sent: the peer forgets it.
        net.last().change(true, |faults| faults.stalled = true);
        let late = handle.request_timeout(1u8, &[1; 1_000_000], second).await;
        assert_eq!(late, Err(RequestError::NotSent(SendError::TimedOut)));
        net.last().change(true, |faults| faults.stalled = false);
        handle.flushed().await.unwrap();
        assert_eq!(notes.count("request"), 4);
        assert_eq!(notes.count("cancelled"), 1);
    });
}

#[test]
fn flushed_waits_for_everything_that_was_sent_and_for_nothing_else() {
    let sim = Sim::new(4);
    let (net, _kept, notes) = keeper(&sim, Config::SERVER);
    let (handle, runner) = client(&sim, &net, eager(1), deaf);
    let world = sim.clone();
    sim.run(async move {
        handle.flushed().await.expect("nothing was sent");
        world.aside(runner);
        for count in 1..=20 {
            for _ in 0..50 {
                handle.send(1u8, b"message").await.unwrap();
            }
            if count % 3 == 0 {
                net.last().cut(true);
            }
            handle.flushed().await.unwrap();
            assert_eq!(notes.count("message"), count * 50);
        }
        let before = world.micros();
        handle.flushed().await.unwrap();
        assert_eq!(world.micros(), before, "all is acknowledged already");
        net.plan(|_| None);
        net.last().cut(true);
        world.sleep(10_000).await;
        let before = world.micros();
        handle.flushed().await.unwrap();
        assert_eq!(world.micros(), before, "without a connection as well");
    });
}

//= test REQ-14
#[test]
fn requests_that_a_finished_peer_did_not_answer_are_unknown() {
    let sim = Sim::new(5);
    let peer: Arc<Mutex<Option<Handle>>> = Arc::default();
    let put = Arc::clone(&peer);
    let (_server, net) = serve(&sim, Config::SERVER, move |_: &SessionInfo| {
        let (put, mut kept) = (Arc::clone(&put), Vec::new());
        move |peer: &mut Peer<'_>, event: Incoming<'_>| match event {
            Incoming::Opened => *put.lock().unwrap() = Some(peer.handle()),
            Incoming::Request { id, .. } => kept.push(peer.defer(id)),
            _ => {}
        }
    });
    let (handle, runner) = client(&sim, &net, eager(1), deaf);
    let world = sim.clone();
    sim.run(async move {
        world.aside(runner);
        let asked = handle.clone();
        let open = join(&world, async move { asked.request(1u8, b"?").await });
        world.sleep(10_000).await;
        peer.lock().unwrap().take().unwrap().finish();
        assert_eq!(open.await, Err(RequestError::PeerFinished));
        let next = handle.request(1u8, b"?").await;
        assert_eq!(next, Err(RequestError::NotSent(SendError::PeerFinished)));
        // One-way messages go on.
        handle.send_receipted(1u8, b"still").await.unwrap().await.unwrap();
    });
}

//= test CLS-10
#[test]
fn requests_behind_the_grace_of_a_drain_are_refused() {
    let sim = Sim::new(6);
    let notes = Notes::default();
    let told = notes.clone();
    let (server, net) = serve(&sim, Config::SERVER, move |_: &SessionInfo| {
        let told = told.clone();
        move |peer: &mut Peer<'_>, event: Incoming<'_>| {
            if let Incoming::Request { id, .. } = event {
                told.add("request");
                peer.respond(id, Status::OK, b"answer").unwrap();
            }
        }
    });
    sim.clone().run(async move {
        let mut raw = Raw::new(&sim, net.dial().unwrap());
        let mut session = raw.open(Config::CLIENT).await;
        // Half of it goes for grace; this client does not leave in its spread.
        sim.aside(async move { server.drain(Duration::from_secs(4)).await });
        raw.wait_for(Op::Drain).await.unwrap();
        for (number, late) in [(0, false), (1, false), (2, true), (3, true)] {
            if number == 2 {
                sim.sleep(2_100_000).await;
            }
            let size = if number % 2 == 0 { 10 } else { 40_000 };
            let (id, route) = (session.free_request().unwrap(), 1u8.into());
            let head = outlast_core::Head::Request { id, route };
            let mut payload = &[7; 40_000][..size];
            let part = payload.len().min(10_000);
            session.begin(head, &payload[..part]).unwrap();
            while payload.len() > part {
                payload = &payload[part..];
                session.push_fragment(&payload[..part], payload.len() == part).unwrap();
            }
            if size == 10 {
                session.push_fragment(b"!", true).unwrap();
            }
            let mut out = vec![0; 80_000];
            let len = session.poll_transmit(raw.now(), &mut out);
            raw.write(&out[..len]).await.unwrap();
            let frame = raw.wait_for(Op::Response).await.unwrap();
            let status = if late { Status::REFUSED } else { Status::OK };
            assert_eq!(Status(frame[1]), status, "{number}");
            let mut input = &frame[..];
            while session.handle_input(raw.now(), &mut input).unwrap().is_some() {}
        }
        assert_eq!(notes.count("request"), 2);
    });
}

/// Who waits for the number of a request that was given up gets it with that one's answer.
#[test]
fn a_call_that_is_dropped_is_cancelled_and_leaves_its_number() {
    let sim = Sim::new(7);
    let (net, kept, notes) = keeper(&sim, Config { max_requests: 1, ..Config::SERVER });
    let (handle, runner) = client(&sim, &net, eager(1), deaf);
    let world = sim.clone();
    sim.run(async move {
        world.aside(runner);
        handle.send(1u8, b"hello").await.unwrap();
        for round in 1..=10 {
            let mut asking = Box::pin(handle.request(1u8, b"?"));
            let poll = |cx: &mut std::task::Context<'_>| {
                assert!(asking.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            };
            poll_fn(poll).await;
            let (next, waits) = (handle.clone(), notes.count("request"));
            let next = join(&world, async move { next.request(1u8, b"next").await });
            world.sleep(5_000).await;
            assert_eq!(notes.count("request"), waits + 1);
            drop(asking);
            world.sleep(5_000).await;
            assert_eq!(notes.count("cancelled"), round);
            kept.lock().unwrap().clear();
            world.sleep(5_000).await;
            kept.lock().unwrap().clear();
            assert_eq!(next.await.unwrap().status, Status::INTERNAL);
        }
    });
}

/// Each refusal says what is wrong, so that the right thing can be done about it.
#[test]
fn refusals_say_what_is_wrong() {
    let sim = Sim::new(40);
    let notes = Notes::default();
    let told = notes.clone();
    let (server, net) = serve(&sim, Config { send_buffer: 8 << 10, ..Config::SERVER }, {
        move |_: &SessionInfo| {
            let told = told.clone();
            move |peer: &mut Peer<'_>, event: Incoming<'_>| {
                if let Incoming::Request { id, .. } = event {
                    let none = RequestId(id.0 + 1);
                    told.add(format!("{:?}", peer.respond(none, Status::OK, b"")));
                    // Longer than what may wait in the session: the rest waits outside of it.
                    told.add(format!("{:?}", peer.respond(id, Status::OK, &[1; 60_000])));
                    told.add(format!("{:?}", peer.respond(id, Status::OK, b"again")));
                    told.add(format!("{:?}", peer.respond(none, Status::OK, b"")));
                    told.add(format!("{:?}", peer.send(1u8, &[1; 1_000_000]).map(drop)));
                }
            }
        }
    });
    let early = Notes::default();
    let first = early.clone();
    net.plan(|number| (number > 0).then(Default::default));
    let (handle, runner) =
        client(&sim, &net, eager(1), move |peer: &mut Peer<'_>, event: Incoming<'_>| {
            if let Incoming::DialFailed { .. } = event {
                first.add(format!("{:?}", peer.send(1u8, b"x").map(drop)));
            }
            if let Incoming::Opened = event {
                first.add(format!("{:?}", peer.send(1u8, &[0; 20_000]).map(drop)));
            }
        });
    let world = sim.clone();
    sim.run(async move {
        world.aside(runner);
        assert_eq!(handle.request(1u8, b"?").await.unwrap().payload.len(), 60_000);
        let no = "Err(NoSuchRequest)";
        assert_eq!(notes.all(), [no, "Ok(())", no, no, "Err(Full)"]);
        let frame = "Err(TooLongForFrame { limit: 16383 })";
        assert_eq!(early.all(), ["Err(NotOpen)", frame]);
        let long = handle.try_send(1u8, &[0; 20_000]);
        assert_eq!(long, Err(SendError::TooLongForFrame { limit: 16_383 }));
        let limit = Config::SERVER.max_message as usize;
        let huge = vec![0; limit + 1];
        assert_eq!(handle.try_send(1u8, &huge), Err(SendError::TooLarge { limit }));
        let nobody = server.handle().send_to(77, 1u8, b"x").unwrap_err();
        assert_eq!(nobody, SendError::NoSuchSession(77));
        assert!(!nobody.is_retryable());
    });
}

#[test]
fn a_client_says_how_it_came_to_its_end() {
    for (reached, why) in [(false, Why::GaveUp(None)), (true, Why::Stopped)] {
        let sim = Sim::new(41);
        let (_server, net) = serve(&sim, Config::SERVER, |_: &SessionInfo| deaf);
        net.plan(move |_| reached.then(Default::default));
        let mut options = eager(1);
        options.dialer.attempts = Attempts::UpTo(2);
        let (handle, runner) = client(&sim, &net, options, deaf);
        let closed = sim.clone().run(async move {
            let runner = join(&sim, runner);
            if reached {
                handle.send_receipted(1u8, b"x").await.unwrap().await.unwrap();
                handle.end(CloseCode::OK);
            }
            let (closed, told) = (runner.await, handle.closed().await);
            assert_eq!(closed, told);
            closed
        });
        assert_eq!(closed.why, why);
        let text = closed.to_string();
        assert!(
            !text.contains("GOING_AWAY") && (reached || text.contains("not reached")),
            "{text}"
        );
    }
}

/// Messages have a call of their own, however many frames they came in, and are told once.
#[test]
fn a_handler_may_take_messages_apart_from_events() {
    #[derive(Clone, Default)]
    struct Both {
        messages: Arc<Mutex<Vec<usize>>>,
        events: Arc<Mutex<Vec<usize>>>,
    }
    impl Handler for Both {
        fn handle(&mut self, _: &mut Peer<'_>, event: Incoming<'_>) {
            if let Incoming::Message { payload, .. } = event {
                self.events.lock().unwrap().push(payload.len());
            }
        }

        fn message(&mut self, peer: &mut Peer<'_>, route: Route, payload: &[u8]) {
            self.messages.lock().unwrap().push(payload.len());
            if route == Route::from(2u8) {
                self.handle(peer, Incoming::Message { route, payload });
            }
        }
    }
    let sim = Sim::new(27);
    let both = Both::default();
    let served = both.clone();
    let (_server, net) = serve(&sim, PATIENT, move |_: &SessionInfo| served.clone());
    let (handle, runner) = client(&sim, &net, eager(1), |_: &mut Peer<'_>, _: Incoming<'_>| {});
    let world = sim.clone();
    sim.run(async move {
        world.aside(runner);
        for (route, len) in [(1u8, 3), (1, 40_000), (2, 5), (2, 50_000)] {
            handle.send(route, &vec![7; len]).await.unwrap();
        }
        handle.flushed().await.unwrap();
    });
    assert_eq!(*both.messages.lock().unwrap(), [3, 40_000, 5, 50_000]);
    assert_eq!(*both.events.lock().unwrap(), [5, 50_000]);
}
