//! Groups of sessions and of connections without, in virtual time.

use std::panic::panic_any;
use std::sync::atomic::{AtomicUsize, Ordering};

use outlast_core::{CloseCode, Config};
use outlast_service::{
    Events, GroupError, Groups, Handle, Handler, Incoming, MemberId, Peer, SendError, Server,
    ServerConfig, ServerEvent, ServerHandle, SessionInfo,
};

use crate::ends::PATIENT;
use crate::executor::{Sim, Wanted};
use crate::world::{Net, Notes, client, deaf, eager, for_seeds, serve, served};

/// Of each session: joins the group that a message on route 1 names, passes others on to it, and
/// notes the end.
fn member(notes: &Notes) -> impl Fn(&SessionInfo) -> Member + Send + Sync + use<> {
    let notes = notes.clone();
    move |_| Member { notes: notes.clone() }
}

struct Member {
    notes: Notes,
}

impl Handler for Member {
    fn handle(&mut self, peer: &mut Peer<'_>, event: Incoming<'_>) {
        match event {
            Incoming::Message { route, payload } if route.get() == 1 => {
                let name = std::str::from_utf8(payload).unwrap();
                self.notes.add(format!("{name} {:?}", peer.join_group(name)));
            }
            Incoming::Message { payload, .. } => {
                let report = peer.send_to_group("room", 2u8, payload).unwrap();
                self.notes.add(format!("passed on to {}", report.sent));
            }
            Incoming::Disconnected { .. } => self.notes.add("detached"),
            Incoming::Finished => peer.finish(),
            Incoming::Ended | Incoming::Lost { .. } => {
                self.notes.add(format!("over in {:?}", peer.groups()));
            }
            _ => {}
        }
    }
}

/// Notes what messages come.
fn listen(notes: &Notes) -> impl Handler + use<> {
    let notes = notes.clone();
    move |_: &mut Peer<'_>, event: Incoming<'_>| {
        if let Incoming::Message { payload, .. } = event {
            notes.add(String::from_utf8_lossy(payload));
        }
    }
}

fn join(sim: &Sim, net: &Net, seed: u64, notes: &Notes) -> Handle {
    let (handle, runner) = client(sim, net, eager(seed), listen(notes));
    sim.aside(runner);
    handle
}

async fn until(sim: &Sim, is_so: impl Fn() -> bool) {
    let since = sim.micros();
    while !is_so() {
        assert!(sim.micros() < since + 600_000_000, "it never was");
        sim.sleep(500).await;
    }
}

#[test]
fn a_session_stays_in_its_groups_without_connection_and_leaves_them_when_it_is_over() {
    let sim = Sim::new(1);
    let (notes, heard) = (Notes::default(), Notes::default());
    let (server, net) = serve(&sim, PATIENT, member(&notes));
    let handle = join(&sim, &net, 1, &heard);
    let world = sim.clone();
    sim.run(async move {
        handle.send(1u8, b"room").await.unwrap();
        handle.send(1u8, b"room").await.unwrap();
        handle.send(1u8, b"hall").await.unwrap();
        notes.wait(&world, "hall").await;
        assert_eq!(notes.all(), ["room Ok(true)", "room Ok(false)", "hall Ok(true)"]);
        let (server, id) = (server.handle(), handle.id().unwrap());
        let groups = server.groups();
        assert_eq!(groups.members("room"), [MemberId::Session(id)]);
        assert_eq!(groups.members("room")[0].get(), id);
        // Without a connection, and for longer than it takes to notice.
        net.plan(|_| None);
        net.last().cut(true);
        notes.wait(&world, "detached").await;
        world.sleep(5_000_000).await;
        assert_eq!(groups.stats().places, 2);
        assert_eq!(groups.send("room", 2u8, b"while you were away").sent, 1);
        net.plan(|_| Some(Default::default()));
        heard.wait(&world, "while you were away").await;
        handle.finish();
        assert!(handle.closed().await.complete);
        notes.wait(&world, "over").await;
        assert_eq!(notes.count("over in [\"room\", \"hall\"]"), 1, "{:?}", notes.all());
        until(&world, || groups.stats().places == 0).await;
        assert_eq!((groups.stats().left, groups.stats().groups), (2, 0));
        assert_eq!(groups.send("room", 2u8, b"to nobody"), Default::default());
    });
}

