//! A capture in the classic pcap format: IP and TCP headers are made up around what went by.
//!
//! Every packet is written as a whole at once, so that the file of a program that is killed can be
//! read up to its end.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::inspect::is_capture;

/// Packets begin with an IP header.
const LINK_RAW: u32 = 101;
/// The most of a stream that goes into one packet.
const SEGMENT: usize = 32 << 10;

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;

/// What is kept so far. Once nothing more can be written, nothing more is.
#[derive(Debug)]
pub(super) struct Capture {
    name: String,
    /// Bytes that the file may have.
    limit: u64,
    file: Mutex<Option<Open>>,
    /// There is no file any more: nobody has to make packets for it.
    is_over: AtomicBool,
}

/// The file, and how many bytes of it are whole packets.
#[derive(Debug)]
struct Open {
    file: File,
    len: u64,
}

impl Capture {
    /// A capture of at most `limit` bytes at `path`, in place of one that was there.
    pub(super) fn create(path: &Path, limit: u64) -> io::Result<Self> {
        let mut open = Open { file: open(path)?, len: 0 };
        let mut head = Vec::new();
        for word in [0xA1B2_C3D4, 0x0004_0002, 0, 0, u32::from(u16::MAX), LINK_RAW] {
            head.extend_from_slice(&u32::to_le_bytes(word));
        }
        open.write(&head)?;
        let (name, file) = (path.display().to_string(), Mutex::new(Some(open)));
        Ok(Self { name, limit, file, is_over: AtomicBool::new(false) })
    }

    /// A connection that begins now; `client`: this end has opened it.
    pub(super) fn stream(
        self: &Arc<Self>,
        local: SocketAddr,
        remote: SocketAddr,
        client: bool,
    ) -> Stream {
        let ends = [local, remote].map(|address| End { address, next: 1, over: false });
        let mut stream = Stream { capture: Arc::clone(self), ends };
        let (opener, other) = if client { (0, 1) } else { (1, 0) };
        stream.packet(opener, SYN, &[]);
        stream.packet(other, SYN | ACK, &[]);
        stream.packet(opener, ACK, &[]);
        stream
    }

    fn write(&self, packet: &[u8]) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let len = u32::try_from(packet.len()).unwrap_or(u32::MAX);
        let seconds = u32::try_from(now.as_secs()).unwrap_or(u32::MAX);
        let mut record = Vec::with_capacity(16 + packet.len());
        for word in [seconds, now.subsec_micros(), len, len] {
            record.extend_from_slice(&word.to_le_bytes());
        }
        record.extend_from_slice(packet);
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(open) = &mut *file else {
            return;
        };
        let name = &self.name;
        let why = if open.len + record.len() as u64 > self.limit {
            format!("it has {} bytes, and --pcap-limit is {}", open.len, self.limit)
        } else if let Err(error) = open.write(&record) {
            error.to_string()
        } else {
            return;
        };
        *file = None;
        self.is_over.store(true, Ordering::Relaxed);
        eprintln!("the capture {name} ends here, and everything else goes on: {why}");
    }
}

impl Open {
    fn write(&mut self, whole: &[u8]) -> io::Result<()> {
        if let Err(error) = self.file.write_all(whole) {
            // A part of a packet would be all that readers complain about. A pipe has no length.
            let _ = self.file.set_len(self.len);
            return Err(error);
        }
        self.len += whole.len() as u64;
        Ok(())
    }
}

/// Opens what is a capture, empty, or not there yet: a name that was mistyped must not cost a file.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let is_file = fs::metadata(path).is_ok_and(|known| known.is_file() && known.len() > 0);
    if is_file {
        let mut start = Vec::new();
        File::open(path)?.take(4).read_to_end(&mut start)?;
        if !is_capture(&start) {
            return Err(io::Error::other("this is no capture, and stays what it is"));
        }
    }
    let file = options.open(path)?;
    if file.metadata()?.is_file() {
        // A mode is given to new files alone, and there are keys in it.
        #[cfg(unix)]
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        file.set_len(0)?;
    }
    Ok(file)
}

/// One end of a connection.
#[derive(Debug)]
struct End {
    address: SocketAddr,
    /// The number of its next byte.
    next: u32,
    /// It has said its last.
    over: bool,
}

/// A connection in a capture: this end first.
#[derive(Debug)]
pub(super) struct Stream {
    capture: Arc<Capture>,
    ends: [End; 2],
}

impl Stream {
    pub(super) fn sent(&mut self, bytes: &[u8]) {
        bytes.chunks(SEGMENT).for_each(|segment| self.packet(0, PSH | ACK, segment));
    }

