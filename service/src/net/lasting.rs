//! A server whose sessions are stored.

use std::future::{Future, pending};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::Net;
use super::server::{Host, beside};
use crate::handler::Handler;
use crate::overview::lock;
use crate::server::Server;
use crate::snapshots::{Snapshots, aside, forget_last, is_last};
use crate::transport::sleep_until;

/// How long a session may take to hand its snapshot in: it has to get its turn.
const PATIENCE: Duration = Duration::from_secs(5);

/// A server, and where its sessions are stored, if they are.
pub(super) struct Lasting<N: Net, H> {
    pub(super) server: Server<N, H>,
    pub(super) net: N,
    pub(super) snapshots: Option<Snapshots>,
    /// Clients that all came at once would find the next server busy.
    spread: Duration,
    /// The last snapshots were stored: older ones must not take their place.
    last: Arc<Mutex<bool>>,
}

impl<N: Net, H: Handler> Lasting<N, H> {
    pub(super) fn new(
        server: Server<N, H>,
        net: N,
        snapshots: Option<Snapshots>,
        spread: Option<Duration>,
    ) -> Self {
        Self { server, net, snapshots, spread: spread.unwrap_or(SPREAD), last: Arc::default() }
    }

    /// Goes on with the sessions that are stored.
    pub(super) fn load(&self) -> io::Result<()> {
        let Some(snapshots) = &self.snapshots else {
            return Ok(());
        };
        let stored = snapshots.store.load()?;
        if stored.iter().any(|snapshot| is_last(snapshot)) {
            // From now on more may be received than these say. Should this process end without
            // storing others, the one behind it has to know that.
            //= REG-19
            let mut earlier = stored.clone();
            earlier.iter_mut().for_each(|snapshot| forget_last(snapshot));
            snapshots.store.store(&earlier)?;
        }
        let restored = self.server.restore(stored);
        let failed = restored.iter().filter(|restored| restored.is_err()).count();
        let common = &self.server.handle().common;
        common.not_restored.fetch_add(failed as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Stores all sessions at the interval there is.
    async fn keep_snapshots(&self) {
        let every = self.snapshots.as_ref().and_then(|snapshots| snapshots.every);
        let Some(every) = every else {
            return pending().await;
        };
        loop {
            sleep_until(&self.net, self.net.now() + every).await;
            let taken = self.server.snapshot(PATIENCE).await;
            // What failed is counted, and tried again the next time.
            let _ = self.store(taken, false).await;
        }
    }

    /// Stores these, which are the last or not; how many they are.
    async fn store(&self, taken: Vec<Vec<u8>>, last: bool) -> io::Result<usize> {
        let Some(snapshots) = self.snapshots.clone() else {
            return Ok(0);
        };
        let (count, ended) = (taken.len(), Arc::clone(&self.last));
        let stored = aside(move || {
            let mut ended = lock(&ended);
            if *ended {
                return Ok(());
            }
            *ended = last;
            snapshots.store.store(&taken)
        })
        .await;
        let common = &self.server.handle().common;
        let counter = match stored {
            Ok(()) => &common.stored,
            Err(_) => &common.not_stored,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        stored.map(|()| count)
    }
}

impl<N: Net, H: Handler> Host<N::Stream> for Lasting<N, H> {
    fn ready(&self) -> impl Future<Output = bool> + Send {
        self.server.ready()
    }

    fn spawn_connection(&self, io: N::Stream, local: SocketAddr, remote: SocketAddr) {
        self.server.spawn_connection_between(io, Some(local), Some(remote));
    }

    async fn keep_house(&self) {
        let storing = async {
            self.keep_snapshots().await;
            pending().await
        };
        beside(std::pin::pin!(storing), self.server.keep_house()).await;
    }

    fn drain(&self, grace: Duration) -> impl Future<Output = ()> + Send {
        self.server.drain(grace)
    }

    async fn hand_over(&self, grace: Duration) -> io::Result<usize> {
        if self.snapshots.is_none() {
            self.server.drain(grace).await;
            return Ok(0);
        }
        let taken = self.server.hand_over(grace, self.spread).await;
        self.store(taken, true).await
    }

    fn abort(&self) {
        self.server.abort();
    }
}

/// Over how long the clients of a server that hands over come again, if nothing was said of it.
const SPREAD: Duration = Duration::from_secs(1);
