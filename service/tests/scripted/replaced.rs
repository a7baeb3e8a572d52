//! A session that is lost and replaced by another: nothing of the old one gets into the new one,
//! and everybody who waited is told.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use outlast_core::wire::{RequestId, Route, Status};
use outlast_core::{CloseCode, Config, Event, Session};
use outlast_service::{
    Closed, Handle, Incoming, Peer, RequestError, Responder, Runtime, SendError, SessionInfo,
};

use crate::executor::Sim;
use crate::histories::join;
use crate::link::Io;
use crate::world::{Net, Notes, Raw, client, deaf, eager, serve, welcome};

/// Small enough that a long message does not fit what may wait.
const CONFIG: Config =
    Config { max_body: 1000, send_buffer: 8 << 10, window: 8 << 10, ..Config::SERVER };

/// A client in front of a server that is played by hand.
struct Stage {
    sim: Sim,
    ends: Arc<Mutex<Vec<Io>>>,
    handle: Handle,
    notes: Notes,
    /// Responders that the handler took.
    deferred: Arc<Mutex<Vec<Responder>>>,
    /// What the client's task came to.
    closed: Arc<Mutex<Option<Closed>>>,
}

impl Stage {
    /// Runs `play` with the first session opened.
    fn play<W: Future<Output = ()> + Send + 'static>(
        seed: u64,
        play: impl FnOnce(Self, Raw, Session<Vec<u8>>) -> W + Send + 'static,
    ) {
        let sim = Sim::new(seed);
        let ends = Arc::new(Mutex::new(Vec::new()));
        let put = Arc::clone(&ends);
        let net = Net::new(&sim, move |io| put.lock().unwrap().push(io));
        let mut config = eager(seed + 1);
        config.session = Some(Config { send_buffer: 8 << 10, ..Config::CLIENT });
        let (notes, deferred) = (Notes::default(), Arc::new(Mutex::new(Vec::new())));
        let (told, kept) = (notes.clone(), Arc::clone(&deferred));
        let handler = move |peer: &mut Peer<'_>, event: Incoming<'_>| match event {
            Incoming::Opened => told.add("opened"),
            Incoming::Request { id, .. } => kept.lock().unwrap().push(peer.defer(id)),
            Incoming::Lost { undelivered, .. } => {
                let text = |(_, payload): (Route, &[u8])| String::from_utf8_lossy(payload).into();
                let missing: Vec<String> = undelivered.missing().map(text).collect();
                let unknown: Vec<String> = undelivered.unknown().map(text).collect();
                let staged = peer.handle().try_send(1u8, b"in between");
                told.add(format!("lost, missing {missing:?}, unknown {unknown:?}, {staged:?}"));
                peer.finish();
            }
            _ => {}
        };
        let (handle, runner) = client(&sim, &net, config, handler);
        let closed = Arc::new(Mutex::new(None));
        let end = Arc::clone(&closed);
        let stage = Self { sim: sim.clone(), ends, handle, notes, deferred, closed };
        sim.run(async move {
            stage.sim.spawn(async move {
                let why = runner.await;
                *end.lock().unwrap() = Some(why);
            });
            let (raw, session) = stage.accept(1).await;
            play(stage, raw, session).await;
        });
    }

    /// Takes the next connection, with a new session on it.
    async fn accept(&self, number: u64) -> (Raw, Session<Vec<u8>>) {
        let io = loop {
            let next = self.ends.lock().unwrap().pop();
            match next {
                Some(io) => break io,
                None => self.sim.sleep(100).await,
            }
        };
        let mut raw = Raw::new(&self.sim, io);
        let session = welcome(&mut raw, CONFIG, number).await;
        while self.notes.count("opened") < number as usize {
            self.sim.sleep(100).await;
        }
        (raw, session)
    }

    /// Ends the first session; this is the second.
    async fn replace(
        &self,
        mut raw: Raw,
        mut session: Session<Vec<u8>>,
    ) -> (Raw, Session<Vec<u8>>) {
        session.end(raw.now(), CloseCode::EVICTED);
        flush(&mut raw, &mut session).await;
        drop(raw);
        let second = self.accept(2).await;
        assert_eq!(self.notes.count("lost"), 1);
        second
    }
}

async fn flush(raw: &mut Raw, session: &mut Session<Vec<u8>>) {
    let mut out = [0; 4096];
    let len = session.poll_transmit(raw.now(), &mut out);
    raw.write(&out[..len]).await.unwrap();
}

