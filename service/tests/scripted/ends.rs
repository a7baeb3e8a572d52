//! Whatever becomes of the tasks that have a session: nobody waits for ever.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

use outlast_core::wire::Op;
use outlast_core::{Attach, CloseCode, Config, Event, HANDSHAKE_MAX, Instant, Session};
use outlast_service::{
    Closed, Handle, Handler, Incoming, Peer, RequestError, SendError, Server, SessionInfo,
};

use crate::executor::Sim;
use crate::world::{Net, Notes, Raw, client, deaf, eager, serve};

const PATIENT: Config = Config { idle_timeout_ms: 0, ..Config::SERVER };

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
