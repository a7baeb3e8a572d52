//! The listener as programs and browsers meet it: paths, limits, who may do what, and the text that
//! Prometheus reads.

mod exposition;
mod limits;
mod world;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use outlast_admin::{Admin, AdminLimits};
use outlast_tokio::router::RouterStats;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use exposition::{Exposition, Kind};
use world::{Busy, get, request};

const TOKEN: &str = "open sesame";

#[tokio::test]
async fn every_path_answers_what_it_should_and_others_do_not() {
    let server = Busy::start().await;
    let admin = Admin::new(server.handle()).title("a <server>").bind("127.0.0.1:0").await.unwrap();
    let showing = admin.start();
    let at = showing.local_addr();
    for (path, status, kind) in [
        ("/", 200, "text/html; charset=utf-8"),
        ("/metrics", 200, "text/plain; version=0.0.4; charset=utf-8"),
        ("/healthz", 200, "text/plain; charset=utf-8"),
        ("/readyz", 200, "text/plain; charset=utf-8"),
        ("/api/stats", 200, "application/json"),
        ("/api/sessions", 200, "application/json"),
        ("/api/sessions?limit=1000", 200, "application/json"),
        ("/api/sessions?limit=0", 400, "application/json"),
        ("/api/sessions?limit=1001", 400, "application/json"),
        ("/api/sessions?limit=x", 400, "application/json"),
        ("/api/drain", 405, "application/json"),
        ("/metrics/", 404, "application/json"),
        ("/../etc/passwd", 404, "application/json"),
    ] {
        let answer = get(at, path).await;
        assert_eq!((answer.status, answer.header("content-type")), (status, Some(kind)), "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    }
    let page = get(at, "/").await;
    assert!(page.body.contains("a &lt;server&gt;") && !page.body.contains("a <server>"));
    let policy = page.header("content-security-policy").unwrap();
    assert_eq!(policy.matches("'sha256-").count(), 2, "one style, one script: {policy}");
    let head = request(at, "HEAD /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        let line = format!("{method} /api/stats HTTP/1.1\r\nhost: localhost\r\nconnection: close");
        let answer = request(at, &line).await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")), "{method}");
    }
    let strange = request(at, "GET / HTTP/1.1\r\nhost: example.test\r\nconnection: close").await;
    assert_eq!(strange.status, 421, "another name leads here");
}

#[tokio::test]
async fn what_is_shown_is_what_happens() {
    let server = Busy::start().await;
    let admin = Admin::new(server.handle()).bind("127.0.0.1:0").await.unwrap().start();
    let at = admin.local_addr();
    let client = server.visitor().await;
    for _ in 0..100 {
        client.request(1u8, b"0123456789").await.unwrap();
    }
    // The last answer is out before the session's task has written down that it was.
    let stats = world::until(at, |stats| stats["messages"]["out"] == 100).await;
    assert_eq!(stats["messages"]["in"], 100);
    assert_eq!((&stats["sessions"]["now"], &stats["sessions"]["peak"]), (&1.into(), &1.into()));
    assert_eq!((&stats["draining"], &stats["failed"]), (&false.into(), &0.into()));
    assert!(stats["bytes"]["in"].as_u64().unwrap() >= 1_400);
    assert!(stats["handler"]["count"].as_u64().unwrap() > 0, "{stats}");
    assert!(stats["rates"]["messages_in"].as_f64().unwrap() > 0.0);
    let rows: Value = serde_json::from_str(&get(at, "/api/sessions").await.body).unwrap();
    let [row] = rows.as_array().unwrap().as_slice() else {
        panic!("{rows}");
    };
    assert_eq!(row["id"], format!("{:016x}", client.id().unwrap()));
    assert_eq!((&row["state"], &row["messages"]["in"]), (&"connected".into(), &100.into()));
    let _more = (server.visitor().await, server.visitor().await);
    let rows: Value = serde_json::from_str(&get(at, "/api/sessions?limit=2").await.body).unwrap();
    assert_eq!(rows.as_array().unwrap().len(), 2);
    // The same figures for Prometheus.
    let text = Exposition::parse(&get(at, "/metrics").await.body).unwrap();
    let value = |name: &str, labels: &[(&str, &str)]| text.value(name, labels).unwrap();
    assert_eq!(value("outlast_messages_total", &[("direction", "in")]), 100.0);
    assert_eq!(value("outlast_sessions", &[]), 3.0);
    assert_eq!(value("outlast_connections_accepted_total", &[]), 3.0);
    assert_eq!(value("outlast_refusals_total", &[("reason", "source_full")]), 0.0);
    let timed = value("outlast_handler_seconds_count", &[]);
    assert!(timed > 0.0 && timed < 100.0, "some of them are timed: {timed}");
}

#[tokio::test]
async fn not_ready_while_draining_and_healthy_all_the_same() {
    let server = Busy::start().await;
    let admin = Admin::new(server.handle()).bind("127.0.0.1:0").await.unwrap().start();
    let at = admin.local_addr();
    let stays = server.visitor().await;
    stays.request(1u8, b"x").await.unwrap();
    let both = || async { (get(at, "/readyz").await.status, get(at, "/healthz").await.status) };
    assert_eq!(both().await, (200, 200));
    let handle = server.handle();
    let drained = tokio::spawn(server.shutdown(Duration::from_secs(30)));
    while !handle.is_draining() {
        tokio::task::yield_now().await;
    }
    assert_eq!(both().await, (503, 200));
    let stats: Value = serde_json::from_str(&get(at, "/api/stats").await.body).unwrap();
    assert_eq!(stats["draining"], true);
    stays.finish();
    stays.closed().await;
    drained.await.unwrap();
    assert_eq!(both().await, (503, 200), "it is over, and the process is still there");
}

#[tokio::test]
async fn draining_is_for_those_who_have_the_token() {
    let server = Busy::start().await;
    let (asked, at_once) = (Arc::new(AtomicUsize::new(0)), AdminLimits::default());
    let count = Arc::clone(&asked);
    let admin = Admin::new(server.handle()).token(TOKEN).limits(at_once).on_drain(move || {
        count.fetch_add(1, Ordering::Relaxed);
    });
    let admin = admin.bind("127.0.0.1:0").await.unwrap().start();
    let at = admin.local_addr();
    let post = |more: &str| {
        let host = format!("host: {at}\r\nconnection: close");
        let text = format!("POST /api/drain HTTP/1.1\r\n{host}{more}");
        async move { request(at, &text).await }
    };
    let right = format!("\r\nauthorization: Bearer {TOKEN}");
    let refused = post("").await;
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, Some("Bearer")));
    assert_eq!(post("\r\nauthorization: Bearer open sesamE").await.status, 401);
    assert_eq!(post(&format!("{right}\r\norigin: http://example.test")).await.status, 403);
    assert_eq!(post(&format!("{right}\r\nsec-fetch-site: cross-site")).await.status, 403);
    assert_eq!(asked.load(Ordering::Relaxed), 0);
    assert_eq!(get(at, "/readyz").await.status, 200, "nothing of that did anything");
    let done = post(&format!("{right}\r\norigin: http://{at}")).await;
    assert_eq!((done.status, asked.load(Ordering::Relaxed)), (202, 1), "{}", done.body);
    assert_eq!(get(at, "/readyz").await.status, 503);
    assert_eq!((post(&right).await.status, asked.load(Ordering::Relaxed)), (202, 1), "once");
    // Without a token nobody may.
    let open = Admin::new(server.handle()).token("").on_drain(|| panic!("nobody may"));
    let open = open.bind("127.0.0.1:0").await.unwrap().start();
    let text = "POST /api/drain HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer \r\n\
        connection: close";
    assert_eq!(request(open.local_addr(), text).await.status, 403);
}

