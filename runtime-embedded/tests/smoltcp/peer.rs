//! A client, and whoever is at the other end of its connections: honest or not.

use outlast_core::registry::{Entry, RegistryConfig};
use outlast_core::wire::Grant;
use outlast_core::{Acceptor, Config, Event, Greeting, HANDSHAKE_MAX, Session};
use outlast_embedded::smoltcp::{
    Client, ClientConfig, Connection, Place, Server, poll_at, to_core,
};
use outlast_embedded::{Memory, Route};
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::IpEndpoint;

use crate::hosts::{Host, Pair};

/// Where the other end is.
pub(crate) const PORT: u16 = 7_000;
/// The longest step of time, so that who says a little now and then comes to it.
const STEP: Duration = Duration::from_millis(100);

/// Tests end before this memory could be given back.
fn memory(len: usize) -> &'static mut [u8] {
    Box::leak(vec![0; len].into_boxed_slice())
}

type Random = fn(&mut [u8]);
/// What is done with a connected socket: since how many milliseconds it is, and the number of the
/// connection, from 1.
type Act = Box<dyn FnMut(&mut tcp::Socket<'static>, i64, u32)>;

/// What is at the other end.
pub(crate) enum Far {
    /// Is not there at all.
    Dead,
    /// Refuses connections.
    Closed,
    /// A socket, and what is done with it.
    Hostile(Act),
    /// A server of this crate, which sends every message back.
    Honest(Box<Server<'static, Random>>, Connection<'static>),
}

impl Far {
    pub(crate) fn hostile(act: impl FnMut(&mut tcp::Socket<'static>, i64, u32) + 'static) -> Self {
        Self::Hostile(Box::new(act))
    }

    pub(crate) fn serving() -> Self {
        let config = Config::CONSTRAINED;
        let place = Place::new(&config, memory(512)).expect("good");
        let places = Vec::leak(vec![place]);
        let entries = Vec::leak(vec![Entry::EMPTY, Entry::EMPTY]);
        let random: Random = |out| out.fill(7);
        let server = Server::new(config, RegistryConfig::default(), places, entries, random);
        let server = server.expect("good");
        let connection = server.connection(PORT, memory(256)).expect("good");
        Self::Honest(Box::new(server), connection)
    }
}

/// A client on one host, and the other end on another.
pub(crate) struct World {
    pair: Pair,
    pub(crate) now: Instant,
    pub(crate) client: Client<'static>,
    near: SocketHandle,
    far: SocketHandle,
    due: Option<Instant>,
    /// When the present connection of the far end began.
    since: Option<Instant>,
    /// Connections that the far end saw.
    pub(crate) connections: u32,
    /// How often the client was polled.
    pub(crate) polls: u32,
    pub(crate) opened: u32,
    /// Messages that came.
    pub(crate) heard: u32,
    /// What is added to the time that the client is told.
    pub(crate) skew: i64,
}

impl World {
    pub(crate) fn new(
        set: impl FnOnce(ClientConfig<'static>) -> ClientConfig<'static>,
        (ring, frame): (usize, usize),
    ) -> Self {
        let now = Instant::from_millis(1);
        let mut pair = Pair::new(now);
        let remotes = Vec::leak(vec![IpEndpoint::new(Host::address(Pair::FAR), PORT)]);
        let config = set(ClientConfig::new(remotes, 42));
        let client = Client::new(Memory::new(memory(ring), memory(frame)), config).expect("good");
        let (near, far) = (pair.near.socket(600, 600), pair.far.socket(600, 600));
        Self {
            pair,
            now,
            client,
            near,
            far,
            due: None,
            since: None,
            connections: 0,
            polls: 0,
            opened: 0,
            heard: 0,
            skew: 0,
        }
    }

    /// Lets so many milliseconds pass. The client is polled when a packet came or it is due, as a
    /// board does.
    pub(crate) fn run(&mut self, far: &mut Far, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        while self.now < end {
            let before = self.pair.packets();
            self.turn(far);
            let mut step = STEP;
            if self.pair.packets() != before {
                step = Duration::from_millis(1);
            } else if let Some(due) =
                [self.pair.poll_at(self.now), self.due].into_iter().flatten().min()
            {
                let wait = due.total_micros() - self.now.total_micros();
                let wait = u64::try_from(wait).unwrap_or(0).max(1_000);
                step = step.min(Duration::from_micros(wait));
            }
            self.now += step;
        }
    }

    fn turn(&mut self, far: &mut Far) {
        let packets = self.pair.packets();
        if !matches!(far, Far::Dead) {
            self.pair.far.poll(self.now);
            self.other_end(far);
            self.pair.far.poll(self.now);
        }
        let came = self.pair.packets() != packets;
        if came || self.due.is_none_or(|due| due <= self.now) {
            self.poll();
        }
    }

    /// Polls the client.
    pub(crate) fn poll(&mut self) {
        let near = &mut self.pair.near;
        near.poll(self.now);
        let at = self.now + Duration::from_micros(0);
        let at = Instant::from_micros(at.total_micros() + self.skew);
        let socket = near.sockets.get_mut(self.near);
        let (opened, heard) = (&mut self.opened, &mut self.heard);
        self.polls += 1;
        let due = self.client.poll(at, socket, near.iface.context(), |_, event| match event {
            Event::Opened => *opened += 1,
            Event::Message { .. } => *heard += 1,
            _ => {}
        });
        let skew = self.skew;
        let due = due.map(|due| Instant::from_micros(due.total_micros() - skew));
        self.due = poll_at(&mut near.iface, self.now, &near.sockets, due);
    }

    fn other_end(&mut self, far: &mut Far) {
        let now = self.now;
        match far {
            Far::Dead => {}
            Far::Closed => self.pair.far.tcp(self.far).abort(),
            Far::Hostile(act) => {
                let socket = self.pair.far.tcp(self.far);
                if !socket.is_open() {
                    self.since = None;
                    // What is left of the connection before is said first.
                    if socket.remote_endpoint().is_none() {
                        socket.listen(PORT).expect("a free socket");
                    }
                    return;
                }
                if matches!(socket.state(), tcp::State::Listen | tcp::State::SynReceived) {
                    return;
                }
                if self.since.is_none() {
                    self.connections += 1;
                    self.since = Some(now);
                }
                let since = self.since.map_or(0, |since| (now - since).total_millis() as i64);
                act(socket, since, self.connections);
                if socket.state() == tcp::State::CloseWait {
                    socket.close();
                }
            }
            Far::Honest(server, connection) => {
                let socket = self.pair.far.sockets.get_mut(self.far);
                let echo = |_: usize,
                            session: &mut outlast_embedded::Session<'static>,
                            event: Event<'_>| {
                    if let Event::Message { payload, .. } = event {
                        session.send(Route::from(1u8), payload).expect("room for an echo");
                    }
                };
                let _ = server.poll(now, connection, socket, echo);
                let _ = server.poll_sessions(now, |_, _, _| {});
            }
        }
    }

    /// An honest server takes the port: the client comes to it, and a message there and back.
    pub(crate) fn is_well_with_an_honest_server(&mut self) {
        let mut far = Far::serving();
        let opened = self.opened;
        for _ in 0..200 {
            self.run(&mut far, 1_000);
            if self.opened > opened {
                break;
            }
        }
        assert_eq!(self.opened, opened + 1, "{} failures", self.client.failures());
        self.says_and_hears(&mut far);
    }

    /// A message there and back.
    pub(crate) fn says_and_hears(&mut self, far: &mut Far) {
        let heard = self.heard;
        self.client.session().send(Route::from(1u8), b"hello").expect("room");
        self.poll();
        self.run(far, 2_000);
        assert_eq!(self.heard, heard + 1);
    }
}

/// The answer of an honest server to the HELLO that this socket has received.
pub(crate) fn welcome(now: Instant, socket: &mut tcp::Socket<'static>) -> Option<Vec<u8>> {
    let config = Config::SERVER;
    let mut hello = [0; HANDSHAKE_MAX];
    let len = socket.recv_slice(&mut hello).ok().filter(|len| *len > 0)?;
    let mut input = &hello[..len];
    let mut acceptor = Acceptor::new(to_core(now), &config);
    let Ok(Some(Greeting::Hello(hello))) = acceptor.handle_input(to_core(now), &mut input) else {
        panic!("the client says HELLO in one piece");
    };
    let mut out = vec![0; HANDSHAKE_MAX];
    let grant = Grant { sid: 9, epoch: 1, key_id: 1, key: [3; 16] };
    let made = Session::server(to_core(now), config, &hello, grant, 5, Vec::new(), &mut out);
    let len = made.expect("a session").written;
    out.truncate(len);
    Some(out)
}
