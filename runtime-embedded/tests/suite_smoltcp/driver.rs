//! The driver: virtual time, in which everything that falls due is done at its moment.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use outlast_conformance::driver::{Cmd, Driver, Seen, Stream, Subject};
use outlast_core::Config;
use outlast_core::registry::RegistryConfig;
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::IpEndpoint;

use crate::hosts::{Host, Pair};
use crate::subjects::{AClient, AServer, Log, PORT, Role};

/// Bytes under way that the far end of a connection takes, in each direction.
const CAPACITY: usize = 64 << 10;
/// Turns at one moment, after which somebody only turns around.
const TURNS: u32 = 10_000;

/// Subjects over smoltcp, each on a host of its own with its peers on another.
pub(crate) struct OverSmoltcp {
    now: Instant,
    worlds: Vec<Rc<RefCell<World>>>,
}

impl Default for OverSmoltcp {
    fn default() -> Self {
        Self { now: Instant::from_millis(1_000), worlds: Vec::new() }
    }
}

impl OverSmoltcp {
    fn start(&mut self, world: World) -> Box<dyn Subject> {
        let world = Rc::new(RefCell::new(world));
        world.borrow_mut().settle();
        self.worlds.push(Rc::clone(&world));
        Box::new(Seat(world))
    }
}

impl Driver for OverSmoltcp {
    fn name(&self) -> &'static str {
        "smoltcp in virtual time"
    }

    fn time_is_virtual(&self) -> bool {
        true
    }

    fn server_with(&mut self, config: Config, sessions: RegistryConfig) -> Box<dyn Subject> {
        let role = Role::Server(Box::new(AServer::new(config, sessions)));
        self.start(World::new(self.now, role, Role::log(&config)))
    }

    fn client(&mut self, config: Config) -> Box<dyn Subject> {
        let mut world = World::new(self.now, Role::None, Role::log(&config));
        world.listener = Some(world.far_listener());
        world.role = Role::Client(Box::new(AClient::new(config, &mut world.pair.near)));
        self.start(world)
    }

    fn now(&self) -> u64 {
        self.now.total_micros().cast_unsigned()
    }

    fn wait(&mut self, micros: u64) {
        self.now += Duration::from_micros(micros);
        for world in &self.worlds {
            world.borrow_mut().advance(self.now);
        }
    }

    fn starve(&mut self, micros: u64) {
        self.now += Duration::from_micros(micros);
        for world in &self.worlds {
            let mut world = world.borrow_mut();
            world.now = self.now;
            world.settle();
        }
    }
}

/// A subject, the two hosts, and the time they have.
struct World {
    now: Instant,
    pair: Pair,
    role: Role,
    log: Log,
    due: Option<Instant>,
    /// Of a client: where the far end waits for it, and who came.
    listener: Option<SocketHandle>,
    dialled: VecDeque<SocketHandle>,
    next_port: u16,
}

impl World {
    fn new(now: Instant, role: Role, log: Log) -> Self {
        Self {
            now,
            pair: Pair::new(now),
            role,
            log,
            due: None,
            listener: None,
            dialled: VecDeque::new(),
            next_port: 20_000,
        }
    }

    fn far_listener(&mut self) -> SocketHandle {
        let handle = self.pair.far.socket(CAPACITY, CAPACITY);
        self.pair.far.tcp(handle).listen(PORT).expect("a port");
        handle
    }

    /// Does what can be done now, until nobody has anything to do or say.
    fn settle(&mut self) {
        for _ in 0..TURNS {
            let before = self.pair.packets();
            self.pair.near.poll(self.now);
            self.pair.far.poll(self.now);
            self.welcome();
            // An application may poll more often than its interface.
            self.role.poll(self.now, &mut self.pair.near, &mut self.log);
            self.due = self.role.poll(self.now, &mut self.pair.near, &mut self.log);
            self.pair.near.poll(self.now);
            self.pair.far.poll(self.now);
            if self.pair.packets() == before {
                return;
            }
        }
        panic!("there is always something to do");
    }

