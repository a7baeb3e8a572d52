//! A runtime with sockets that runs futures for tests.

use std::future::Future;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use outlast_service::net::Net;

use super::Task;

/// However busy the machine is, this is long.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// A runtime that cases run on.
pub struct Ground<N> {
    pub(crate) net: N,
    spawn: Arc<dyn Fn(Task) + Send + Sync>,
}

impl<N> std::fmt::Debug for Ground<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ground").finish_non_exhaustive()
    }
}

impl<N: Net> Ground<N> {
    /// A runtime that takes tasks from any thread.
    pub fn new(net: N) -> Self {
        let outside = net.clone();
        Self::with(net, move |task| outside.spawn(task))
    }

    /// A runtime that takes tasks from threads of its own only, and from others with `spawn`.
    pub fn with(net: N, spawn: impl Fn(Task) + Send + Sync + 'static) -> Self {
        Self { net, spawn: Arc::new(spawn) }
    }

    /// Its sockets, timers and tasks, for what it runs.
    pub fn net(&self) -> N {
        self.net.clone()
    }

    /// Runs a future on the runtime and waits for what comes of it.
    ///
    /// # Panics
    ///
    /// If it does, and if nothing comes of it within a minute.
    pub fn run<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> T {
        self.run_for(LONG, future)
    }

    /// As [`run`](Self::run), with another limit.
    ///
    /// # Panics
    ///
    /// If it does, and if nothing comes of it in this time.
    pub fn run_for<T: Send + 'static>(
        &self,
        limit: Duration,
        future: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let (tell, told) = mpsc::sync_channel(1);
        self.aside(async move {
            // Whoever waited may have given up.
            let _ = tell.send(future.await);
        });
        told.recv_timeout(limit).expect("what the future gives, unless it panics or takes too long")
    }

    /// Runs a future on the runtime; nobody waits for it.
    pub(crate) fn aside(&self, future: impl Future<Output: Send> + Send + 'static) {
        (self.spawn)(Box::pin(async move {
            let _ = future.await;
        }));
    }
}
