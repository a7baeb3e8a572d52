//! Packets out of pcap and pcapng files.

use std::time::Duration;

/// The file holds link-layer payloads that are the protocol itself.
pub(super) const LINK_USER0: u32 = 147;

/// One captured packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Packet {
    /// Since the epoch of the capture.
    pub(super) at: Duration,
    /// What the data begins with; a number of the pcap registry.
    pub(super) link: u32,
    pub(super) data: Vec<u8>,
    /// Whether the capture lacks the end of it.
    pub(super) cut: bool,
}

const NG_SECTION: u32 = 0x0A0D_0D0A;
const NG_INTERFACE: u32 = 1;
const NG_SIMPLE: u32 = 3;
const NG_PACKET: u32 = 6;
const NG_ORDER: u32 = 0x1A2B_3C4D;

/// Whether these are the first bytes of a capture.
pub(crate) fn is_capture(input: &[u8]) -> bool {
    Order::of_pcap(input).is_some() || word(input, 0, true) == Some(NG_SECTION)
}

/// All packets of a capture.
///
/// # Errors
///
/// What is wrong with the file. A file that ends in mid-packet is not an error, as captures of
/// running programs do.
pub(super) fn packets(input: &[u8]) -> Result<Vec<Packet>, String> {
    match Order::of_pcap(input) {
        Some(order) => classic(input, order),
        None => next_generation(input),
    }
}

/// How numbers are written in a classic file.
#[derive(Debug, Copy, Clone)]
struct Order {
    little: bool,
    nanos: bool,
}

impl Order {
    fn of_pcap(input: &[u8]) -> Option<Self> {
        let magic: [u8; 4] = *input.first_chunk()?;
        Some(match magic {
            [0xD4, 0xC3, 0xB2, 0xA1] => Self { little: true, nanos: false },
            [0xA1, 0xB2, 0xC3, 0xD4] => Self { little: false, nanos: false },
            [0x4D, 0x3C, 0xB2, 0xA1] => Self { little: true, nanos: true },
            [0xA1, 0xB2, 0x3C, 0x4D] => Self { little: false, nanos: true },
            _ => return None,
        })
    }
}

