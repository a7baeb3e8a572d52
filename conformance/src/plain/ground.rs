//! A runtime with sockets, and what the applications on it are told.

use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use outlast_core::client::DialerConfig;
use outlast_service::Limits;
use outlast_service::net::{Net, PlainClient, Running, Server};
use outlast_service::plain::formats::{AnyFormat, Cause, Key, Kind};
use outlast_service::plain::{
    PlainClosed, PlainConfig, PlainEvent, PlainHandle, PlainHandler, PlainPeer, PlainServerHandle,
};

use super::subject::{NOBODY, UNKNOWN};
use crate::net::{Ground, LONG};

impl<N: Net> Ground<N> {
    /// A server that sends everything back which is not for somebody unknown.
    pub(super) fn serve(&self, format: AnyFormat, config: PlainConfig, limits: Limits) -> Host {
        let told = Told::default();
        let (net, to) = (self.net.clone(), told.clone());
        let running = self.run(async move {
            let server = Server::on(net).limits(limits).format(format).config(config);
            let server = server.bind("127.0.0.1:0").await.expect("a port of loopback");
            server.start(move |_| Echo(to.clone())).expect("a valid configuration")
        });
        Host { address: running.local_addr(), handle: running.handle(), told, _running: running }
    }

    /// A client of a server at `address`.
    pub(super) fn dial(
        &self,
        address: SocketAddr,
        format: AnyFormat,
        config: PlainConfig,
        dialer: DialerConfig,
    ) -> (PlainHandle, Told) {
        let told = Told::default();
        let builder = PlainClient::on(self.net.clone(), format).address(address.to_string());
        let connecting = builder.config(config).reconnect(dialer).connect(Notice(told.clone()));
        let (handle, runner) = connecting.expect("a valid configuration");
        self.aside(runner);
        (handle, told)
    }
}

/// A server under test.
pub(super) struct Host {
    pub(super) address: SocketAddr,
    pub(super) handle: PlainServerHandle,
    pub(super) told: Told,
    _running: Running<PlainServerHandle>,
}

/// What an application was told, for tests to read. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Told(Arc<(Mutex<Heard>, Condvar)>);

#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) connected: usize,
    pub(super) payloads: Vec<Vec<u8>>,
    pub(super) closed: Vec<PlainClosed>,
    /// Attempts that failed, and whether another one follows.
    pub(super) failed: Vec<(u32, bool)>,
}

impl Told {
    /// Waits until `is_so`.
    pub(super) fn until<T>(&self, mut is_so: impl FnMut(&Heard) -> Option<T>) -> T {
        let (heard, changed) = &*self.0;
        let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        let until = Instant::now() + LONG;
        loop {
            if let Some(so) = is_so(&heard) {
                return so;
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "it never came: {heard:?}");
            let waited = changed.wait_timeout(heard, left);
            heard = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn note(&self, note: impl FnOnce(&mut Heard)) {
        let (heard, changed) = &*self.0;
        note(&mut heard.lock().unwrap_or_else(PoisonError::into_inner));
        changed.notify_all();
    }

    fn event(&self, event: &PlainEvent<'_>) {
        self.note(|heard| match event {
            PlainEvent::Connected => heard.connected += 1,
            PlainEvent::Packet(packet) => heard.payloads.push(packet.payload.to_vec()),
            PlainEvent::Closed(closed) => heard.closed.push(**closed),
            PlainEvent::DialFailed { attempt, retry_in, .. } => {
                heard.failed.push((*attempt, retry_in.is_some()));
            }
            _ => {}
        });
    }

    /// How the first connection ended.
    pub(super) fn end(&self) -> PlainClosed {
        self.until(|heard| heard.closed.first().copied())
    }
}

/// Notes everything.
struct Notice(Told);

impl PlainHandler for Notice {
    fn handle(&mut self, _: &mut PlainPeer<'_>, event: PlainEvent<'_>) {
        self.0.event(&event);
    }
}

/// Sends everything back, and notes everything but payloads, of which there are too many.
struct Echo(Told);

impl PlainHandler for Echo {
    fn handle(&mut self, peer: &mut PlainPeer<'_>, event: PlainEvent<'_>) {
        let PlainEvent::Packet(packet) = event else {
            return self.0.event(&event);
        };
        let asks = packet.kind == Kind::Request;
        let is_unknown = match &packet.key {
            Key::Id(id) => *id == UNKNOWN.0 || asks && *id == NOBODY.0,
            Key::Name(name) => name == UNKNOWN.1 || name == NOBODY.1,
            Key::None => false,
        };
        if is_unknown {
            // Formats without a word for it say nothing.
            let _ = peer.fail(Some(packet), Cause::NoRoute, None);
            return;
        }
        // A connection that is over says so itself.
        let _ = match asks {
            true => peer.respond(packet, &packet.payload),
            false => peer.send(packet),
        };
    }
}
