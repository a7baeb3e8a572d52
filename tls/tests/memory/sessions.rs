//! Sessions over TLS in virtual time: one limit for both handshakes, identities, proofs that are
//! bound to connections.

use std::io;
use std::sync::{Arc, Mutex};

use outlast_core::client::Attempts;
use outlast_core::{CloseCode, Config};
use outlast_service::{
    ClientConfig, Connector, DialError, Dialed, Handler, Incoming, Password, Passwords, Peer,
    Runner, Runtime, SecurityEvent, SecurityKind, SecurityLog, Server, SessionInfo, StoredPassword,
    Token, Tokens,
};
use outlast_tls::{Certificates, ClientTls, PeerIdentity, ServerTls, TlsError, principal_of};

use crate::common::{Authority, Signed, Valid, both, client_of, server_of};
use crate::ends::{handshake, read_all, write_all};
use crate::executor::Sim;
use crate::link::{Faults, Io};
use crate::world::{Net, Notes, deaf, eager, for_seeds, served};

/// Dials `Net` with TLS over it.
struct Dial(Net, ClientTls);

impl Connector for Dial {
    type Io = outlast_tls::TlsStream<Io>;

    async fn connect(&mut self, _: usize) -> io::Result<Dialed<Self::Io>> {
        let io = self.1.connect(self.0.dial()?, "localhost:7411")?;
        Ok(Dialed { io, remote: None })
    }
}

/// A server behind TLS, and its place in the network.
fn serve<H: Handler>(
    sim: &Sim,
    tls: &ServerTls,
    config: outlast_service::ServerConfig,
    factory: impl Fn(&SessionInfo) -> H + Send + Sync + 'static,
) -> (Server<Sim, H>, Net) {
    let server = Server::new(sim.clone(), config, factory).unwrap();
    let house = server.clone();
    sim.spawn(async move { house.keep_house().await });
    let (taking, tls) = (server.clone(), tls.clone());
    let net = Net::new(sim, move |io| taking.spawn_connection(tls.accept(io).unwrap(), None));
    (server, net)
}

fn dial(
    sim: &Sim,
    (net, tls): (&Net, &ClientTls),
    config: ClientConfig,
    handler: impl Handler,
) -> (outlast_service::Handle, Runner) {
    Runner::new(sim.clone(), config, Dial(net.clone(), tls.clone()), handler).unwrap()
}

/// Notes why dialling failed, and when there was a session.
fn listen(notes: &Notes) -> impl FnMut(&mut Peer<'_>, Incoming<'_>) + Send + 'static {
    let told = notes.clone();
    move |_, event| match event {
        Incoming::Opened => told.add("opened"),
        Incoming::DialFailed { error, .. } => {
            let tls = error.io().and_then(TlsError::of);
            let again = if error.is_retryable() { "again" } else { "no use" };
            told.add(match (error, tls) {
                (DialError::Transport(_), Some(tls)) => format!("{tls:?}, {again}"),
                (other, _) => format!("{other:?}, {again}"),
            });
        }
        _ => {}
    }
}

/// How slowly a client may come in has one limit, whether it dawdles in TLS or behind it.
#[test]
fn a_server_waits_for_both_handshakes_together() {
    let limit = u64::from(Config::SERVER.handshake_timeout_ms) * 1_000;
    for behind_tls in [false, true] {
        let sim = Sim::new(1);
        let (client, tls) = both();
        let (server, net) = serve(&sim, &tls, served(Config::SERVER), |_: &SessionInfo| deaf);
        let world = sim.clone();
        let stats = tls.clone();
        sim.run(async move {
            let raw = net.dial().unwrap();
            if behind_tls {
                // TLS takes most of the time, by a connection that is slow; then a HELLO drips.
                let mut io = client.connect(raw, "localhost").unwrap();
                world.sleep(limit * 9 / 10).await;
                handshake(&mut io).await.unwrap();
                for byte in [1, 1, 0x24, 0] {
                    write_all(&mut io, &[byte]).await.unwrap();
                    world.sleep(limit / 50).await;
                }
                let (close, _) = read_all(&mut io, 100).await;
                assert_eq!(close[..6], [0x0D, 0, close[2], 0, 0x06, 0x01], "HS_TIMEOUT");
                assert_eq!(stats.stats().handshakes, 1);
            } else {
                let mut io = raw;
                for byte in [0x16, 0x03, 0x01, 0x02, 0x00, 0x01] {
                    write_all(&mut io, &[byte]).await.unwrap();
                    world.sleep(limit / 10).await;
                }
                let (answer, _) = read_all(&mut io, 100).await;
                assert!(answer.is_empty(), "{answer:02x?}");
            }
            let took = world.micros();
            assert!((limit..limit + 50_000).contains(&took), "{behind_tls}: {took} of {limit}");
            assert_eq!(server.handle().stats().failed_handshakes, 1);
        });
        assert_eq!(tls.stats().abandoned, u64::from(!behind_tls));
    }
}

