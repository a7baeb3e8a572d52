//! A client that holds one session: sends numbered messages, expects each of them back once and in
//! order, and finishes. It is the same on every board; a [`Board`] is what differs.
//!
//! The command line, which QEMU passes on, is `firmware ADDRESS-AS-A-NUMBER PORT COUNT SEED RESET`.
//! With the feature `reset`, once RESET messages came back (0: never), the board writes its session
//! down in memory that outlasts a reset, and resets itself without a word to the server. Then it
//! goes on.
#![no_std]
#![forbid(unsafe_code)]

#[cfg_attr(not(feature = "reset"), path = "not_kept.rs")]
mod kept;

use defmt::info;
use kept::Keeping;
// Where the log goes.
#[cfg(feature = "reset")]
pub use kept::Kept;
use outlast_embedded::smoltcp::{Client, ClientConfig, poll_at};
use outlast_embedded::{Event, Resources, Route, SendError};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet, SocketStorage};
use smoltcp::phy::Device;
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpCidr, IpEndpoint, Ipv4Address};
use static_cell::{ConstStaticCell, StaticCell};
use words as _;

/// Bytes of each ring of the TCP socket.
const SOCKET: usize = 1024;
/// Bytes of a message.
const SIZE: usize = 64;
/// The address of the board; what QEMU gives to the first guest of its user network.
const OWN: Ipv4Address = Ipv4Address::new(10, 0, 2, 15);
/// After so many microseconds whatever is missing does not come any more.
const PATIENCE: u64 = 60_000_000;

/// The longest sleep in microseconds: counters must not go round unseen.
const LONGEST: u64 = 500_000;

static RECEIVE: ConstStaticCell<[u8; SOCKET]> = ConstStaticCell::new([0; SOCKET]);
static TRANSMIT: ConstStaticCell<[u8; SOCKET]> = ConstStaticCell::new([0; SOCKET]);
static SOCKETS: ConstStaticCell<[SocketStorage<'static>; 1]> =
    ConstStaticCell::new([SocketStorage::EMPTY]);
static MEMORY: ConstStaticCell<Resources<512, 256>> = ConstStaticCell::new(Resources::new());
static REMOTES: ConstStaticCell<[IpEndpoint; 1]> = ConstStaticCell::new([IpEndpoint {
    addr: smoltcp::wire::IpAddress::Ipv4(Ipv4Address::UNSPECIFIED),
    port: 0,
}]);

/// What a board gives.
pub trait Board {
    /// Its network card.
    type Card: Device;
    /// Microseconds on a counter that runs by itself: ticks that are counted get lost under load.
    fn now(&mut self) -> u64;
    /// The network card.
    fn card(&mut self) -> &mut Self::Card;
    /// The card's own address.
    fn address(&mut self) -> [u8; 6];
    /// Sleeps until the card has a frame or this many microseconds have passed; may end early.
    fn sleep(&mut self, micros: u64);
    /// Memory that outlasts a reset, whatever it holds; once.
    #[cfg(feature = "reset")]
    fn kept(&mut self) -> Option<&'static mut Kept> {
        None
    }
    /// Resets the board; returns where that cannot be done.
    #[cfg(feature = "reset")]
    fn reset(&mut self) {}
    /// Bytes of stack that were ever used; 0 if that is not known.
    fn stack_used(&self) -> usize {
        0
    }
}

/// What is asked of the application.
struct Task {
    server: Ipv4Address,
    port: u16,
    count: u32,
    seed: u64,
    reset: u32,
}

impl Task {
    #[inline(never)]
    fn from_command_line() -> Option<Self> {
        let arguments = semihosting::experimental::env::args::<128>().ok()?;
        let mut words = arguments.skip(1).map(|word| word.ok()?.parse::<u32>().ok());
        Some(Self {
            server: Ipv4Address::from_bits(words.next()??),
            port: u16::try_from(words.next()??).ok()?,
            count: words.next()??,
            seed: u64::from(words.next()??),
            reset: words.next()??,
        })
    }
}