    pub(super) fn received(&mut self, bytes: &[u8]) {
        bytes.chunks(SEGMENT).for_each(|segment| self.packet(1, PSH | ACK, segment));
    }

    /// This end says no more.
    pub(super) fn finished(&mut self) {
        self.end(0, FIN | ACK);
    }

    /// The other end says no more.
    pub(super) fn ended(&mut self) {
        self.end(1, FIN | ACK);
    }

    /// The connection has failed.
    pub(super) fn broken(&mut self) {
        self.end(1, RST | ACK);
        self.ends[0].over = true;
    }

    /// This end breaks it.
    pub(super) fn cut(&mut self) {
        self.end(0, RST | ACK);
        self.ends[1].over = true;
    }

    fn end(&mut self, from: usize, flags: u8) {
        if !self.ends[from].over {
            self.packet(from, flags, &[]);
            self.ends[from].over = true;
        }
    }

    fn packet(&mut self, from: usize, flags: u8, data: &[u8]) {
        if self.capture.is_over.load(Ordering::Relaxed) {
            return;
        }
        let [source, target] = [&self.ends[from], &self.ends[1 - from]];
        let sequence = source.next.wrapping_sub(u32::from(flags & SYN != 0));
        let expected = if flags & ACK == 0 { 0 } else { target.next };
        let mut tcp = Vec::with_capacity(20 + data.len());
        for end in [source, target] {
            tcp.extend_from_slice(&end.address.port().to_be_bytes());
        }
        tcp.extend_from_slice(&sequence.to_be_bytes());
        tcp.extend_from_slice(&expected.to_be_bytes());
        tcp.extend_from_slice(&[0x50, flags, 0xFF, 0xFF, 0, 0, 0, 0]);
        tcp.extend_from_slice(data);
        let (source, target) = (source.address.ip(), target.address.ip());
        let pseudo = pseudo_header(source, target, tcp.len());
        let sum = checksum(&[&pseudo, &tcp]);
        tcp[16..18].copy_from_slice(&sum.to_be_bytes());
        let mut packet = ip_header(source, target, tcp.len());
        packet.append(&mut tcp);
        self.capture.write(&packet);
        let counted = data.len() as u32 + u32::from(flags & FIN != 0);
        self.ends[from].next = self.ends[from].next.wrapping_add(counted);
    }
}

/// The connection is gone.
impl Drop for Stream {
    fn drop(&mut self) {
        self.finished();
    }
}

/// Both addresses in one family: an IPv4 address beside one of IPv6 is mapped.
fn octets(source: IpAddr, target: IpAddr) -> (Vec<u8>, bool) {
    if let (IpAddr::V4(source), IpAddr::V4(target)) = (source, target) {
        return ([source.octets(), target.octets()].concat(), true);
    }
    let wide = |address: IpAddr| match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    };
    ([wide(source), wide(target)].concat(), false)
}

fn ip_header(source: IpAddr, target: IpAddr, payload: usize) -> Vec<u8> {
    let (addresses, is_v4) = octets(source, target);
    let mut header = Vec::with_capacity(40);
    if is_v4 {
        header.extend_from_slice(&[0x45, 0]);
        header.extend_from_slice(&(20 + payload as u16).to_be_bytes());
        header.extend_from_slice(&[0, 0, 0x40, 0, 64, 6, 0, 0]);
        header.extend_from_slice(&addresses);
        let sum = checksum(&[&header]);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
    } else {
        header.extend_from_slice(&[0x60, 0, 0, 0]);
        header.extend_from_slice(&(payload as u16).to_be_bytes());
        header.extend_from_slice(&[6, 64]);
        header.extend_from_slice(&addresses);
    }
    header
}

/// What TCP's checksum covers besides the segment (RFC 9293, RFC 8200).
fn pseudo_header(source: IpAddr, target: IpAddr, len: usize) -> Vec<u8> {
    let (mut header, is_v4) = octets(source, target);
    if is_v4 {
        header.extend_from_slice(&[0, 6]);
        header.extend_from_slice(&(len as u16).to_be_bytes());
    } else {
        header.extend_from_slice(&(len as u32).to_be_bytes());
        header.extend_from_slice(&[0, 0, 0, 6]);
    }
    header
}

/// The Internet checksum (RFC 1071) over all parts; all but the last have even lengths.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u32;
    for pair in parts.iter().flat_map(|part| part.chunks(2)) {
        let low = pair.get(1).copied().unwrap_or(0);
        sum += u32::from(u16::from_be_bytes([pair[0], low]));
    }
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests;
