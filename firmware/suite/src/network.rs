//! The board's interface, its sockets, and the one of them that is the control line.

use alloc::vec;
use alloc::vec::Vec;

use mps2::Mps2;
use mps2::lan9118::Card;
use smoltcp::iface::{
    Config, Context, Interface, PollIngressSingleResult, PollResult, SocketHandle, SocketSet,
};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpCidr, IpEndpoint, Ipv4Address};

use crate::line::Out;

/// What QEMU gives to the first guest of its user network, and the host as it sees it.
const OWN: Ipv4Address = Ipv4Address::new(10, 0, 2, 15);
const HOST: Ipv4Address = Ipv4Address::new(10, 0, 2, 2);
/// Bytes of the control line's rings.
const HEARD: usize = 16 << 10;
const SAID: usize = 32 << 10;

/// Microseconds as smoltcp counts them.
pub(crate) fn instant(micros: u64) -> Instant {
    Instant::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
}

pub(crate) struct Network {
    iface: Interface,
    pub(crate) sockets: SocketSet<'static>,
    control: Option<SocketHandle>,
    /// Of the control line: what has come and is no whole line yet.
    heard: Vec<u8>,
}

impl Network {
    pub(crate) fn new(board: &mut Mps2, seed: u64) -> Self {
        let address = HardwareAddress::Ethernet(EthernetAddress(board.card().address()));
        let mut config = Config::new(address);
        config.random_seed = seed;
        let now = instant(board.now());
        let mut iface = Interface::new(config, board.card(), now);
        iface.update_ip_addrs(|list| {
            // There is room for one.
            let _ = list.push(IpCidr::new(OWN.into(), 24));
        });
        Self { iface, sockets: SocketSet::new(Vec::new()), control: None, heard: Vec::new() }
    }

    /// One more socket, with so many bytes for each direction.
    pub(crate) fn socket(&mut self, receive: usize, transmit: usize) -> SocketHandle {
        let ring = |size| tcp::SocketBuffer::new(vec![0; size]);
        let mut socket = tcp::Socket::new(ring(receive), ring(transmit));
        socket.set_nagle_enabled(false);
        socket.set_ack_delay(None);
        self.sockets.add(socket)
    }

    /// A socket and what it needs to dial.
    pub(crate) fn parts(
        &mut self,
        handle: SocketHandle,
    ) -> (&mut tcp::Socket<'static>, &mut Context) {
        (self.sockets.get_mut(handle), self.iface.context())
    }

    pub(crate) fn dial_control(&mut self, port: u16, seed: u64) {
        let handle = self.socket(HEARD, SAID);
        let local = 0x4000 | (seed & 0x3FFF) as u16;
        let (socket, cx) = self.parts(handle);
        let dialled = socket.connect(cx, IpEndpoint::new(HOST.into(), port), local);
        assert!(dialled.is_ok(), "the control line cannot be dialled");
        self.control = Some(handle);
    }

    /// Takes in all frames there are, one by one: between two of them `listen` sees to it that
    /// there is a socket for whoever comes next.
    pub(crate) fn take_in(
        &mut self,
        now: u64,
        card: &mut Card,
        mut listen: impl FnMut(u64, &mut Self),
    ) {
        self.iface.poll_maintenance(instant(now));
        loop {
            match self.iface.poll_ingress_single(instant(now), card, &mut self.sockets) {
                PollIngressSingleResult::None => return,
                PollIngressSingleResult::PacketProcessed => {}
                PollIngressSingleResult::SocketStateChanged => listen(now, self),
            }
        }
    }

    /// Sends what there is to send.
    pub(crate) fn give_out(&mut self, now: u64, card: &mut Card) {
        while matches!(
            self.iface.poll_egress(instant(now), card, &mut self.sockets),
            PollResult::SocketStateChanged
        ) {}
    }

    /// When there is something to do, in microseconds.
    pub(crate) fn poll_at(&mut self, now: u64, due: Option<Instant>) -> Option<u64> {
        let iface = self.iface.poll_at(instant(now), &self.sockets);
        let next = [iface, due].into_iter().flatten().min()?;
        u64::try_from(next.total_micros()).ok()
    }

    /// Whole lines that came over the control line, and whatever is behind them.
    pub(crate) fn hear(&mut self) -> Vec<u8> {
        if let Some(control) = self.control {
            let socket = self.sockets.get_mut::<tcp::Socket<'_>>(control);
            let heard = &mut self.heard;
            while let Ok(1..) = socket.recv(|bytes| {
                heard.extend_from_slice(bytes);
                (bytes.len(), bytes.len())
            }) {}
        }
        let Some(end) = self.heard.iter().rposition(|byte| *byte == b'\n') else {
            return Vec::new();
        };
        let rest = self.heard.split_off(end + 1);
        core::mem::replace(&mut self.heard, rest)
    }

    /// Writes what there is to say to the control line; false once that has ended.
    pub(crate) fn speak(&mut self, out: &mut Out) -> bool {
        let Some(control) = self.control else { return true };
        let socket = self.sockets.get_mut::<tcp::Socket<'_>>(control);
        while socket.can_send() && !out.pending().is_empty() {
            let written = socket.send_slice(out.pending()).unwrap_or(0);
            out.written(written);
        }
        !matches!(socket.state(), tcp::State::Closed | tcp::State::CloseWait)
    }
}