/// What the application counts.
#[derive(Default)]
struct Count {
    sent: u32,
    came_back: u32,
    opened: u32,
    resumed: u32,
    wrong: bool,
    finished: bool,
}

impl Count {
    fn hear(&mut self, event: &Event<'_>) {
        match event {
            Event::Opened => {
                info!("opened");
                self.opened += 1;
            }
            Event::Resumed { resent } => {
                info!("resumed, {=u64} bytes again", resent);
                self.resumed += 1;
            }
            Event::Disconnected { code, by, .. } => info!("disconnected: {} by {}", code, by),
            Event::Message { payload, .. } => {
                self.wrong |= **payload != message(self.came_back);
                self.came_back += 1;
            }
            Event::Ended => {
                info!("ended");
                self.finished = true;
            }
            Event::Lost { code, peer_received } => {
                info!("lost: {}, {} received", code, peer_received);
                self.wrong = true;
            }
            _ => {}
        }
    }
}

/// The message with this number: its eight digits, and dots.
fn message(number: u32) -> [u8; SIZE] {
    let mut bytes = [b'.'; SIZE];
    let digits = (0..8).map(|at| (number >> (28 - 4 * at) & 15) as u8);
    for (place, digit) in bytes.iter_mut().zip(digits) {
        *place = if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
    }
    bytes
}

/// Why the run failed, as an exit code.
#[derive(Debug, Copy, Clone)]
pub enum Failure {
    /// The command line is not understood.
    Arguments = 2,
    /// The client could not be made.
    Setup = 3,
    /// A message came back wrong, or the session was lost.
    Wrong = 4,
    /// It took too long.
    Late = 5,
    /// The client gave up.
    Stopped = 6,
}

/// Runs the application, and says how it went.
///
/// # Errors
///
/// Whatever keeps a message from coming back.
pub fn run(board: &mut impl Board) -> Result<(), Failure> {
    let mut task = Task::from_command_line().ok_or(Failure::Arguments)?;
    let keeping = Keeping::begin(board, &mut task).ok_or(Failure::Arguments)?;
    let iface = interface(board, &task);
    let (sockets, handle) = sockets();
    let client = client(&task)?;
    talk(board, &task, keeping, iface, sockets, handle, client)
}

/// What is large is made by functions of its own and kept in statics: what they need of the stack
/// is free again behind them.
#[inline(never)]
fn interface<B: Board>(board: &mut B, task: &Task) -> &'static mut Interface {
    static IFACE: StaticCell<Interface> = StaticCell::new();
    let now = instant(board.now());
    let address = HardwareAddress::Ethernet(EthernetAddress(board.address()));
    let mut config = Config::new(address);
    config.random_seed = task.seed;
    let iface = IFACE.init(Interface::new(config, board.card(), now));
    iface.update_ip_addrs(|list| {
        // There is room for one.
        let _ = list.push(IpCidr::new(OWN.into(), 24));
    });
    iface
}

/// One TCP socket.
#[inline(never)]
fn sockets() -> (&'static mut SocketSet<'static>, SocketHandle) {
    static SET: StaticCell<SocketSet<'static>> = StaticCell::new();
    let sockets = SET.init(SocketSet::new(&mut SOCKETS.take()[..]));
    let mut socket = tcp::Socket::new(
        tcp::SocketBuffer::new(&mut RECEIVE.take()[..]),
        tcp::SocketBuffer::new(&mut TRANSMIT.take()[..]),
    );
    socket.set_nagle_enabled(false);
    let handle = sockets.add(socket);
    (sockets, handle)
}

