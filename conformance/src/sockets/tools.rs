//! What the cases are written with.

use std::future::{Future, poll_fn};
use std::io::IoSlice;
use std::net::SocketAddr;
use std::ops::Deref;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use outlast_core::client::{Attempts, DialerConfig};
use outlast_core::wire::{Close, Frame, Hello, MAX_BODY, Resume};
use outlast_core::{Attach, CloseCode, Config, HANDSHAKE_MAX, Instant, Session};
use outlast_service::net::socket2::{Domain, Socket, Type};
use outlast_service::net::{
    Client, ClientBuilder, Net, Running, Server, ServerBuilder, SocketOptions,
};
use outlast_service::{
    Closed, Credentials, Handle, Handler, Incoming, Peer, Runner, SessionInfo, Timer, Transport,
};

/// A server that ends with this.
pub(super) struct Listening<N: Net> {
    net: N,
    running: Option<Running>,
}

impl<N: Net> Listening<N> {
    /// At a free port of loopback.
    pub(super) async fn start<H: Handler>(
        net: &N,
        builder: ServerBuilder<N>,
        factory: impl Fn(&SessionInfo) -> H + Send + Sync + 'static,
    ) -> Self {
        let server = builder.bind("127.0.0.1:0").await.unwrap();
        Self { net: net.clone(), running: Some(server.start(factory).unwrap()) }
    }

    /// As [`start`](Self::start); it finishes with its clients and does nothing else.
    pub(super) async fn finishing(net: &N, builder: ServerBuilder<N>) -> Self {
        Self::start(net, builder, |_| finish).await
    }

    pub(super) fn of(net: &N, running: Running) -> Self {
        Self { net: net.clone(), running: Some(running) }
    }
}

impl<N: Net> Deref for Listening<N> {
    type Target = Running;

    fn deref(&self) -> &Running {
        self.running.as_ref().unwrap()
    }
}

impl<N: Net> Drop for Listening<N> {
    fn drop(&mut self) {
        self.net.spawn(self.running.take().unwrap().shutdown(Duration::ZERO));
    }
}

pub(super) fn a_server<N: Net>(net: &N) -> ServerBuilder<N> {
    Server::on(net.clone())
}

pub(super) fn a_client<N: Net>(net: &N, address: SocketAddr) -> ClientBuilder<N> {
    Client::on(net.clone()).address(address.to_string())
}

/// What a handler does that has nothing to do.
pub(super) fn deaf(_: &mut Peer<'_>, _: Incoming<'_>) {}

/// Finishes with the peer.
pub(super) fn finish(peer: &mut Peer<'_>, event: Incoming<'_>) {
    if matches!(event, Incoming::Finished) {
        peer.finish();
    }
}

/// Makes the client, which runs in a task of its own.
pub(super) fn dial<N: Net>(net: &N, builder: ClientBuilder<N>, handler: impl Handler) -> Handle {
    let (handle, runner) = builder.connect(handler).unwrap();
    net.spawn(async move {
        // How it ended the handle knows.
        let _ = runner.await;
    });
    handle
}

/// One attempt with these credentials: a receipted message and the end, or why not.
pub(super) async fn visit<N: Net>(
    net: &N,
    address: SocketAddr,
    credentials: Option<impl Credentials>,
) -> Closed {
    // It has one attempt, and whom it visits may let it wait while the machine does something else.
    let attempts = Attempts::Once;
    let once = DialerConfig { attempts, connect_limit: 300_000_000, ..DialerConfig::default() };
    let patient = Config { handshake_timeout_ms: 300_000, ..Config::CLIENT };
    let mut builder = a_client(net, address).reconnect(once).config(patient);
    if let Some(credentials) = credentials {
        builder = builder.credentials(credentials);
    }
    let handle = dial(net, builder, deaf);
    if let Ok(receipt) = handle.send_receipted(1u8, b"hello").await {
        receipt.await.unwrap();
        handle.finish();
    }
    handle.closed().await
}

/// Buffers of the kernel that are soon full.
pub(super) fn small() -> SocketOptions {
    let size = Some(8 << 10);
    SocketOptions { send_buffer: size, receive_buffer: size, ..SocketOptions::default() }
}