/// The limit of an attempt covers TLS, and what is told is that it took too long.
#[test]
fn a_client_waits_for_both_handshakes_together() {
    let sim = Sim::new(5);
    let (tls, _) = both();
    let held = Arc::new(Mutex::new(Vec::new()));
    let hold = Arc::clone(&held);
    let net = Net::new(&sim, move |io| hold.lock().unwrap().push(io));
    let mut options = eager(1);
    options.dialer.connect_limit = 1_000_000;
    options.dialer.attempts = Attempts::Once;
    let notes = Notes::default();
    let (_handle, runner) = dial(&sim, (&net, &tls), options, listen(&notes));
    let (world, told) = (sim.clone(), notes);
    sim.run(async move {
        runner.await;
        assert!((1_000_000..1_010_000).contains(&world.micros()), "{}", world.micros());
        let [only] = &told.all()[..] else { panic!("{:?}", told.all()) };
        assert!(only.contains("Unreachable") && only.contains("TimedOut"), "{only}");
    });
}

/// No work is done for those who are turned away: they are let go without a handshake.
#[test]
fn who_is_turned_away_costs_no_handshake() {
    let sim = Sim::new(2);
    let (tls, server_tls) = both();
    let mut config = served(Config::SERVER);
    config.limits.connections.max_connections = 1;
    config.limits.connections.reserve_share = 0;
    let (_server, net) = serve(&sim, &server_tls, config, |_: &SessionInfo| deaf);
    let notes = Notes::default();
    let (_one, first) = dial(&sim, (&net, &tls), eager(1), listen(&notes));
    let (told, world) = (Notes::default(), sim.clone());
    let mut once = eager(2);
    once.dialer.attempts = Attempts::Once;
    let (_two, second) = dial(&sim, (&net, &tls), once, listen(&told));
    sim.run(async move {
        world.aside(first);
        notes.wait(&world, "opened").await;
        second.await;
        assert_eq!(told.all(), ["EndedInHandshake, again"]);
    });
    assert_eq!(server_tls.stats().handshakes, 1);
}

/// The principal of a client without a certificate, and with it.
#[test]
fn a_certificate_makes_a_principal() {
    let (right, wrong) = (Authority::new("right"), Authority::new("wrong"));
    let asking = server_of(&right).client_roots_pem(right.pem());
    let mut name = PeerIdentity::new([0; 32]);
    name.names = vec!["device-7.example".into()];
    let expected = principal_of(&name).unwrap();
    let showing = |authority: &Authority| {
        let Signed { chain, key } = authority.sign("d", &["device-7.example"], Valid::Now);
        client_of(&right).identity_pem(chain, key).build().unwrap()
    };
    let bare = client_of(&right).build().unwrap();
    let shown = |optional: bool, tls: &ClientTls, token: Option<&'static [u8]>| {
        let sim = Sim::new(3);
        let server_tls = server_of(&right).client_roots_pem(right.pem());
        let server_tls = if optional { server_tls.clients_optional() } else { server_tls };
        let mut config = served(Config::SERVER);
        let tokens = Tokens::new([(&b"secret"[..], 9)]);
        config.authenticator = Some(Arc::new(Certificates::by_name().or_else(tokens)));
        let (server, net) =
            serve(&sim, &server_tls.build().unwrap(), config, |_: &SessionInfo| deaf);
        let mut options = eager(1);
        options.dialer.attempts = Attempts::Once;
        options.credentials = token.map(|token| Arc::new(Token::new(token)) as Arc<_>);
        let notes = Notes::default();
        let (handle, runner) = dial(&sim, (&net, tls), options, listen(&notes));
        let world = sim.clone();
        sim.run(async move {
            world.aside(runner);
            while notes.all().is_empty() {
                world.sleep(1_000).await;
            }
            drop(handle);
            let principals: Vec<_> =
                server.handle().sessions().iter().map(|info| info.principal).collect();
            (notes.all(), principals)
        })
    };
    let opened = || vec!["opened".to_owned()];
    assert_eq!(shown(false, &showing(&right), None), (opened(), vec![Some(expected)]));
    assert_eq!(shown(true, &showing(&right), None), (opened(), vec![Some(expected)]));
    let required = vec!["CertificateRequired, no use".to_owned()];
    assert_eq!(shown(false, &bare, Some(b"secret")), (required, vec![]));
    // A token that is shown over encrypted transports alone is shown over this one.
    assert_eq!(shown(true, &bare, Some(b"secret")), (opened(), vec![Some(9)]));
    let refused = vec!["Refused(AUTH_FAILED(0x0203)), no use".to_owned()];
    assert_eq!(shown(true, &bare, Some(b"wrong")), (refused, vec![]));
    let (told, none) = shown(true, &showing(&wrong), Some(b"secret"));
    assert!(told[0].starts_with("CertificateRefused") && none.is_empty(), "{told:?}");
    drop(asking.build().unwrap());
}

