//! A client and a server of `outlast-embedded`.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use outlast_embedded::outlast_core::registry::{Entry, RegistryConfig};
use outlast_embedded::smoltcp::{Client, ClientConfig, Connection, Place, Server, to_core};
use outlast_embedded::{Config, Event, Memory, Session};
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp;
use smoltcp::time;
use smoltcp::wire::IpEndpoint;

use crate::network::{Network, instant};
use crate::orders::Settings;
use crate::tell::Tell;

/// Where the board's server listens.
const PORT: u16 = 7_000;
/// Sessions at once: more than any case needs.
const PLACES: usize = 128;
/// Sockets that wait for whoever comes next.
const LISTENING: usize = 4;
/// Bytes of the sockets' rings, receiving and transmitting: some hold what may be under way, some
/// hardly a frame, and none is of a round number, so that frames go round their ends at all places.
const SOCKETS: [(usize, usize); 2] = [(307, 259), (1_501, 1_003)];

/// When something is due next.
pub(crate) type Due = Option<time::Instant>;

/// Memory until the board is switched off.
fn memory(len: usize) -> &'static mut [u8] {
    Vec::leak(vec![0; len])
}

/// Bytes for one frame, or for the longest greeting.
fn frame_size(config: &Config) -> usize {
    usize::from(config.max_body).max(1_024) + 4
}

/// Bytes in the rings of a socket.
fn queued(network: &mut Network, socket: SocketHandle) -> usize {
    let socket = network.parts(socket).0;
    socket.recv_queue() + socket.send_queue()
}

/// The configuration with a ring as large as it should be, or as the memory allows.
fn fitting(config: Config, memory: usize) -> Config {
    let most = u32::try_from(memory).unwrap_or(u32::MAX);
    Config { send_buffer: config.send_buffer.min(most), ..config }
}

pub(crate) struct AClient {
    pub(crate) client: Client<'static>,
    socket: SocketHandle,
    partial: Vec<u8>,
}

impl AClient {
    pub(crate) fn new(
        settings: &Settings,
        remote: IpEndpoint,
        rings: &'static mut [u8],
        seed: u64,
        network: &mut Network,
    ) -> Self {
        let session = fitting(settings.config, rings.len());
        let ring = rings.get_mut(..session.send_buffer as usize).unwrap_or_default();
        let memory = Memory::new(ring, memory(frame_size(&session)));
        let remotes = Vec::leak(vec![remote]);
        let dialer = settings.dialer;
        let config = ClientConfig { session, dialer, ..ClientConfig::new(remotes, seed) };
        let client = Client::new(memory, config);
        let client = client.unwrap_or_else(|why| panic!("no client: {why}"));
        let (receive, transmit) = SOCKETS[0];
        Self { client, socket: network.socket(receive, transmit), partial: Vec::new() }
    }

    pub(crate) fn poll(
        &mut self,
        now: time::Instant,
        network: &mut Network,
        tell: &mut Tell,
    ) -> Due {
        let Self { client, socket, partial } = self;
        let (socket, cx) = network.parts(*socket);
        client.poll(now, socket, cx, |session, event| {
            tell.event(to_core(now), 0, session, &event, partial);
        })
    }

    pub(crate) fn held(&mut self, network: &mut Network) -> usize {
        let kept = self.client.session().held_bytes() + self.partial.capacity();
        kept + queued(network, self.socket)
    }
}

/// Random bytes for the names and keys of sessions; they need not be secret here.
type Random = Box<dyn FnMut(&mut [u8])>;

pub(crate) struct AServer {
    pub(crate) server: Server<'static, Random>,
    connections: Vec<(Connection<'static>, SocketHandle)>,
    partial: Vec<Vec<u8>>,
    frame: usize,
}

impl AServer {
    pub(crate) fn new(
        config: Config,
        sessions: RegistryConfig,
        rings: &'static mut [u8],
        seed: u64,
    ) -> Self {
        let config = fitting(config, rings.len() / PLACES);
        let len = config.send_buffer as usize;
        let place = |ring| Place::new(&config, ring);
        let places: Result<Vec<_>, _> =
            rings.chunks_exact_mut(len).take(PLACES).map(place).collect();
        let places = places.unwrap_or_else(|why| panic!("no place: {why}"));
        let entries = Vec::leak(vec![Entry::EMPTY; 2 * PLACES]);
        let mut state = seed;
        let random = Box::new(move |out: &mut [u8]| {
            for byte in out {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                *byte = (state >> 56) as u8;
            }
        });
        let server = Server::new(config, sessions, Vec::leak(places), entries, random as Random);
        Self {
            server: server.unwrap_or_else(|why| panic!("no server: {why}")),
            connections: Vec::new(),
            partial: vec![Vec::new(); PLACES],
            frame: frame_size(&config),
        }
    }

    /// Lets sockets listen for whoever comes next.
    pub(crate) fn listen(&mut self, now: u64, network: &mut Network, tell: &mut Tell) {
        let listens = |(_, socket): &&(Connection<'_>, SocketHandle)| {
            network.sockets.get::<tcp::Socket<'_>>(*socket).state() == tcp::State::Listen
        };
        let listening = self.connections.iter().filter(listens).count();
        if listening >= LISTENING {
            return;
        }
        for _ in listening..LISTENING {
            let (receive, transmit) = SOCKETS[self.connections.len() % SOCKETS.len()];
            let socket = network.socket(receive, transmit);
            let connection = self.server.connection(PORT, memory(self.frame));
            let connection = connection.unwrap_or_else(|why| panic!("no connection: {why}"));
            self.connections.push((connection, socket));
        }
        // They listen once they were polled.
        self.poll(instant(now), network, tell);
    }

    pub(crate) fn poll(
        &mut self,
        now: time::Instant,
        network: &mut Network,
        tell: &mut Tell,
    ) -> Due {
        let Self { server, connections, partial, .. } = self;
        let mut on_event = |at: usize, session: &mut Session<'_>, event: Event<'_>| {
            let place = session.id().unwrap_or(0);
            tell.event(to_core(now), place, session, &event, &mut partial[at]);
        };
        let mut due: Due = None;
        for (connection, socket) in connections {
            let socket = network.parts(*socket).0;
            let next = server.poll(now, connection, socket, &mut on_event);
            due = [due, next].into_iter().flatten().min();
        }
        let next = server.poll_sessions(now, on_event);
        [due, next].into_iter().flatten().min()
    }

    pub(crate) fn held(&mut self, network: &mut Network) -> usize {
        let mut places = self.server.places().iter_mut();
        let rings: usize = places.by_ref().map(|place| place.session().held_bytes()).sum();
        let sockets = self.connections.iter().map(|(_, socket)| queued(network, *socket));
        let sockets: usize = sockets.sum();
        rings + sockets + self.partial.iter().map(Vec::capacity).sum::<usize>()
    }
}
