//! Packets on a line that may lose, change or invent bytes: COBS for where they end, CRC-32C for
//! whether they are what was sent.
//!
//! A packet is a kind, the number of a connection, the number of the packet in it (two bytes,
//! little-endian), what it carries, and the CRC-32C of all that (four bytes, little-endian). It is
//! encoded so that it has no zero, and a zero ends it: after any disturbance the next zero is where
//! reading goes on.
//!
//! What is accepted and was not sent has met its CRC by chance: one in 2^32 of the disturbed
//! packets, and none of those that differ, decoded, within 32 neighbouring bits. A disturbance that
//! changes where the zeros are may be a longer one when it is decoded.

/// Bytes of a packet's kind, connection and number.
const HEAD: usize = 4;
/// Bytes of the CRC.
const CRC: usize = 4;
/// The longest run that one code byte announces.
const RUN: u8 = 0xFE;

/// Bytes that a packet with so much in it may take on the line, its end included.
#[must_use]
pub const fn encoded_len(payload: usize) -> usize {
    let len = HEAD + payload + CRC;
    len + len / RUN as usize + 2
}

/// Bytes of memory that receiving a packet with so much in it takes.
#[must_use]
pub const fn decoded_len(payload: usize) -> usize {
    HEAD + payload + CRC
}

/// What a packet is for.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Kind {
    /// Bytes of the connection.
    Data,
    /// As `Data`, and the connection begins with it; whatever was before is over.
    Start,
    /// The connection is over.
    End,
}

impl Kind {
    const fn to_byte(self) -> u8 {
        match self {
            Self::Data => 1,
            Self::Start => 2,
            Self::End => 3,
        }
    }

    const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Data),
            2 => Some(Self::Start),
            3 => Some(Self::End),
            _ => None,
        }
    }
}

/// A packet.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct Packet<'b> {
    /// What it is for.
    pub kind: Kind,
    /// Which connection it belongs to.
    pub connection: u8,
    /// How many packets of that connection came before it in this direction, modulo 2^16.
    pub number: u16,
    /// What it carries.
    pub payload: &'b [u8],
}

impl Packet<'_> {
    /// Writes the packet to `out` and returns how many bytes it takes; `None` if that is too small,
    /// see [`encoded_len`].
    #[must_use]
    pub fn encode(&self, out: &mut [u8]) -> Option<usize> {
        let [low, high] = self.number.to_le_bytes();
        let head = [self.kind.to_byte(), self.connection, low, high];
        let crc = (!update_all(update_all(!0, &head), self.payload)).to_le_bytes();
        let mut writer = Writer { out, code_at: 0, len: 1, code: 1 };
        for byte in head.iter().chain(self.payload).chain(&crc) {
            writer.put(*byte)?;
        }
        writer.finish()
    }
}

/// Encodes bytes so that none is zero.
struct Writer<'o> {
    out: &'o mut [u8],
    /// Where the code of the present run goes.
    code_at: usize,
    len: usize,
    code: u8,
}

impl Writer<'_> {
    fn put(&mut self, byte: u8) -> Option<()> {
        if byte != 0 {
            *self.out.get_mut(self.len)? = byte;
            self.len += 1;
            self.code += 1;
        }
        if byte == 0 || self.code > RUN {
            self.close()?;
        }
        Some(())
    }

    /// Writes the code of the run, and begins another.
    fn close(&mut self) -> Option<()> {
        *self.out.get_mut(self.code_at)? = self.code;
        (self.code_at, self.code) = (self.len, 1);
        self.len += 1;
        Some(())
    }

    fn finish(mut self) -> Option<usize> {
        self.close()?;
        // The run that was begun is not needed: the end stands there.
        *self.out.get_mut(self.code_at)? = 0;
        Some(self.code_at + 1)
    }
}

/// What came of a byte.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Received {
    /// Nothing yet.
    Nothing,
    /// A whole packet: [`Decoder::packet`] lends it.
    Whole,
    /// Something that was no packet, or is one no longer.
    Corrupt,
}

