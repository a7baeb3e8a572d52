//! Servers that end, and others that go on with their sessions, over real sockets.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use outlast_tokio::{
    Client, CloseCode, FileStore, Handle, Handler, Incoming, Limits, Peer, ReconnectPolicy,
    Running, Server, SessionInfo, SnapshotStore, Snapshots, Why,
};

/// A folder that is gone with this.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("outlast-restart-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }

    fn store(&self) -> FileStore {
        FileStore::open(&self.0).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Answers each message with how many there were in this session.
struct Counter(u64);

impl Handler for Counter {
    fn handle(&mut self, peer: &mut Peer<'_>, event: Incoming<'_>) {
        match event {
            Incoming::Message { .. } => {
                self.0 += 1;
                peer.handle().try_send(1u8, &self.0.to_le_bytes()).unwrap();
            }
            Incoming::Finished => peer.finish(),
            _ => {}
        }
    }

    fn save(&self) -> Vec<u8> {
        self.0.to_le_bytes().to_vec()
    }
}

/// A server at `address`, as soon as that is free.
async fn serve(address: &str, snapshots: Snapshots) -> Running {
    serve_with(address, snapshots, true).await
}

/// The same; sessions may keep their keys when they are resumed.
async fn serve_with(address: &str, snapshots: Snapshots, rotate: bool) -> Running {
    loop {
        let builder = Server::builder().limits(Limits::one_source()).snapshots(snapshots.clone());
        match builder.rotate_keys(rotate).bind(address).await {
            Ok(server) => {
                let server = server.start(|info: &SessionInfo| {
                    let saved = info.saved.as_deref().and_then(|saved| saved.try_into().ok());
                    Counter(saved.map_or(0, u64::from_le_bytes))
                });
                return server.unwrap();
            }
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse),
        }
        tokio::task::yield_now().await;
    }
}

/// A client that counts answers, which have to be one more each time.
fn client(address: &str, lost: &Arc<AtomicU64>) -> (Handle, Arc<AtomicU64>) {
    let policy =
        ReconnectPolicy { backoff_base: 1_000, backoff_cap: 50_000, ..ReconnectPolicy::default() };
    let heard = Arc::new(AtomicU64::new(0));
    let (counter, lost) = (Arc::clone(&heard), Arc::clone(lost));
    let handler = move |peer: &mut Peer<'_>, event: Incoming<'_>| match event {
        Incoming::Message { payload, .. } => {
            let number = counter.fetch_add(1, Ordering::Relaxed) + 1;
            assert_eq!(payload, number.to_le_bytes());
        }
        Incoming::Lost { .. } => {
            lost.fetch_add(1, Ordering::Relaxed);
            peer.handle().end(CloseCode::OK);
        }
        _ => {}
    };
    let client = Client::builder().address(address).reconnect(policy).connect(handler);
    let (handle, runner) = client.unwrap();
    tokio::spawn(runner);
    (handle, heard)
}

/// Three servers, one after the other at one address, with busy clients: nothing is lost, repeated
/// or out of order, and what handlers save goes along.
#[tokio::test(flavor = "multi_thread")]
async fn busy_sessions_move_from_server_to_server() {
    const CLIENTS: usize = 200;
    const EACH: u64 = 60;
    let folder = Folder::new("busy");
    let mut server = serve("127.0.0.1:0", Snapshots::new(folder.store())).await;
    let address = server.local_addr().to_string();
    let lost = Arc::new(AtomicU64::new(0));
    let clients: Vec<_> = (0..CLIENTS).map(|_| client(&address, &lost)).collect();
    let mut senders = Vec::new();
    for (handle, heard) in &clients {
        let (handle, heard) = (handle.clone(), Arc::clone(heard));
        senders.push(tokio::spawn(async move {
            for number in 0..EACH {
                handle.send(1u8, &[7; 100]).await.unwrap();
                // No more than ten ahead, so that it takes as long as all the servers do.
                while heard.load(Ordering::Relaxed) + 10 < number {
                    tokio::task::yield_now().await;
                }
            }
        }));
    }
    let all = || clients.iter().map(|(_, heard)| heard.load(Ordering::Relaxed)).sum::<u64>();
    for round in 1..3 {
        while all() < round * CLIENTS as u64 * EACH / 3 {
            tokio::task::yield_now().await;
        }
        let handed_over = server.hand_over(Duration::from_secs(10)).await.unwrap();
        assert_eq!(handed_over, CLIENTS);
        server = serve(&address, Snapshots::new(folder.store())).await;
        let stats = server.handle().stats();
        assert_eq!((stats.restored, stats.not_restored), (CLIENTS as u64, 0));
    }
    for sender in senders {
        sender.await.unwrap();
    }
    while all() < CLIENTS as u64 * EACH {
        assert_eq!(lost.load(Ordering::Relaxed), 0);
        tokio::task::yield_now().await;
    }
    for (handle, _) in &clients {
        handle.finish();
    }
    for (handle, _) in clients {
        assert!(handle.closed().await.complete);
    }
    server.shutdown(Duration::from_secs(1)).await;
}

