//! A TCP proxy that makes trouble on purpose: it cuts, stalls, splits, slows down and goes deaf.
//!
//! What happens to the n-th connection is drawn from the seed and n alone ([`Plan`]), in bytes
//! rather than in time where that is possible, so a run can be repeated.

mod plan;
mod pump;

pub(crate) use plan::{Chaos, Cut, Plan, Range, Way};

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use std::{fmt, io};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::tap::{Tapping, Wire};

/// Connections at once; more wait to be accepted.
const CONNECTIONS_MAX: usize = 4096;
/// How long to wait after the system refused to accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A listening proxy that does nothing until it is [run](Self::run).
#[derive(Debug)]
pub(crate) struct Proxy {
    listener: TcpListener,
    shared: Arc<Shared>,
    tapping: Tapping,
}

/// A look at a proxy while it runs.
#[derive(Debug, Clone)]
pub(crate) struct Control(Arc<Shared>);

/// What happened to a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Happening {
    /// It was accepted and passed on; this is to come.
    Opened(Plan),
    /// The target could not be reached; the client was cut off.
    Unreachable,
    /// So many bytes into this direction it waits for so long.
    Stalled { way: Way, at: u64, time: Duration },
    /// So many bytes into this direction everything ended.
    Cut { way: Option<Way>, at: u64, how: Cut },
    /// The two ends ended it themselves.
    Ended,
}

/// Told of everything that happens: number of the connection, and what.
pub(crate) type Watcher = Box<dyn Fn(u64, Happening) + Send + Sync>;

/// What a proxy did so far.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    pub(crate) connections: u64,
    /// Connections ended by the proxy, half-open ones included.
    pub(crate) cuts: u64,
    pub(crate) half_open: u64,
    pub(crate) stalls: u64,
    pub(crate) unreachable: u64,
    /// Bytes passed on, both directions together.
    pub(crate) bytes: u64,
}

struct Shared {
    seed: u64,
    target: String,
    chaos: Chaos,
    watcher: Option<Watcher>,
    connections: AtomicU64,
    cuts: AtomicU64,
    half_open: AtomicU64,
    stalls: AtomicU64,
    unreachable: AtomicU64,
    bytes: AtomicU64,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("seed", &self.seed).finish_non_exhaustive()
    }
}

impl Proxy {
    /// Listens; connections go to `target` (`host:port`), each with a fate drawn from `seed`.
    ///
    /// # Errors
    ///
    /// What the system says about `listen`.
    pub(crate) async fn bind(
        listen: &str,
        target: &str,
        chaos: Chaos,
        seed: u64,
        watcher: Option<Watcher>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let shared = Shared {
            seed,
            target: target.to_owned(),
            chaos,
            watcher,
            connections: AtomicU64::new(0),
            cuts: AtomicU64::new(0),
            half_open: AtomicU64::new(0),
            stalls: AtomicU64::new(0),
            unreachable: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        };
        Ok(Self { listener, shared: Arc::new(shared), tapping: Tapping::default() })
    }

    /// What clients say and hear goes by there.
    pub(crate) fn tapped(self, tapping: Tapping) -> Self {
        Self { tapping, ..self }
    }

    /// Where it listens.
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    pub(crate) fn control(&self) -> Control {
        Control(Arc::clone(&self.shared))
    }

    /// Accepts for ever. Dropping the future stops accepting; connections go on.
    pub(crate) async fn run(self) {
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
                return;
            };
            let Ok((client, from)) = self.listener.accept().await else {
                // Descriptors may be short for a while; an aborted connection costs nothing.
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let shared = Arc::clone(&self.shared);
            let tapping = self.tapping.clone();
            let index = shared.connections.fetch_add(1, Ordering::Relaxed) + 1;
            tokio::spawn(async move {
                let wire = client.local_addr().map(|local| tapping.wire(local, from, false));
                shared.serve(index, client, wire.unwrap_or_default()).await;
                drop(permit);
            });
        }
    }
}

impl Shared {
    async fn serve(self: &Arc<Self>, index: u64, client: TcpStream, mut wire: Wire) {
        let plan = Plan::draw(&self.chaos, self.seed, index);
        let Ok(server) = TcpStream::connect(self.target.as_str()).await else {
            self.unreachable.fetch_add(1, Ordering::Relaxed);
            self.tell(index, Happening::Unreachable);
            let _ = client.set_zero_linger();
            wire.cut();
            return;
        };
        self.tell(index, Happening::Opened(plan.clone()));
        pump::run(self, index, plan, client, server, wire).await;
    }

    fn tell(&self, index: u64, happening: Happening) {
        if let Some(watcher) = &self.watcher {
            watcher(index, happening);
        }
    }
}

impl Control {
    pub(crate) fn counts(&self) -> Counts {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            connections: get(&self.0.connections),
            cuts: get(&self.0.cuts),
            half_open: get(&self.0.half_open),
            stalls: get(&self.0.stalls),
            unreachable: get(&self.0.unreachable),
            bytes: get(&self.0.bytes),
        }
    }
}

impl fmt::Display for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opened(plan) => write!(f, "opened: {plan}"),
            Self::Unreachable => f.write_str("the target cannot be reached: client cut off"),
            Self::Stalled { way, at, time } => {
                write!(f, "stalls for {} ms, {at} bytes {}", time.as_millis(), way.name())
            }
            Self::Cut { way, at, how } => {
                match how {
                    Cut::Reset => f.write_str("cut with a reset")?,
                    Cut::Close => f.write_str("cut with an end of stream")?,
                    Cut::HalfOpen { both, hold } => {
                        let what = if *both { "both directions" } else { "one direction" };
                        write!(f, "half-open: {what} dead for {} ms", hold.as_millis())?;
                    }
                }
                match way {
                    Some(way) => write!(f, ", {at} bytes {}", way.name()),
                    None => f.write_str(", by the clock"),
                }
            }
            Self::Ended => f.write_str("ended by its ends"),
        }
    }
}