/// What a client has heard: how many messages, and the last one.
pub(super) type Heard = Arc<Mutex<(u64, Vec<u8>)>>;

/// A client that reads only while its runner is polled.
pub(super) struct Slow {
    pub(super) handle: Handle,
    runner: Pin<Box<Runner>>,
    pub(super) heard: Heard,
}

impl Slow {
    pub(super) async fn new<N: Net>(net: &N, server: &Running) -> Self {
        let heard = Heard::default();
        let notes = Arc::clone(&heard);
        let handler = move |_: &mut Peer<'_>, event: Incoming<'_>| {
            if let Incoming::Message { payload, .. } = event {
                let mut heard = notes.lock().unwrap();
                *heard = (heard.0 + 1, payload.to_vec());
            }
        };
        let client = a_client(net, server.local_addr()).socket(small());
        let (handle, runner) = client.connect(handler).unwrap();
        let mut slow = Self { handle, runner: Box::pin(runner), heard };
        let server = server.handle();
        let handle = slow.handle.clone();
        slow.until(move || handle.id().is_some_and(|id| server.get(id).is_some())).await;
        slow
    }

    /// Reads until that is so.
    pub(super) async fn until(&mut self, mut is_so: impl FnMut() -> bool) {
        poll_fn(|cx| {
            let over = self.runner.as_mut().poll(cx);
            assert!(over.is_pending(), "the client is over: {over:?}");
            if is_so() {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
}

/// Lets others run.
pub(super) async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Lets others run until that is so.
pub(super) async fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        yield_now().await;
    }
}

/// What comes of a future, or `None` if nothing does in this time.
pub(super) async fn within<T>(
    net: &impl Net,
    time: Duration,
    future: impl Future<Output = T>,
) -> Option<T> {
    let (mut timer, at) = (net.timer(), net.now() + time);
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => timer.poll_until(cx, at).map(|()| None),
    })
    .await
}

/// What a client says first, that wants to resume this or to begin.
pub(super) fn hello(resume: Option<Resume>) -> Vec<u8> {
    let mut session = Session::client(Config::CLIENT, vec![]).unwrap();
    let mut out = [0; HANDSHAKE_MAX];
    let now = Instant::from_micros(1);
    let len = session.attach(now, &Attach::default(), &mut out).unwrap();
    let (header, body, _) = Frame::split(&out[..len], MAX_BODY).unwrap().unwrap();
    let Ok(Frame::Hello(hello)) = Frame::decode(header, body) else {
        panic!("HELLO is what a client says first");
    };
    let mut said = [0; HANDSHAKE_MAX];
    let len = Hello { resume, ..hello }.encode(&mut said).unwrap();
    said[..len].to_vec()
}

/// A bare connection.
pub(super) struct Bare<N: Net>(N::Stream);

impl<N: Net> Bare<N> {
    pub(super) async fn connect(net: &N, address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self(net.connect(socket, address).await.unwrap())
    }

    /// Writes what is short enough to go at once.
    pub(super) async fn write(&mut self, bytes: &[u8]) {
        let written = poll_fn(|cx| self.0.poll_write(cx, &[IoSlice::new(bytes)])).await;
        assert_eq!(written.unwrap(), bytes.len());
    }

    pub(super) async fn shut(&mut self) {
        poll_fn(|cx| self.0.poll_shutdown(cx)).await.unwrap();
    }

    /// What it is told before its end that says nothing: a code, and when to come again.
    pub(super) async fn told(&mut self) -> Option<(CloseCode, u32)> {
        let (mut bytes, mut buffer) = (Vec::new(), [0; 1_024]);
        // A reset is an end, too.
        while let Ok(read @ 1..) = poll_fn(|cx| self.0.poll_read(cx, &mut buffer)).await {
            bytes.extend_from_slice(&buffer[..read]);
        }
        let (header, body, _) = Frame::split(&bytes, MAX_BODY).ok()??;
        match Frame::decode(header, body).ok()? {
            Frame::Close(Close { code, retry_ms, .. }) => Some((code, retry_ms)),
            _ => None,
        }
    }
}