    /// Who was connected makes room for the next.
    fn welcome(&mut self) {
        if let Some(listener) = self.listener
            && self.pair.far.tcp(listener).may_send()
        {
            self.dialled.push_back(listener);
            self.listener = Some(self.far_listener());
        }
    }

    /// Time passes until `end`, and whoever wanted to do something in between did it in time.
    fn advance(&mut self, end: Instant) {
        let mut spins = 0;
        loop {
            self.settle();
            let hosts = self.pair.poll_at(self.now);
            let due = [hosts, self.due].into_iter().flatten().min();
            let next = due.filter(|due| *due < end).unwrap_or(end);
            if next <= self.now {
                if self.now >= end {
                    return;
                }
                // The moment has come and did nothing: a runtime that slept until then would spin.
                spins += 1;
                assert!(spins < 1_000, "due at {due:?} again and again, now {}", self.now);
                self.now += Duration::from_micros(1);
            } else {
                self.now = next;
            }
        }
    }

    /// A connection from the far host to the server.
    fn connect(&mut self) -> SocketHandle {
        if let Role::Server(server) = &mut self.role {
            server.listen(&mut self.pair.near);
        }
        self.settle();
        let handle = self.pair.far.socket(CAPACITY, CAPACITY);
        self.next_port += 1;
        let server = IpEndpoint::new(Host::address(Pair::NEAR), PORT);
        let Host { iface, sockets, .. } = &mut self.pair.far;
        let socket = sockets.get_mut::<tcp::Socket<'_>>(handle);
        socket.connect(iface.context(), server, self.next_port).expect("an address");
        self.settle();
        handle
    }
}

struct Seat(Rc<RefCell<World>>);

impl Subject for Seat {
    fn command(&mut self, session: u64, command: Cmd) -> Result<(), String> {
        let mut world = self.0.borrow_mut();
        let now = world.now;
        world.role.command(now, session, command)
    }

    fn poll(&mut self) -> Option<Seen> {
        self.0.borrow_mut().log.seen.pop_front()
    }

    fn plug(&mut self) -> Option<Box<dyn Stream>> {
        let mut world = self.0.borrow_mut();
        let socket = match world.role {
            Role::Server(_) => Some(world.connect()),
            Role::Client(_) | Role::None => world.dialled.pop_front(),
        };
        Some(Box::new(Far { world: Rc::clone(&self.0), socket: socket? }))
    }

    fn held_bytes(&self) -> usize {
        let world = &mut *self.0.borrow_mut();
        world.role.held_bytes(&mut world.pair.near)
    }
}

/// The far end of a connection.
struct Far {
    world: Rc<RefCell<World>>,
    socket: SocketHandle,
}

impl Far {
    fn with<T>(&self, act: impl FnOnce(&mut tcp::Socket<'static>) -> T) -> T {
        act(self.world.borrow_mut().pair.far.tcp(self.socket))
    }
}

impl Stream for Far {
    fn write(&mut self, bytes: &[u8]) -> usize {
        // What ended takes everything and keeps nothing, as a kernel does until a reset arrives.
        let taken = self.with(|socket| socket.send_slice(bytes).unwrap_or(bytes.len()));
        // It is under way from now on, whether or not anybody has time to receive it.
        let world = &mut *self.world.borrow_mut();
        world.pair.far.poll(world.now);
        taken
    }

    fn read(&mut self, out: &mut Vec<u8>) -> bool {
        self.with(|socket| {
            let mut read = 0;
            while let Ok(count @ 1..) = socket.recv(|bytes| {
                out.extend_from_slice(bytes);
                (bytes.len(), bytes.len())
            }) {
                read += count;
            }
            read > 0 || socket.may_recv()
        })
    }

    fn shut(&mut self) {
        self.with(tcp::Socket::close);
    }

    fn cut(&mut self) {
        self.with(tcp::Socket::abort);
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        // As a descriptor that is closed: what is read after that is answered with a reset.
        self.with(tcp::Socket::close);
    }
}
