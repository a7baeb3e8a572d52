//! Routers: which handler has what, with which arguments, and what it answers.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use outlast_core::Config;
use outlast_core::wire::Status;
use outlast_service::router::{
    BoxError, BuildError, Context, Hook, IntoReply, Json, Key, Kind, Link, Postcard, Principal,
    Property, Remote, Reply, RouteKey, Router, RouterStats, Routes, Session, State, Text, named,
};
use outlast_service::{Bytes, Handle};
use serde::{Deserialize, Serialize};

use crate::executor::Sim;
use crate::world::{Notes, client, deaf, eager, serve};

/// A server with these routes and a client in front of it.
pub(crate) fn play<H: Hook, F, Fut>(seed: u64, config: Config, routes: &Routes<H>, script: F)
where
    F: FnOnce(Sim, Handle) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let sim = Sim::new(seed);
    let (_server, net) = serve(&sim, config, routes.factory());
    let (handle, runner) = client(&sim, &net, eager(seed), deaf);
    let world = sim.clone();
    sim.run(async move {
        world.aside(runner);
        script(world.clone(), handle).await;
    });
}

/// A panic that has a type.
fn panic(why: &str) {
    panic!("{why}")
}

async fn ask(handle: &Handle, key: impl Into<RouteKey>, payload: &[u8]) -> (Status, Vec<u8>) {
    let response = handle.request(key.into().route(), payload).await.unwrap();
    (response.status, response.payload.to_vec())
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Point {
    x: i32,
    y: i32,
}

#[derive(Clone, Default)]
struct Sum(Arc<AtomicU64>);

fn plain(Text(text): Text, State(sum): State<Sum>) -> String {
    let sum = sum.0.fetch_add(text.len() as u64, Ordering::Relaxed);
    format!("{text} {sum}")
}

async fn later(text: String, link: Link, kind: Kind, key: RouteKey) -> Vec<u8> {
    format!("{text} {} {kind:?} {key}", link.session().is_some()).into_bytes()
}

async fn six(
    bytes: Bytes,
    _: Link,
    _: Kind,
    session: Session,
    nobody: Option<Principal>,
    nowhere: Option<Remote>,
) -> Bytes {
    assert!(session.0.id().is_some() && nobody.is_none() && nowhere.is_none());
    bytes
}

fn json(Json(point): Json<Point>) -> Json<Point> {
    Json(Point { x: point.y, y: point.x })
}

async fn postcard_swapped(Postcard(point): Postcard<Point>) -> Postcard<Point> {
    Postcard(Point { x: point.y, y: point.x })
}

#[test]
fn functions_of_every_kind_are_handlers() {
    let routes = Router::new()
        .state(Sum::default())
        .route(1u8, plain)
        .route(2u8, later)
        .route("six", six)
        .route(4u8, json)
        .route(5u8, postcard_swapped)
        .route(6u8, || "nothing asked")
        .route(7u8, |bytes: Bytes| async move { (Status(70), bytes) })
        .route(0x1_0000u32, || async {})
        .on(300u16, |cx: &mut Context<'_>| cx.payload().to_vec())
        .build()
        .unwrap();
    play(1, Config::SERVER, &routes, |_, handle| async move {
        assert_eq!(ask(&handle, 1u8, b"abc").await, (Status::OK, b"abc 0".to_vec()));
        assert_eq!(ask(&handle, 1u8, b"de").await, (Status::OK, b"de 3".to_vec()));
        assert_eq!(ask(&handle, 2u8, b"x").await, (Status::OK, b"x true Request 2".to_vec()));
        assert_eq!(ask(&handle, "six", b"66").await, (Status::OK, b"66".to_vec()));
        let swapped = ask(&handle, 4u8, br#"{"x":1,"y":-2}"#).await;
        assert_eq!(swapped, (Status::OK, br#"{"x":-2,"y":1}"#.to_vec()));
        assert_eq!(ask(&handle, 5u8, &[2, 3]).await, (Status::OK, vec![3, 2]));
        assert_eq!(ask(&handle, 6u8, b"").await, (Status::OK, b"nothing asked".to_vec()));
        assert_eq!(ask(&handle, 7u8, b"own").await, (Status(70), b"own".to_vec()));
        assert_eq!(ask(&handle, 0x1_0000u32, b"").await, (Status::OK, Vec::new()));
        assert_eq!(ask(&handle, 300u16, b"lent").await, (Status::OK, b"lent".to_vec()));
    });
    assert_eq!(routes.stats(), stats(|it| it.handled = 10));
}

/// All zero, but for.
pub(crate) fn stats(but: impl FnOnce(&mut RouterStats)) -> RouterStats {
    let mut stats = RouterStats::default();
    but(&mut stats);
    stats
}

#[test]
fn what_cannot_be_taken_out_is_answered_and_the_handler_does_not_run() {
    let routes = Router::new()
        .route(1u8, |_: Text| panic("no text came"))
        .route(2u8, |_: Json<Point>| panic("no JSON came"))
        .route(3u8, |_: Postcard<Point>| async { panic("no value came") })
        .route(4u8, |_: Principal| panic("nobody came"))
        .route(5u8, |_: Property<Sum>| panic("nothing was set"))
        .build()
        .unwrap();
    play(2, Config::SERVER, &routes, |_, handle| async move {
        for (route, payload) in [(1u8, &b"\xFF"[..]), (2, b"{}"), (3, b"\x02"), (5, b"")] {
            let (status, text) = ask(&handle, route, payload).await;
            assert_eq!(status, Status::INVALID, "{route}");
            assert!(!text.is_empty(), "{route}");
        }
        let (status, text) = ask(&handle, 3u8, &[2, 3, 4]).await;
        assert_eq!(status, Status::INVALID);
        assert!(String::from_utf8(text).unwrap().contains("1 bytes too many"));
        assert_eq!(ask(&handle, 4u8, b"").await.0, Status::DENIED);
        // Nobody answers a message.
        handle.send_receipted(1u8, b"\xFF").await.unwrap().await.unwrap();
    });
    assert_eq!(routes.stats(), stats(|it| it.rejected = 7));
}

#[derive(Debug)]
struct Refusal;

impl IntoReply for Refusal {
    fn into_reply(self) -> Reply {
        (Status::REFUSED, "not on Sundays").into_reply()
    }
}

#[derive(Debug)]
struct Secret;

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the password is 1234")
    }
}

impl std::error::Error for Secret {}

#[test]
fn errors_become_answers_and_internal_ones_say_nothing() {
    let (notes, noted) = (Notes::default(), Notes::default());
    let observed = noted.clone();
    let routes = Router::new()
        .route(1u8, || Err::<(), _>(Refusal))
        .route(2u8, || async { Err::<(), BoxError>(Secret.into()) })
        .route(3u8, || {
            let number: Result<u8, BoxError> = "x".parse().map_err(BoxError::from);
            Ok::<_, BoxError>((Status::OK, vec![number?]))
        })
        .route(4u8, || None::<&'static str>)
        .route(5u8, || Some("some"))
        .route(6u8, || Err::<&'static str, _>("a text alone is no success"))
        .route(7u8, || Status::DENIED)
        .on_error(move |cx, error| observed.add(format!("{} {error}", cx.key())))
        .build()
        .unwrap();
    play(3, Config::SERVER, &routes, |_, handle| async move {
        let text = |text: &str| text.as_bytes().to_vec();
        assert_eq!(ask(&handle, 1u8, b"").await, (Status::REFUSED, text("not on Sundays")));
        assert_eq!(ask(&handle, 2u8, b"").await, (Status::INTERNAL, Vec::new()));
        assert_eq!(ask(&handle, 3u8, b"").await, (Status::INTERNAL, Vec::new()));
        assert_eq!(ask(&handle, 4u8, b"").await, (Status::APP, Vec::new()));
        assert_eq!(ask(&handle, 5u8, b"").await, (Status::OK, text("some")));
        assert_eq!(ask(&handle, 6u8, b"").await.0, Status::APP);
        assert_eq!(ask(&handle, 7u8, b"").await, (Status::DENIED, Vec::new()));
        notes.add("done");
    });
    let told = noted.all();
    assert_eq!(told, ["2 the password is 1234", "3 invalid digit found in string"]);
    assert_eq!(routes.stats(), stats(|it| (it.handled, it.failed) = (5, 2)));
}

/// In the connection's task and in others, in handlers, hooks and callbacks.
#[test]
fn a_panic_costs_its_request_and_nothing_else() {
    let notes = Notes::default();
    let noted = notes.clone();
    let routes = Router::new()
        .hook(outlast_service::router::log(move |line| {
            noted.add(format!("{} {:?}", line.key, line.status));
        }))
        .on(1u8, |_: &mut Context<'_>| panic("inline"))
        .route(2u8, || async { panic("in a task") })
        .route(3u8, |bytes: Bytes| -> std::future::Ready<()> {
            panic!("before there is a future: {bytes:?}")
        })
        .route(4u8, |bytes: Bytes| bytes)
        .on_open(|_| panic!("it opened"))
        .build()
        .unwrap();
    play(4, Config::SERVER, &routes, |_, handle| async move {
        for route in 1..4u8 {
            assert_eq!(ask(&handle, route, b"").await, (Status::INTERNAL, Vec::new()), "{route}");
            handle.send_receipted(route, b"").await.unwrap().await.unwrap();
            assert_eq!(ask(&handle, 4u8, b"fine").await, (Status::OK, b"fine".to_vec()));
        }
    });
    assert_eq!(routes.stats(), stats(|it| (it.handled, it.panicked) = (3, 7)));
    assert_eq!(notes.count("1 Status(9)"), 2);
    assert_eq!(notes.count("2 Status(9)") + notes.count("3 Status(9)"), 4);
}

#[test]
fn what_has_no_route_is_answered_counted_or_falls_back() {
    let routes = Router::new().route(1u8, || ()).build().unwrap();
    play(5, Config::SERVER, &routes, |_, handle| async move {
        for key in [RouteKey::Id(2), RouteKey::Id(70_000), RouteKey::from("x")] {
            assert_eq!(ask(&handle, key, b"").await.0, Status::NO_ROUTE);
        }
        handle.send_receipted(9u8, b"").await.unwrap().await.unwrap();
    });
    assert_eq!(routes.stats(), stats(|it| it.no_route = 4));
    let routes = Router::new()
        .route(1u8, || ())
        .fallback(|key: RouteKey| async move { format!("nobody serves {key}") })
        .build()
        .unwrap();
    play(6, Config::SERVER, &routes, |_, handle| async move {
        let answer = ask(&handle, 70_000u32, b"").await;
        assert_eq!(answer, (Status::OK, b"nobody serves 70000".to_vec()));
    });
}

/// Fowler, Noll and Vo's own vectors, without the bit that a name's number has.
#[test]
fn names_are_numbers_that_others_can_compute() {
    for (name, hash) in [("", 0x811C_9DC5_u32), ("a", 0xE40C_292C), ("foobar", 0xBF9C_F968)] {
        assert_eq!(named(name).get(), hash | 0x8000_0000, "{name}");
    }
    const GREET: outlast_core::wire::Route = named("greet");
    let routes = Router::new()
        .on("greet", |cx: &mut Context<'_>| match cx.key() {
            Key::Name(name) => name.to_owned(),
            Key::Id(_) => String::new(),
        })
        .build()
        .unwrap();
    play(7, Config::SERVER, &routes, |_, handle| async move {
        let response = handle.request(GREET, b"").await.unwrap();
        assert_eq!(&response.payload[..], b"greet");
    });
}

#[test]
fn a_router_that_could_not_work_is_not_built() {
    let none = || ();
    let twice = Router::new().route("a", none).route("a", none).build();
    assert_eq!(twice.err(), Some(BuildError::Twice("a".into())));
    let (one, two) = collision();
    let error = Router::new().route(&*one, none).route(&*two, none).build().err().unwrap();
    assert_eq!(error, BuildError::Collision(one.as_str().into(), two.as_str().into()));
    let said = error.to_string();
    assert!(said.contains(&one) && said.contains(&two), "{said}");
    let reserved = Router::new().route(named("a"), none).build();
    assert_eq!(reserved.err(), Some(BuildError::Reserved(named("a").get())));
    let error = Router::new().route(3u8, plain).build().err().unwrap().to_string();
    assert!(error.contains('3') && error.contains("Sum"), "{error}");
    let limits = outlast_service::router::QueueLimits { count: 0, ..Default::default() };
    assert_eq!(Router::new().queue(limits).build().err(), Some(BuildError::NoRoom("count")));
}

/// Two names with one number.
fn collision() -> (String, String) {
    let mut seen = std::collections::HashMap::new();
    for number in 0_u32.. {
        let name = format!("name-{number}");
        if let Some(earlier) = seen.insert(named(&name), name.clone()) {
            return (earlier, name);
        }
    }
    unreachable!("there are more names than numbers")
}
