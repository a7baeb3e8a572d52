//! Settings that no other test here is about: that they have an effect, and which.

use outlast_core::wire::{Header, Op};
use outlast_core::{CloseCode, Config};
use outlast_service::plain::PlainConfig;
use outlast_service::plain::formats::{Ndjson, NdjsonConfig};
use outlast_service::{Incoming, Peer, Server, ServerConfig, SessionInfo};

use crate::executor::Sim;
use crate::plain::{Wire, echo, serve as serve_plain};
use crate::world::{Net, Notes, client, deaf, eager, serve, served};

/// How many frames of this kind are among these bytes.
fn count(mut bytes: &[u8], op: Op) -> usize {
    let mut found = 0;
    while let Some((head, rest)) = bytes.split_first_chunk() {
        let header = Header::from_bytes(*head);
        found += usize::from(header.op() == Some(op));
        bytes = rest.get(usize::from(header.body_len())..).unwrap_or_default();
    }
    found
}

#[test]
fn a_resumed_session_gets_another_key_unless_it_is_to_keep_its_own() {
    for rotate_keys in [true, false] {
        let sim = Sim::new(1);
        let config = ServerConfig { rotate_keys, ..served(Config::SERVER) };
        let server = Server::new(sim.clone(), config, |_: &SessionInfo| deaf).unwrap();
        let house = server.clone();
        sim.aside(async move { house.keep_house().await });
        let net = Net::serving(&sim, &server);
        let (handle, runner) = client(&sim, &net, eager(1), deaf);
        sim.aside(runner);
        sim.run(async move {
            for resumed in 0..4_u64 {
                handle.send_receipted(1u8, b"still here").await.unwrap().await.unwrap();
                assert_eq!(server.handle().stats().resumed, resumed);
                let keys = count(&net.last().down().log, Op::Token);
                assert_eq!(keys, usize::from(rotate_keys && resumed > 0));
                handle.disconnect(CloseCode::GOING_AWAY);
            }
        });
    }
}

/// Of five that are asked at the same time as many arrive as both ends allow.
#[test]
fn requests_that_are_open_are_limited_by_both_ends() {
    for (ours, theirs, open) in [(2, 9, 2), (9, 3, 3), (9, 9, 5)] {
        let sim = Sim::new(1);
        let asked = Notes::default();
        let told = asked.clone();
        let config = Config { max_requests: theirs, ..Config::SERVER };
        let (_server, net) = serve(&sim, config, move |_: &SessionInfo| {
            let (told, mut owed) = (told.clone(), Vec::new());
            move |peer: &mut Peer<'_>, event: Incoming<'_>| {
                if let Incoming::Request { id, .. } = event {
                    told.add("asked");
                    owed.push(peer.defer(id));
                }
            }
        });
        let mut options = eager(1);
        options.session = Some(Config { max_requests_out: ours, ..Config::CLIENT });
        let (handle, runner) = client(&sim, &net, options, deaf);
        sim.aside(runner);
        let world = sim.clone();
        sim.run(async move {
            for _ in 0..5 {
                let handle = handle.clone();
                world.aside(async move { drop(handle.request(1u8, b"?").await) });
            }
            world.sleep(1_000_000).await;
            assert_eq!(asked.count("asked"), open, "{ours} {theirs}");
        });
    }
}

#[test]
fn so_many_mistakes_in_a_row_are_borne_and_no_more() {
    for max_bad in [0, 3] {
        let sim = Sim::new(1);
        let notes = Notes::default();
        let config = PlainConfig { max_bad, ..PlainConfig::default() };
        let format = Ndjson::new(NdjsonConfig::DEFAULT).unwrap();
        let (_server, net) = serve_plain(&sim, config, format, echo(&notes));
        let world = sim.clone();
        sim.run(async move {
            let mut wire = Wire::to(&net);
            for _ in 0..max_bad {
                wire.write(b"no json\n").await;
            }
            world.sleep(1_000_000).await;
            assert_eq!(notes.count("closed"), 0, "{max_bad}");
            // A packet between them, and they are counted anew.
            if max_bad > 0 {
                wire.write(b"{\"message_type\": \"a\"}\nno json\n").await;
                world.sleep(1_000_000).await;
                assert_eq!(notes.count("closed"), 0, "{max_bad}");
            }
            for _ in 0..=max_bad {
                wire.write(b"no json\n").await;
            }
            notes.wait(&world, "closed Malformed").await;
        });
    }
}
