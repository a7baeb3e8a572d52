//! TCP streams out of packets: enough of reassembly for captures of one's own traffic.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use outlast_core::wire::Frame;

use super::pcap::{LINK_USER0, Packet};
use super::{Conversation, Piece, Sender};
use outlast_config::Address;

/// Segments kept out of order per direction; a capture that lost more is no use.
const PENDING_MAX: usize = 4096;
/// The body limit that any declared one stays below.
const BODY_MAX: u16 = outlast_core::wire::MAX_BODY;

/// The parts of a TCP segment that matter.
#[derive(Debug, PartialEq, Eq)]
struct Segment<'p> {
    from: SocketAddr,
    to: SocketAddr,
    seq: u32,
    syn: bool,
    ack: bool,
    data: &'p [u8],
}

/// Everything captured that looks like the protocol; with `all`, everything.
///
/// # Errors
///
/// Nothing in the capture is TCP, or nothing of it is the protocol.
pub(super) fn conversations(
    packets: &[Packet],
    port: Option<u16>,
    all: bool,
) -> Result<Vec<Conversation>, String> {
    let bare: Vec<&Packet> = packets.iter().filter(|packet| packet.link == LINK_USER0).collect();
    if !bare.is_empty() {
        return Ok(vec![without_tcp(&bare)]);
    }
    let mut flows: Vec<Flow> = Vec::new();
    let mut newest: HashMap<(SocketAddr, SocketAddr), usize> = HashMap::new();
    for packet in packets {
        let Some(segment) = segment(packet) else {
            continue;
        };
        let mut pair = [segment.from, segment.to];
        pair.sort();
        let key = (pair[0], pair[1]);
        let known = newest.get(&key).copied().filter(|index| !flows[*index].ends_for(&segment));
        let index = known.unwrap_or_else(|| {
            flows.push(Flow::new(&segment, packet.at));
            flows.len() - 1
        });
        newest.insert(key, index);
        flows[index].take(&segment, packet);
    }
    if flows.is_empty() {
        return Err(format!("none of the {} packets is TCP over IP", packets.len()));
    }
    let total = flows.len();
    let chosen: Vec<Conversation> =
        flows.into_iter().filter(|flow| all || flow.is_ours(port)).map(Flow::finish).collect();
    if chosen.is_empty() {
        return Err(format!(
            "none of the {total} TCP streams looks like outlast; --all explains them all the same"
        ));
    }
    Ok(chosen)
}

fn without_tcp(packets: &[&Packet]) -> Conversation {
    let start = packets.first().map_or(Duration::ZERO, |packet| packet.at);
    let piece = |packet: &&Packet| Piece {
        sender: Sender::Unknown,
        at: Some(packet.at.saturating_sub(start)),
        bytes: packet.data.clone(),
    };
    Conversation { pieces: packets.iter().map(piece).collect(), ..Conversation::default() }
}

/// One connection; the first sender is the client until something proves otherwise.
struct Flow {
    client: SocketAddr,
    server: SocketAddr,
    /// A SYN told who the client is.
    certain: bool,
    start: Duration,
    pieces: Vec<(bool, Piece)>,
    directions: [Direction; 2],
    remarks: Vec<String>,
}

/// Bytes of one direction in order.
#[derive(Default)]
struct Direction {
    next: Option<u32>,
    /// By sequence number: what came too early.
    pending: BTreeMap<u32, Vec<u8>>,
    sent: bool,
}

impl Flow {
    fn new(segment: &Segment<'_>, at: Duration) -> Self {
        let swapped = segment.syn && segment.ack;
        let (client, server) =
            if swapped { (segment.to, segment.from) } else { (segment.from, segment.to) };
        Self {
            client,
            server,
            certain: segment.syn,
            start: at,
            pieces: Vec::new(),
            directions: [Direction::default(), Direction::default()],
            remarks: Vec::new(),
        }
    }

