//! A client and a server of this crate, and what they observe.

use std::collections::VecDeque;

use outlast_conformance::driver::{Cmd, Seen};
use outlast_conformance::memory::commands::{carry_out, observe};
use outlast_core::client::DialerConfig;
use outlast_core::registry::{Entry, RegistryConfig};
use outlast_core::{Config, Event, Instant, Release};
use outlast_embedded::smoltcp::{Client, ClientConfig, Connection, Place, Server, to_core};
use outlast_embedded::{Memory, Session};
use smoltcp::iface::SocketHandle;
use smoltcp::time;
use smoltcp::wire::IpEndpoint;

use crate::hosts::{Host, Pair};

/// Where servers are.
pub(crate) const PORT: u16 = 7_000;
/// Bytes of the rings of the sockets under test, receiving and transmitting: some hold what may be
/// under way, some hardly a frame, and none is of a round number, so that frames go round their
/// ends at all places.
const RINGS: [(usize, usize); 2] = [(307, 259), (1_501, 1_003)];

/// Tests end before this memory could be given back.
fn memory(len: usize) -> &'static mut [u8] {
    Box::leak(vec![0; len].into_boxed_slice())
}

/// Bytes for one frame, or for the longest greeting.
fn frame_size(config: &Config) -> usize {
    usize::from(config.max_body).max(1_024) + 4
}

/// What was observed and not taken yet.
#[derive(Default)]
pub(crate) struct Log {
    pub(crate) seen: VecDeque<Seen>,
    manual: bool,
}

impl Log {
    fn new(config: &Config) -> Self {
        Self { seen: VecDeque::new(), manual: config.release == Release::Manual }
    }

    fn note(
        &mut self,
        now: Instant,
        session: &mut Session<'_>,
        event: Event<'_>,
        partial: &mut Vec<u8>,
    ) {
        let (what, position) = observe(&event, partial);
        if let Some(position) = position.filter(|_| self.manual) {
            session.release(now, position);
        }
        self.seen.push_back(Seen { session: session.id().unwrap_or(0), what });
    }
}

pub(crate) struct AClient {
    client: Client<'static>,
    socket: SocketHandle,
    partial: Vec<u8>,
}

impl AClient {
    pub(crate) fn new(config: Config, host: &mut Host) -> Self {
        let frame = memory(frame_size(&config));
        let memory = Memory::new(memory(config.send_buffer as usize), frame);
        let remotes = Vec::leak(vec![IpEndpoint::new(Host::address(Pair::FAR), PORT)]);
        // Most cases cut the connection, and wait for the next.
        let dialer =
            DialerConfig { backoff_base: 1_000, backoff_cap: 10_000, ..DialerConfig::default() };
        let config = ClientConfig { session: config, dialer, ..ClientConfig::new(remotes, 42) };
        let client = Client::new(memory, config).expect("a good configuration");
        let (receive, transmit) = RINGS[0];
        Self { client, socket: host.socket(receive, transmit), partial: Vec::new() }
    }

    fn poll(&mut self, now: time::Instant, host: &mut Host, log: &mut Log) -> Due {
        let Self { client, socket, partial } = self;
        let socket = host.sockets.get_mut(*socket);
        client.poll(now, socket, host.iface.context(), |session, event| {
            log.note(to_core(now), session, event, partial);
        })
    }
}

type Due = Option<time::Instant>;
type Random = Box<dyn FnMut(&mut [u8])>;

pub(crate) struct AServer {
    server: Server<'static, Random>,
    connections: Vec<(Connection<'static>, SocketHandle)>,
    partial: Vec<Vec<u8>>,
    frame: usize,
    places: usize,
}

impl AServer {
    pub(crate) fn new(config: Config, sessions: RegistryConfig) -> Self {
        let ring = config.send_buffer as usize;
        // As many as any case needs of either size.
        let places = if ring > 4_096 { 128 } else { 1_100 };
        let place = |_| Place::new(&config, memory(ring)).expect("a good configuration");
        let all: Vec<_> = (0..places).map(place).collect();
        let entries = Vec::leak((0..2 * places).map(|_| Entry::EMPTY).collect());
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let random = Box::new(move |out: &mut [u8]| {
            for byte in out {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                *byte = (state >> 56) as u8;
            }
        });
        let server = Server::new(config, sessions, Vec::leak(all), entries, random as Random);
        Self {
            server: server.expect("a good configuration"),
            connections: Vec::new(),
            partial: vec![Vec::new(); places],
            frame: frame_size(&config),
            places,
        }
    }

    /// Lets one more socket listen.
    pub(crate) fn listen(&mut self, host: &mut Host) {
        let connection = self.server.connection(PORT, memory(self.frame));
        let connection = connection.expect("room for a frame");
        let (receive, transmit) = RINGS[self.connections.len() % RINGS.len()];
        self.connections.push((connection, host.socket(receive, transmit)));
    }

    fn poll(&mut self, now: time::Instant, host: &mut Host, log: &mut Log) -> Due {
        let Self { server, connections, partial, .. } = self;
        let mut on_event = |at: usize, session: &mut Session<'_>, event: Event<'_>| {
            log.note(to_core(now), session, event, &mut partial[at]);
        };
        let mut due = Vec::new();
        for (connection, socket) in connections {
            let socket = host.sockets.get_mut(*socket);
            due.push(server.poll(now, connection, socket, &mut on_event));
        }
        due.push(server.poll_sessions(now, on_event));
        due.into_iter().flatten().min()
    }

    fn held_bytes(&mut self, host: &mut Host) -> usize {
        let rings: usize =
            self.server.places().iter_mut().map(|place| place.session().held_bytes()).sum();
        let queued = |(_, socket): &(Connection<'static>, SocketHandle)| {
            let socket = host.tcp(*socket);
            socket.recv_queue() + socket.send_queue()
        };
        let queued: usize = self.connections.iter().map(queued).sum();
        debug_assert_eq!(self.places, self.partial.len());
        rings + queued + self.partial.iter().map(Vec::capacity).sum::<usize>()
    }
}

/// A client or a server.
pub(crate) enum Role {
    /// Nobody yet.
    None,
    Client(Box<AClient>),
    Server(Box<AServer>),
}

impl Role {
    pub(crate) fn poll(&mut self, now: time::Instant, host: &mut Host, log: &mut Log) -> Due {
        match self {
            Self::None => None,
            Self::Client(client) => client.poll(now, host, log),
            Self::Server(server) => server.poll(now, host, log),
        }
    }

    pub(crate) fn command(
        &mut self,
        now: time::Instant,
        session: u64,
        command: Cmd,
    ) -> Result<(), String> {
        match self {
            Self::None => Err("nobody".into()),
            Self::Client(client) => {
                if let Cmd::End(code) = command {
                    client.client.stop(now, code);
                    return Ok(());
                }
                carry_out(client.client.session(), to_core(now), command)
            }
            Self::Server(server) => {
                let mut places = server.server.places().iter_mut();
                let place = places.find(|place| place.id() == Some(session));
                carry_out(place.ok_or("no such session")?.session(), to_core(now), command)
            }
        }
    }

    pub(crate) fn held_bytes(&mut self, host: &mut Host) -> usize {
        match self {
            Self::None => 0,
            Self::Client(client) => {
                let socket = host.tcp(client.socket);
                let queued = socket.recv_queue() + socket.send_queue();
                client.client.session().held_bytes() + queued + client.partial.capacity()
            }
            Self::Server(server) => server.held_bytes(host),
        }
    }

    pub(crate) fn log(config: &Config) -> Log {
        Log::new(config)
    }
}
