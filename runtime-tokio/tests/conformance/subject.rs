//! Servers and clients over tokio as subjects of the suite.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::Duration;

use outlast_conformance::driver::{Caps, Cmd};
use outlast_conformance::net::service::{Desk, SLACK};
use outlast_conformance::net::{Controls, Feed, Runtime, Started};
use outlast_tokio::core::registry::RegistryConfig;
use outlast_tokio::{Client, Closed, Config, Limits, ReconnectPolicy, Running, Server};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A tokio runtime in a thread of its own, which ends with this.
pub(crate) struct OverTokio {
    runtime: Handle,
    held: Option<fn() -> usize>,
    _end: oneshot::Sender<()>,
}

impl OverTokio {
    /// Knows the memory that the process holds.
    #[allow(dead_code, reason = "only where there is an allocator that counts")]
    pub(crate) fn counting(mut self, held: fn() -> usize) -> Self {
        self.held = Some(held);
        self
    }

    pub(crate) fn start() -> Self {
        let (end, ended) = oneshot::channel();
        let (tell, told) = mpsc::sync_channel(1);
        drop(std::thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build();
            let runtime = runtime.expect("a tokio runtime");
            tell.send(runtime.handle().clone()).expect("somebody who started it");
            // It ends with an error when the other half is dropped, which is its end.
            let _ = runtime.block_on(ended);
        }));
        Self { runtime: told.recv().expect("the runtime's thread"), held: None, _end: end }
    }
}

impl Runtime for OverTokio {
    fn name(&self) -> &'static str {
        "tokio over sockets"
    }

    fn serve(
        &mut self,
        config: Config,
        sessions: RegistryConfig,
        feed: &Feed,
    ) -> (SocketAddr, Started) {
        let runtime = self.runtime.clone();
        let desk = Desk::server(feed, move |task| drop(runtime.spawn(task)));
        let handlers = desk.clone();
        let limits = Limits { sessions, ..Limits::one_source() };
        let (tell, told) = mpsc::sync_channel(1);
        self.runtime.spawn(async move {
            let builder = Server::builder().config(config).limits(limits);
            let server = builder.bind("127.0.0.1:0").await.expect("a port of loopback");
            let running = server.start(move |_| handlers.handler()).expect("a valid configuration");
            tell.send(running).expect("the case");
        });
        let running = told.recv().expect("the server");
        let address = running.local_addr();
        let runtime = self.runtime.clone();
        (address, Box::new(AServer { desk, runtime, running: Some(running) }))
    }

    fn dial(&mut self, address: SocketAddr, config: Config, feed: &Feed) -> Started {
        let runtime = self.runtime.clone();
        let desk = Desk::client(feed, move |task| drop(runtime.spawn(task)));
        // Most cases cut the connection, and wait for the next.
        let eager = ReconnectPolicy {
            backoff_base: 1_000,
            backoff_cap: 10_000,
            ..ReconnectPolicy::default()
        };
        let builder = Client::builder().address(address.to_string()).config(config);
        let (_, runner) = builder.reconnect(eager).connect(desk.handler()).expect("a client");
        let task = self.runtime.spawn(runner);
        Box::new(AClient { desk, task })
    }

    fn starve(&mut self, time: Duration) {
        let (tell, told) = mpsc::sync_channel::<()>(1);
        // The one thread of the runtime waits here, and with it everybody.
        self.runtime.spawn(async move {
            let nobody = mpsc::sync_channel::<()>(1);
            assert!(nobody.1.recv_timeout(time).is_err());
            drop(tell);
        });
        assert!(told.recv().is_err());
    }

    fn caps(&self) -> Caps {
        Caps { virtual_time: false, memory: self.held.is_some(), paced_dials: true }
    }

    fn slack(&self) -> usize {
        SLACK
    }

    fn held_bytes(&self) -> fn() -> usize {
        self.held.unwrap_or(|| 0)
    }
}

/// A server that runs until this is dropped.
struct AServer {
    desk: Desk,
    runtime: Handle,
    running: Option<Running>,
}

impl Controls for AServer {
    fn command(&mut self, session: u64, command: Cmd) -> Result<(), String> {
        self.desk.command(session, command)
    }
}

impl Drop for AServer {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            drop(self.runtime.spawn(running.shutdown(Duration::ZERO)));
        }
    }
}

/// A client that runs until this is dropped.
struct AClient {
    desk: Desk,
    task: JoinHandle<Closed>,
}

impl Controls for AClient {
    fn command(&mut self, session: u64, command: Cmd) -> Result<(), String> {
        self.desk.command(session, command)
    }
}

impl Drop for AClient {
    fn drop(&mut self) {
        self.task.abort();
    }
}
