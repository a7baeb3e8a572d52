//! Drivers for runtimes that have sockets and run in real time.
//!
//! What is the same for all of them is here: the far ends of connections as blocking sockets of the
//! standard library that never block, the queue that observations go through, and the passing of
//! time. A runtime adds how it starts a server and a client, as a [`Runtime`]; if it is made with
//! `outlast-service`, then the module `service` (feature `service`) has the handler and the
//! commands, too.
//!
//! ```no_run
//! use outlast_conformance::net::{Feed, Loopback, Runtime, Started};
//! use outlast_core::{Config, registry::RegistryConfig};
//! use std::{net::SocketAddr, time::Duration};
//!
//! struct Mine;
//!
//! impl Runtime for Mine {
//!     fn name(&self) -> &'static str {
//!         "my runtime"
//!     }
//!     fn serve(&mut self, _: Config, _: RegistryConfig, _: &Feed) -> (SocketAddr, Started) {
//!         unreachable!("starts a server at 127.0.0.1:0 that tells the feed what happens")
//!     }
//!     fn dial(&mut self, _: SocketAddr, _: Config, _: &Feed) -> Started {
//!         unreachable!("starts a client of that address")
//!     }
//!     fn starve(&mut self, _: Duration) {
//!         unreachable!("lets none of its tasks do anything for so long")
//!     }
//! }
//!
//! let mut driver = Loopback::new(Mine);
//! outlast_conformance::cases::run(&mut driver, "a10_noise").unwrap();
//! ```

pub mod foreign;
#[cfg(feature = "service")]
mod ground;
#[cfg(feature = "service")]
mod over;
#[cfg(feature = "service")]
pub mod service;
mod unserved;

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use outlast_core::Config;
use outlast_core::registry::RegistryConfig;

#[cfg(feature = "service")]
pub use ground::Ground;
#[cfg(feature = "plain")]
pub(crate) use ground::LONG;
#[cfg(feature = "service")]
pub use over::{Over, Task};
pub use unserved::Unserved;

use crate::driver::{Cmd, Driver, Obs, Seen, Stream, Subject};

/// What a runtime with sockets has to do to be judged.
pub trait Runtime {
    /// Its name.
    fn name(&self) -> &'static str;
    /// Starts a server at a free port of loopback. What happens goes to the feed.
    fn serve(
        &mut self,
        config: Config,
        sessions: RegistryConfig,
        feed: &Feed,
    ) -> (SocketAddr, Started);
    /// Starts a client of this address. What happens goes to the feed.
    fn dial(&mut self, address: SocketAddr, config: Config, feed: &Feed) -> Started;
    /// Returns after so long, in which nothing the runtime has started could do anything.
    fn starve(&mut self, time: Duration);
    /// Bytes that it may queue for each session beyond the session's own send buffer.
    fn slack(&self) -> usize {
        0
    }
    /// What makes far ends of connections to its servers and of its clients: those of bare sockets
    /// unless a layer such as TLS lies between.
    fn far_ends(&self) -> FarEnds {
        Arc::new(|stream, _| Ok(Box::new(Socket::new(stream)?)))
    }
    /// Why it cannot run here at all, if it cannot.
    fn missing(&self) -> Option<String> {
        None
    }
    /// What counts the bytes held by all that was started, unless [`Controls::held_bytes`] does.
    fn held_bytes(&self) -> Option<fn() -> usize> {
        None
    }
}

/// Makes the far end of a connection.
pub type FarEnds = Arc<dyn Fn(TcpStream, Of) -> std::io::Result<Box<dyn Stream>> + Send + Sync>;

/// Whose far end it is.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Of {
    /// A server's, which was dialled.
    Server,
    /// A client's, which has dialled.
    Client,
}

/// A server or a client that was started: carries out commands until it is dropped.
pub type Started = Box<dyn Controls>;

/// Commands for a server or a client.
pub trait Controls {
    /// Does something, or says why not; returns at once.
    ///
    /// # Errors
    ///
    /// Why not, in words; nothing has changed.
    fn command(&mut self, session: u64, command: Cmd) -> Result<(), String>;
    /// Bytes held for all its sessions, if it knows better than its runtime.
    fn held_bytes(&self) -> Option<usize> {
        None
    }
}

/// Where observations go. Clones are the same queue.
#[derive(Debug, Clone, Default)]
pub struct Feed {
    seen: Arc<Mutex<VecDeque<Seen>>>,
    bell: Bell,
}

impl Feed {
    /// Tells that something happened.
    pub fn tell(&self, session: u64, what: Obs) {
        lock(&self.seen).push_back(Seen { session, what });
        self.bell.ring();
    }

    fn next(&self) -> Option<Seen> {
        lock(&self.seen).pop_front()
    }
}

/// Wakes the case when something was observed.
#[derive(Debug, Clone, Default)]
struct Bell(Arc<(Mutex<bool>, Condvar)>);

impl Bell {
    fn ring(&self) {
        *lock(&self.0.0) = true;
        self.0.1.notify_all();
    }

