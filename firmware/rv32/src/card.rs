//! virtio-net over MMIO as a device of smoltcp, without an allocator.

use core::cell::UnsafeCell;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};

use semihosting::process;
use smoltcp::phy::{self, DeviceCapabilities, Medium};
use smoltcp::time::Instant;
use static_cell::ConstStaticCell;
use virtio_drivers::device::net::VirtIONetRaw;
use virtio_drivers::transport::mmio::{MmioTransport, VirtIOHeader};
use virtio_drivers::transport::{DeviceType, Transport};
use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};

/// Where QEMU's virt board has its virtio devices, and how many there may be.
const SLOTS: usize = 0x1000_1000;
const SLOT: usize = 0x1000;
const COUNT: usize = 8;
/// Frames that may wait.
const FRAMES: usize = 4;
/// Pages for the queues.
const PAGES: usize = 6;
/// A whole frame without its checksum, and what virtio puts before it, in whole words.
const FRAME: usize = 1514;
const BUFFER: usize = 1536;

#[repr(C, align(4096))]
struct Pages(UnsafeCell<[u8; PAGES * PAGE_SIZE]>);

// SAFETY: pages are given out once each, by a counter.
unsafe impl Sync for Pages {}

static POOL: Pages = Pages(UnsafeCell::new([0; PAGES * PAGE_SIZE]));
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// Memory as the card sees it: where the processor does, for there is no translation.
pub(crate) struct Flat;

// SAFETY: the pages are aligned, zeroed, never given out twice and never taken back; a physical
// address is a virtual one.
unsafe impl Hal for Flat {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let first = NEXT.fetch_add(pages, Ordering::Relaxed);
        let start = POOL.0.get().cast::<u8>().wrapping_add(first * PAGE_SIZE);
        match NonNull::new(start) {
            Some(start) if first + pages <= PAGES => (start.as_ptr() as usize as PhysAddr, start),
            _ => process::exit(112),
        }
    }

    unsafe fn dma_dealloc(_: PhysAddr, _: NonNull<u8>, _: usize) -> i32 {
        0
    }

    unsafe fn mmio_phys_to_virt(address: PhysAddr, _: usize) -> NonNull<u8> {
        match NonNull::new(address as usize as *mut u8) {
            Some(pointer) => pointer,
            None => process::exit(113),
        }
    }

    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        buffer.cast::<u8>().as_ptr() as usize as PhysAddr
    }

    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}

type Net = VirtIONetRaw<Flat, MmioTransport<'static>, FRAMES>;
type Buffer = [u8; BUFFER];

static RX: ConstStaticCell<[Buffer; FRAMES]> = ConstStaticCell::new([[0; BUFFER]; FRAMES]);
static TX: ConstStaticCell<Buffer> = ConstStaticCell::new([0; BUFFER]);
static TAKEN: ConstStaticCell<Buffer> = ConstStaticCell::new([0; BUFFER]);

/// The card and its buffers.
pub(crate) struct Card {
    net: Net,
    rx: &'static mut [Buffer; FRAMES],
    tx: &'static mut Buffer,
    /// The frame that is looked at; its own buffer is with the card again by then.
    taken: &'static mut Buffer,
    /// The request that each buffer is under.
    tokens: [u16; FRAMES],
}

impl Card {
    /// The first network card there is.
    pub(crate) fn find() -> Option<Self> {
        let net = (0..COUNT).find_map(|slot| {
            let header = NonNull::new((SLOTS + slot * SLOT) as *mut VirtIOHeader)?;
            // SAFETY: each slot is mapped there, and made into a transport once.
            let transport = unsafe { MmioTransport::new(header, SLOT) }.ok()?;
            let is_card = transport.device_type() == DeviceType::Network;
            is_card.then(|| Net::new(transport).ok()).flatten()
        })?;
        let (rx, tx, taken) = (RX.take(), TX.take(), TAKEN.take());
        let mut card = Self { net, rx, tx, taken, tokens: [0; FRAMES] };
        (0..FRAMES).for_each(|index| card.give(index));
        Some(card)
    }

    pub(crate) fn address(&self) -> [u8; 6] {
        self.net.mac_address()
    }

    /// Whether a frame waits.
    pub(crate) fn has_frame(&self) -> bool {
        self.net.poll_receive().is_some()
    }

    /// Gives a buffer to the card.
    fn give(&mut self, index: usize) {
        // SAFETY: the buffer is static, and nobody looks at it until the card gives it back.
        let token = unsafe { self.net.receive_begin(&mut self.rx[index]) };
        match token {
            Ok(token) => self.tokens[index] = token,
            Err(_) => process::exit(114),
        }
    }

    /// Copies the next frame out and gives its buffer back; how long it is.
    fn take_frame(&mut self) -> Option<usize> {
        let token = self.net.poll_receive()?;
        let index = self.tokens.iter().position(|given| *given == token)?;
        // SAFETY: it is the buffer that was given under this token.
        let received = unsafe { self.net.receive_complete(token, &mut self.rx[index]) };
        let (header, len) = received.ok()?;
        let frame = self.rx[index].get(header..header + len)?;
        self.taken.get_mut(..len)?.copy_from_slice(frame);
        self.give(index);
        Some(len)
    }
}

/// A frame that came.
pub(crate) struct Received<'c>(&'c [u8]);

impl phy::RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

/// Room for a frame to send.
pub(crate) struct Transmit<'c> {
    net: &'c mut Net,
    buffer: &'c mut Buffer,
}

impl phy::TxToken for Transmit<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let frame = self.buffer.get_mut(..len).unwrap_or_default();
        let result = f(frame);
        if self.net.send(frame).is_err() {
            process::exit(115)
        }
        result
    }
}

impl phy::Device for Card {
    type RxToken<'c> = Received<'c>;
    type TxToken<'c> = Transmit<'c>;

    fn receive(&mut self, _: Instant) -> Option<(Received<'_>, Transmit<'_>)> {
        let len = self.take_frame()?;
        let Self { net, tx, taken, .. } = self;
        Some((Received(taken.get(..len)?), Transmit { net, buffer: tx }))
    }

    fn transmit(&mut self, _: Instant) -> Option<Transmit<'_>> {
        Some(Transmit { net: &mut self.net, buffer: self.tx })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = FRAME;
        capabilities
    }
}