    /// Whether the segment begins another connection between the same addresses.
    fn ends_for(&self, segment: &Segment<'_>) -> bool {
        segment.syn && !segment.ack && self.directions.iter().any(|direction| direction.sent)
    }

    fn take(&mut self, segment: &Segment<'_>, packet: &Packet) {
        let by_client = segment.from == self.client;
        let direction = &mut self.directions[usize::from(!by_client)];
        if segment.syn {
            direction.next = Some(segment.seq.wrapping_add(1));
            return;
        }
        if segment.data.is_empty() {
            return;
        }
        if packet.cut {
            let remark = "packets were captured in part: capture with -s 0";
            if !self.remarks.iter().any(|known| known == remark) {
                self.remarks.push(remark.to_owned());
            }
        }
        direction.sent = true;
        let sender = if by_client { Sender::Client } else { Sender::Server };
        let at = Some(packet.at.saturating_sub(self.start));
        for bytes in direction.take(segment.seq, segment.data) {
            self.pieces.push((by_client, Piece { sender, at, bytes }));
        }
    }

    /// Whether the first bytes of either direction open a connection of ours, or the port is ours.
    fn is_ours(&self, port: Option<u16>) -> bool {
        let wanted = port.unwrap_or(Address::DEFAULT_PORT);
        if self.client.port() == wanted || self.server.port() == wanted {
            return true;
        }
        port.is_none()
            && [true, false].iter().any(|by_client| {
                let first = self.pieces.iter().find(|(from, _)| from == by_client);
                first.is_some_and(|(_, piece)| {
                    piece.bytes.len() >= 8 && Frame::split_first(&piece.bytes, BODY_MAX).is_ok()
                })
            })
    }

    fn finish(mut self) -> Conversation {
        // Without a SYN the greeting tells: HELLO is kind 01 and comes from the client.
        let greeted = |by_client: bool| {
            let first = self.pieces.iter().find(|(from, _)| *from == by_client);
            first.is_some_and(|(_, piece)| piece.bytes.first() == Some(&1))
        };
        let by_port = self.client.port() == Address::DEFAULT_PORT
            && self.server.port() != Address::DEFAULT_PORT;
        if !self.certain && !greeted(true) && (greeted(false) || by_port) {
            std::mem::swap(&mut self.client, &mut self.server);
            for (by_client, piece) in &mut self.pieces {
                *by_client = !*by_client;
                piece.sender = if *by_client { Sender::Client } else { Sender::Server };
            }
        }
        for direction in &self.directions {
            let missing = direction.pending.values().map(Vec::len).sum::<usize>();
            if missing > 0 {
                self.remarks.push(format!(
                    "the capture has a gap: {missing} bytes behind it are not explained"
                ));
            }
        }
        let title = format!("{} to {}", self.client, self.server);
        let pieces = self.pieces.into_iter().map(|(_, piece)| piece).collect();
        Conversation { title, pieces, remarks: self.remarks }
    }
}

impl Direction {
    /// Returns what has become whole.
    fn take(&mut self, seq: u32, data: &[u8]) -> Vec<Vec<u8>> {
        let next = *self.next.get_or_insert(seq);
        let ahead = seq.wrapping_sub(next);
        if ahead != 0 && ahead < 1 << 31 {
            if self.pending.len() < PENDING_MAX {
                self.pending.insert(seq, data.to_vec());
            }
            return Vec::new();
        }
        let mut whole: Vec<Vec<u8>> = self.append(seq, data).into_iter().collect();
        while let Some(seq) = self.reachable()
            && let Some(data) = self.pending.remove(&seq)
        {
            whole.extend(self.append(seq, &data));
        }
        whole
    }