fn word(input: &[u8], at: usize, little: bool) -> Option<u32> {
    let bytes: [u8; 4] = *input.get(at..)?.first_chunk()?;
    Some(if little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
}

fn half(input: &[u8], at: usize, little: bool) -> Option<u16> {
    let bytes: [u8; 2] = *input.get(at..)?.first_chunk()?;
    Some(if little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
}

fn classic(input: &[u8], order: Order) -> Result<Vec<Packet>, String> {
    let Order { little, nanos } = order;
    let link = word(input, 20, little).ok_or("the capture ends within its own header")?;
    let mut rest = input.get(24..).unwrap_or_default();
    let mut packets = Vec::new();
    while let Some(length) = word(rest, 8, little) {
        let seconds = word(rest, 0, little).unwrap_or(0);
        let fraction = word(rest, 4, little).unwrap_or(0);
        let whole = word(rest, 12, little).unwrap_or(0);
        let Some(data) = rest.get(16..).and_then(|data| data.get(..length as usize)) else {
            break;
        };
        let nanos = if nanos { u64::from(fraction) } else { u64::from(fraction) * 1_000 };
        packets.push(Packet {
            at: Duration::from_secs(seconds.into()) + Duration::from_nanos(nanos),
            // The upper bits tell of a frame check sequence.
            link: link & 0x0FFF_FFFF,
            data: data.to_vec(),
            cut: length < whole,
        });
        rest = &rest[16 + length as usize..];
    }
    Ok(packets)
}

/// One interface of a pcapng section.
#[derive(Debug, Copy, Clone)]
struct Interface {
    link: u32,
    /// Ticks in a second.
    ticks: u64,
}

fn next_generation(input: &[u8]) -> Result<Vec<Packet>, String> {
    let mut rest = input;
    let mut little = true;
    let mut interfaces: Vec<Interface> = Vec::new();
    let mut packets = Vec::new();
    while rest.len() >= 12 {
        let section = word(rest, 0, true) == Some(NG_SECTION);
        if section {
            little = word(rest, 8, true) == Some(NG_ORDER);
            interfaces.clear();
        }
        let kind = word(rest, 0, little).unwrap_or(0);
        let length = word(rest, 4, little).unwrap_or(0) as usize;
        if length < 12 || !length.is_multiple_of(4) {
            return Err(format!("the capture is damaged: a block of {length} bytes"));
        }
        let Some(block) = rest.get(..length) else {
            break;
        };
        let body = &block[8..length - 4];
        match kind {
            NG_INTERFACE => interfaces.push(interface(body, little)),
            NG_PACKET => packets.extend(enhanced(body, little, &interfaces)),
            NG_SIMPLE => packets.extend(simple(body, little, &interfaces)),
            _ => {}
        }
        rest = &rest[length..];
    }
    Ok(packets)
}

fn interface(body: &[u8], little: bool) -> Interface {
    let mut interface =
        Interface { link: half(body, 0, little).unwrap_or(0).into(), ticks: 1_000_000 };
    let mut options = body.get(8..).unwrap_or_default();
    while let (Some(code), Some(length)) = (half(options, 0, little), half(options, 2, little)) {
        let length = usize::from(length);
        // if_tsresol: a power of ten, or of two with the highest bit set.
        if let (9, Some(&exponent)) = (code, options.get(4)) {
            let power = u32::from(exponent & 0x7F);
            let base: u64 = if exponent & 0x80 == 0 { 10 } else { 2 };
            interface.ticks = base.checked_pow(power).unwrap_or(1_000_000);
        }
        match options.get(4 + length.next_multiple_of(4)..) {
            Some(more) if code != 0 => options = more,
            Some(_) | None => break,
        }
    }
    interface
}

fn enhanced(body: &[u8], little: bool, interfaces: &[Interface]) -> Option<Packet> {
    let interface = interfaces.get(word(body, 0, little)? as usize)?;
    let ticks = u64::from(word(body, 4, little)?) << 32 | u64::from(word(body, 8, little)?);
    let (length, whole) = (word(body, 12, little)?, word(body, 16, little)?);
    let data = body.get(20..)?.get(..length as usize)?;
    let fraction =
        u128::from(ticks % interface.ticks) * 1_000_000_000 / u128::from(interface.ticks);
    Some(Packet {
        at: Duration::new(ticks / interface.ticks, u32::try_from(fraction).unwrap_or(0)),
        link: interface.link,
        data: data.to_vec(),
        cut: length < whole,
    })
}

fn simple(body: &[u8], little: bool, interfaces: &[Interface]) -> Option<Packet> {
    let whole = word(body, 0, little)?;
    let data = body.get(4..)?;
    let length = data.len().min(whole as usize);
    Some(Packet {
        at: Duration::ZERO,
        link: interfaces.first()?.link,
        data: data[..length].to_vec(),
        cut: length < whole as usize,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classic_file(little: bool, nanos: bool) -> Vec<u8> {
        let magic = if nanos { 0xA1B2_3C4D_u32 } else { 0xA1B2_C3D4 };
        let words = [magic, 0, 0, 0, 65_535, 1, 7, 500_000, 3, 9, u32::from_le_bytes(*b"abc\0")];
        let put = |word: u32| {
            if little { word.to_le_bytes() } else { word.to_be_bytes() }
        };
        let mut file: Vec<u8> = words[..10].iter().flat_map(|word| put(*word)).collect();
        file.extend_from_slice(b"abc");
        file
    }

    #[test]
    fn both_byte_orders_and_both_clocks() {
        for (little, nanos, micros) in
            [(true, false, 500_000), (false, false, 500_000), (true, true, 500), (false, true, 500)]
        {
            let file = classic_file(little, nanos);
            assert!(is_capture(&file));
            let packets = packets(&file).unwrap();
            let at = Duration::from_secs(7) + Duration::from_micros(micros);
            assert_eq!(packets, [Packet { at, link: 1, data: b"abc".to_vec(), cut: true }]);
        }
    }

    #[test]
    fn a_file_may_end_anywhere() {
        let file = classic_file(true, false);
        for len in 24..file.len() {
            assert_eq!(packets(&file[..len]).unwrap(), []);
        }
        assert!(packets(&file[..10]).is_err());
    }

    fn block(kind: u32, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len().next_multiple_of(4) + 12).unwrap();
        let mut block = [kind.to_le_bytes(), length.to_le_bytes()].concat();
        block.extend_from_slice(body);
        block.resize(block.len().next_multiple_of(4), 0);
        block.extend_from_slice(&length.to_le_bytes());
        block
    }

    #[test]
    fn the_next_generation_is_read_too() {
        let mut section = NG_ORDER.to_le_bytes().to_vec();
        section.extend([1, 0, 0, 0].iter().chain(&[0xFF; 8]));
        // Link type 147, snap length 0, then if_tsresol = 3 (milliseconds).
        let interface = [147, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 0, 3, 0, 0, 0, 0, 0, 0, 0];
        let mut packet = [0_u32, 0, 2_500, 2, 2].map(u32::to_le_bytes).concat();
        packet.extend_from_slice(b"hi");
        let file = [
            block(NG_SECTION, &section),
            block(NG_INTERFACE, &interface),
            block(0x0BAD, b"unknown"),
            block(NG_PACKET, &packet),
        ]
        .concat();
        assert!(is_capture(&file));
        let at = Duration::from_millis(2_500);
        let expected = Packet { at, link: LINK_USER0, data: b"hi".to_vec(), cut: false };
        assert_eq!(packets(&file).unwrap(), [expected]);
        assert_eq!(packets(&file[..file.len() - 1]).unwrap(), []);
        let mut broken = file;
        broken[4] = 3;
        assert!(packets(&broken).unwrap_err().contains("damaged"));
    }
}
