//! Metrics, health and a live page for servers of outlast.
//!
//! A listener of its own shows what a server has counted: to Prometheus at `/metrics`, to load
//! balancers at `/healthz` and `/readyz`, to people at `/`, to programs as JSON. It changes nothing
//! but on one request, to drain, and that only for who has the token.
//!
//! ```
//! use outlast_admin::Admin;
//! use outlast_tokio::{Incoming, Peer, Server, SessionInfo};
//!
//! # #[tokio::main]
//! # async fn main() -> std::io::Result<()> {
//! let server = Server::builder().bind("127.0.0.1:0").await?;
//! let running = server.start(|_: &SessionInfo| |_: &mut Peer<'_>, _: Incoming<'_>| {})?;
//!
//! let admin = Admin::new(running.handle()).bind("127.0.0.1:0").await?;
//! println!("http://{}/ shows what the server does", admin.local_addr());
//! let _showing = admin.start();
//! # Ok(())
//! # }
//! ```
//!
//! It listens for as long as `_showing` lives. `outlast serve --admin ADDR` is the same as an
//! option of a command, and `outlast top ADDR` shows it in a terminal.
//!
//! # What it answers
//!
//! | path | what it answers |
//! |---|---|
//! | `/` | one page that shows everything and renews itself; nothing on it comes from elsewhere |
//! | `/metrics` | the text format of Prometheus: the same series at all times |
//! | `/healthz` | 200 as long as the process can answer |
//! | `/readyz` | 200 while the server takes connections, 503 once it drains |
//! | `/events` | statistics and sessions each second, as server-sent events |
//! | `/api/stats` | statistics as JSON |
//! | `/api/sessions?limit=50` | sessions as JSON, at most 1,000 |
//! | `POST /api/drain` | asks the server to drain; needs `Authorization: Bearer …` |
//!
//! # Who may look
//!
//! Whoever reaches the listener, so let it listen where only those do who may: at the loopback
//! address, or in a network for operators. It speaks HTTP without TLS. At a loopback address it
//! answers only to names of this machine, so that no page from elsewhere reads it by way of a name
//! that it controls; requests that change something are refused if another origin's page sent them.
//!
//! # What it costs
//!
//! Nothing as long as nobody looks. A look goes through the sessions once, and an open page looks
//! once a second, however many pages are open. Connections, headers and times are limited: see
//! [`AdminLimits`].
//!
//! | limit | by default |
//! |---|---|
//! | connections; those that follow `/events` | 64; 16 |
//! | line and headers of a request | 16 KiB within 5 s |
//! | a connection; one that follows | 1 min; 10 min, after which pages connect again |
//! | sessions on the page | 50 |
//!
//! # With a token, and a server of your own
//!
//! Whatever has [`Statistics`](outlast_service::Statistics) can be shown: [`Source`] is a trait of
//! three functions. The listener needs tokio; what it shows may run on anything.
//!
//! ```
//! use outlast_admin::{Admin, AdminLimits, Row, Source};
//! use outlast_service::{ServerHandle, Statistics};
//!
//! /// Two servers that are shown as one, the first one's figures in front.
//! struct Pair(ServerHandle, ServerHandle);
//!
//! impl Source for Pair {
//!     fn statistics(&self) -> Statistics {
//!         self.0.statistics()
//!     }
//!
//!     fn is_draining(&self) -> bool {
//!         self.0.is_draining() || self.1.is_draining()
//!     }
//!
//!     fn rows(&self, most: usize) -> Vec<Row> {
//!         let mut rows = self.0.rows(most);
//!         rows.extend(self.1.rows(most - rows.len()));
//!         rows
//!     }
//! }
//!
//! fn describe(servers: Pair, token: &[u8], stop: impl Fn() + Send + Sync + 'static) -> Admin {
//!     Admin::new(servers)
//!         .title("orders, eu-1")
//!         .token(token)
//!         .on_drain(stop)
//!         .limits(AdminLimits { rows: 20, ..AdminLimits::default() })
//! }
//! # let _: fn(Pair, &[u8], fn()) -> Admin = describe;
//! ```
//!
//! # Errors
//!
//! [`Admin::bind`] fails if the address is taken or a limit is out of range, and nothing fails
//! later: a request that is wrong is answered with its status (401 without the token, 403 from
//! another origin, 404, 405, 503 for a follower too many), and a connection that is slow is closed.
//!
//! # What is promised, and what is not
//!
//! * `/metrics` has the same series whatever peers send: no label is made of what comes from
//!   outside.
//! * Payloads, tokens and keys are on none of the pages; addresses of peers are.
//! * Nothing is kept: a history is the business of whoever scrapes.
//! * No TLS and no users. In front of it belongs what you have for that anyway.
//!
//! # Features
//!
//! | feature | what for |
//! |---|---|
//! | `formats` | servers whose connections speak another system's format |
//! | `router` | what a router has counted, `Admin::router` |
//!
//! Neither adds a crate that a server with those features does not have. Always there: `hyper` with
//! HTTP/1 alone, `tokio`, `serde_json`, `sha2`. Rust 1.91 or newer. `docs/operations.md` of the
//! repository explains every series and which alarms to set.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod answer;
mod body;
mod events;
mod guard;
mod json;
mod listener;
mod metrics;
mod page;
mod source;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::net::{TcpListener, ToSocketAddrs};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub use source::{Row, Source};

use answer::Site;
use events::Hub;
use guard::Guard;
use page::Page;