/// The client of the server that the task names.
#[inline(never)]
fn client(task: &Task) -> Result<&'static mut Client<'static>, Failure> {
    static CLIENT: StaticCell<Client<'static>> = StaticCell::new();
    let remotes = REMOTES.take();
    *remotes = [IpEndpoint::new(task.server.into(), task.port)];
    let config = ClientConfig::new(&*remotes, task.seed);
    Client::new_in(CLIENT.uninit(), MEMORY.take(), config).map_err(|_| Failure::Setup)
}

fn instant(micros: u64) -> Instant {
    Instant::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
}

/// Takes frames in and gives frames out; what that needs of the stack is free again behind it.
#[inline(never)]
fn exchange(board: &mut impl Board, now: u64, iface: &mut Interface, sockets: &mut SocketSet<'_>) {
    iface.poll(instant(now), board.card(), sockets);
}

#[inline(never)]
fn talk(
    board: &mut impl Board,
    task: &Task,
    mut keeping: Keeping,
    iface: &mut Interface,
    sockets: &mut SocketSet<'_>,
    handle: SocketHandle,
    client: &mut Client<'static>,
) -> Result<(), Failure> {
    let start = board.now();
    let mut count = Count::default();
    keeping.take_up(client, &mut count);
    info!("boot seed={=u64} again={=u32}", task.seed, count.opened);
    loop {
        let now = board.now();
        exchange(board, now, iface, sockets);
        let socket = sockets.get_mut::<tcp::Socket<'_>>(handle);
        let opened = count.opened;
        let hear = |_: &mut _, event: Event<'_>| count.hear(&event);
        let deadline = client.poll(instant(now), socket, iface.context(), hear);
        if count.opened > opened {
            info!("connected us={=u64}", now - start);
        }
        if count.wrong {
            info!("wrong: sent={=u32} came_back={=u32}", count.sent, count.came_back);
            return Err(Failure::Wrong);
        }
        if now - start > PATIENCE {
            info!("late: sent={=u32} came_back={=u32}", count.sent, count.came_back);
            return Err(Failure::Late);
        }
        let said = say(client, task, &mut count);
        keeping.keep(board, task, client, &count);
        if count.finished && !socket_is_busy(sockets, handle) {
            break;
        }
        if client.stopped().is_some() && !count.finished {
            return Err(Failure::Stopped);
        }
        let wake = poll_at(iface, instant(now), sockets, deadline);
        let wake = wake.unwrap_or(instant(now + LONGEST)).total_micros();
        let pause = u64::try_from(wake).unwrap_or(0).saturating_sub(board.now());
        if !said && pause > 0 {
            board.sleep(pause.min(LONGEST));
        }
    }
    let session = client.session();
    let resent = session.stats().resent;
    info!("at sent {} received {}", session.acknowledged(), session.received());
    info!(
        "done sent={=u32} came_back={=u32} resumed={=u32} resent={=u32} us={=u64} stack={=usize}",
        count.sent,
        count.came_back,
        count.resumed,
        resent,
        board.now() - start,
        board.stack_used()
    );
    if count.came_back == task.count { Ok(()) } else { Err(Failure::Wrong) }
}

/// Sends what there is room for, and the end once everything came back; whether it said anything.
fn say(client: &mut Client<'static>, task: &Task, count: &mut Count) -> bool {
    let before = count.sent;
    if count.opened == 0 {
        return false;
    }
    while count.sent < task.count {
        match client.session().send(Route::from(7_u8), &message(count.sent)) {
            Ok(_) => count.sent += 1,
            Err(SendError::Full) => break,
            Err(_) => {
                count.wrong = true;
                break;
            }
        }
        if count.sent == task.count / 2 {
            info!("half");
        }
    }
    if count.came_back == task.count {
        // A second time is refused, and of no harm.
        let _ = client.session().finish();
    }
    count.sent > before
}

/// Whether the socket still has to say that it closes.
fn socket_is_busy(sockets: &SocketSet<'_>, handle: SocketHandle) -> bool {
    let state = sockets.get::<tcp::Socket<'_>>(handle).state();
    !matches!(state, tcp::State::Closed | tcp::State::TimeWait)
}
