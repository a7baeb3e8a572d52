//! The chat of the examples: who is cut off hears every line, once and in order.

#![expect(dead_code, reason = "the program's own way in is not used here")]

use std::sync::mpsc;
use std::time::Duration;

use outlast_tokio as outlast;
use outlast_tokio::CloseCode;

include!("../../examples/chat.rs");

#[tokio::test(flavor = "multi_thread")]
async fn who_is_cut_off_misses_nothing() {
    let room = Room::default();
    let server = Server::builder().bind("127.0.0.1:0").await.unwrap();
    let running = server.start(move |_| room.member()).unwrap();
    let mut ends = Vec::new();
    for name in ["ann", "bob"] {
        let (told, screen_of) = mpsc::sync_channel(1000);
        let client = Client::builder().address(running.local_addr().to_string());
        let shown = screen(move |line| told.send(line.to_owned()).unwrap_or_default());
        let (handle, runner) = client.connect(shown).unwrap();
        tokio::spawn(runner);
        handle.send(NAME, name.as_bytes()).await.unwrap();
        assert_eq!(next(&screen_of), format!("{name} is here"));
        ends.push((handle, screen_of));
    }
    let [(ann, ann_sees), (bob, bob_sees)] = &ends[..] else { unreachable!("two came") };
    assert_eq!(next(ann_sees), "bob is here");
    for n in 0..50 {
        if n % 10 == 5 {
            bob.disconnect(CloseCode::GOING_AWAY);
        }
        let mut typed = Vec::new();
        say(format!("line {n}").as_bytes(), |route, line| typed.push((route, line.to_vec())));
        for (route, line) in typed {
            ann.send(route, &line).await.unwrap();
        }
    }
    for n in 0..50 {
        assert_eq!(next(bob_sees), format!("ann: line {n}"));
        assert_eq!(next(ann_sees), format!("ann: line {n}"));
    }
    bob.finish();
    assert!(bob.closed().await.complete);
    assert_eq!(next(ann_sees), "bob has left");
    running.shutdown(Duration::ZERO).await;
}

/// The next line that is somebody's; what the connection does is not said by anybody.
fn next(screen: &mpsc::Receiver<String>) -> String {
    loop {
        let line = screen.recv_timeout(Duration::from_secs(20)).expect("a line");
        if !line.starts_with('(') {
            return line;
        }
    }
}