/// What a router has counted, by what became of messages and requests.
pub(crate) type Routed = Vec<(&'static str, u64)>;

/// How much the listener takes at the same time, and how long.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct AdminLimits {
    /// Connections; what is beyond is closed at once. At least 1.
    pub connections: usize,
    /// Of these, how many may follow `/events`; others are told to come again. At least 1.
    pub followers: usize,
    /// Bytes of a request's line and headers, 8,192 or more.
    pub header_bytes: usize,
    /// How long headers may take, and how long a connection may be idle.
    pub header_time: Duration,
    /// How long a connection may last that follows no events.
    pub connection_time: Duration,
    /// How long one may last that does; pages connect again by themselves.
    pub follow_time: Duration,
    /// Sessions on the page.
    pub rows: usize,
}

impl Default for AdminLimits {
    /// 64 connections, 16 of them followers, 16 KiB and 5 s for headers, a minute for a connection,
    /// ten for a follower, 50 sessions on the page.
    fn default() -> Self {
        Self {
            connections: 64,
            followers: 16,
            header_bytes: 16 << 10,
            header_time: Duration::from_secs(5),
            connection_time: Duration::from_secs(60),
            follow_time: Duration::from_secs(600),
            rows: 50,
        }
    }
}

/// Describes what is shown, and to whom.
pub struct Admin {
    source: Arc<dyn Source>,
    limits: AdminLimits,
    token: Option<Vec<u8>>,
    drain: Option<Box<dyn Fn() + Send + Sync>>,
    routed: Option<Box<dyn Fn() -> Routed + Send + Sync>>,
    title: String,
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Admin {
    /// Shows this server.
    #[must_use]
    pub fn new(source: impl Source) -> Self {
        Self {
            source: Arc::new(source),
            limits: AdminLimits::default(),
            token: None,
            drain: None,
            routed: None,
            title: "outlast".to_owned(),
        }
    }

    /// Sets what the page calls the server; `outlast` otherwise.
    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }

    /// Sets the token of those who may drain the server. Without one nobody may; an empty one is
    /// none.
    #[must_use]
    pub fn token(mut self, token: impl AsRef<[u8]>) -> Self {
        self.token = Some(token.as_ref().to_vec()).filter(|token| !token.is_empty());
        self
    }

    /// Sets what is done when somebody who may asks the server to drain: called once, in a task of
    /// the listener, and must not block. From then on `/readyz` says no.
    #[must_use]
    pub fn on_drain(mut self, drain: impl Fn() + Send + Sync + 'static) -> Self {
        self.drain = Some(Box::new(drain));
        self
    }

    /// Shows what a router has counted as well.
    #[cfg(feature = "router")]
    #[must_use]
    pub fn router(
        mut self,
        stats: impl Fn() -> outlast_service::router::RouterStats + Send + Sync + 'static,
    ) -> Self {
        self.routed = Some(Box::new(move || {
            let all = stats();
            vec![
                ("handled", all.handled),
                ("no_route", all.no_route),
                ("stopped", all.stopped),
                ("rejected", all.rejected),
                ("overloaded", all.overloaded),
                ("dropped", all.dropped),
                ("panicked", all.panicked),
                ("failed", all.failed),
                ("cancelled", all.cancelled),
                ("late", all.late),
            ]
        }));
        self
    }

    /// Sets how much the listener takes.
    #[must_use]
    pub const fn limits(mut self, limits: AdminLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Listens at `address`.
    ///
    /// # Errors
    ///
    /// If a limit is out of range, or the operating system refuses.
    pub async fn bind(self, address: impl ToSocketAddrs) -> io::Result<Bound> {
        let Self { source, limits, token, drain, routed, title } = self;
        let small = limits.connections == 0 || limits.followers == 0;
        if small || limits.header_bytes < 8 << 10 {
            let why = "connections and followers from 1, header_bytes from 8192";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let listener = TcpListener::bind(address).await?;
        let local = listener.local_addr()?;
        let site = Site {
            source,
            limits,
            guard: Guard::new(token.as_deref(), local),
            drain,
            draining: AtomicBool::new(false),
            routed,
            page: Page::new(&title),
            hub: Hub::default(),
        };
        Ok(Bound { listener, local, site: Arc::new(site) })
    }
}

/// A listener that answers nobody yet.
pub struct Bound {
    listener: TcpListener,
    local: SocketAddr,
    site: Arc<Site>,
}

impl fmt::Debug for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bound").field("local", &self.local).finish_non_exhaustive()
    }
}

impl Bound {
    /// The address it listens at, with the port that the system chose if none was given.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Answers in a task of the current runtime, until [`Showing`] is dropped.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    #[must_use = "it stops when it is dropped"]
    pub fn start(self) -> Showing {
        let Self { listener, local, site } = self;
        let (over, told) = watch::channel(false);
        Showing { local, over, task: tokio::spawn(listener::serve(listener, site, told)) }
    }

    /// Answers for as long as this future lives.
    pub async fn serve(self) {
        let (_never, told) = watch::channel(false);
        listener::serve(self.listener, self.site, told).await;
    }
}

/// A listener that answers. Dropped, it stops, and so do its connections.
#[derive(Debug)]
pub struct Showing {
    local: SocketAddr,
    over: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Showing {
    /// The address it listens at.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Takes nobody any more, finishes the answers to what was asked, ends those who follow, and
    /// waits for all that, but no longer than `limit`. A program that ends because it was asked to
    /// drain has answered then.
    pub async fn shutdown(mut self, limit: Duration) {
        let _ = self.over.send(true);
        let _ = timeout(limit, &mut self.task).await;
    }
}

impl Drop for Showing {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The examples of the document are compiled like those of this crate.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../../docs/operations.md")]
    struct Operations;
}