/// What comes up to the message "stop". Requests are answered.
async fn hear(raw: &mut Raw, session: &mut Session<Vec<u8>>) -> Vec<String> {
    let mut heard: Vec<String> = Vec::new();
    while heard.last().is_none_or(|last| last != "stop") {
        let frame = raw.frame().await.expect("the connection lasts");
        let mut input = &frame[..];
        while let Some(event) = session.handle_input(raw.now(), &mut input).unwrap() {
            match event {
                Event::Message { payload, .. } => heard.push(text(payload)),
                Event::Fragment { last: true, .. } => heard.push("long".into()),
                Event::Aborted { .. } => heard.push("aborted".into()),
                Event::Request { id, payload, .. } => {
                    heard.push(format!("request {}", text(payload)));
                    session.respond(id, Status::OK, b"answer").unwrap();
                }
                Event::Response { id, payload, .. } => {
                    heard.push(format!("response {} {}", id.0, text(payload)));
                }
                Event::Cancelled { .. } => heard.push("cancelled".into()),
                Event::Finished { .. } => heard.push("finished".into()),
                _ => {}
            }
        }
        session.release(raw.now(), session.received());
        flush(raw, session).await;
    }
    // What was taken is acknowledged.
    raw.sleep(100_000).await;
    session.handle_timeout(raw.now());
    flush(raw, session).await;
    heard
}

fn text(payload: &[u8]) -> String {
    String::from_utf8_lossy(payload).into()
}

static LONG: [u8; 900 << 10] = [7; 900 << 10];

/// Looks at a future that has something to wait for.
async fn waits<F: Future>(mut future: Pin<&mut F>) {
    let pending = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await;
    assert!(pending, "it is in the middle of it");
}

fn evicted<T: std::fmt::Debug>(result: &Result<T, SendError>) -> bool {
    matches!(result, Err(SendError::Closed(closed)) if closed.code == CloseCode::EVICTED)
}

#[test]
fn a_long_message_is_not_continued_in_another_session() {
    Stage::play(1, |stage, raw, session| async move {
        let handle = stage.handle.clone();
        let sending = async move { handle.send(3u8, &LONG).await };
        let mut sending = pin!(sending);
        waits(sending.as_mut()).await;
        stage.sim.sleep(50_000).await;
        waits(sending.as_mut()).await;
        let (mut raw, mut session) = stage.replace(raw, session).await;
        let sent = sending.await;
        assert!(evicted(&sent), "{sent:?}");
        stage.handle.try_send(1u8, b"stop").unwrap();
        assert_eq!(hear(&mut raw, &mut session).await, ["stop"]);
    });
}

#[test]
fn a_long_request_is_not_continued_in_another_session() {
    Stage::play(2, |stage, raw, session| async move {
        let handle = stage.handle.clone();
        let asking = async move { handle.request(3u8, &LONG).await };
        let mut asking = pin!(asking);
        waits(asking.as_mut()).await;
        let (mut raw, mut session) = stage.replace(raw, session).await;
        let Err(RequestError::NotSent(error)) = asking.await else {
            panic!("it cannot have arrived");
        };
        assert!(evicted(&Err::<(), _>(error)));
        // Its number is free again.
        let asked = stage.handle.clone();
        stage.sim.spawn(async move {
            let response = asked.request(3u8, b"short").await.unwrap();
            assert_eq!(&response.payload[..], b"answer");
            asked.send(1u8, b"stop").await.unwrap();
        });
        assert_eq!(hear(&mut raw, &mut session).await, ["request short", "stop"]);
    });
}

/// A number that was reserved while there was no room for the request itself.
#[test]
fn a_request_that_was_waiting_for_room_does_not_go_into_another_session() {
    Stage::play(3, |stage, raw, session| async move {
        let (first, second) = (stage.handle.clone(), stage.handle.clone());
        let mut sending = Box::pin(async move { first.send(3u8, &LONG).await });
        waits(sending.as_mut()).await;
        let mut asking = Box::pin(async move { second.request(3u8, b"waits").await });
        waits(asking.as_mut()).await;
        let (mut raw, mut session) = stage.replace(raw, session).await;
        assert!(matches!(asking.await, Err(RequestError::NotSent(SendError::Closed(_)))));
        drop(sending);
        stage.handle.try_send(1u8, b"stop").unwrap();
        assert_eq!(hear(&mut raw, &mut session).await, ["stop"]);
    });
}

