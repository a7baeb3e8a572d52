//! Groups, events and what sessions show, over sockets.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use outlast_tokio::net::Running;
use outlast_tokio::{
    Client, CloseCode, Events, Groups, Handle, Incoming, Limits, MemberId, Peer, Server,
    ServerEvent, SessionInfo, SessionState,
};
use tokio::sync::mpsc::{Receiver, channel};

const JOIN: u8 = 1;
const SAY: u8 = 2;

/// Joins the group that a message names; passes what is said on to the group `room`.
fn room(peer: &mut Peer<'_>, event: Incoming<'_>) {
    match event {
        Incoming::Message { route, payload } if route.get() == u32::from(JOIN) => {
            let name = std::str::from_utf8(payload).expect("names are text");
            assert_eq!(peer.join_group(name), Ok(true));
        }
        Incoming::Message { payload, .. } => {
            // Who does not hear it is leaving.
            let _ = peer.send_to_group("room", SAY, payload).expect("it is in the room");
        }
        Incoming::Finished => peer.finish(),
        _ => {}
    }
}

async fn serve(groups: &Groups) -> Running {
    let builder = Server::builder().limits(Limits::one_source()).groups(groups.clone());
    builder.bind("127.0.0.1:0").await.unwrap().start(|_: &SessionInfo| room).unwrap()
}

fn client(server: &Running) -> (Handle, Receiver<Vec<u8>>) {
    let (told, heard) = channel(1000);
    let listen = move |_: &mut Peer<'_>, event: Incoming<'_>| {
        if let Incoming::Message { payload, .. } = event {
            told.try_send(payload.to_vec()).expect("it is read");
        }
    };
    let (handle, runner) =
        Client::builder().address(server.local_addr().to_string()).connect(listen).unwrap();
    tokio::spawn(runner);
    (handle, heard)
}

/// Waits until something is so that nobody tells; not what a test is about.
async fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        tokio::task::yield_now().await;
    }
}