/// What the program does then may be over before the answer is written.
#[tokio::test]
async fn whoever_asks_for_the_end_gets_an_answer() {
    let server = Busy::start().await;
    let told = Arc::new(tokio::sync::Notify::new());
    let tell = Arc::clone(&told);
    let admin = Admin::new(server.handle()).token(TOKEN).on_drain(move || tell.notify_one());
    let admin = admin.bind("127.0.0.1:0").await.unwrap().start();
    let at = admin.local_addr();
    let mut follower = world::follow(at).await;
    let asked = tokio::spawn(async move {
        let token = format!("authorization: Bearer {TOKEN}");
        request(at, &format!("POST /api/drain HTTP/1.1\r\nhost: {at}\r\n{token}")).await
    });
    told.notified().await;
    // Connections that last, and those who follow, would be there for minutes.
    admin.shutdown(Duration::from_secs(60)).await;
    assert_eq!(asked.await.unwrap().status, 202);
    while follower.is_there().await {}
    assert!(TcpStream::connect(at).await.is_err(), "it listens on");
}

#[tokio::test]
async fn those_who_follow_are_told_each_second() {
    let server = Busy::start().await;
    let limits = AdminLimits { followers: 1, ..AdminLimits::default() };
    let admin = Admin::new(server.handle()).limits(limits).bind("127.0.0.1:0").await.unwrap();
    let admin = admin.start();
    let mut events = world::follow(admin.local_addr()).await;
    assert_eq!(events.status, 200);
    let first = events.next().await;
    assert_eq!(
        (&first["stats"]["messages"]["in"], &first["drainable"]),
        (&0.into(), &false.into())
    );
    let full = get(admin.local_addr(), "/events").await;
    assert_eq!((full.status, full.header("retry-after")), (503, Some("10")));
    let client = server.visitor().await;
    client.request(1u8, b"x").await.unwrap();
    loop {
        let event = events.next().await;
        let told = event["stats"]["messages"]["in"] == 1;
        if told && event["sessions"].as_array().unwrap().len() == 1 {
            break;
        }
    }
}

