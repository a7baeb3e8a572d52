//! A wire that loses, repeats and reorders Ethernet frames, and smoltcp at the other end of it.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, Device, DeviceCapabilities, Medium};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpAddress, IpCidr};

use crate::Outcome;
use crate::board::Board;
use crate::options::Options;
use crate::server::Server;

/// The port that the board dials on this wire.
const PORT: u16 = 7000;
/// Connections at once: the board has one, and what is left of the one before.
const SOCKETS: usize = 4;
/// Bytes of each ring of a socket.
const RING: usize = 8192;

/// xorshift; the same seed is the same faults for the same frames.
struct Rng(u64);

impl Rng {
    fn new(seed: u64) -> Self {
        let mut rng = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        (0..16).for_each(|_| {
            rng.percent(0);
        });
        rng
    }

    fn percent(&mut self, chance: u64) -> bool {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % 100 < chance
    }
}

/// Frames that met a fault, by its kind.
#[derive(Debug, Copy, Clone, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    pub(crate) lost: u32,
    pub(crate) repeated: u32,
    pub(crate) reordered: u32,
}

impl Faults {
    pub(crate) const fn plus(self, other: Self) -> Self {
        Self {
            lost: self.lost + other.lost,
            repeated: self.repeated + other.repeated,
            reordered: self.reordered + other.reordered,
        }
    }
}

/// One direction of the wire. What becomes of a frame depends on the seed and on how many came
/// before it in this direction, and on nothing else.
struct Direction {
    rng: Rng,
    loss: u64,
    duplicate: u64,
    reorder: u64,
    /// A frame that comes behind the next.
    held: Option<Vec<u8>>,
    frames: u32,
    faults: Faults,
}

impl Direction {
    fn new(options: &Options, seed: u64) -> Self {
        let Options { loss, duplicate, reorder, .. } = *options;
        let (rng, held, faults) = (Rng::new(seed), None, Faults::default());
        Self { rng, loss, duplicate, reorder, held, frames: 0, faults }
    }

    /// Both directions, from the board and to it.
    fn both(options: &Options) -> [Self; 2] {
        [0, 1].map(|way| Self::new(options, 2 * options.seed + way))
    }

    /// What comes out of the wire for a frame that goes in.
    fn faults(&mut self, frame: Vec<u8>) -> Vec<Vec<u8>> {
        self.frames += 1;
        if self.rng.percent(self.loss) {
            self.faults.lost += 1;
            return Vec::new();
        }
        if self.held.is_none() && self.rng.percent(self.reorder) {
            self.faults.reordered += 1;
            self.held = Some(frame);
            return Vec::new();
        }
        let mut out = vec![frame];
        if self.rng.percent(self.duplicate) {
            self.faults.repeated += 1;
            out.push(out[0].clone());
        }
        out.extend(self.held.take());
        out
    }
}

/// The host's end of the wire.
struct Wire {
    datagrams: UnixDatagram,
    from_board: Direction,
    to_board: Direction,
    /// What has come out of the wire and was not taken yet.
    arrived: VecDeque<Vec<u8>>,
}

impl Wire {
    fn send(&mut self, frame: Vec<u8>) {
        for frame in self.to_board.faults(frame) {
            // A board that is not there yet, or no more, is a fault like any other.
            let _ = self.datagrams.send(&frame);
        }
    }
}

struct Received(Vec<u8>);

impl phy::RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

struct Transmit<'w>(&'w mut Wire);

impl phy::TxToken for Transmit<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = vec![0; len];
        let result = f(&mut frame);
        self.0.send(frame);
        result
    }
}

impl Device for Wire {
    type RxToken<'w> = Received;
    type TxToken<'w> = Transmit<'w>;

