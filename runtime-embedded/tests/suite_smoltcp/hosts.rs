//! Two hosts in memory and the packets between them.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, Device, DeviceCapabilities, Medium};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};

/// Packets under way in one direction.
#[derive(Debug, Clone, Default)]
struct Wire {
    packets: Rc<RefCell<VecDeque<Vec<u8>>>>,
    count: Rc<RefCell<u64>>,
}

/// One end of the two wires between the hosts: a loopback device with another host at its end.
#[derive(Debug)]
struct Port {
    from: Wire,
    to: Wire,
}

impl Device for Port {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sending<'a>;

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.max_transmission_unit = 1_500;
        capabilities.medium = Medium::Ip;
        capabilities
    }

    fn receive(&mut self, _: Instant) -> Option<(Received, Sending<'_>)> {
        let packet = self.from.packets.borrow_mut().pop_front()?;
        Some((Received(packet), Sending(&self.to)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sending<'_>> {
        Some(Sending(&self.to))
    }
}

struct Received(Vec<u8>);

impl phy::RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, use_it: F) -> R {
        use_it(&self.0)
    }
}

struct Sending<'a>(&'a Wire);

impl phy::TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, fill: F) -> R {
        let mut packet = vec![0; len];
        let result = fill(&mut packet);
        self.0.packets.borrow_mut().push_back(packet);
        *self.0.count.borrow_mut() += 1;
        result
    }
}

/// An interface with its sockets.
pub(crate) struct Host {
    port: Port,
    pub(crate) iface: Interface,
    pub(crate) sockets: SocketSet<'static>,
}

impl Host {
    fn new(number: u8, from: Wire, to: Wire, now: Instant) -> Self {
        let mut port = Port { from, to };
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = u64::from(number);
        let mut iface = Interface::new(config, &mut port, now);
        iface.update_ip_addrs(|addresses| {
            addresses.push(IpCidr::new(Self::address(number), 24)).expect("room for one");
        });
        Self { port, iface, sockets: SocketSet::new(Vec::new()) }
    }

    /// The address of a host.
    pub(crate) fn address(number: u8) -> IpAddress {
        IpAddress::v4(10, 0, 0, number)
    }

    pub(crate) fn poll(&mut self, now: Instant) {
        self.iface.poll(now, &mut self.port, &mut self.sockets);
    }

    pub(crate) fn poll_at(&mut self, now: Instant) -> Option<Instant> {
        self.iface.poll_at(now, &self.sockets)
    }

    /// A socket with so many bytes for each direction.
    pub(crate) fn socket(&mut self, receive: usize, transmit: usize) -> SocketHandle {
        let buffer = |size| tcp::SocketBuffer::new(vec![0; size]);
        let mut socket = tcp::Socket::new(buffer(receive), buffer(transmit));
        socket.set_nagle_enabled(false);
        socket.set_ack_delay(None);
        self.sockets.add(socket)
    }

    pub(crate) fn tcp(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(handle)
    }
}

/// The host under test, and the one that its peers are on.
pub(crate) struct Pair {
    pub(crate) near: Host,
    pub(crate) far: Host,
    counts: [Rc<RefCell<u64>>; 2],
}

impl Pair {
    pub(crate) const NEAR: u8 = 1;
    pub(crate) const FAR: u8 = 2;

    pub(crate) fn new(now: Instant) -> Self {
        let (there, back) = (Wire::default(), Wire::default());
        let counts = [Rc::clone(&there.count), Rc::clone(&back.count)];
        let near = Host::new(Self::NEAR, back.clone(), there.clone(), now);
        let far = Host::new(Self::FAR, there, back, now);
        Self { near, far, counts }
    }

    /// Packets sent so far.
    pub(crate) fn packets(&self) -> u64 {
        self.counts.iter().map(|count| *count.borrow()).sum()
    }

    /// When one of the hosts has something to do by itself.
    pub(crate) fn poll_at(&mut self, now: Instant) -> Option<Instant> {
        let ends = [self.near.poll_at(now), self.far.poll_at(now)];
        ends.into_iter().flatten().min()
    }
}