/// Whatever is cut in the ciphertext, each message arrives once and in order, and each resume is
/// proven with what its own connection alone has.
#[test]
fn sessions_outlast_cuts_in_the_ciphertext() {
    const COUNT: u32 = 300;
    for_seeds(30, |seed, mut rng| {
        let sim = Sim::new(seed);
        let (tls, server_tls) = both();
        let got = Arc::new(Mutex::new(Vec::new()));
        let to = Arc::clone(&got);
        let (server, net) =
            serve(&sim, &server_tls, served(Config::SERVER), move |_: &SessionInfo| {
                let to = Arc::clone(&to);
                move |peer: &mut Peer<'_>, event: Incoming<'_>| match event {
                    Incoming::Message { payload, .. } => {
                        to.lock()
                            .unwrap()
                            .push(u32::from_le_bytes(*payload.first_chunk().unwrap()));
                    }
                    Incoming::Finished => peer.finish(),
                    _ => {}
                }
            });
        let cuts: Vec<(u64, u64)> =
            (0..12).map(|_| (rng.range(1, 9_000), rng.range(1, 5_000))).collect();
        net.plan(move |number| {
            let cut = |after: Option<u64>| Faults {
                cut_after: after,
                read_max: 700,
                write_max: 900,
                delay: 300,
                ..Faults::default()
            };
            let (up, down) = cuts.get(number).copied().unzip();
            Some((cut(up), cut(down)))
        });
        let lost = Notes::default();
        let told = lost.clone();
        let handler = move |_: &mut Peer<'_>, event: Incoming<'_>| {
            if let Incoming::Lost { code, .. } = event {
                told.add(code.name());
            }
        };
        let (handle, runner) = dial(&sim, (&net, &tls), eager(seed), handler);
        let world = sim.clone();
        let dialled = net;
        sim.run(async move {
            let sending = handle.clone();
            world.aside(async move {
                for number in 0..COUNT {
                    let payload = [&number.to_le_bytes()[..], &[7; 90]].concat();
                    sending.send(1u8, &payload).await.unwrap();
                }
                sending.finish();
            });
            let closed = runner.await;
            assert!(closed.complete && closed.code == CloseCode::OK, "seed {seed}: {closed:?}");
        });
        assert_eq!(*got.lock().unwrap(), (0..COUNT).collect::<Vec<_>>(), "seed {seed}");
        assert!(lost.all().is_empty(), "seed {seed}: {:?}", lost.all());
        let resumed = server.handle().stats().resumed;
        assert!(resumed > 0, "seed {seed}: {resumed} of {}", dialled.state().dialled);
    });
}