#[test]
fn a_message_goes_to_everybody_else_and_the_report_says_who_does_not_get_it() {
    let sim = Sim::new(2);
    let notes = Notes::default();
    let (server, net) = serve(&sim, PATIENT, member(&notes));
    let world = sim.clone();
    sim.run(async move {
        let heard: Vec<Notes> = (0..4).map(|_| Notes::default()).collect();
        let all: Vec<Handle> =
            heard.iter().zip(2..).map(|(heard, seed)| join(&world, &net, seed, heard)).collect();
        for handle in &all {
            handle.send(1u8, b"room").await.unwrap();
        }
        let (server, ids) = (server.handle(), &all);
        until(&world, || server.groups().stats().places == 4).await;
        let ids: Vec<u64> = ids.iter().map(|handle| handle.id().unwrap()).collect();
        all[0].send(2u8, b"from the first").await.unwrap();
        for heard in &heard[1..] {
            heard.wait(&world, "from the first").await;
        }
        notes.wait(&world, "passed on to 3").await;
        // To all, to all but one, to some.
        assert_eq!(server.broadcast(2u8, b"all").sent, 4);
        assert_eq!(server.broadcast_except(ids[1], 2u8, b"others").sent, 3);
        let report = server.send_to_many([ids[0], 77], 2u8, b"some");
        assert_eq!(
            (report.sent, &report.failed[..]),
            (1, &[(77, SendError::NoSuchSession(77))][..])
        );
        let except = [MemberId::Session(ids[0]), MemberId::Session(ids[3])];
        assert_eq!(server.groups().send_except("room", &except, 2u8, b"two of four").sent, 2);
        // One that has no room for it is told of, and nobody waits for it.
        let big = vec![0; 200 << 10];
        let long = server.groups().send("room", 2u8, &big);
        assert_eq!((long.sent, long.failed.len()), (0, 4), "no frame is that long");
        assert!(long.failed.iter().all(|(_, error)| !error.is_retryable()));
        world.sleep(1_000_000).await;
        let counts = |note: &str| heard.iter().map(|heard| heard.count(note)).collect::<Vec<_>>();
        assert_eq!(counts("from the first"), [0, 1, 1, 1]);
        assert_eq!(counts("all"), [1; 4]);
        assert_eq!(counts("others"), [1, 0, 1, 1]);
        assert_eq!(counts("some"), [1, 0, 0, 0]);
        assert_eq!(counts("two of four"), [0, 1, 1, 0]);
        assert_eq!(all[0].join_group("room"), Err(GroupError::NotServed), "a client's");
        assert!(all[0].info().is_none() && all[0].groups().is_empty());
    });
}

#[test]
fn handles_join_and_send_as_their_rule_says() {
    let sim = Sim::new(3);
    let groups = Groups::default();
    groups.set_rule(|asking| asking.member.principal.is_none() && asking.group != "staff");
    let config = ServerConfig { groups: Some(groups.clone()), ..served(Config::SERVER) };
    let server = Server::new(sim.clone(), config, |_: &SessionInfo| deaf).unwrap();
    let net = Net::serving(&sim, &server);
    let heard = Notes::default();
    let handle = join(&sim, &net, 1, &heard);
    let world = sim.clone();
    sim.run(async move {
        until(&world, || handle.id().is_some()).await;
        let session = server.handle().get(handle.id().unwrap()).unwrap();
        assert_eq!(session.join_group("staff"), Err(GroupError::Denied));
        assert_eq!(session.send_to_group("staff", 1u8, b"x"), Err(GroupError::Denied));
        assert_eq!(session.join_group("guests"), Ok(true));
        assert_eq!(session.groups().len(), 1);
        assert!(session.leave_group("guests") && !session.leave_group("guests"));
        assert_eq!(groups.join(&session, "staff"), Ok(true), "the application may");
        assert_eq!(groups.stats().denied, 2);
        session.end(CloseCode::OK);
        until(&world, || groups.stats().places == 0).await;
        assert_eq!(groups.join(&session, "staff"), Err(GroupError::Over));
    });
}

/// Puts every session into groups and out of them, and sends to one of those.
async fn commotion(sim: Sim, server: ServerHandle, pause: u64) {
    for round in 0..100 {
        for id in server.sessions().iter().map(|info| info.id) {
            if let Some(session) = server.get(id) {
                let _ = session.join_group(["room", "hall"][round % 2]);
                session.leave_group(["hall", "room"][round % 2]);
            }
        }
        let _ = server.groups().send("room", 2u8, b"noise");
        sim.sleep(pause).await;
    }
}

/// Of three sessions or more each was told to be there, and to be over, once.
fn each_ends_once(events: &mut Events<ServerEvent>, seed: u64) {
    let (mut opened, mut closed) = (Vec::new(), Vec::new());
    while let Some(event) = events.try_next() {
        match event.unwrap() {
            ServerEvent::Opened { id, .. } => opened.push(id),
            ServerEvent::Closed { id, .. } => closed.push(id),
            _ => {}
        }
    }
    opened.sort_unstable();
    closed.sort_unstable();
    assert_eq!(opened, closed, "seed {seed}: each begins and ends once");
    assert!(opened.is_sorted_by(|one, next| one < next), "seed {seed}: nothing twice");
    assert!(opened.len() >= 3, "seed {seed}");
}