#[test]
fn what_is_dropped_late_aborts_and_cancels_nothing_in_another_session() {
    Stage::play(4, |stage, raw, session| async move {
        let (long, short) = (stage.handle.clone(), stage.handle.clone());
        let mut asking = Box::pin(async move { short.request(3u8, b"old").await });
        waits(asking.as_mut()).await;
        let mut sending = Box::pin(async move { long.send(3u8, &LONG).await });
        waits(sending.as_mut()).await;
        let (mut raw, mut session) = stage.replace(raw, session).await;
        // The new session is in the middle of a message and has a request open as well.
        let (long, short) = (stage.handle.clone(), stage.handle.clone());
        stage.sim.spawn(async move {
            let (a, b) = (short.request(3u8, b"new"), long.send(3u8, &LONG));
            let (mut a, mut b) = (pin!(a), pin!(b));
            let first = poll_fn(|cx| {
                assert!(a.as_mut().poll(cx).is_pending());
                Poll::Ready(b.as_mut().poll(cx))
            });
            assert!(first.await.is_pending());
            drop(asking);
            drop(sending);
            b.await.unwrap();
            assert_eq!(a.await.unwrap().status, Status::OK);
            long.send(1u8, b"stop").await.unwrap();
        });
        assert_eq!(hear(&mut raw, &mut session).await, ["request new", "long", "stop"]);
    });
}

#[test]
fn an_answer_to_a_request_of_the_lost_session_is_not_one_to_a_request_of_the_next() {
    for reply in [true, false] {
        Stage::play(5, move |stage, mut raw, mut session| async move {
            let ask = |session: &mut Session<Vec<u8>>| {
                session.request(RequestId(0), Route::from(1u8), b"?").unwrap();
            };
            ask(&mut session);
            flush(&mut raw, &mut session).await;
            stage.sim.sleep(1_000).await;
            let old = stage.deferred.lock().unwrap().pop().unwrap();
            let (mut raw, mut session) = stage.replace(raw, session).await;
            ask(&mut session);
            flush(&mut raw, &mut session).await;
            stage.sim.sleep(1_000).await;
            let new = stage.deferred.lock().unwrap().pop().unwrap();
            if reply {
                let replied = old.reply(b"old").await;
                assert!(evicted(&replied), "{replied:?}");
            } else {
                drop(old);
            }
            stage.sim.sleep(1_000).await;
            new.reply(b"new").await.unwrap();
            stage.handle.try_send(1u8, b"stop").unwrap();
            assert_eq!(hear(&mut raw, &mut session).await, ["response 0 new", "stop"]);
        });
    }
}

#[test]
fn receipts_of_the_lost_session_fail_whatever_the_next_one_delivers() {
    Stage::play(6, |stage, raw, session| async move {
        let receipt = stage.handle.send_receipted(1u8, b"old").await.unwrap();
        let handle = stage.handle.clone();
        let mut flushed = Box::pin(async move { handle.flushed().await });
        waits(flushed.as_mut()).await;
        let over = stage.handle.clone();
        let mut over = Box::pin(async move { over.closed().await });
        waits(over.as_mut()).await;
        let (mut raw, mut session) = stage.replace(raw, session).await;
        let next = stage.handle.send_receipted(1u8, b"new").await.unwrap();
        stage.handle.try_send(1u8, b"stop").unwrap();
        assert_eq!(hear(&mut raw, &mut session).await, ["new", "stop"]);
        next.await.unwrap();
        stage.handle.flushed().await.unwrap();
        assert_eq!(receipt.await.unwrap_err().code, CloseCode::EVICTED);
        assert_eq!(flushed.await.unwrap_err().code, CloseCode::EVICTED);
        assert_eq!(over.await.code, CloseCode::EVICTED);
    });
}

/// The handler orders to finish when it hears of the loss, and tries to send.
#[test]
fn neither_an_order_to_finish_nor_a_message_outlasts_the_session_it_was_for() {
    Stage::play(7, |stage, raw, session| async move {
        let (mut raw, mut session) = stage.replace(raw, session).await;
        let lost = stage.notes.all().into_iter().find(|note| note.starts_with("lost")).unwrap();
        assert!(lost.ends_with("Err(NotOpen)"), "{lost}");
        stage.handle.try_send(1u8, b"stop").unwrap();
        assert_eq!(hear(&mut raw, &mut session).await, ["stop"]);
    });
}

#[test]
fn an_order_to_end_is_obeyed_though_the_session_is_lost_at_the_same_time() {
    for (before, after) in [(0, 0), (0, 500), (500, 0), (500, 500), (5_000, 0), (30_000, 0)] {
        Stage::play(before + after, move |stage, mut raw, mut session| async move {
            session.end(raw.now(), CloseCode::EVICTED);
            flush(&mut raw, &mut session).await;
            let mut raw = Some(raw);
            stage.sim.sleep(before).await;
            if before == 0 {
                stage.handle.end(CloseCode::GOING_AWAY);
                stage.sim.sleep(after).await;
                raw = None;
            } else {
                raw = raw.filter(|_| after > 0);
                stage.sim.sleep(after).await;
                stage.handle.end(CloseCode::GOING_AWAY);
            }
            stage.sim.sleep(8_000_000).await;
            assert!(stage.closed.lock().unwrap().is_some(), "the client goes on");
            drop(raw);
        });
    }
}

