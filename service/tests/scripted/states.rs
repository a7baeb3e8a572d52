//! What a client is doing, for those who look from outside.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use outlast_core::client::{Attempts, DialerConfig, OnLost};
use outlast_core::{CloseCode, Config};
use outlast_service::plain::formats::Ltv;
use outlast_service::plain::{
    PlainClientConfig, PlainConfig, PlainEvent, PlainPeer, PlainRunner, PlainServer,
};
use outlast_service::{
    ClientConfig, Handle, Limits, LinkState, RequestError, Runtime, SendError, Watcher, Why,
};

use crate::executor::Sim;
use crate::link::Faults;
use crate::world::{Net, client, deaf, eager, serve};

/// Every state there was, and when it began.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<(LinkState, u64)>>>);

impl Seen {
    fn watcher(&self, sim: &Sim) -> Watcher {
        let (seen, sim) = (self.clone(), sim.clone());
        Watcher::new(move |state| seen.0.lock().unwrap().push((state, sim.micros())))
    }

    fn names(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().map(|(state, _)| state.to_string()).collect()
    }

    fn all(&self) -> Vec<(LinkState, u64)> {
        self.0.lock().unwrap().clone()
    }
}

const OPENED: LinkState = LinkState::Connected { resumed: false };
const RESUMED: LinkState = LinkState::Connected { resumed: true };

/// A moment of virtual time.
fn moment(sim: &Sim, at: u64) -> Instant {
    sim.now() - Duration::from_micros(sim.micros()) + Duration::from_micros(at)
}

#[test]
fn a_client_says_what_it_does_from_the_first_attempt_to_the_end() {
    let (sim, seen) = (Sim::new(3), Seen::default());
    let (server, net) = serve(&sim, Config::SERVER, |_| deaf);
    // The third attempt finds nobody.
    net.plan(|number| (number != 2).then(|| (Faults::default(), Faults::default())));
    let config = ClientConfig { watcher: Some(seen.watcher(&sim)), ..eager(3) };
    let (handle, runner) = client(&sim, &net, config, deaf);
    let (world, noted) = (sim.clone(), seen.clone());
    sim.run(async move {
        let mut states = handle.states();
        assert_eq!((handle.state(), states.latest()), (LinkState::Disconnected, handle.state()));
        world.aside(runner);
        assert_eq!(states.wait_for(LinkState::is_connected).await, Some(OPENED));
        let there = server.handle().get(handle.id().unwrap()).unwrap();
        let mut far = there.states();
        assert_eq!(far.latest().name(), "connected");
        for _ in 0..2 {
            handle.disconnect(CloseCode::GOING_AWAY);
            assert!(states.wait_for(|state| !state.is_connected()).await.is_some());
            assert_eq!(states.wait_for(LinkState::is_connected).await, Some(RESUMED));
            assert!(far.wait_for(LinkState::is_connected).await.is_some());
        }
        handle.end(CloseCode::GOING_AWAY);
        assert_eq!(states.wait_for(LinkState::is_closed).await, Some(LinkState::Closed));
        assert_eq!((states.changed().await, handle.state()), (None, LinkState::Closed));
        assert!(matches!(handle.closed().await.why, Why::Stopped));
        assert_eq!(far.wait_for(LinkState::is_closed).await, Some(LinkState::Closed));
        assert_eq!(there.state(), LinkState::Closed);
    });
    let names = noted.names();
    let round = ["connecting", "connected", "disconnected", "waiting"];
    let again = ["connecting", "waiting", "connecting", "connected", "closed"];
    let expected = [&round[..], &round[..], &again[..]].concat();
    assert_eq!(names, expected, "{:?}", noted.all());
    // Each wait ends when it said, with the attempt it named.
    let all = noted.all();
    let waits = all.windows(2).filter_map(|pair| match pair {
        [(LinkState::Waiting { attempt, until }, _), (next, at)] => {
            Some((*attempt, *until, next, *at))
        }
        _ => None,
    });
    let mut count = 0;
    for (attempt, until, next, at) in waits {
        assert_eq!(*next, LinkState::Connecting { attempt });
        assert_eq!(until, Some(moment(&sim, at)), "{all:?}");
        count += 1;
    }
    assert!(count >= 3, "{all:?}");
}

