//! What a runtime must provide: a byte stream, a timer, tasks, and the time.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// A byte stream that is polled. A runtime crate implements it for its sockets; layers such as TLS
/// implement it over another transport.
pub trait Transport: Send + Unpin + 'static {
    /// Reads what has arrived into `buf` and returns how much; 0 is the end of the stream.
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Writes the slices in order, as far as the transport takes them now. An error means that
    /// nothing of them went out: a session counts what the transport took, and the peer must not
    /// have more.
    fn poll_write(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>])
    -> Poll<io::Result<usize>>;

    /// Writes as [`poll_write`](Self::poll_write) does, without a task to wake: what the transport
    /// does not take at once is refused with [`WouldBlock`](io::ErrorKind::WouldBlock). With it a
    /// message to many is written by whoever sends it, without waking the task of each connection.
    ///
    /// A transport that may have something left to do after a write says `WouldBlock` without having
    /// taken anything, as this one does by default: then the connection's own task writes.
    fn try_write(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let _ = bufs;
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Shuts the writing direction down.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Whether what goes by is confidential and the server is known to be the right one.
    fn is_encrypted(&self) -> bool {
        false
    }

    /// What both ends know about this transport and no other has; empty where there is nothing.
    fn channel_binding(&self) -> &[u8] {
        &[]
    }

    /// Who the other end is, where the transport itself has found out.
    fn peer_identity(&self) -> Option<&PeerIdentity> {
        None
    }

    /// Ready once bytes can go by. A layer with a handshake of its own does that here, and in its
    /// first reads and writes for those who do not ask; what this says of a client's connection
    /// that is no good is what its handler is told.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = cx;
        Poll::Ready(Ok(()))
    }

    /// Whether bytes go by at once. A layer with a handshake of its own says no until that is over:
    /// a server that does not want the connection closes it then without a word, as no work is done
    /// for those who are turned away.
    fn is_established(&self) -> bool {
        true
    }
}

/// Who the other end of a transport is, as the transport has verified: whoever it is holds the key
/// of a certificate that somebody this end trusts has signed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerIdentity {
    /// SHA-256 of the certificate, in DER.
    pub fingerprint: [u8; 32],
    /// The common name of its subject, if it has one.
    pub common_name: Option<String>,
    /// Its alternative names: of hosts, of mail boxes, URIs, addresses.
    pub names: Vec<String>,
}

impl PeerIdentity {
    /// Nobody in particular, by a certificate with this SHA-256.
    #[must_use]
    pub const fn new(fingerprint: [u8; 32]) -> Self {
        Self { fingerprint, common_name: None, names: Vec::new() }
    }

    /// The first of its alternative names, or its common name.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.names.first().or(self.common_name.as_ref()).map(String::as_str)
    }
}

/// What runs tasks and tells the time.
pub trait Runtime: Clone + Send + Sync + Unpin + 'static {
    /// A timer of this runtime.
    type Timer: Timer;

    /// The runtime's clock.
    fn now(&self) -> Instant;

    /// A timer that is not armed.
    fn timer(&self) -> Self::Timer;

    /// Runs a task to its end.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static);
}

/// A timer that can be armed again and again.
pub trait Timer: Send + Unpin + 'static {
    /// Ready once `at` has come. A later call may name another time.
    fn poll_until(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()>;
}

/// What waits for a time to pass, whatever the runtime.
pub(crate) trait Timers: std::fmt::Debug + Send + Sync {
    /// Ready after `time`.
    fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>>;

    /// The runtime's clock.
    fn now(&self) -> Instant;

    /// Runs a task to its end.
    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>);
}

/// The timers of a runtime.
pub(crate) struct Sleeper<R>(R);

impl<R: Runtime> Sleeper<R> {
    pub(crate) fn of(runtime: &R) -> Self {
        Self(runtime.clone())
    }
}

impl<R> std::fmt::Debug for Sleeper<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sleeper").finish_non_exhaustive()
    }
}

impl<R: Runtime> Timers for Sleeper<R> {
    fn now(&self) -> Instant {
        self.0.now()
    }

    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        self.0.spawn(task);
    }

    fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let runtime = self.0.clone();
        // What lies beyond the clock's range is never.
        let at = runtime.now().checked_add(time);
        Box::pin(async move {
            match at {
                Some(at) => sleep_until(&runtime, at).await,
                None => std::future::pending().await,
            }
        })
    }
}

/// Waits until `at`.
pub(crate) async fn sleep_until<R: Runtime>(runtime: &R, at: Instant) {
    let mut timer = runtime.timer();
    std::future::poll_fn(|cx| timer.poll_until(cx, at)).await;
}

/// The runtime's clock as the core counts it.
#[derive(Debug, Copy, Clone)]
pub(crate) struct Clock {
    epoch: Instant,
}

impl Clock {
    pub(crate) const fn new(epoch: Instant) -> Self {
        Self { epoch }
    }

    //= DRV-9
    pub(crate) fn core(&self, at: Instant) -> outlast_core::Instant {
        let micros = at.saturating_duration_since(self.epoch).as_micros();
        outlast_core::Instant::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// The first moment of the runtime's clock that is not before `at`.
    pub(crate) fn std(&self, at: outlast_core::Instant) -> Instant {
        let micros = Duration::from_micros(at.as_micros().min(1 << 52));
        self.epoch.checked_add(micros).unwrap_or(self.epoch)
    }
}