/// What a request is told when its session is lost, for every place where its last frame may be.
//= test REQ-12
//= test CLS-14
#[test]
fn requests_are_told_whether_they_may_have_run() {
    for position_known in [true, false] {
        Stage::play(9, move |stage, raw, session| told(stage, raw, session, position_known));
    }
}

/// Asks, and has the request staged.
async fn ask(
    handle: Handle,
    text: &'static [u8],
) -> impl Future<Output = Result<outlast_service::Response, RequestError>> {
    let mut asking = Box::pin(async move { handle.request(1u8, text).await });
    waits(asking.as_mut()).await;
    asking
}

async fn told(stage: Stage, mut raw: Raw, mut session: Session<Vec<u8>>, position_known: bool) {
    let say = |text: &'static [u8]| stage.handle.try_send(1u8, text).unwrap();
    // Taken by the peer, which does not answer.
    let taken = ask(stage.handle.clone(), b"taken").await;
    say(b"said and taken");
    stage.sim.sleep(1_000).await;
    for _ in 0..3 {
        let frame = raw.frame().await.unwrap();
        let mut input = &frame[..];
        while session.handle_input(raw.now(), &mut input).unwrap().is_some() {}
    }
    stage.sim.sleep(100_000).await;
    session.handle_timeout(raw.now());
    flush(&mut raw, &mut session).await;
    stage.sim.sleep(1_000).await;
    // Transmitted, and never read by the peer.
    let unread = ask(stage.handle.clone(), b"unread").await;
    say(b"said and unread");
    stage.sim.sleep(1_000).await;
    // Beyond what the peer allows to come, and beyond what may wait: never transmitted.
    let filler = [b'x'; 900];
    (0..20).for_each(|_| stage.handle.try_send(2u8, &filler).unwrap());
    let held = ask(stage.handle.clone(), b"held").await;
    stage.sim.sleep(1_000).await;
    while stage.handle.try_send(2u8, &filler).is_ok() {
        stage.sim.sleep(100).await;
    }
    let staged = ask(stage.handle.clone(), b"staged").await;
    stage.handle.try_send(1u8, b"said and staged").unwrap();
    if position_known {
        session.end(raw.now(), CloseCode::EVICTED);
        flush(&mut raw, &mut session).await;
    } else {
        let mut close = [0; 64];
        let evicted = outlast_core::wire::Close::new(CloseCode::EVICTED);
        let len = evicted.encode(&mut close).unwrap();
        raw.write(&close[..len]).await.unwrap();
    }
    drop(raw);
    let _second = stage.accept(2).await;
    assert!(matches!(taken.await, Err(RequestError::OutcomeUnknown(_))));
    // In ending, the peer says how far it had come, or not.
    let error = unread.await.unwrap_err();
    assert_eq!(error.is_safe_to_repeat(), position_known, "{error:?}");
    for request in [held.await, staged.await] {
        let error = request.unwrap_err();
        assert!(error.is_safe_to_repeat(), "{error:?}");
    }
    let lost = stage.notes.all().into_iter().find(|note| note.starts_with("lost")).unwrap();
    let (missing, unknown) = lost.split_once("unknown").unwrap();
    assert_eq!(missing.contains("\"said and unread\""), position_known, "{lost}");
    assert_eq!(unknown.contains("\"said and unread\""), !position_known, "{lost}");
    assert!(missing.contains("\"said and staged\""), "{lost}");
    assert!(!lost.contains("taken"), "{lost}");
}

/// A number that becomes free wakes those who wait for one, though nothing else happens.
#[test]
fn callers_who_wait_for_a_number_get_it() {
    for seed in 0..50 {
        let sim = Sim::new(seed);
        let config = Config { max_requests: 1, ..Config::SERVER };
        let (_server, net) = serve(&sim, config, |_: &SessionInfo| {
            |peer: &mut Peer<'_>, event: Incoming<'_>| {
                if let Incoming::Request { id, payload, .. } = event {
                    peer.respond(id, Status::OK, payload).unwrap();
                }
            }
        });
        let (handle, runner) = client(&sim, &net, eager(seed), deaf);
        let world = sim.clone();
        sim.run(async move {
            world.aside(runner);
            let callers: Vec<_> = (0..5u8)
                .map(|caller| {
                    let handle = handle.clone();
                    join(&world, async move {
                        let response = handle.request(1u8, &[caller]).await.unwrap();
                        assert_eq!(&response.payload[..], [caller]);
                    })
                })
                .collect();
            for caller in callers {
                caller.await;
            }
            assert!(world.micros() < 1_000_000, "seed {seed}: {}", world.micros());
        });
    }
}