    fn receive(&mut self, _: Instant) -> Option<(Received, Transmit<'_>)> {
        let mut frame = [0; 2048];
        while self.arrived.is_empty() {
            let len = self.datagrams.recv(&mut frame).ok()?;
            self.arrived.extend(self.from_board.faults(frame[..len].to_vec()));
        }
        let frame = self.arrived.pop_front()?;
        Some((Received(frame), Transmit(self)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Transmit<'_>> {
        Some(Transmit(self))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

/// A connection from the board, and the one to the server that carries its bytes on.
struct Bridge {
    socket: SocketHandle,
    server: Option<TcpStream>,
}

impl Bridge {
    /// Moves what can be moved.
    fn turn(&mut self, sockets: &mut SocketSet<'_>, to: std::net::SocketAddr) -> Outcome {
        let socket = sockets.get_mut::<tcp::Socket<'_>>(self.socket);
        if !socket.is_open() {
            self.server = None;
            return socket.listen(PORT).map_err(|e| e.to_string());
        }
        if self.server.is_none() && socket.may_send() {
            let stream = TcpStream::connect(to).map_err(|e| e.to_string())?;
            stream.set_nodelay(true).map_err(|e| e.to_string())?;
            stream.set_nonblocking(true).map_err(|e| e.to_string())?;
            self.server = Some(stream);
        }
        let Some(server) = &mut self.server else { return Ok(()) };
        // What the server does not take stays in the socket's ring.
        if socket.can_recv() {
            let moved = socket.recv(|bytes| (server.write(bytes).unwrap_or(0), ()));
            moved.map_err(|e| e.to_string())?;
        }
        if socket.can_send() {
            let end = socket.send(|room| match server.read(room) {
                Ok(count) => (count, count == 0 && !room.is_empty()),
                Err(why) => (0, why.kind() != ErrorKind::WouldBlock),
            });
            if end == Ok(true) {
                socket.close();
            }
        }
        if !socket.may_recv() && !socket.can_recv() && socket.state() == tcp::State::CloseWait {
            // The server hears of it when this end goes, and has nothing more to say then.
            let _ = server.shutdown(std::net::Shutdown::Write);
        }
        Ok(())
    }
}

/// The host's end, until it is told to stop.
fn carry(mut wire: Wire, server: std::net::SocketAddr, stop: &AtomicBool) -> Outcome<Wire> {
    let address = HardwareAddress::Ethernet(EthernetAddress([2, 0, 0, 0, 0, 2]));
    let mut iface = Interface::new(Config::new(address), &mut wire, Instant::now());
    iface.update_ip_addrs(|list| {
        let _ = list.push(IpCidr::new(IpAddress::v4(10, 0, 2, 2), 24));
    });
    let mut sockets = SocketSet::new(Vec::new());
    let ring = || tcp::SocketBuffer::new(vec![0; RING]);
    let mut bridges: Vec<Bridge> = (0..SOCKETS)
        .map(|_| {
            let mut socket = tcp::Socket::new(ring(), ring());
            socket.set_nagle_enabled(false);
            Bridge { socket: sockets.add(socket), server: None }
        })
        .collect();
    while !stop.load(Ordering::Relaxed) {
        iface.poll(Instant::now(), &mut wire, &mut sockets);
        for bridge in &mut bridges {
            bridge.turn(&mut sockets, server)?;
        }
        std::thread::sleep(Duration::from_micros(50));
    }
    Ok(wire)
}

/// A folder that is gone when this is.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// One run over the wire; how many frames were lost, repeated or delayed on their way from the
/// board and to it.
pub(crate) fn run(options: &Options) -> Outcome<[Faults; 2]> {
    let name = format!("outlast-wire-{}-{}", std::process::id(), options.seed);
    let folder = Folder(std::env::temp_dir().join(name));
    std::fs::create_dir_all(&folder.0).map_err(|e| e.to_string())?;
    let (host, guest) = (folder.0.join("host"), folder.0.join("guest"));
    let datagrams = UnixDatagram::bind(&host).map_err(|e| e.to_string())?;
    datagrams.set_nonblocking(true).map_err(|e| e.to_string())?;
    let server = Server::start("127.0.0.1:0")?;
    let network = format!(
        "dgram,id=n0,local.type=unix,local.path={},remote.type=unix,remote.path={}",
        guest.display(),
        host.display()
    );
    let mut board = Board::boot(options, &["-netdev".to_owned(), network], PORT)?;
    // The guest's socket is there once QEMU has made it.
    let booted = std::time::Instant::now();
    while let Err(why) = datagrams.connect(&guest) {
        if booted.elapsed() > Duration::from_secs(60) {
            return Err(format!("QEMU makes no socket: {why}"));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let [from_board, to_board] = Direction::both(options);
    let wire = Wire { datagrams, from_board, to_board, arrived: VecDeque::new() };
    let stop = Arc::new(AtomicBool::new(false));
    let (told, address) = (Arc::clone(&stop), server.address());
    let carrier = std::thread::spawn(move || carry(wire, address, &told));
    let report = board.finish();
    let checked = report.and_then(|report| server.check(options, &report));
    stop.store(true, Ordering::Relaxed);
    let wire = carrier.join().map_err(|_| "the wire panicked".to_owned())??;
    for (way, direction) in [("from", &wire.from_board), ("to", &wire.to_board)] {
        let Direction { frames, faults, .. } = direction;
        println!("{frames} frames {way} the board: {faults:?}; seed {}", options.seed);
    }
    checked.map(|()| [wire.from_board.faults, wire.to_board.faults])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lossy(seed: u64) -> Options {
        let words = ["wire", "m4", "--loss", "3", "--duplicate", "2", "--reorder", "2"];
        let options = Options::parse(words.map(str::to_owned).into_iter()).expect("understood");
        Options { seed, ..options }
    }

    /// What became of so many frames each way.
    fn faults(seed: u64, frames: u32) -> [Faults; 2] {
        Direction::both(&lossy(seed)).map(|mut way| {
            let passed: usize = (0..frames).map(|n| way.faults(n.to_le_bytes().into()).len()).sum();
            let Faults { lost, repeated, .. } = way.faults;
            let held = u32::from(way.held.is_some());
            assert_eq!(passed, (frames - lost + repeated - held) as usize);
            way.faults
        })
    }

    #[test]
    fn every_fault_happens_in_both_directions() {
        for Faults { lost, repeated, reordered } in faults(7, 100_000) {
            assert!((2_700..3_300).contains(&lost), "{lost} of a hundred thousand");
            assert!((1_700..2_200).contains(&repeated), "{repeated} of a hundred thousand");
            assert!((1_700..2_200).contains(&reordered), "{reordered} of a hundred thousand");
        }
    }

    /// The runs of `xtask firmware` are short: they begin at a seed whose first frames meet every
    /// kind, far fewer than any run has.
    #[test]
    fn the_first_frames_of_the_usual_seed_meet_every_fault_each_way() {
        const SEED: u64 = 518;
        assert_eq!(crate::missing_fault(&lossy(SEED), &faults(SEED, 25)), None);
        let [from, to] = faults(SEED, 25);
        for (way, faults) in
            [("from", [Faults { lost: 0, ..from }, to]), ("to", [from, Faults::default()])]
        {
            let missing = crate::missing_fault(&lossy(SEED), &faults).expect("one is missing");
            assert!(missing.contains(way), "{missing}");
        }
    }
}
