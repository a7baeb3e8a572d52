//! Routers: what happens before and after handlers, and when sessions come and go.

use std::sync::Arc;

use outlast_core::admission::Rate;
use outlast_core::wire::{Route, Status};
use outlast_core::{CloseCode, Config};
use outlast_service::router::{
    Context, End, Flow, Hook, Link, Property, Reply, Router, authorize, hooked, log, rate_limit,
};
use outlast_service::{Limits, Server, ServerConfig, Tokens};

use crate::executor::Sim;
use crate::routed::{play, stats};
use crate::world::{Net, Notes, client, deaf, eager, serve};

/// Notes when it is called; answers what begins with its name.
struct Noting(&'static str, Notes);

impl Hook for Noting {
    fn before(&self, cx: &Context<'_>) -> Flow {
        self.1.add(format!("before {}", self.0));
        if cx.payload() == self.0.as_bytes() {
            return Flow::Answer(Reply::status(Status(99)));
        }
        Flow::Go
    }

    fn after(&self, _: &Context<'_>, reply: &Reply) {
        self.1.add(format!("after {} {}", self.0, reply.code().0));
    }
}

#[test]
fn hooks_are_around_each_other_in_the_order_that_is_documented() {
    let notes = Notes::default();
    let noting = |name| Noting(name, notes.clone());
    let (inline, later) = (notes.clone(), notes.clone());
    let inner = Router::new()
        .hook(noting("nest"))
        .route(1u8, hooked(noting("own"), hooked(noting("inmost"), move || inline.add("handler"))))
        .route(2u8, move || {
            let notes = later.clone();
            async move { notes.add("handler") }
        });
    let routes = Router::new().hook(noting("outer")).nest(inner).hook(noting("inner"));
    let routes = routes.on(3u8, |_: &mut Context<'_>| -> () { panic!("handler") }).build().unwrap();
    let told = notes.clone();
    play(1, Config::SERVER, &routes, |_, handle| async move {
        let all = |notes: &[&str]| notes.iter().map(|note| (*note).to_owned()).collect::<Vec<_>>();
        let mut seen = 0;
        let mut news = || {
            let all = told.all();
            let new = all[seen..].to_vec();
            seen = all.len();
            new
        };
        let before = ["before outer", "before inner", "before nest", "before own"];
        let after = ["after own 0", "after nest 0", "after inner 0", "after outer 0"];
        handle.request(1u8, b"").await.unwrap();
        let inmost = ["before inmost", "handler", "after inmost 0"];
        assert_eq!(news(), all(&[&before[..], &inmost, &after].concat()));
        handle.request(2u8, b"").await.unwrap();
        assert_eq!(news(), all(&[&before[..3], &["handler"], &after[1..]].concat()));
        // Whoever answers keeps what is inside of it from being called, and is not called again.
        let response = handle.request(1u8, b"own").await.unwrap();
        assert_eq!(response.status, Status(99));
        let after = ["after nest 99", "after inner 99", "after outer 99"];
        assert_eq!(news(), all(&[&before[..], &after].concat()));
        handle.request(1u8, b"inner").await.unwrap();
        assert_eq!(news(), all(&["before outer", "before inner", "after outer 99"]));
        // A panic and a missing route are replies like any other.
        handle.request(3u8, b"").await.unwrap();
        let panicked = ["before outer", "before inner", "after inner 9", "after outer 9"];
        assert_eq!(news(), all(&panicked));
        handle.request(4u8, b"").await.unwrap();
        let nowhere = ["before outer", "before inner", "after inner 2", "after outer 2"];
        assert_eq!(news(), all(&nowhere));
    });
    let expected = stats(|it| {
        (it.handled, it.stopped, it.panicked, it.no_route) = (2, 2, 1, 1);
    });
    assert_eq!(routes.stats(), expected);
}

/// What comes in one read is handled in rows of one route; nothing of that is to be seen.
#[test]
fn messages_in_a_row_are_handled_each_for_itself() {
    let notes = Notes::default();
    let noting = |name| Noting(name, notes.clone());
    let heard = |place: &'static str| {
        let notes = notes.clone();
        move |cx: &mut Context<'_>| {
            let text = String::from_utf8_lossy(cx.payload()).into_owned();
            notes.add(format!("{place} {text}"));
            assert_ne!(text, "bad");
            if text == "wrong" { Err(Status(70)) } else { Ok(()) }
        }
    };
    let routes = Router::new().hook(noting("a")).hook(noting("b"));
    let routes = routes.on(1u8, heard("one")).on(2u8, heard("two"));
    let routes = routes.route(3u8, hooked(noting("c"), || ())).build().unwrap();
    play(9, Config::SERVER, &routes, |_, handle| async move {
        let row = [(1u8, "x"), (1, "wrong"), (1, "bad"), (1, "b"), (1, "y"), (2, "z"), (1, "w")];
        for (route, text) in row.into_iter().chain([(3, "v"), (9, "nowhere"), (2, "last")]) {
            handle.send(Route::from(route), text.as_bytes()).await.unwrap();
        }
        handle.flushed().await.unwrap();
    });
    let around = |inside: &[&str], code: u8| {
        let before = ["before a", "before b"].map(str::to_owned);
        let inside = inside.iter().map(|note| (*note).to_owned());
        let after = [format!("after b {code}"), format!("after a {code}")];
        before.into_iter().chain(inside).chain(after).collect::<Vec<_>>()
    };
    let all = [
        around(&["one x"], 0),
        around(&["one wrong"], 70),
        around(&["one bad"], Status::INTERNAL.0),
        vec!["before a".to_owned(), "before b".to_owned(), "after a 99".to_owned()],
        around(&["one y"], 0),
        around(&["two z"], 0),
        around(&["one w"], 0),
        around(&["before c", "after c 0"], 0),
        around(&[], Status::NO_ROUTE.0),
        around(&["two last"], 0),
    ];
    assert_eq!(notes.all(), all.concat());
    let counted = stats(|it| {
        (it.handled, it.stopped, it.panicked, it.no_route) = (7, 1, 1, 1);
    });
    assert_eq!(routes.stats(), counted);
}

