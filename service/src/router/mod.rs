//! Handlers by route: functions with the arguments that they want, hooks around them, and places
//! to run for what takes time (feature `router`).
//!
//! ```
//! use outlast_service::router::{Context, Link, Router, State};
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicU64, Ordering};
//!
//! #[derive(Clone, Default)]
//! struct Sum(Arc<AtomicU64>);
//!
//! /// A plain function with arguments; it runs at once, and must not block.
//! fn total(State(sum): State<Sum>) -> String {
//!     sum.0.load(Ordering::Relaxed).to_string()
//! }
//!
//! /// An async one: it runs in a task of the session's, in order.
//! async fn greet(name: String, link: Link) -> Result<String, &'static str> {
//!     let _ = link.send(9u8, b"somebody is greeted").await;
//!     if name.is_empty() { Err("no name") } else { Ok(format!("hello, {name}")) }
//! }
//!
//! let routes = Router::new()
//!     .state(Sum::default())
//!     // The shortest way there is: everything is borrowed.
//!     .on(7u8, |cx: &mut Context<'_>| {
//!         if let Some(sum) = cx.state::<Sum>() {
//!             sum.0.fetch_add(cx.payload().len() as u64, Ordering::Relaxed);
//!         }
//!     })
//!     .route(8u8, total)
//!     .route("greet", greet)
//!     .build()?;
//!
//! // A server takes `routes.factory()`, a client `routes.session()`.
//! let _handlers = routes.factory();
//! assert_eq!(routes.stats().handled, 0);
//! # Ok::<(), outlast_service::router::BuildError>(())
//! ```
//!
//! # Where handlers run, and in which order
//!
//! | handler | runs | order within a session |
//! |---|---|---|
//! | [`Router::on`], a plain function | in the connection's task, at once | as everything comes |
//! | an `async` function | in a task of the session's | as everything async comes |
//! | [`concurrent`] | in up to so many tasks of the session's | begins in order |
//! | [`pooled`] | in the workers of a [`WorkerPool`] | with [`Balance::Pinned`] as it comes |
//! | [`blocking`] | in threads of a [`BlockingPool`] | begins in order |
//!
//! What runs in a task waits in a queue of its session ([`QueueLimits`]). A message counts as taken
//! when its handler is done; everything behind the oldest that is not, does not ([`WhenFull`]).
//! A handler that panics costs its request, which is answered
//! [`INTERNAL`](outlast_core::wire::Status::INTERNAL), and nothing else.

//!
//! # Formats of other systems
//!
//! With feature `formats` the same routes serve connections without sessions: `plain_factory()` is
//! for a listener, `plain()` for a client. A packet's number, or the name in its object, is its
//! route; one that has neither goes to route 0. Errors are the format's own words for a failure,
//! where it has any. A format that does not tell requests from messages has its packets answered as
//! if they were requests, but for empty answers, which are not sent. [`Link::session`] is `None`,
//! and a [`Session`] cannot be extracted: what needs the guarantees of one says so.

mod builder;
mod codec;
mod context;
mod crew;
mod extract;
mod function;
mod group;
mod hook;
mod key;
#[cfg(feature = "tower")]
mod layer;
mod life;
mod line;
mod link;
#[cfg(feature = "formats")]
mod plain;
mod pool;
mod reply;
mod routes;
mod stats;
mod table;
mod tickets;
mod whole;
mod work;

pub use builder::{BuildError, Router};
#[cfg(feature = "json")]
pub use codec::Json;
#[cfg(feature = "postcard")]
pub use codec::Postcard;
pub use context::{Call, Context, Kind};
pub use extract::{Extract, Needs, Principal, Property, Rejection, Remote, Session, State, Text};
pub use function::{
    AsyncFn, Endpoint, IntoEndpoint, IsAsync, IsPlain, Mounted, PlainFn, blocking, blocking_in,
    concurrent, hooked, pooled,
};
pub use hook::{Authorize, Flow, Hook, Log, LogLine, RateLimit, authorize, log, rate_limit};
pub use key::{Key, RouteKey, named};
#[cfg(feature = "tower")]
pub use layer::Endpoints;
pub use life::End;
pub use link::Link;
#[cfg(feature = "formats")]
pub use plain::PlainRouted;
pub use pool::{Balance, BlockingPool, QueueLimits, WhenFull, WorkerPool};
pub use reply::{BoxError, IntoReply, Reply};
pub use routes::{Routed, Routes};
pub use stats::RouterStats;
