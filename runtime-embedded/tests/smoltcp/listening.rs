//! A server polled no more often than it asks for.

use outlast_core::Config;
use outlast_core::registry::{Entry, RegistryConfig};
use outlast_embedded::smoltcp::{Connection, Place, Server, poll_at};
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp;
use smoltcp::time::{Duration, Instant};

use crate::hosts::{Host, Pair};

/// Where the server listens.
const PORT: u16 = 7411;

/// Two hosts, of which the near one is polled when a packet comes or when it is due.
struct World<'m> {
    far_is_dead: bool,
    pair: Pair,
    now: Instant,
    due: Option<Instant>,
    packets: u64,
    server: Server<'m, fn(&mut [u8])>,
    connection: Connection<'m>,
    socket: SocketHandle,
}

impl World<'_> {
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            if !self.far_is_dead {
                self.pair.far.poll(self.now);
            }
            let packets = self.pair.packets();
            if packets != self.packets || self.due.is_some_and(|due| due <= self.now) {
                let near = &mut self.pair.near;
                near.poll(self.now);
                let socket = near.sockets.get_mut(self.socket);
                let one = self.server.poll(self.now, &mut self.connection, socket, |_, _, _| {});
                let all = self.server.poll_sessions(self.now, |_, _, _| {});
                let due = [one, all].into_iter().flatten().min();
                self.due = poll_at(&mut near.iface, self.now, &near.sockets, due);
                self.packets = self.pair.packets();
            }
            self.now += Duration::from_millis(1);
        }
    }
}

/// A server of one socket, and the state of that socket half a minute after `spoil` was done to
/// the peer's.
fn state_after(spoil: impl FnOnce(&mut World<'_>, SocketHandle)) -> tcp::State {
    let now = Instant::from_millis(1);
    let mut pair = Pair::new(now);
    let config = Config { linger_ms: 500, handshake_timeout_ms: 5_000, ..Config::CONSTRAINED };
    let (mut ring, mut frame) = ([0; 512], [0; 300]);
    let mut places = [Place::new(&config, &mut ring).expect("good")];
    let mut entries = [Entry::EMPTY; 2];
    let fill: fn(&mut [u8]) = |out| out.fill(7);
    let sessions = RegistryConfig::default();
    let server = Server::new(config, sessions, &mut places, &mut entries, fill).expect("good");
    let socket = pair.near.socket(512, 512);
    let far = pair.far.socket(512, 512);
    let connection = server.connection(PORT, &mut frame).expect("good");
    let (due, packets, far_is_dead) = (Some(now), 0, false);
    let mut world = World { far_is_dead, pair, now, due, packets, server, connection, socket };
    world.pass(Duration::from_millis(10));
    let Host { iface, sockets, .. } = &mut world.pair.far;
    let remote = (Host::address(Pair::NEAR), PORT);
    let peer = sockets.get_mut::<tcp::Socket<'_>>(far);
    peer.connect(iface.context(), remote, 50_000).expect("a free socket");
    spoil(&mut world, far);
    world.pass(Duration::from_secs(30));
    world.pair.near.tcp(socket).state()
}

#[test]
fn a_socket_listens_again_after_an_end() {
    let state = state_after(|world, far| {
        world.pass(Duration::from_millis(50));
        assert_eq!(world.pair.far.tcp(far).state(), tcp::State::Established);
        world.pair.far.tcp(far).close();
    });
    assert_eq!(state, tcp::State::Listen);
}

#[test]
fn a_socket_listens_again_after_a_reset() {
    let state = state_after(|world, far| {
        world.pass(Duration::from_millis(50));
        world.pair.far.tcp(far).abort();
    });
    assert_eq!(state, tcp::State::Listen);
}

#[test]
fn a_socket_listens_again_after_a_peer_that_only_began_to_connect() {
    let state = state_after(|world, _| {
        world.pair.far.poll(world.now);
        world.far_is_dead = true;
    });
    assert_eq!(state, tcp::State::Listen);
}

#[test]
fn a_socket_listens_again_after_a_peer_that_took_its_first_packet_back() {
    let state = state_after(|world, far| {
        world.pair.far.poll(world.now);
        // The answer to it finds no socket, and is answered by a reset.
        world.pair.far.sockets.remove(far);
    });
    assert_eq!(state, tcp::State::Listen);
}