#[test]
fn a_session_that_comes_too_often_is_slowed_down_and_no_other() {
    let limited = Router::new().hook(rate_limit(Rate::per_second(10, 3))).route(1u8, || ());
    let routes = Router::new().nest(limited).route(2u8, || ()).build().unwrap();
    let sim = Sim::new(2);
    let (_server, net) = serve(&sim, Config::SERVER, routes.factory());
    let (one, first) = client(&sim, &net, eager(1), deaf);
    let (two, second) = client(&sim, &net, eager(2), deaf);
    let world = sim.clone();
    sim.run(async move {
        world.aside(first);
        world.aside(second);
        let mut all = Vec::new();
        for _ in 0..5 {
            all.push(one.request(1u8, b"").await.unwrap().status);
        }
        let (ok, slow) = (Status::OK, Status::OVERLOADED);
        assert_eq!(all, [ok, ok, ok, slow, slow]);
        assert_eq!(two.request(1u8, b"").await.unwrap().status, ok);
        assert_eq!(one.request(2u8, b"").await.unwrap().status, ok);
        world.sleep(100_000).await;
        assert_eq!(one.request(1u8, b"").await.unwrap().status, ok);
        assert_eq!(one.request(1u8, b"").await.unwrap().status, slow);
    });
    assert_eq!(routes.stats(), stats(|it| (it.handled, it.stopped) = (6, 3)));
}

/// By principal, for a group of routes and for one of them.
#[test]
fn who_may_not_is_denied() {
    let staff = Router::new()
        .hook(authorize(|link, _| link.principal().is_some()))
        .route(1u8, || ())
        .route(2u8, hooked(authorize(|link, _| link.principal() == Some(1)), || async {}));
    let routes = Router::new().nest(staff).route(3u8, || ()).build().unwrap();
    let sim = Sim::new(3);
    let tokens = Tokens::new([(&b"chief"[..], 1), (b"clerk", 2), (b"guest", 0)]).allow_plaintext();
    let limits = Limits::one_source();
    let config =
        ServerConfig { limits, authenticator: Some(Arc::new(tokens)), ..ServerConfig::default() };
    let server = Server::new(sim.clone(), config, routes.factory()).unwrap();
    let net = Net::serving(&sim, &server);
    let world = sim.clone();
    sim.run(async move {
        let (ok, denied) = (Status::OK, Status::DENIED);
        let expected = [("chief", [ok, ok, ok]), ("clerk", [ok, denied, ok])];
        for (token, expected) in expected.into_iter().chain([("guest", [denied, denied, ok])]) {
            let mut config = eager(1);
            let token = outlast_service::Token::new(token.as_bytes().to_vec()).allow_plaintext();
            config.credentials = Some(Arc::new(token));
            let (handle, runner) = client(&world, &net, config, deaf);
            world.aside(runner);
            for (route, expected) in (1..4u8).zip(expected) {
                assert_eq!(handle.request(route, b"").await.unwrap().status, expected, "{route}");
            }
        }
    });
}

#[test]
fn a_log_has_a_line_for_everything() {
    let notes = Notes::default();
    let noted = notes.clone();
    let routes = Router::new()
        .hook(log(move |line| {
            let (key, kind, status) = (line.key, line.kind, line.status.0);
            noted.add(format!("{key} {kind:?} {} {status} {}", line.received, line.answered));
        }))
        .route("in", || "plain")
        .route("out", || async { "async" })
        .build()
        .unwrap();
    play(4, Config::SERVER, &routes, |_, handle| async move {
        use outlast_service::router::named;
        handle.request(named("in"), b"1").await.unwrap();
        handle.request(named("out"), b"12").await.unwrap();
        handle.send_receipted(named("in"), b"123").await.unwrap().await.unwrap();
        handle.request(5u8, b"").await.unwrap();
    });
    let expected = [
        "\"in\" Request 1 0 5",
        "\"out\" Request 2 0 5",
        "\"in\" Message 3 0 5",
        "5 Request 0 2 0",
    ];
    assert_eq!(notes.all(), expected);
}