/// Finds packets in received bytes, whatever they are.
#[derive(Debug)]
pub struct Decoder<'m> {
    bytes: &'m mut [u8],
    len: usize,
    /// Bytes of the present run that have still to come.
    left: u8,
    /// A zero stands behind the present run, if another follows it.
    owes_zero: bool,
    /// Any byte has come since the last end.
    begun: bool,
    /// More came than there is memory for.
    too_long: bool,
    /// The packet that was taken is still in `bytes`.
    whole: usize,
}

impl<'m> Decoder<'m> {
    /// For packets as long as fit into `memory`, see [`decoded_len`].
    #[must_use]
    pub const fn new(memory: &'m mut [u8]) -> Self {
        Self {
            bytes: memory,
            len: 0,
            left: 0,
            owes_zero: false,
            begun: false,
            too_long: false,
            whole: 0,
        }
    }

    /// Takes a byte.
    pub fn take(&mut self, byte: u8) -> Received {
        self.whole = 0;
        if byte == 0 {
            return self.end();
        }
        self.begun = true;
        if self.left > 0 {
            self.left -= 1;
            self.put(byte);
            return Received::Nothing;
        }
        if core::mem::replace(&mut self.owes_zero, byte != 0xFF) {
            self.put(0);
        }
        self.left = byte - 1;
        Received::Nothing
    }

    /// The packet that was told to be whole, until the next byte is taken.
    #[must_use]
    pub fn packet(&self) -> Option<Packet<'_>> {
        let body = self.bytes.get(..self.whole)?;
        let ([kind, connection, low, high], payload) = body.split_first_chunk::<HEAD>()?;
        let kind = Kind::from_byte(*kind)?;
        let number = u16::from_le_bytes([*low, *high]);
        Some(Packet { kind, connection: *connection, number, payload })
    }

    fn put(&mut self, byte: u8) {
        match self.bytes.get_mut(self.len) {
            Some(to) => {
                *to = byte;
                self.len += 1;
            }
            None => self.too_long = true,
        }
    }

    fn end(&mut self) -> Received {
        let complete = self.left == 0 && !self.too_long;
        let (begun, len) = (self.begun, self.len);
        (self.len, self.left) = (0, 0);
        (self.owes_zero, self.begun, self.too_long) = (false, false, false);
        if !begun {
            return Received::Nothing;
        }
        let came = self.bytes.get(..len).unwrap_or_default();
        let is_sound = match came.split_last_chunk::<CRC>() {
            Some((body, crc)) => {
                body.len() >= HEAD && !update_all(!0, body) == u32::from_le_bytes(*crc)
            }
            None => false,
        };
        if !complete || !is_sound {
            return Received::Corrupt;
        }
        self.whole = len - CRC;
        if self.packet().is_some() { Received::Whole } else { Received::Corrupt }
    }
}

/// The polynomial of CRC-32C, reflected.
const POLYNOMIAL: u32 = 0x82F6_3B78;

/// The register after each half byte: 64 bytes instead of the usual 1,024.
#[expect(clippy::indexing_slicing, reason = "the compiler runs it, and would say so")]
const HALVES: [u32; 16] = {
    let mut table = [0; 16];
    let (mut at, mut half) = (0, 0_u32);
    while at < table.len() {
        let (mut crc, mut bit) = (half, 0);
        while bit < 4 {
            crc = if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        table[at] = crc;
        (at, half) = (at + 1, half + 1);
    }
    table
};

fn update(crc: u32, byte: u8) -> u32 {
    let half = |crc: u32| {
        let [low, ..] = crc.to_le_bytes();
        crc >> 4 ^ HALVES.get(usize::from(low & 15)).copied().unwrap_or_default()
    };
    half(half(crc ^ u32::from(byte)))
}

fn update_all(crc: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(crc, |crc, byte| update(crc, *byte))
}

/// CRC-32C (Castagnoli) of these bytes.
#[must_use]
pub fn crc32c(bytes: &[u8]) -> u32 {
    !update_all(!0, bytes)
}