    /// Waits until it rings, or so long.
    fn wait(&self, time: Duration) {
        let (rung, changed) = &*self.0;
        let guard = lock(rung);
        let waited = changed.wait_timeout_while(guard, time, |rung| !*rung);
        *waited.unwrap_or_else(PoisonError::into_inner).0 = false;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A driver over real sockets on loopback.
#[derive(Debug)]
pub struct Loopback<R> {
    runtime: R,
    start: Instant,
    bell: Bell,
}

/// The longest wait for sockets, which ring no bell.
const LOOK: Duration = Duration::from_micros(200);

impl<R: Runtime> Loopback<R> {
    /// A driver for this runtime.
    pub fn new(runtime: R) -> Self {
        Self { runtime, start: Instant::now(), bell: Bell::default() }
    }

    fn feed(&self) -> Feed {
        Feed { seen: Arc::default(), bell: self.bell.clone() }
    }
}

impl<R: Runtime> Driver for Loopback<R> {
    fn name(&self) -> &'static str {
        self.runtime.name()
    }

    fn time_is_virtual(&self) -> bool {
        false
    }

    fn server_with(&mut self, config: Config, sessions: RegistryConfig) -> Box<dyn Subject> {
        let feed = self.feed();
        let (address, started) = self.runtime.serve(config, sessions, &feed);
        let held = self.runtime.held_bytes();
        let far_ends = self.runtime.far_ends();
        Box::new(Running { started, feed, dock: Dock::Server(address), held, far_ends })
    }

    fn client(&mut self, config: Config) -> Box<dyn Subject> {
        let feed = self.feed();
        let listener = listen();
        let address = listener.local_addr().unwrap_or_else(|error| panic!("no address: {error}"));
        let started = self.runtime.dial(address, config, &feed);
        let held = self.runtime.held_bytes();
        let far_ends = self.runtime.far_ends();
        Box::new(Running { started, feed, dock: Dock::Client(listener), held, far_ends })
    }

    fn now(&self) -> u64 {
        self.start.elapsed().as_micros() as u64
    }

    fn wait(&mut self, micros: u64) {
        let end = Instant::now() + Duration::from_micros(micros);
        let nothing = Bell::default();
        while let Some(rest) = end.checked_duration_since(Instant::now()).filter(|r| !r.is_zero()) {
            nothing.wait(rest);
        }
    }

    fn pause(&mut self, micros: u64) {
        self.bell.wait(LOOK.min(Duration::from_micros(micros)));
    }

    fn starve(&mut self, micros: u64) {
        self.runtime.starve(Duration::from_micros(micros));
    }

    fn slack(&self) -> usize {
        self.runtime.slack()
    }

    fn missing(&self) -> Option<String> {
        self.runtime.missing()
    }
}

fn listen() -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0");
    let listener = listener.unwrap_or_else(|error| panic!("no listener on loopback: {error}"));
    let set = listener.set_nonblocking(true);
    set.unwrap_or_else(|error| panic!("no listener that does not block: {error}"));
    listener
}

/// A server or a client that was started.
struct Running {
    started: Started,
    feed: Feed,
    dock: Dock,
    held: Option<fn() -> usize>,
    far_ends: FarEnds,
}

enum Dock {
    /// Where the server listens.
    Server(SocketAddr),
    /// Where the client dials.
    Client(TcpListener),
}

impl Subject for Running {
    fn command(&mut self, session: u64, command: Cmd) -> Result<(), String> {
        self.started.command(session, command)
    }

    fn poll(&mut self) -> Option<Seen> {
        self.feed.next()
    }

    fn plug(&mut self) -> Option<Box<dyn Stream>> {
        let (stream, of) = match &self.dock {
            Dock::Server(address) => (TcpStream::connect(address).ok()?, Of::Server),
            Dock::Client(listener) => (listener.accept().ok()?.0, Of::Client),
        };
        (self.far_ends)(stream, of).ok()
    }

    fn held_bytes(&self) -> usize {
        let held = self.started.held_bytes().or_else(|| self.held.map(|held| held()));
        held.expect("a runtime under test tells what it holds: see `Over::counting`")
    }
}

/// The far end of a subject's connection.
#[derive(Debug)]
pub struct Socket {
    /// `None` once it was broken.
    stream: Option<TcpStream>,
}

impl Socket {
    /// Over this connection.
    ///
    /// # Errors
    ///
    /// Those of setting it up.
    pub fn new(stream: TcpStream) -> std::io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream: Some(stream) })
    }
}

impl Stream for Socket {
    fn write(&mut self, bytes: &[u8]) -> usize {
        let Some(stream) = &mut self.stream else {
            return bytes.len();
        };
        match stream.write(bytes) {
            Ok(taken) => taken,
            Err(error) if is_transient(error.kind()) => 0,
            // What nobody reads any more is taken by nobody.
            Err(_) => bytes.len(),
        }
    }

    fn read(&mut self, out: &mut Vec<u8>) -> bool {
        let Some(stream) = &mut self.stream else {
            return false;
        };
        let mut bytes = [0; 16 << 10];
        match stream.read(&mut bytes) {
            Ok(0) => false,
            Ok(read) => {
                out.extend_from_slice(&bytes[..read]);
                true
            }
            Err(error) => is_transient(error.kind()),
        }
    }

    fn shut(&mut self) {
        if let Some(stream) = &self.stream {
            // A stream that is gone needs no end.
            let _ = stream.shutdown(std::net::Shutdown::Write);
        }
    }

    fn cut(&mut self) {
        if let Some(stream) = self.stream.take() {
            // Closing is then a reset, and takes along what is under way.
            let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        }
    }

    fn addresses(&self) -> Option<(SocketAddr, SocketAddr)> {
        let stream = self.stream.as_ref()?;
        Some((stream.local_addr().ok()?, stream.peer_addr().ok()?))
    }
}

fn is_transient(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