/// Sessions end by either end, by a cut and a refusal, by a panic of their handler and by their
/// server, while others send to them and put them into groups.
#[test]
fn sessions_that_end_are_in_no_group_and_are_told_to_be_closed_once() {
    let panicked = AtomicUsize::new(0);
    for_seeds(200, |seed, mut rng| {
        let sim = Sim::new(seed);
        let (server, net) = serve(&sim, PATIENT, |_: &SessionInfo| {
            |peer: &mut Peer<'_>, event: Incoming<'_>| match event {
                Incoming::Opened => drop(peer.join_group("room")),
                Incoming::Message { payload: b"panic", .. } => panic_any(Wanted),
                Incoming::Finished => peer.finish(),
                // Too late, which must do no harm.
                Incoming::Ended | Incoming::Lost { .. } => drop(peer.join_group("last words")),
                _ => {}
            }
        });
        let mut events = server.handle().events(1024);
        let (handle, groups) = (server.handle(), server.handle().groups().clone());
        let clients: Vec<Handle> = (0..3)
            .map(|number| {
                let (handle, runner) = client(&sim, &net, eager(seed + number), deaf);
                sim.aside(runner);
                handle
            })
            .collect();
        let world = sim.clone();
        let (how, after) = ([(); 3].map(|()| rng.range(0, 5)), rng.range(0, 3_000));
        let noise = rng.range(1, 90);
        sim.run(async move {
            until(&world, || clients.iter().all(|client| client.id().is_some())).await;
            world.aside(commotion(world.clone(), handle.clone(), noise));
            world.sleep(after).await;
            for (client, how) in clients.iter().zip(how) {
                let id = client.id().unwrap_or_default();
                match how {
                    0 => client.finish(),
                    1 => client.end(CloseCode::OK),
                    2 => drop(handle.end(id, CloseCode::OK)),
                    3 => drop(client.try_send(1u8, b"panic")),
                    4 => net.last().cut(true),
                    _ => {}
                }
                world.sleep(noise).await;
            }
            world.sleep(200_000).await;
            // Whoever lost its session may have made another one.
            clients.iter().for_each(|client| client.end(CloseCode::OK));
            for client in &clients {
                client.closed().await;
            }
            handle.end_all(CloseCode::GOING_AWAY);
            until(&world, || handle.stats().sessions == 0).await;
            world.sleep(20_000).await;
            assert_eq!((groups.stats().places, groups.stats().members), (0, 0), "seed {seed}");
            each_ends_once(&mut events, seed);
        });
        panicked.fetch_add(how.iter().filter(|how| **how == 3).count(), Ordering::Relaxed);
    });
    assert!(std::env::var("SEED").is_ok() || panicked.into_inner() > 40);
}

#[cfg(feature = "formats")]
mod mixed {
    use outlast_service::plain::formats::{Format, Key, LengthPrefix, Ltv, Packet};
    use outlast_service::plain::{
        PlainCause, PlainConfig, PlainEvent, PlainHandler, PlainInfo, PlainPeer, PlainServer,
        PlainServerEvent,
    };
    use outlast_service::router::{Link, Router};
    use outlast_service::{Bytes, Limits};

    use super::*;
    use crate::plain::Wire;

    /// Joins the group that a packet names.
    struct Plain(Notes);

    impl PlainHandler for Plain {
        fn handle(&mut self, peer: &mut PlainPeer<'_>, event: PlainEvent<'_>) {
            match event {
                PlainEvent::Packet(packet) => {
                    let name = String::from_utf8_lossy(&packet.payload);
                    self.0.add(format!("{name} {:?}", peer.join_group(&name)));
                }
                PlainEvent::Closed(_) => self.0.add(format!("over in {:?}", peer.groups())),
                _ => {}
            }
        }
    }

    fn plain<F: Format + Clone + Sync>(
        sim: &Sim,
        groups: &Groups,
        format: F,
        notes: &Notes,
    ) -> (PlainServer<Sim, Plain>, Net) {
        let (groups, notes, limits) = (groups.clone(), notes.clone(), Limits::one_source());
        let factory = move |_: &PlainInfo| Plain(notes.clone());
        let config = PlainConfig::default();
        let made = PlainServer::with_groups(groups, sim.clone(), config, limits, format, factory);
        let server = made.unwrap();
        let at = server.clone();
        (server, Net::new(sim, move |io| at.spawn_connection(io, None, None)))
    }

    fn encoded(format: &mut impl Format, packet: &Packet<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        format.encode(packet, &mut bytes).unwrap();
        bytes
    }

