//! Layers of tower around handlers.

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use outlast_tokio::router::{Call, IntoReply, Key, Reply, Router, Routes, concurrent};
use outlast_tokio::{Client, Handle, Incoming, Peer, Running, Server, Status};
use tokio::sync::Notify;
use tower::limit::ConcurrencyLimitLayer;
use tower::load_shed::LoadShedLayer;
use tower::timeout::TimeoutLayer;
use tower::{Layer, Service, ServiceBuilder};

/// A server with these routes, and a client of it.
async fn both<H: outlast_tokio::router::Hook>(routes: &Routes<H>) -> (Running, Handle) {
    let server = Server::builder().bind("127.0.0.1:0").await.unwrap();
    let server = server.start(routes.factory()).unwrap();
    let client = Client::builder().address(server.local_addr().to_string());
    let (handle, runner) = client.connect(|_: &mut Peer<'_>, _: Incoming<'_>| {}).unwrap();
    tokio::spawn(runner);
    (server, handle)
}

async fn status(handle: &Handle, route: u8) -> Status {
    handle.request(route, b"").await.unwrap().status
}

#[tokio::test]
async fn a_timeout_is_a_deadline() {
    let routes = Router::new()
        .layer(TimeoutLayer::new(Duration::from_millis(10)))
        .route(1u8, || async { pending::<()>().await })
        .route(2u8, || async { "fine" })
        .build()
        .unwrap();
    let (_server, handle) = both(&routes).await;
    assert_eq!(status(&handle, 1).await, Status::DEADLINE);
    assert_eq!(status(&handle, 2).await, Status::OK);
}

#[tokio::test]
async fn what_is_shed_is_overloaded() {
    let (began, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (begin, wait) = (Arc::clone(&began), Arc::clone(&go_on));
    let handler = move || {
        let (begin, wait) = (Arc::clone(&begin), Arc::clone(&wait));
        async move {
            begin.notify_one();
            wait.notified().await;
        }
    };
    // As one layer: the outer one has to see that the inner one is not ready.
    let layers = ServiceBuilder::new().layer(LoadShedLayer::new());
    let routes = Router::new()
        .route(1u8, concurrent(8, handler))
        .layer(layers.layer(ConcurrencyLimitLayer::new(1)))
        .build()
        .unwrap();
    let (_server, handle) = both(&routes).await;
    let asking = handle.clone();
    let first = tokio::spawn(async move { status(&asking, 1).await });
    began.notified().await;
    assert_eq!(status(&handle, 1).await, Status::OVERLOADED);
    go_on.notify_one();
    assert_eq!(first.await.unwrap(), Status::OK);
}

/// Notes what goes by, and turns away what asks for route 3.
#[derive(Clone)]
struct Guard(Arc<Mutex<Vec<String>>>);

#[derive(Clone)]
struct Guarded<S>(Guard, S);

impl<S> Layer<S> for Guard {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded(self.clone(), inner)
    }
}

type Answer<E> = Pin<Box<dyn Future<Output = Result<Reply, E>> + Send>>;

impl<S> Service<Call> for Guarded<S>
where
    S: Service<Call, Response = Reply>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Reply;
    type Error = S::Error;
    type Future = Answer<S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.1.poll_ready(cx)
    }

    fn call(&mut self, call: Call) -> Self::Future {
        if call.key() == Key::Id(3) {
            return Box::pin(async { Ok(Status::DENIED.into_reply()) });
        }
        let (notes, key) = (Arc::clone(&self.0.0), call.key().to_string());
        let answer = self.1.call(call);
        Box::pin(async move {
            let answer = answer.await;
            let status = answer.as_ref().map(|reply| reply.code().0).ok();
            notes.lock().unwrap().push(format!("{key} {status:?}"));
            answer
        })
    }
}

#[tokio::test]
async fn layers_of_ones_own_see_what_goes_by() {
    let (notes, ran) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&ran);
    let routes = Router::new()
        .layer(Guard(Arc::clone(&notes)))
        .route(1u8, || async { Status(70) })
        .route("two", || async {})
        .route(3u8, move || {
            counted.fetch_add(1, Ordering::Relaxed);
            async {}
        })
        .route(4u8, || "plain functions have no layers")
        .build()
        .unwrap();
    let (_server, handle) = both(&routes).await;
    assert_eq!(status(&handle, 1).await, Status(70));
    let two = handle.request(outlast_tokio::router::named("two"), b"").await.unwrap();
    assert_eq!(two.status, Status::OK);
    assert_eq!(status(&handle, 3).await, Status::DENIED);
    assert_eq!(status(&handle, 4).await, Status::OK);
    assert_eq!(*notes.lock().unwrap(), ["1 Some(70)", "\"two\" Some(0)"]);
    assert_eq!(ran.load(Ordering::Relaxed), 0);
}

/// Fails always, in words of its own.
#[derive(Clone, Copy)]
struct Broken;

impl<S> Layer<S> for Broken {
    type Service = Self;

    fn layer(&self, _: S) -> Self {
        Self
    }
}

impl Service<Call> for Broken {
    type Response = Reply;
    type Error = std::io::Error;
    type Future = std::future::Ready<Result<Reply, std::io::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), std::io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Call) -> Self::Future {
        std::future::ready(Err(std::io::Error::other("the disk burns")))
    }
}

#[tokio::test]
async fn other_errors_are_internal_or_what_one_makes_of_them() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = Arc::clone(&told);
    let routes = Router::new()
        .route(1u8, || async {})
        .layer(Broken)
        .on_error(move |_, error| tell.lock().unwrap().push(error.to_string()))
        .build()
        .unwrap();
    let (_server, handle) = both(&routes).await;
    let response = handle.request(1u8, b"").await.unwrap();
    assert_eq!((response.status, response.payload.len()), (Status::INTERNAL, 0));
    assert_eq!(*told.lock().unwrap(), ["the disk burns"]);
    let routes = Router::new()
        .route(1u8, || async {})
        .layer_mapping(Broken, |error| (Status(80), error.to_string()).into_reply())
        .build()
        .unwrap();
    let (_server, handle) = both(&routes).await;
    let response = handle.request(1u8, b"").await.unwrap();
    assert_eq!((response.status, &response.payload[..]), (Status(80), &b"the disk burns"[..]));
}