/// Each of them once for what happened once; whatever ends a session, its end is told once.
#[test]
fn sessions_come_and_go() {
    for way in ["finish", "end", "expire", "abort"] {
        let notes = Notes::default();
        let [open, resume, detach, close] = [(); 4].map(|()| notes.clone());
        let routes = Router::new()
            .on_open(move |link| {
                open.add("open");
                link.set(7_u64);
            })
            .on_resume(move |link: &Link, _| resume.add(format!("resume {:?}", link.get::<u64>())))
            .on_detach(move |_, code, _| detach.add(format!("detach {}", code.name())))
            .on_close(move |link, end| {
                let end = match end {
                    End::Finished => "finished".to_owned(),
                    End::Lost(code) => code.name().to_owned(),
                    _ => "dropped".to_owned(),
                };
                close.add(format!("close {end} {:?}", link.remove::<u64>()));
            })
            .route(1u8, |Property(number): Property<u64>| number.to_string())
            .build()
            .unwrap();
        let sim = Sim::new(5);
        let config = Config { retention_s: 10, ..Config::SERVER };
        let (server, net) = serve(&sim, config, routes.factory());
        let (handle, runner) = client(&sim, &net, eager(1), deaf);
        let world = sim.clone();
        sim.run(async move {
            world.aside(runner);
            assert_eq!(&handle.request(1u8, b"").await.unwrap().payload[..], b"7");
            handle.disconnect(CloseCode::GOING_AWAY);
            world.sleep(1_000_000).await;
            assert_eq!(&handle.request(1u8, b"").await.unwrap().payload[..], b"7");
            match way {
                "finish" => handle.finish(),
                "end" => handle.end(CloseCode::GOING_AWAY),
                "expire" => {
                    net.plan(|_| None);
                    handle.disconnect(CloseCode::GOING_AWAY);
                }
                _ => server.abort(),
            }
            world.sleep(30_000_000).await;
            drop(server);
        });
        let all = notes.all();
        assert_eq!(all[..3], ["open", "detach GOING_AWAY", "resume Some(7)"], "{way}: {all:?}");
        assert_eq!(notes.count("open") + notes.count("resume"), 2, "{way}: {all:?}");
        assert_eq!(notes.count("close"), 1, "{way}: {all:?}");
        let last = all.last().unwrap();
        assert!(last.starts_with("close") && last.ends_with("Some(7)"), "{way}: {all:?}");
        assert_eq!(last.contains("finished"), way == "finish", "{way}: {all:?}");
    }
}

/// A client's router, and a session that comes in the place of one that was lost: what began in the
/// one holds nothing back in the other.
#[test]
fn a_session_that_replaces_another_begins_anew() {
    let sim = Sim::new(6);
    let notes = Notes::default();
    let [open, close, done] = [(); 3].map(|()| notes.clone());
    let world = sim.clone();
    let routes = Router::new()
        .on_open(move |_| open.add("open"))
        .on_close(move |_, end| close.add(format!("close {end:?}")))
        .route(1u8, move || {
            let (done, world) = (done.clone(), world.clone());
            async move {
                world.sleep(2_000_000).await;
                done.add("done");
            }
        })
        .build()
        .unwrap();
    let (server, net) = serve(&sim, Config::SERVER, |_| deaf);
    let mut config = eager(1);
    config.dialer.on_lost = outlast_core::client::OnLost::Replace;
    let (handle, runner) = client(&sim, &net, config, routes.session());
    let world = sim.clone();
    sim.run(async move {
        world.aside(runner);
        handle.flushed().await.unwrap();
        for round in 1..=2 {
            notes.wait(&world, "open").await;
            while server.handle().sessions().is_empty() || notes.count("open") < round {
                world.sleep(1_000).await;
            }
            let id = server.handle().sessions()[0].id;
            let peer = server.handle().get(id).unwrap();
            let receipt = peer.send_receipted(1u8, b"").await.unwrap();
            if round == 1 {
                world.sleep(1_000_000).await;
                peer.end(CloseCode::EVICTED);
                assert!(receipt.await.is_err());
            } else {
                receipt.await.unwrap();
            }
            world.sleep(100_000).await;
        }
        // What was under way when the first was lost came to its end as well.
        assert_eq!((notes.count("open"), notes.count("close"), notes.count("done")), (2, 1, 2));
    });
}