/// One end that binds its proofs to the connection, and one that does not, cannot resume.
#[test]
fn a_proof_is_bound_to_its_connection() {
    let authority = Authority::new("authority");
    for binds in [true, false] {
        let sim = Sim::new(4);
        let tls = client_of(&authority).channel_binding(binds).build().unwrap();
        let server_tls = server_of(&authority).build().unwrap();
        let (server, net) =
            serve(&sim, &server_tls, served(Config::SERVER), |_: &SessionInfo| deaf);
        let notes = Notes::default();
        let told = notes.clone();
        let handler = move |_: &mut Peer<'_>, event: Incoming<'_>| match event {
            Incoming::Opened => told.add("opened"),
            Incoming::Resumed { .. } => told.add("again resumed"),
            Incoming::Lost { code, .. } => told.add(format!("again lost {}", code.name())),
            _ => {}
        };
        let (_handle, runner) = dial(&sim, (&net, &tls), eager(1), handler);
        let world = sim.clone();
        sim.run(async move {
            world.aside(runner);
            notes.wait(&world, "opened").await;
            world.sleep(100_000).await;
            net.last().cut(true);
            notes.wait(&world, "again").await;
            let expected = if binds { "again resumed" } else { "again lost NO_SESSION" };
            assert_eq!(notes.all()[1], expected);
        });
        drop(server);
    }
}

/// The proof of a password holds for the connection that it is shown over: TLS without a binding at
/// one end is another channel than with it.
#[test]
fn a_password_is_proved_for_its_connection() {
    for (bound, opens) in [(true, true), (false, false)] {
        let sim = Sim::new(9);
        let authority = Authority::new("right");
        let tls = server_of(&authority).build().unwrap();
        let client = client_of(&authority).channel_binding(bound).build().unwrap();
        let stored = StoredPassword::with_iterations("open sesame", 4_096).unwrap();
        let users = Passwords::new([("ada", stored, 41)]);
        let mut config = served(Config::SERVER);
        config.authenticator = Some(Arc::new(users));
        let notes = Notes::default();
        let told = notes.clone();
        let (_server, net) = serve(&sim, &tls, config, move |info: &SessionInfo| {
            told.add(format!("{:?}", info.principal));
            deaf
        });
        let mut options = eager(1);
        options.dialer.attempts = Attempts::Once;
        // Nothing has to be allowed: TLS is there.
        options.credentials = Some(Arc::new(Password::new("ada", "open sesame").unwrap()));
        let (handle, runner) = dial(&sim, (&net, &client), options, deaf);
        let world = sim.clone();
        sim.run(async move {
            world.aside(runner);
            if opens {
                handle.send_receipted(1u8, b"x").await.unwrap().await.unwrap();
            } else {
                assert_eq!(handle.closed().await.code, CloseCode::AUTH_FAILED);
            }
        });
        assert_eq!(notes.all(), if opens { vec!["Some(41)"] } else { vec![] });
    }
}

/// A handshake of TLS that fails is told of with what TLS says.
#[test]
fn failed_handshakes_are_in_the_security_log() {
    let sim = Sim::new(10);
    let (_, tls) = both();
    let lines = Notes::default();
    let noted = lines.clone();
    let mut config = served(Config::SERVER);
    config.security = Some(SecurityLog::new(move |event: &SecurityEvent<'_>| {
        assert_eq!(event.kind, SecurityKind::TransportFailed);
        noted.add(event.to_string());
    }));
    let (server, net) = serve(&sim, &tls, config, |_: &SessionInfo| deaf);
    let stranger = client_of(&Authority::new("wrong")).build().unwrap();
    let world = sim.clone();
    sim.run(async move {
        let mut plain = net.dial().unwrap();
        write_all(&mut plain, b"OUTL is what it says first").await.unwrap();
        let _ = read_all(&mut plain, 100).await;
        let mut io = stranger.connect(net.dial().unwrap(), "localhost").unwrap();
        assert!(handshake(&mut io).await.is_err());
        drop(io);
        world.sleep(10_000).await;
        assert_eq!(server.handle().stats().failed_handshakes, 2);
    });
    let lines = lines.all();
    let expected = "transport-failed: TLS: the peer does not speak TLS: wrong port?";
    assert_eq!(lines[0], expected);
    assert!(lines[1].starts_with("transport-failed: TLS: the peer does not accept"), "{lines:?}");
    assert_eq!(lines.len(), 2);
}
