//! Functions as handlers: plain ones and asynchronous ones, with up to six arguments.
//!
//! A function type does not say by itself whether what it returns is an answer or a future of one.
//! A marker that the compiler infers says it, as the only one that fits.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::context::{Call, Context};
use super::extract::{Extract, Needs};
use super::hook::Hook;
use super::pool::{BlockingPool, WorkerPool};
use super::reply::{IntoReply, Reply};
use super::table::{Home, Queued, Run};
use super::whole::Whole;

/// A future that a task runs.
pub(crate) type Running = Pin<Box<dyn Future<Output = Reply> + Send>>;

/// A function that runs in the connection's task.
pub(crate) trait Inline: Send + Sync {
    fn call(&self, cx: &mut Context<'_>) -> Reply;
}

/// A function that runs in other tasks.
pub(crate) trait Asynchronous: Send + Sync {
    fn call(&self, call: Call) -> Running;
}

/// A handler, ready to be put into a router.
pub struct Endpoint {
    pub(crate) run: Run,
    pub(crate) needs: Needs,
    /// Hooks of this route alone, the outermost first.
    pub(crate) hooks: Vec<Arc<dyn Hook>>,
}

impl Endpoint {
    fn inline(run: Arc<dyn Inline>, needs: Needs) -> Self {
        Self { run: Run::Inline(run), needs, hooks: Vec::new() }
    }

    fn queued(run: impl Asynchronous + 'static, needs: Needs, home: Home) -> Self {
        let queued = Queued { service: Arc::new(run), home };
        Self { run: Run::Queued(queued), needs, hooks: Vec::new() }
    }
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").finish_non_exhaustive()
    }
}

/// What can be a route's handler: a plain function, an `async` one, or either of them with a place
/// to run ([`concurrent`], [`pooled`], [`blocking`]) or hooks of its own ([`hooked`]).
///
/// `M` is inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no handler",
    label = "cannot be a route's handler",
    note = "a handler is a plain or an async function, with up to six arguments that implement \
            Extract (such as Bytes, Json<T>, State<S>, Link), that returns something that \
            implements IntoReply",
    note = "it must be Fn + Send + Sync + 'static, and the future of an async one Send: what it \
            holds across an `.await` must be Send too",
    note = "a function that takes &mut Context<'_> is registered with `on`"
)]
pub trait IntoEndpoint<M> {
    /// The handler.
    fn into_endpoint(self) -> Endpoint;

    /// The handler, for a router with such hooks.
    #[doc(hidden)]
    fn mount<H: Hook>(self) -> Mounted<H>
    where
        Self: Sized,
    {
        Mounted { endpoint: self.into_endpoint(), whole: None }
    }
}

/// A handler in a router with hooks of this type.
#[doc(hidden)]
pub struct Mounted<H> {
    pub(super) endpoint: Endpoint,
    /// The same once more, in one piece with the hooks.
    pub(super) whole: Option<Arc<dyn Whole<H>>>,
}

impl<H> std::fmt::Debug for Mounted<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.endpoint.fmt(f)
    }
}

impl<H: Hook> Mounted<H> {
    /// A function that runs in the connection's task.
    pub(super) fn inline(run: impl Inline + 'static, needs: Needs) -> Self {
        let run = Arc::new(run);
        Self { endpoint: Endpoint::inline(Arc::clone(&run) as _, needs), whole: Some(run) }
    }

    /// The same for a router with other hooks.
    pub(super) fn apart<B>(self) -> Mounted<B> {
        Mounted { endpoint: self.endpoint, whole: None }
    }
}

impl IntoEndpoint<()> for Endpoint {
    fn into_endpoint(self) -> Endpoint {
        self
    }
}

/// A plain function; `M` is inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no plain function of extractors",
    note = "blocking work is a plain function, not an async one"
)]
pub trait PlainFn<M>: Send + Sync + 'static {
    #[doc(hidden)]
    fn run(&self, cx: &Context<'_>) -> Reply;
    #[doc(hidden)]
    fn needs(needs: &mut Needs);
}

/// An asynchronous function; `M` is inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no async function of extractors",
    note = "it is an async fn, or a closure that returns an async block, whose future is Send"
)]
pub trait AsyncFn<M>: Send + Sync + 'static {
    #[doc(hidden)]
    fn start(
        self: Arc<Self>,
        call: &Call,
    ) -> Result<impl Future<Output = Reply> + Send + 'static, Reply>;
    #[doc(hidden)]
    fn needs(needs: &mut Needs);
}