async fn next<E: std::fmt::Debug>(events: &mut Events<E>) -> E {
    events.next().await.expect("the server goes on").expect("nothing is lost")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_in_a_room_reaches_everybody_else_in_it() {
    let groups = Groups::default();
    let server = serve(&groups).await;
    let mut events = server.handle().events(100);
    let mut all: Vec<_> = (0..5).map(|_| client(&server)).collect();
    for (handle, _) in &all {
        handle.send_receipted(JOIN, b"room").await.unwrap().await.unwrap();
    }
    let ids: Vec<u64> = all.iter().map(|(handle, _)| handle.id().unwrap()).collect();
    let mut members: Vec<u64> = groups.members("room").into_iter().map(MemberId::get).collect();
    let mut sorted = ids.clone();
    members.sort_unstable();
    sorted.sort_unstable();
    assert_eq!(members, sorted);
    all[0].0.send(SAY, b"hello").await.unwrap();
    for (_, heard) in &mut all[1..] {
        assert_eq!(heard.recv().await.unwrap(), b"hello");
    }
    assert_eq!(groups.send("room", SAY, b"all").sent, 5);
    for (_, heard) in &mut all {
        assert_eq!(heard.recv().await.unwrap(), b"all", "nobody hears what it said itself");
    }
    let handle = server.handle();
    let info = handle.info(ids[1]).unwrap();
    assert_eq!((info.state, info.connected), (SessionState::Connected, true));
    assert_eq!(info.local, Some(server.local_addr()));
    assert!(info.remote.is_some_and(|remote| remote.ip().is_loopback()));
    until(|| handle.info(ids[1]).is_some_and(|info| info.messages_out == 2)).await;
    assert_eq!(handle.info(ids[1]).unwrap().messages_in, 1);
    assert_eq!(handle.sessions().len(), 5);
    all[0].0.finish();
    assert!(all[0].0.closed().await.complete);
    let mut opened = 0;
    loop {
        match next(&mut events).await {
            ServerEvent::Opened { .. } => opened += 1,
            ServerEvent::Closed { id, closed } => {
                assert_eq!((id, closed.complete), (ids[0], true));
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((opened, groups.members("room").len()), (5, 4));
    server.shutdown(Duration::ZERO).await;
    while let Some(event) = events.next().await {
        let event = event.unwrap();
        assert!(matches!(event, ServerEvent::Closed { .. } | ServerEvent::Detached { .. }));
    }
    assert_eq!(groups.stats().places, 0);
}

/// Clients that come and go as fast as they can while others send to them: nobody is left behind,
/// and each is told to be there, and to be gone, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_goes_while_others_send_is_gone_once() {
    let groups = Groups::default();
    let server = serve(&groups).await;
    let mut events = server.handle().events(100_000);
    let left = Arc::new(AtomicUsize::new(8));
    let crowd: Vec<_> = (0..8)
        .map(|number| {
            let (address, left) = (server.local_addr().to_string(), Arc::clone(&left));
            tokio::spawn(async move {
                for round in 0..60 {
                    let deaf = |_: &mut Peer<'_>, _: Incoming<'_>| {};
                    let client = Client::builder().address(address.clone()).connect(deaf);
                    let (handle, runner) = client.unwrap();
                    let runner = tokio::spawn(runner);
                    handle.send(JOIN, b"room").await.unwrap();
                    match (number + round) % 3 {
                        0 => handle.finish(),
                        1 => handle.end(CloseCode::OK),
                        _ => {
                            handle.send_receipted(SAY, b"bye").await.unwrap().await.unwrap();
                            handle.finish();
                        }
                    }
                    runner.await.unwrap();
                }
                left.fetch_sub(1, Ordering::SeqCst);
            })
        })
        .collect();
    let (shared, handle) = (groups.clone(), server.handle());
    let noise = tokio::spawn({
        let handle = handle.clone();
        async move {
            while left.load(Ordering::SeqCst) > 0 {
                let _ = shared.send("room", SAY, &[7; 100]);
                let _ = handle.broadcast(SAY, &[8; 100]);
                tokio::task::yield_now().await;
            }
        }
    });
    for task in crowd {
        task.await.unwrap();
    }
    noise.await.unwrap();
    until(|| handle.stats().sessions == 0).await;
    server.shutdown(Duration::ZERO).await;
    let (mut opened, mut closed) = (Vec::new(), Vec::new());
    while let Some(event) = events.next().await {
        match event.unwrap() {
            ServerEvent::Opened { id, .. } => opened.push(id),
            ServerEvent::Closed { id, .. } => closed.push(id),
            _ => {}
        }
    }
    opened.sort_unstable();
    closed.sort_unstable();
    assert_eq!(opened, closed);
    assert!(closed.is_sorted_by(|one, other| one < other), "nobody is gone twice");
    assert_eq!(closed.len(), 8 * 60);
    let stats = groups.stats();
    assert_eq!((stats.groups, stats.members, stats.joined - stats.left), (0, 0, 0));
}

#[cfg(feature = "formats")]
mod mixed {
    use outlast_tokio::PlainClient;
    use outlast_tokio::plain::formats::{Key, Ltv, Packet};
    use outlast_tokio::plain::{PlainEvent, PlainInfo, PlainPeer, PlainServerEvent};

    use super::*;

    /// Whoever sends a packet is in the room from then on.
    fn joins(peer: &mut PlainPeer<'_>, event: PlainEvent<'_>) {
        if let PlainEvent::Packet(_) = event {
            assert_eq!(peer.join_group("room"), Ok(true));
        }
    }

    #[tokio::test]
    async fn a_room_has_sessions_and_connections_of_another_format() {
        let groups = Groups::default();
        let native = serve(&groups).await;
        let builder = Server::builder().groups(groups.clone()).format(Ltv::default());
        let foreign = builder.bind("0.0.0.0:0").await.unwrap();
        let foreign = foreign.start(|_: &PlainInfo| joins).unwrap();
        let mut events = foreign.handle().events(10);
        let (handle, mut heard) = client(&native);
        handle.send_receipted(JOIN, b"room").await.unwrap().await.unwrap();
        let (told, mut packets) = channel(1000);
        let address = format!("127.0.0.1:{}", foreign.local_addr().port());
        let listen = move |_: &mut PlainPeer<'_>, event: PlainEvent<'_>| {
            if let PlainEvent::Packet(packet) = event {
                let id = match packet.key {
                    Key::Id(id) => Some(id),
                    Key::None | Key::Name(_) => None,
                };
                told.try_send((id, packet.payload.to_vec())).expect("it is read");
            }
        };
        let made = PlainClient::builder(Ltv::default()).address(address).connect(listen);
        let (plain, runner) = made.unwrap();
        tokio::spawn(runner);
        until(|| plain.is_connected()).await;
        plain.send(&Packet::one_way(1, b"let me in")).await.unwrap();
        until(|| groups.members("room").len() == 2).await;
        let info = foreign.handle().connections()[0];
        assert_eq!(info.local, plain.info().remote, "the address it came to, of all there are");
        assert_eq!(groups.send("room", 7u8, b"both").sent, 2);
        assert_eq!(heard.recv().await.unwrap(), b"both");
        assert_eq!(packets.recv().await.unwrap(), (Some(7), b"both".to_vec()));
        plain.finish();
        let PlainServerEvent::Connected { id, remote } = next(&mut events).await else {
            panic!("it came first");
        };
        assert_eq!((id, remote), (info.id, info.remote));
        let PlainServerEvent::Closed { id: gone, .. } = next(&mut events).await else {
            panic!("it went then");
        };
        assert_eq!((gone, groups.members("room").len()), (id, 1));
        foreign.shutdown(Duration::ZERO).await;
        native.shutdown(Duration::ZERO).await;
    }
}