/// Snapshots are taken at intervals; who comes back to a server that has them finds its session.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_gone_without_warning_left_its_sessions_behind() {
    let folder = Folder::new("interval");
    let every = Snapshots::new(folder.store()).every(Duration::from_millis(100));
    let server = serve("127.0.0.1:0", every).await;
    let address = server.local_addr().to_string();
    let lost = Arc::new(AtomicU64::new(0));
    let (handle, heard) = client(&address, &lost);
    handle.send(1u8, b"x").await.unwrap();
    while heard.load(Ordering::Relaxed) < 1 {
        tokio::task::yield_now().await;
    }
    // Everything there is to know has to be in some snapshot that begins from now on.
    let before = server.handle().stats().stored;
    while server.handle().stats().stored < before + 2 {
        tokio::task::yield_now().await;
    }
    // As after a crash: only the files are left, in a copy that the first server does not touch.
    let copy = Folder::new("copy");
    std::fs::create_dir_all(&copy.0).unwrap();
    for name in ["key", "sessions.snapshot"] {
        std::fs::copy(folder.0.join(name), copy.0.join(name)).unwrap();
    }
    server.shutdown(Duration::ZERO).await;
    let server = serve(&address, Snapshots::new(copy.store())).await;
    handle.send(1u8, b"y").await.unwrap();
    while heard.load(Ordering::Relaxed) < 2 {
        assert_eq!(lost.load(Ordering::Relaxed), 0);
        tokio::task::yield_now().await;
    }
    assert_eq!(server.handle().stats().restored, 1);
    handle.end(CloseCode::OK);
    server.shutdown(Duration::from_secs(1)).await;
}

/// What a server stored when it handed over is old as soon as another one has gone on with it:
/// should that one leave nothing, nobody hears from the third that what the second received has not
/// arrived.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_handed_over_is_old_once_somebody_went_on_with_it() {
    // With another key the third server would not even look at who comes.
    let folder = Folder::new("handed-over");
    let first = serve_with("127.0.0.1:0", Snapshots::new(folder.store()), false).await;
    let address = first.local_addr().to_string();
    let (told, reported) = tokio::sync::oneshot::channel();
    let heard = Arc::new(AtomicU64::new(0));
    let (counter, mut told) = (Arc::clone(&heard), Some(told));
    let handler = move |peer: &mut Peer<'_>, event: Incoming<'_>| match event {
        Incoming::Message { .. } => drop(counter.fetch_add(1, Ordering::Relaxed)),
        Incoming::Lost { peer_received, undelivered, .. } => {
            peer.handle().end(CloseCode::OK);
            let missing = undelivered.missing().count();
            let _ = told.take().map(|told| told.send((peer_received, missing)));
        }
        _ => {}
    };
    let policy =
        ReconnectPolicy { backoff_base: 1_000, backoff_cap: 50_000, ..ReconnectPolicy::default() };
    let client = Client::builder().address(&address).reconnect(policy).connect(handler);
    let (handle, runner) = client.unwrap();
    tokio::spawn(runner);
    let talk = async |count: u64| {
        handle.send(1u8, b"x").await.unwrap();
        while heard.load(Ordering::Relaxed) < count {
            tokio::task::yield_now().await;
        }
    };
    talk(1).await;
    assert_eq!(first.hand_over(Duration::from_secs(10)).await.unwrap(), 1);
    let second = serve_with(&address, Snapshots::new(folder.store()), false).await;
    // What there would be after a crash of it: a copy of the files that it does not touch.
    let copy = Folder::new("handed-over-copy");
    std::fs::create_dir_all(&copy.0).unwrap();
    for name in ["key", "sessions.snapshot"] {
        std::fs::copy(folder.0.join(name), copy.0.join(name)).unwrap();
    }
    talk(2).await;
    assert_eq!(second.hand_over(Duration::from_secs(10)).await.unwrap(), 1);
    let third = serve_with(&address, Snapshots::new(copy.store()), false).await;
    assert_eq!(third.handle().stats().restored, 1);
    assert_eq!(reported.await.unwrap(), (None, 0));
    third.shutdown(Duration::from_secs(1)).await;
}

/// A store that cannot be read keeps a server from starting, and one that cannot be written to is
/// told of.
#[tokio::test]
async fn stores_that_fail_are_told_of() {
    struct Broken;
    impl SnapshotStore for Broken {
        fn load(&self) -> std::io::Result<Vec<Vec<u8>>> {
            Ok(Vec::new())
        }
        fn store(&self, _: &[Vec<u8>]) -> std::io::Result<()> {
            Err(std::io::Error::other("the disk is full"))
        }
    }
    let server = serve("127.0.0.1:0", Snapshots::new(Broken)).await;
    let handle = server.handle();
    let error = server.hand_over(Duration::from_secs(1)).await.unwrap_err();
    assert!(error.to_string().contains("the disk is full"), "{error}");
    assert_eq!(handle.stats().not_stored, 1);

    let folder = Folder::new("damaged");
    let store = folder.store();
    std::fs::write(folder.0.join("sessions.snapshot"), b"something else").unwrap();
    let server = Server::builder().snapshots(Snapshots::new(store)).bind("127.0.0.1:0").await;
    let error = server.unwrap().start(|_: &SessionInfo| Counter(0)).unwrap_err();
    assert!(error.to_string().contains("sessions.snapshot"), "{error}");

    // Without a store it is the end that it is otherwise.
    let server = Server::builder().bind("127.0.0.1:0").await.unwrap();
    let server = server.start(|_: &SessionInfo| Counter(0)).unwrap();
    let lost = Arc::new(AtomicU64::new(0));
    let (client, _) = client(&server.local_addr().to_string(), &lost);
    client.send(1u8, b"x").await.unwrap();
    let here = loop {
        let sessions = server.handle().sessions();
        if let Some(handle) = sessions.first().and_then(|info| server.handle().get(info.id)) {
            break handle;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(server.hand_over(Duration::ZERO).await.unwrap(), 0);
    assert_ne!(here.closed().await.why, Why::HandedOver);
    client.end(CloseCode::OK);
}
