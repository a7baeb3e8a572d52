//! What subscribers of `tracing` are told, in virtual time.
//!
//! Not among the other tests, which nobody listens to: who comes by an event first, while no
//! subscriber is known yet, decides for the whole process that it is of no interest.

#[path = "../scripted/executor.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod executor;
#[path = "../scripted/link.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod link;
#[path = "../scripted/world.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod world;

use std::fmt::{Debug, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use outlast_core::client::{Attempts, DialerConfig};
use outlast_core::{CloseCode, Config};
use outlast_service::{Incoming, Peer, Server, ServerConfig, SessionInfo, Tokens};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{Interest, with_default};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::executor::Sim;
use crate::link::{Faults, Link};
use crate::world::{Net, Notes, Raw, client, deaf, eager, serve, served};

/// Notes every event and span of `outlast`, as one line each.
#[derive(Debug)]
struct Listener {
    notes: Notes,
    level: Level,
    spans: AtomicU64,
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = write!(self.0, " {}={value:?}", field.name());
    }
}

impl Subscriber for Listener {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "outlast" && *metadata.level() <= self.level
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut line = Line(format!("span {}", span.metadata().name()));
        span.record(&mut line);
        self.notes.add(line.0);
        Id::from_u64(self.spans.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.notes.add(line.0);
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

fn listened(level: Level, work: impl FnOnce()) -> Vec<String> {
    let notes = Notes::default();
    let listener = Listener { notes: notes.clone(), level, spans: AtomicU64::new(0) };
    with_default(listener, work);
    notes.all()
}

fn polite(peer: &mut Peer<'_>, event: Incoming<'_>) {
    if let Incoming::Finished = event {
        peer.finish();
    }
}

fn count(told: &[String], part: &str) -> usize {
    told.iter().filter(|line| line.contains(part)).count()
}

#[test]
fn the_life_of_a_session_is_told_at_info() {
    let told = listened(Level::INFO, || {
        let sim = Sim::new(1);
        let (server, net) = serve(&sim, Config::SERVER, |_: &SessionInfo| polite);
        let (handle, runner) = client(&sim, &net, eager(1), deaf);
        sim.aside(runner);
        let world = sim.clone();
        sim.run(async move {
            handle.send_receipted(1u8, b"payload").await.unwrap().await.unwrap();
            net.last().cut(true);
            while server.handle().statistics().resumes == 0 {
                world.sleep(500).await;
            }
            handle.send_receipted(1u8, b"payload").await.unwrap().await.unwrap();
            handle.finish();
            assert!(handle.closed().await.complete);
        });
    });
    for (part, times) in [
        ("message=dialling attempt=1", 1),
        ("message=session opened session=", 1),
        ("message=connection ended session=", 1),
        ("message=session resumed session=", 1),
        ("message=session closed session=", 1),
        ("span client", 1),
        ("span session id=", 2),
        ("payload", 0),
        ("connection let in", 0),
    ] {
        assert_eq!(count(&told, part), times, "{part}: {told:#?}");
    }
}

#[test]
fn who_is_kept_out_is_told_without_what_was_shown_and_not_too_often() {
    let told = listened(Level::DEBUG, || {
        let sim = Sim::new(2);
        let tokens = Tokens::new([(&b"open sesame"[..], 7)]).allow_plaintext();
        let authenticator = Some(std::sync::Arc::new(tokens) as _);
        let config = ServerConfig { authenticator, ..served(Config::SERVER) };
        let server = Server::new(sim.clone(), config, |_: &SessionInfo| polite).unwrap();
        let net = Net::serving(&sim, &server);
        let mut config = eager(1);
        config.credentials = Some(std::sync::Arc::new(
            outlast_service::Token::new(b"a wrong one").allow_plaintext(),
        ));
        config.dialer = DialerConfig { attempts: Attempts::Once, ..config.dialer };
        let (handle, runner) = client(&sim, &net, config, deaf);
        sim.aside(runner);
        let world = sim.clone();
        sim.run(async move {
            handle.closed().await;
            for _ in 0..1_000 {
                let link = Link::new(&world, Faults::default(), Faults::default(), 7);
                let (near, far) = link.ends();
                server.spawn_connection(far, None);
                let mut raw = Raw::new(&world, near);
                raw.write(&[0xFF; 64]).await.unwrap();
                while raw.frame().await.is_some() {}
            }
        });
    });
    assert_eq!(count(&told, "message=dialling failed"), 1, "{told:#?}");
    let failed = CloseCode::AUTH_FAILED.name();
    assert!(told.iter().any(|line| line.contains("handshake failed") && line.contains(failed)));
    assert!(told[..20].iter().any(|line| line.contains("DEBUG message=connection let in")));
    for secret in ["sesame", "wrong one"] {
        assert_eq!(count(&told, secret), 0, "{secret}");
    }
    let many = count(&told, "message=handshake failed");
    assert!((200..1_000).contains(&many), "{many}");
}

#[test]
fn nobody_is_told_what_they_did_not_ask_for() {
    let told = listened(Level::ERROR, || {
        let sim = Sim::new(3);
        let (_server, net) = serve(&sim, Config::SERVER, |_: &SessionInfo| polite);
        let (handle, runner) = client(&sim, &net, eager(1), deaf);
        sim.aside(runner);
        sim.run(async move {
            handle.finish();
            assert!(handle.closed().await.complete);
        });
    });
    assert_eq!(told, [""; 0]);
}