#[test]
fn a_session_that_takes_the_place_of_a_lost_one_is_no_end() {
    let (sim, seen) = (Sim::new(5), Seen::default());
    let (server, net) = serve(&sim, Config::SERVER, |_| deaf);
    let config = ClientConfig { watcher: Some(seen.watcher(&sim)), ..eager(5) };
    let (handle, runner) = client(&sim, &net, config, deaf);
    let world = sim.clone();
    sim.run(async move {
        world.aside(runner);
        let mut states = handle.states();
        states.wait_for(LinkState::is_connected).await;
        let there = server.handle().get(handle.id().unwrap()).unwrap();
        there.end(CloseCode::new(0x8001));
        let lost = handle.closed().await;
        assert!(lost.is_retryable() && matches!(lost.why, Why::Lost), "{lost}");
        assert!(states.wait_for(|state| !state.is_connected()).await.is_some());
        assert_eq!(states.wait_for(LinkState::is_connected).await, Some(OPENED), "a new one");
        assert_eq!(there.state(), LinkState::Closed);
        handle.end(CloseCode::GOING_AWAY);
        assert_eq!(states.wait_for(LinkState::is_closed).await, Some(LinkState::Closed));
    });
    assert_eq!(seen.names().iter().filter(|name| *name == "closed").count(), 1);
}

/// A client of nobody, and what it says when it has given up.
fn in_vain(attempts: Attempts) -> (Vec<String>, RequestError) {
    let (sim, seen) = (Sim::new(1), Seen::default());
    let net = Net::new(&sim, |_| {});
    net.plan(|_| None);
    let mut config = ClientConfig { watcher: Some(seen.watcher(&sim)), ..eager(1) };
    (config.dialer.attempts, config.dialer.on_lost) = (attempts, OnLost::Stop);
    let (handle, runner): (Handle, _) = client(&sim, &net, config, deaf);
    let world = sim.clone();
    let error = sim.run(async move {
        world.aside(runner);
        let error = handle.request(1u8, b"").await.unwrap_err();
        let mut states = handle.states();
        assert_eq!(states.wait_for(LinkState::is_closed).await, Some(LinkState::Closed));
        error
    });
    (seen.names(), error)
}

#[test]
fn who_gives_up_says_so_and_that_another_time_may_be_better() {
    let (names, error) = in_vain(Attempts::UpTo(2));
    assert_eq!(names, ["connecting", "waiting", "connecting", "closed"]);
    assert!(error.is_retryable() && error.is_safe_to_repeat(), "{error}");
    assert!(matches!(&error, RequestError::NotSent(SendError::Closed(_))), "{error}");
    assert_eq!(in_vain(Attempts::Once).0, ["connecting", "closed"]);
}

#[test]
fn clients_without_sessions_say_the_same() {
    let (sim, seen) = (Sim::new(2), Seen::default());
    let nothing = |_: &mut PlainPeer<'_>, _: PlainEvent<'_>| {};
    let config = PlainConfig::default();
    let limits = Limits::one_source();
    let server = PlainServer::new(sim.clone(), config, limits, Ltv::default(), move |_| nothing);
    let server = server.unwrap();
    let at = server.clone();
    let net = Net::new(&sim, move |io| at.spawn_connection(io, None, None));
    let dialer = DialerConfig { attempts: Attempts::UpTo(2), ..eager(2).dialer };
    let watcher = Some(seen.watcher(&sim));
    let config = PlainClientConfig { dialer, watcher, ..PlainClientConfig::default() };
    let made = PlainRunner::new(sim.clone(), config, net.clone(), Ltv::default(), nothing);
    let (handle, runner) = made.unwrap();
    let world = sim.clone();
    sim.run(async move {
        let mut states = handle.states();
        world.aside(runner);
        assert_eq!(states.wait_for(LinkState::is_connected).await, Some(OPENED));
        assert!(handle.connected().await && handle.state() == OPENED);
        let all = server.handle().connections();
        let far = server.handle().get(all[0].id).unwrap();
        let mut far_states = far.states();
        assert_eq!((all[0].state, far_states.latest()), (OPENED, OPENED));
        net.plan(|_| None);
        assert_eq!(server.handle().close_all(), 1);
        assert_eq!(far_states.wait_for(LinkState::is_closed).await, Some(LinkState::Closed));
        assert_eq!(states.wait_for(LinkState::is_closed).await, Some(LinkState::Closed));
        assert!(!handle.connected().await);
        let error = handle.request(1, b"", Duration::from_secs(1)).await.unwrap_err();
        assert!(error.is_retryable(), "{error}");
    });
    let expected = ["connecting", "connected", "disconnected", "waiting", "connecting"];
    assert_eq!(seen.names()[..5], expected, "{:?}", seen.all());
    assert_eq!(seen.names().last().unwrap(), "closed");
}