/// What peers say has no influence on which series there are, or how many.
#[tokio::test]
async fn random_input_makes_no_series() {
    let seed = world::seed();
    let server = Busy::start().await;
    let admin = Admin::new(server.handle()).router(RouterStats::default);
    let admin = admin.bind("127.0.0.1:0").await.unwrap().start();
    let at = admin.local_addr();
    let scrape = || async {
        let text = get(at, "/metrics").await.body;
        let parsed = Exposition::parse(&text).unwrap_or_else(|why| panic!("{why} in\n{text}"));
        parsed.series.keys().cloned().collect::<BTreeSet<_>>()
    };
    let before = scrape().await;
    assert!((150..400).contains(&before.len()), "{}", before.len());
    let mut random = seed;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    for round in 0..200 {
        let Ok(mut raw) = TcpStream::connect(server.local_addr()).await else {
            continue;
        };
        // Some begin as the protocol does.
        let mut bytes: Vec<u8> = (0..next() % 64).flat_map(|_| next().to_le_bytes()).collect();
        if round % 3 == 0 {
            bytes.splice(..0, [0x18, 0, 0, 0x01, b'O', b'U', b'T', b'L', 1, 1]);
        }
        let _ = raw.write_all(&bytes).await;
    }
    let client = server.visitor().await;
    client.request(1u8, b"x").await.unwrap();
    world::until(at, |stats| stats["failed"].as_u64() > Some(0)).await;
    assert_eq!(scrape().await, before);
    let text = Exposition::parse(&get(at, "/metrics").await.body).unwrap();
    let errors = text.series.iter().filter(|((name, _), _)| name == "outlast_errors_total");
    assert!(errors.map(|(_, value)| value).sum::<f64>() > 0.0, "and they were counted");
}

#[tokio::test]
async fn every_series_has_a_type_and_histograms_add_up() {
    let server = Busy::start().await;
    let admin = Admin::new(server.handle()).bind("127.0.0.1:0").await.unwrap().start();
    let client = server.visitor().await;
    for _ in 0..200 {
        client.request(1u8, b"x").await.unwrap();
    }
    let text = get(admin.local_addr(), "/metrics").await.body;
    let text = Exposition::parse(&text).unwrap();
    let kinds = |kind| text.families.values().filter(|family| **family == kind).count();
    assert_eq!(kinds(Kind::Histogram), 2);
    assert!(kinds(Kind::Counter) >= 10 && kinds(Kind::Gauge) >= 8);
    for (name, kind) in &text.families {
        let is_total = name.ends_with("_total");
        assert_eq!(*kind == Kind::Counter, is_total, "{name}");
    }
}
