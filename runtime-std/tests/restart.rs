//! A server that ends, and another one that goes on with its sessions, in threads.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use outlast_std::{
    Client, Incoming, Peer, ReconnectPolicy, Server, SessionInfo, SnapshotStore, Snapshots, Status,
};

/// Snapshots in memory, for servers of one process.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<Vec<u8>>>>);

impl SnapshotStore for Memory {
    fn load(&self) -> std::io::Result<Vec<Vec<u8>>> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn store(&self, snapshots: &[Vec<u8>]) -> std::io::Result<()> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = snapshots.to_vec();
        Ok(())
    }
}

fn serve(address: &str, store: &Memory) -> outlast_std::Running {
    let server = loop {
        let builder = Server::builder().snapshots(Snapshots::new(store.clone()));
        match builder.bind(address) {
            Ok(server) => break server,
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse),
        }
        std::thread::yield_now();
    };
    let handler = |peer: &mut Peer<'_>, event: Incoming<'_>| match event {
        Incoming::Request { id, payload, .. } => peer.respond(id, Status::OK, payload).unwrap(),
        Incoming::Finished => peer.finish(),
        _ => {}
    };
    server.start(move |_: &SessionInfo| handler).unwrap()
}

#[test]
fn a_session_moves_from_server_to_server() {
    let store = Memory::default();
    let server = serve("127.0.0.1:0", &store);
    let address = server.local_addr().to_string();
    let (told, resumed) = channel();
    let policy =
        ReconnectPolicy { backoff_base: 1_000, backoff_cap: 50_000, ..ReconnectPolicy::default() };
    let handle = Client::builder().address(&address).reconnect(policy).connect(
        move |_: &mut Peer<'_>, event: Incoming<'_>| {
            if let Incoming::Resumed { .. } = event {
                told.send(()).unwrap();
            }
        },
    );
    let handle = handle.unwrap();
    assert_eq!(handle.request(1u8, b"before").unwrap().payload, b"before"[..]);
    assert_eq!(server.hand_over(Duration::from_secs(10)).unwrap(), 1);
    let server = serve(&address, &store);
    resumed.recv_timeout(Duration::from_secs(60)).expect("it is resumed");
    assert_eq!(handle.request(1u8, b"behind").unwrap().payload, b"behind"[..]);
    assert_eq!(server.handle().stats().restored, 1);
    handle.finish();
    assert!(handle.closed().complete);
    server.shutdown(Duration::from_secs(1));
}