    /// Adds what is new of a segment that begins at or before the next byte.
    fn append(&mut self, seq: u32, data: &[u8]) -> Option<Vec<u8>> {
        let next = self.next?;
        let known = next.wrapping_sub(seq) as usize;
        let new = data.get(known..).filter(|new| !new.is_empty())?;
        let length = u32::try_from(new.len()).ok()?;
        self.next = Some(next.wrapping_add(length));
        Some(new.to_vec())
    }

    fn reachable(&self) -> Option<u32> {
        let next = self.next?;
        self.pending.keys().copied().find(|seq| next.wrapping_sub(*seq) < 1 << 31)
    }
}

fn segment(packet: &Packet) -> Option<Segment<'_>> {
    let data = packet.data.as_slice();
    let network = match packet.link {
        // Null and loop: a family word whose byte order nobody agrees on.
        0 | 108 => data.get(4..)?,
        1 => ethernet(data)?,
        12 | 14 | 101 | 228 | 229 => data,
        113 => data.get(16..)?,
        276 => data.get(20..)?,
        _ => return None,
    };
    match network.first()? >> 4 {
        4 => ipv4(network),
        6 => ipv6(network),
        _ => None,
    }
}

fn ethernet(data: &[u8]) -> Option<&[u8]> {
    let mut rest = data.get(12..)?;
    loop {
        match *rest.first_chunk()? {
            [0x08, 0x00] | [0x86, 0xDD] => return rest.get(2..),
            // VLAN tags.
            [0x81, 0x00] | [0x88, 0xA8] => rest = rest.get(4..)?,
            _ => return None,
        }
    }
}

fn ipv4(data: &[u8]) -> Option<Segment<'_>> {
    let header = usize::from(data.first()? & 15) * 4;
    let total = usize::from(u16::from_be_bytes(*data.get(2..)?.first_chunk()?));
    let fragment = u16::from_be_bytes(*data.get(6..)?.first_chunk()?) & 0x3FFF;
    if header < 20 || fragment != 0 || *data.get(9)? != 6 {
        return None;
    }
    let address = |at: usize| -> Option<IpAddr> {
        let bytes: [u8; 4] = *data.get(at..)?.first_chunk()?;
        Some(Ipv4Addr::from(bytes).into())
    };
    // Offloading leaves the length zero; the padding of short frames must not count.
    let total = if total == 0 { data.len() } else { total.min(data.len()) };
    tcp(address(12)?, address(16)?, data.get(header..total)?)
}

fn ipv6(data: &[u8]) -> Option<Segment<'_>> {
    let length = usize::from(u16::from_be_bytes(*data.get(4..)?.first_chunk()?));
    let address = |at: usize| -> Option<IpAddr> {
        let bytes: [u8; 16] = *data.get(at..)?.first_chunk()?;
        Some(Ipv6Addr::from(bytes).into())
    };
    let (from, to) = (address(8)?, address(24)?);
    let mut kind = *data.get(6)?;
    let mut rest = data.get(40..)?;
    if length != 0 {
        rest = &rest[..length.min(rest.len())];
    }
    // Hop-by-hop, routing and destination options.
    while matches!(kind, 0 | 43 | 60) {
        let skip = (usize::from(*rest.get(1)?) + 1) * 8;
        kind = *rest.first()?;
        rest = rest.get(skip..)?;
    }
    if kind == 6 { tcp(from, to, rest) } else { None }
}

fn tcp(from: IpAddr, to: IpAddr, data: &[u8]) -> Option<Segment<'_>> {
    let port = |at: usize| Some(u16::from_be_bytes(*data.get(at..)?.first_chunk()?));
    let seq = u32::from_be_bytes(*data.get(4..)?.first_chunk()?);
    let header = usize::from(*data.get(12)? >> 4) * 4;
    let flags = *data.get(13)?;
    Some(Segment {
        from: SocketAddr::new(from, port(0)?),
        to: SocketAddr::new(to, port(2)?),
        seq,
        syn: flags & 2 != 0,
        ack: flags & 16 != 0,
        data: data.get(header.max(20)..)?,
    })
}
