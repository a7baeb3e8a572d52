//! A driver for the LAN9118 (and LAN9220), polled: frames go word by word through two FIFOs.
//!
//! What a register does is in the data sheet, chapter 5; the offsets here are from the card's base.

use smoltcp::phy::{self, DeviceCapabilities, Medium};
use smoltcp::time::Instant;

/// Where QEMU's MPS2 boards have the card.
const BASE: usize = 0x4020_0000;

/// The registers that are used.
#[derive(Clone, Copy)]
#[repr(usize)]
enum Register {
    RxData = 0x00,
    TxData = 0x20,
    RxStatus = 0x40,
    TxStatus = 0x48,
    InterruptConfig = 0x54,
    InterruptStatus = 0x58,
    InterruptEnable = 0x5C,
    ByteTest = 0x64,
    FifoInterrupt = 0x68,
    TxConfig = 0x70,
    HardwareConfig = 0x74,
    RxInfo = 0x7C,
    TxInfo = 0x80,
    FreeRun = 0x9C,
    MacCommand = 0xA4,
    MacData = 0xA8,
}

/// What BYTE_TEST reads when the card is there and the bytes are in order.
const PRESENT: u32 = 0x8765_4321;
/// The counter that runs by itself has 25 counts in a microsecond.
const PER_MICROSECOND: u64 = 25;
/// A whole frame without its checksum.
const FRAME: usize = 1514;
/// A buffer for one, in whole words and with its checksum.
const BUFFER: usize = 1520;
/// Transmit only while a whole frame, its two commands and padding fit the FIFO.
const TX_ROOM: u32 = 1600;
/// The interrupt for a frame that came, and the output that is driven high for it.
const RX_LEVEL: u32 = 1 << 3;
const DRIVE_HIGH: u32 = 1 << 8 | 1 << 4 | 1;
/// Interrupt for any frame received, and never for what was transmitted.
const ANY_FRAME: u32 = 0xFF << 24;
const CHECKSUM: usize = 4;
const RX_ERROR: u32 = 1 << 15;
const MAC_BUSY: u32 = 1 << 31;
const MAC_READ: u32 = 1 << 30;
/// Indexed registers of the MAC: control, and its address.
const MAC_CONTROL: u32 = 1;
const MAC_HIGH: u32 = 2;
const MAC_LOW: u32 = 3;
/// Full duplex, transmitter on, receiver on.
const MAC_ON: u32 = 1 << 20 | 1 << 3 | 1 << 2;

fn read(register: Register) -> u32 {
    // SAFETY: the card is mapped there on this board; each register is a word.
    unsafe { ((BASE + register as usize) as *const u32).read_volatile() }
}

fn write(register: Register, value: u32) {
    // SAFETY: as for `read`. Nothing that is written makes the card touch memory.
    unsafe { ((BASE + register as usize) as *mut u32).write_volatile(value) }
}

fn mac_wait() {
    while read(Register::MacCommand) & MAC_BUSY != 0 {}
}

fn mac_read(index: u32) -> u32 {
    write(Register::MacCommand, MAC_BUSY | MAC_READ | index);
    mac_wait();
    read(Register::MacData)
}

fn mac_write(index: u32, value: u32) {
    write(Register::MacData, value);
    write(Register::MacCommand, MAC_BUSY | index);
    mac_wait();
}

/// Memory for one frame.
pub type Buffer = [u8; BUFFER];

/// The card, and a buffer for each direction.
pub struct Card {
    rx: &'static mut Buffer,
    tx: &'static mut Buffer,
    /// The counter's last reading, and how often it went round.
    last: u32,
    rounds: u64,
}

