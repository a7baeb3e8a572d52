//! A wire that loses, repeats and reorders Ethernet frames, and smoltcp at the other end of it.

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

/// The host's end of the wire.
struct Wire {
    datagrams: UnixDatagram,
    rng: Rng,
    loss: u64,
    duplicate: u64,
    reorder: u64,
    held: Option<Vec<u8>>,
    /// Frames that came and went, and what was done to them.
    faults: [u32; 3],
    frames: u32,
}

impl Wire {
    fn send(&mut self, frame: Vec<u8>) {
        self.frames += 1;
        if self.rng.percent(self.loss) {
            self.faults[0] += 1;
            return;
        }
        if self.held.is_none() && self.rng.percent(self.reorder) {
            self.faults[2] += 1;
            self.held = Some(frame);
            return;
        }
        // A board that is not there yet, or no more, is a fault like any other.
        let _ = self.datagrams.send(&frame);
        if self.rng.percent(self.duplicate) {
            self.faults[1] += 1;
            let _ = self.datagrams.send(&frame);
        }
        if let Some(held) = self.held.take() {
            let _ = self.datagrams.send(&held);
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
        loop {
            let len = self.datagrams.recv(&mut frame).ok()?;
            self.frames += 1;
            if self.rng.percent(self.loss) {
                self.faults[0] += 1;
                continue;
            }
            return Some((Received(frame[..len].to_vec()), Transmit(self)));
        }
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

/// One run over the wire; how many frames were lost, repeated or delayed.
pub(crate) fn run(options: &Options) -> Outcome<u32> {
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
    let wire = Wire {
        datagrams,
        rng: Rng::new(options.seed),
        loss: options.loss,
        duplicate: options.duplicate,
        reorder: options.reorder,
        held: None,
        faults: [0; 3],
        frames: 0,
    };
    let stop = Arc::new(AtomicBool::new(false));
    let (told, address) = (Arc::clone(&stop), server.address());
    let carrier = std::thread::spawn(move || carry(wire, address, &told));
    let report = board.finish();
    let checked = report.and_then(|report| server.check(options, &report));
    stop.store(true, Ordering::Relaxed);
    let wire = carrier.join().map_err(|_| "the wire panicked".to_owned())??;
    let [lost, repeated, reordered] = wire.faults;
    println!(
        "{} frames: {lost} lost, {repeated} twice, {reordered} later; seed {}",
        wire.frames, options.seed
    );
    checked.map(|()| lost + repeated + reordered)
}
