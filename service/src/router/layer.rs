//! Layers of `tower` around asynchronous handlers (feature `tower`).

use std::convert::Infallible;
use std::error::Error;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use outlast_core::wire::Status;
use tower_layer::Layer;
use tower_service::Service;

use super::builder::Router;
use super::context::Call;
use super::function::{Asynchronous, Running};
use super::hook::Hook;
use super::reply::{BoxError, Reply};

/// An asynchronous handler as a service: what layers go around. It is always ready.
#[derive(Clone)]
pub struct Endpoints(Arc<dyn Asynchronous>);

impl std::fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoints").finish_non_exhaustive()
    }
}

impl Service<Call> for Endpoints {
    type Response = Reply;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Reply, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let running = self.0.call(call);
        Box::pin(async move { Ok(running.await) })
    }
}

/// A service as a handler: each call has a clone of its own.
struct Layered<S, M> {
    service: S,
    map: Arc<M>,
}

impl<S, M> Asynchronous for Layered<S, M>
where
    S: Service<Call, Response = Reply> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError> + Send,
    S::Future: Send,
    M: Fn(BoxError) -> Reply + Send + Sync + 'static,
{
    fn call(&self, call: Call) -> Running {
        let (mut service, map) = (self.service.clone(), Arc::clone(&self.map));
        Box::pin(async move {
            let served = async {
                poll_fn(|cx| service.poll_ready(cx)).await?;
                service.call(call).await
            };
            served.await.unwrap_or_else(|error| map(error.into()))
        })
    }
}

impl<H: Hook> Router<H> {
    /// Puts a layer around each of this router's asynchronous handlers, outside of the layers that
    /// were added before. Plain functions, which are run in the connection's task, have none.
    ///
    /// Every route gets a layer of its own: a limit on concurrency is a limit for each route,
    /// unless the layer itself shares it. What one call of this adds is always ready for what the
    /// next one adds: layers of which one must see that another is not, as load shedding does, are
    /// put together first, with tower's `ServiceBuilder`. An error of tower's timeout is answered
    /// [`Status::DEADLINE`], one of its load shedding [`Status::OVERLOADED`], and every other
    /// [`Status::INTERNAL`], which [`on_error`](Self::on_error) is told.
    #[must_use]
    pub fn layer<L>(self, layer: L) -> Self
    where
        L: Layer<Endpoints> + Send + Sync + 'static,
        L::Service: Service<Call, Response = Reply> + Clone + Send + Sync + 'static,
        <L::Service as Service<Call>>::Error: Into<BoxError> + Send,
        <L::Service as Service<Call>>::Future: Send,
    {
        self.layer_mapping(layer, answer_to)
    }

    /// As [`layer`](Self::layer), with answers of one's own to the errors of the layer.
    #[must_use]
    pub fn layer_mapping<L, M>(mut self, layer: L, map: M) -> Self
    where
        L: Layer<Endpoints> + Send + Sync + 'static,
        L::Service: Service<Call, Response = Reply> + Clone + Send + Sync + 'static,
        <L::Service as Service<Call>>::Error: Into<BoxError> + Send,
        <L::Service as Service<Call>>::Future: Send,
        M: Fn(BoxError) -> Reply + Send + Sync + 'static,
    {
        let map = Arc::new(map);
        self.layers.push(Box::new(move |inner| {
            let service = layer.layer(Endpoints(inner));
            Arc::new(Layered { service, map: Arc::clone(&map) })
        }));
        self
    }
}

/// The answer to an error that layers of tower make.
fn answer_to(error: BoxError) -> Reply {
    match status_of(&*error) {
        Some(status) => Reply::status(status),
        None => Reply::fault(error),
    }
}

/// tower's errors are known by their words: their types are in a crate that brings along a runtime
/// which nobody but the users of that layer should need. A test holds tower to the words.
fn status_of(error: &(dyn Error + 'static)) -> Option<Status> {
    let mut next = Some(error);
    while let Some(error) = next {
        match error.to_string().as_str() {
            "request timed out" => return Some(Status::DEADLINE),
            "service overloaded" => return Some(Status::OVERLOADED),
            _ => next = error.source(),
        }
    }
    None
}