macro_rules! functions {
    ($($arg:ident)*) => {
        impl<F, R, $($arg,)*> PlainFn<fn($($arg),*) -> R> for F
        where
            F: Fn($($arg),*) -> R + Send + Sync + 'static,
            R: IntoReply,
            $($arg: Extract,)*
        {
            #[inline]
            #[allow(non_snake_case, unused_variables, reason = "the arguments are named by type")]
            fn run(&self, cx: &Context<'_>) -> Reply {
                $(
                    let $arg = match $arg::extract(cx) {
                        Ok(argument) => argument,
                        Err(rejection) => return rejection.into(),
                    };
                )*
                self($($arg),*).into_reply()
            }

            #[allow(unused_variables, reason = "there may be no arguments")]
            fn needs(needs: &mut Needs) {
                $($arg::needs(needs);)*
            }
        }

        impl<F, R, $($arg,)*> AsyncFn<fn($($arg),*) -> R> for F
        where
            F: Fn($($arg),*) -> R + Send + Sync + 'static,
            R: Future<Output: IntoReply> + Send + 'static,
            $($arg: Extract,)*
        {
            #[allow(non_snake_case, unused_variables, reason = "the arguments are named by type")]
            fn start(
                self: Arc<Self>,
                call: &Call,
            ) -> Result<impl Future<Output = Reply> + Send + 'static, Reply> {
                let cx = call.context();
                $(let $arg = $arg::extract(&cx).map_err(Reply::from)?;)*
                let running = self($($arg),*);
                Ok(async move { running.await.into_reply() })
            }

            #[allow(unused_variables, reason = "there may be no arguments")]
            fn needs(needs: &mut Needs) {
                $($arg::needs(needs);)*
            }
        }
    };
}

functions! {}
functions! { A }
functions! { A B }
functions! { A B C }
functions! { A B C D }
functions! { A B C D E }
functions! { A B C D E G }

/// A plain function with its marker.
struct Plain<F, M>(F, std::marker::PhantomData<fn() -> M>);

impl<F: PlainFn<M>, M> Inline for Plain<F, M> {
    #[inline]
    fn call(&self, cx: &mut Context<'_>) -> Reply {
        self.0.run(cx)
    }
}

/// In a thread of its own the plain function may take its time.
impl<F: PlainFn<M>, M: 'static> Asynchronous for Arc<Plain<F, M>> {
    fn call(&self, call: Call) -> Running {
        let plain = Self::clone(self);
        Box::pin(async move { plain.0.run(&call.context()) })
    }
}

/// An asynchronous function with its marker.
struct Later<F, M>(Arc<F>, std::marker::PhantomData<fn() -> M>);

impl<F: AsyncFn<M>, M> Asynchronous for Later<F, M> {
    fn call(&self, call: Call) -> Running {
        match Arc::clone(&self.0).start(&call) {
            Ok(running) => Box::pin(running),
            Err(reply) => Box::pin(std::future::ready(reply)),
        }
    }
}

/// A borrowed function; see [`Router::on`](super::Router::on).
pub(crate) struct Borrowing<F>(pub(crate) F);

impl<F, R> Inline for Borrowing<F>
where
    F: Fn(&mut Context<'_>) -> R + Send + Sync + 'static,
    R: IntoReply,
{
    #[inline]
    fn call(&self, cx: &mut Context<'_>) -> Reply {
        self.0(cx).into_reply()
    }
}

/// Marks plain functions.
#[derive(Debug)]
pub enum IsPlain {}
/// Marks asynchronous functions.
#[derive(Debug)]
pub enum IsAsync {}
impl<F: PlainFn<M>, M: 'static> IntoEndpoint<(IsPlain, M)> for F {
    fn into_endpoint(self) -> Endpoint {
        self.mount::<()>().endpoint
    }

    fn mount<H: Hook>(self) -> Mounted<H> {
        let mut needs = Needs::default();
        F::needs(&mut needs);
        Mounted::inline(Plain::<F, M>(self, std::marker::PhantomData), needs)
    }
}

impl<F: AsyncFn<M>, M: 'static> IntoEndpoint<(IsAsync, M)> for F {
    fn into_endpoint(self) -> Endpoint {
        asynchronous(self, Home::Ordered)
    }
}

fn asynchronous<F: AsyncFn<M>, M: 'static>(function: F, home: Home) -> Endpoint {
    let mut needs = Needs::default();
    F::needs(&mut needs);
    Endpoint::queued(Later::<F, M>(Arc::new(function), std::marker::PhantomData), needs, home)
}

/// Handles up to `limit` of one session's messages and requests for this route at the same time.
/// They begin in order and end in any.
pub fn concurrent<M: 'static>(limit: usize, function: impl AsyncFn<M>) -> Endpoint {
    asynchronous(function, Home::Concurrent(limit.max(1)))
}

/// Handles messages and requests in the workers of a pool.
pub fn pooled<M: 'static>(pool: &WorkerPool, function: impl AsyncFn<M>) -> Endpoint {
    asynchronous(function, Home::Pool(pool.clone()))
}

/// Runs a plain function that blocks, in threads for such: of the router's
/// [own pool](super::Router::blocking_threads).
pub fn blocking<M: 'static>(function: impl PlainFn<M>) -> Endpoint {
    on_threads(function, Home::Threads(None))
}

/// As [`blocking`], in the threads of this pool.
pub fn blocking_in<M: 'static>(pool: &BlockingPool, function: impl PlainFn<M>) -> Endpoint {
    on_threads(function, Home::Threads(Some(pool.clone())))
}

fn on_threads<F: PlainFn<M>, M: 'static>(function: F, home: Home) -> Endpoint {
    let mut needs = Needs::default();
    F::needs(&mut needs);
    let plain = Plain::<F, M>(function, std::marker::PhantomData);
    Endpoint::queued(Arc::new(plain), needs, home)
}

/// A handler with a hook of its own, inside of all others. The first one put around it is the
/// innermost.
pub fn hooked<M>(hook: impl Hook, handler: impl IntoEndpoint<M>) -> Endpoint {
    let mut endpoint = handler.into_endpoint();
    endpoint.hooks.insert(0, Arc::new(hook));
    endpoint
}
