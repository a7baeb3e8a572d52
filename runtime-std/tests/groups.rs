//! Groups and the events of a server, by calls that block.

use std::sync::mpsc;
use std::time::Duration;

use outlast_std::{
    Client, Events, GroupError, Groups, Incoming, Lagged, Peer, Server, ServerEvent, SessionInfo,
};

fn polite(peer: &mut Peer<'_>, event: Incoming<'_>) {
    match event {
        Incoming::Opened => assert_eq!(peer.join_group("room"), Ok(true)),
        Incoming::Finished => peer.finish(),
        _ => {}
    }
}

#[test]
fn a_thread_reads_what_happens_and_ends_with_the_server() {
    let groups = Groups::default();
    groups.set_rule(|asking| asking.group == "room");
    let builder = Server::builder().groups(groups.clone());
    let server = builder.bind("127.0.0.1:0").unwrap().start(|_: &SessionInfo| polite).unwrap();
    let mut events = Events::from(server.handle().events(100));
    let mut short = Events::from(server.handle().events(1));
    assert_eq!(events.next_timeout(Duration::from_millis(1)), None);
    assert!(!events.is_over() && events.is_empty());
    let (told, heard) = mpsc::sync_channel(10);
    let listen = move |_: &mut Peer<'_>, event: Incoming<'_>| {
        if let Incoming::Message { payload, .. } = event {
            told.send(payload.to_vec()).unwrap();
        }
    };
    let client = Client::builder().address(server.local_addr().to_string());
    let handle = client.connect(listen).unwrap();
    let Some(Ok(ServerEvent::Opened { id, .. })) = events.next() else {
        panic!("it is the first thing that happens");
    };
    assert_eq!(groups.send("room", 1u8, b"welcome").sent, 1);
    assert_eq!(heard.recv().unwrap(), b"welcome");
    let session = server.handle().get(id).unwrap();
    assert_eq!(session.join_group("office"), Err(GroupError::Denied));
    assert_eq!(handle.inner().join_group("room"), Err(GroupError::NotServed), "a client's");
    handle.finish();
    assert!(handle.closed().complete);
    let reader = std::thread::spawn(move || events.map(Result::unwrap).collect::<Vec<_>>());
    server.shutdown(Duration::ZERO);
    let told = reader.join().unwrap();
    let [ServerEvent::Closed { id: gone, .. }] = told[..] else {
        panic!("{told:?}");
    };
    assert_eq!((gone, groups.stats().places), (id, 0));
    // Nobody waited for who did not read.
    assert_eq!(short.try_next(), Some(Err(Lagged(1))));
    assert!(matches!(short.next(), Some(Ok(ServerEvent::Closed { .. }))));
    assert!(short.next().is_none() && short.is_over());
}