impl Card {
    /// Switches the card on; `None` if there is none.
    pub fn new(rx: &'static mut Buffer, tx: &'static mut Buffer) -> Option<Self> {
        if read(Register::ByteTest) != PRESENT {
            return None;
        }
        // 5 KiB of the FIFO are for transmitting; bit 20 must be one.
        write(Register::HardwareConfig, 5 << 16 | 1 << 20);
        write(Register::TxConfig, 1 << 1);
        write(Register::FifoInterrupt, ANY_FRAME);
        write(Register::InterruptConfig, DRIVE_HIGH);
        mac_write(MAC_CONTROL, mac_read(MAC_CONTROL) | MAC_ON);
        Some(Self { rx, tx, last: 0, rounds: 0 })
    }

    /// The card's address.
    pub fn address(&self) -> [u8; 6] {
        let ([a, b, c, d], [e, f, ..]) =
            (mac_read(MAC_LOW).to_le_bytes(), mac_read(MAC_HIGH).to_le_bytes());
        [a, b, c, d, e, f]
    }

    /// Microseconds since the start. Must be called once in each round of the counter: 171 s.
    pub fn micros(&mut self) -> u64 {
        let now = read(Register::FreeRun);
        self.rounds += u64::from(now < self.last);
        self.last = now;
        (self.rounds << 32 | u64::from(now)) / PER_MICROSECOND
    }

    /// Lets the card's interrupt be pending from now on while there is a frame, and not before.
    pub fn arm(&mut self) {
        write(Register::InterruptStatus, RX_LEVEL);
        write(Register::InterruptEnable, RX_LEVEL);
    }

    /// The interrupt is not wanted any more.
    pub fn disarm(&mut self) {
        write(Register::InterruptEnable, 0);
    }

    /// Whether a frame waits.
    pub fn has_frame(&self) -> bool {
        read(Register::RxInfo) & 0x00FF_0000 != 0
    }

    /// Takes the next frame out of the FIFO; how long it is, or 0 if it is of no use.
    fn take_frame(&mut self) -> usize {
        let status = read(Register::RxStatus);
        let len = (status >> 16 & 0x3FFF) as usize;
        for index in 0..len.div_ceil(4) {
            let word = read(Register::RxData).to_le_bytes();
            if let Some(place) = self.rx.get_mut(index * 4..index * 4 + 4) {
                place.copy_from_slice(&word);
            }
        }
        let fits = (CHECKSUM..=BUFFER).contains(&len) && status & RX_ERROR == 0;
        if fits { len - CHECKSUM } else { 0 }
    }
}

/// A frame that came.
pub struct Received<'c>(&'c [u8]);

impl phy::RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

/// Room for a frame to send.
pub struct Transmit<'c>(&'c mut Buffer);

impl phy::TxToken for Transmit<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let len = len.min(FRAME);
        let result = f(self.0.get_mut(..len).unwrap_or_default());
        // First and last segment of a frame of this length, and the length again.
        write(Register::TxData, 1 << 13 | 1 << 12 | len as u32);
        write(Register::TxData, len as u32);
        for word in self.0.as_chunks().0.iter().take(len.div_ceil(4)) {
            write(Register::TxData, u32::from_le_bytes(*word));
        }
        // A status that nobody takes stays, and 128 of them stop the card.
        while read(Register::TxInfo) & 0x00FF_0000 != 0 {
            read(Register::TxStatus);
        }
        result
    }
}

impl phy::Device for Card {
    type RxToken<'c> = Received<'c>;
    type TxToken<'c> = Transmit<'c>;

    fn receive(&mut self, _: Instant) -> Option<(Received<'_>, Transmit<'_>)> {
        while self.has_frame() {
            let len = self.take_frame();
            if len > 0 {
                return Some((Received(self.rx.get(..len)?), Transmit(self.tx)));
            }
        }
        None
    }

    fn transmit(&mut self, _: Instant) -> Option<Transmit<'_>> {
        (read(Register::TxInfo) & 0xFFFF >= TX_ROOM).then_some(Transmit(self.tx))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = FRAME;
        capabilities.max_burst_size = Some(1);
        capabilities
    }
}