    /// A session, a connection whose format has numbers, and one whose format has none.
    #[test]
    fn one_group_has_sessions_and_connections_of_several_servers() {
        let sim = Sim::new(7);
        let groups = Groups::default();
        let config = ServerConfig { groups: Some(groups.clone()), ..served(PATIENT) };
        let (notes, heard) = (Notes::default(), Notes::default());
        let native = Server::new(sim.clone(), config, member(&notes)).unwrap();
        let net = Net::serving(&sim, &native);
        let handle = join(&sim, &net, 1, &heard);
        let (numbered, ltv) = plain(&sim, &groups, Ltv::default(), &notes);
        let (_other, prefixed) = plain(&sim, &groups, LengthPrefix::default(), &notes);
        let mut events = numbered.handle().events(8);
        let world = sim.clone();
        sim.run(async move {
            handle.send(1u8, b"room").await.unwrap();
            let (mut one, mut two) = (Wire::to(&ltv), Wire::to(&prefixed));
            let joining = Packet::one_way(5, b"room");
            assert!(one.write(&encoded(&mut Ltv::default(), &joining)).await);
            let joining = Packet::plain(b"room");
            assert!(two.write(&encoded(&mut LengthPrefix::default(), &joining)).await);
            until(&world, || groups.stats().places == 3).await;
            assert!(native.handle().groups().members("room").len() == 3, "they are the same");
            let report = groups.send("room", 9u8, b"to all of you");
            assert_eq!((report.sent, report.failed.len()), (3, 0), "{report:?}");
            heard.wait(&world, "to all of you").await;
            let packet = Packet { key: Key::Id(9), ..Packet::plain(b"to all of you") };
            let expected = encoded(&mut Ltv::default(), &packet);
            assert_eq!(one.read(expected.len()).await, expected);
            let packet = Packet::plain(b"to all of you");
            let expected = encoded(&mut LengthPrefix::default(), &packet);
            assert_eq!(two.read(expected.len()).await, expected);
            // One of a kind goes, and the others stay.
            one.shut().await;
            notes.wait(&world, "over in [\"room\"]").await;
            until(&world, || groups.stats().places == 2).await;
            assert_eq!(groups.send("room", 9u8, b"two").sent, 2);
            let told: Vec<_> =
                std::iter::from_fn(|| events.try_next()).map(Result::unwrap).collect();
            let [
                PlainServerEvent::Connected { id: first, .. },
                PlainServerEvent::Closed { id, closed },
            ] = told[..]
            else {
                panic!("{told:?}");
            };
            assert_eq!((first, closed.cause), (id, PlainCause::Finished));
        });
    }

    /// The same handlers put sessions and connections into one group.
    #[test]
    fn routes_join_and_send_whatever_their_clients_speak() {
        let routes = Router::new()
            .route(1u8, |bytes: Bytes, link: Link| async move {
                let name = String::from_utf8_lossy(&bytes).into_owned();
                format!("{:?} {:?}", link.join_group(&name), link.groups())
            })
            .route(2u8, |bytes: Bytes, link: Link| {
                link.send_to_group("room", 9u8, &bytes).unwrap().sent.to_string()
            })
            .route(3u8, |link: Link| {
                format!("{} {}", link.leave_group("room"), link.groups().len())
            })
            .build()
            .unwrap();
        let sim = Sim::new(8);
        let groups = Groups::default();
        let config = ServerConfig { groups: Some(groups.clone()), ..served(PATIENT) };
        let native = Server::new(sim.clone(), config, routes.factory()).unwrap();
        let heard = Notes::default();
        let handle = join(&sim, &Net::serving(&sim, &native), 1, &heard);
        let (config, limits) = (PlainConfig::default(), Limits::one_source());
        let (factory, format) = (routes.plain_factory(), Ltv::default());
        let made =
            PlainServer::with_groups(groups.clone(), sim.clone(), config, limits, format, factory);
        let plain = made.unwrap();
        let net = Net::new(&sim, move |io| plain.spawn_connection(io, None, None));
        let world = sim.clone();
        sim.run(async move {
            let joined = handle.request(1u8, b"room").await.unwrap().payload;
            assert_eq!(joined, r#"Ok(true) ["room"]"#);
            let mut wire = Wire::to(&net);
            let mut talk = async |id, payload: &[u8], answer: &str| {
                let sent = encoded(&mut Ltv::default(), &Packet::one_way(id, payload));
                assert!(wire.write(&sent).await);
                let expected = Packet::one_way(id, answer.as_bytes());
                let expected = encoded(&mut Ltv::default(), &expected);
                assert_eq!(wire.read(expected.len()).await, expected);
            };
            talk(1, b"room", r#"Ok(true) ["room"]"#).await;
            talk(2, b"hello", "1").await;
            heard.wait(&world, "hello").await;
            talk(3, b"", "true 0").await;
            assert_eq!(handle.request(2u8, b"to nobody").await.unwrap().payload, "0");
            assert_eq!(groups.members("room").len(), 1);
        });
    }
}
