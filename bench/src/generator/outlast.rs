//! The client's half of outlast wire version 1, written down again from its description so that
//! the generator shares no code with what it measures.

use std::io;

/// Our limit on the server's silence in ordinary runs, in ms: long enough that no beat falls
/// into a run.
pub(crate) const SILENCE_LIMIT_MS: u32 = 60_000;

const HEADER: usize = 4;
const MAX_BODY: u16 = 16_383;
/// Bytes the server may send ahead of our acknowledgement.
const WINDOW: u32 = 1 << 20;
const MAGIC: &[u8; 4] = b"OUTL";
const WANTS_SESSION: u16 = 2;
/// Fixed part of HELLO and WELCOME.
const GREETING: usize = 36;

/// Kind bytes the generator sends or understands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Op {
    Hello = 0x01,
    Welcome = 0x02,
    Ack = 0x08,
    Ping = 0x09,
    Pong = 0x0A,
    Close = 0x0D,
    Message = 0x80,
    Request = 0x81,
    Response = 0x82,
    Continue = 0x8F,
}

impl Op {
    const fn from_kind(kind: u8) -> Option<Self> {
        Some(match kind {
            0x01 => Self::Hello,
            0x02 => Self::Welcome,
            0x08 => Self::Ack,
            0x09 => Self::Ping,
            0x0A => Self::Pong,
            0x0D => Self::Close,
            0x80 => Self::Message,
            0x81 => Self::Request,
            0x82 => Self::Response,
            0x8F => Self::Continue,
            _ => return None,
        })
    }
}

/// Appends one frame whose body is `parts` in a row.
pub(super) fn frame(out: &mut Vec<u8>, op: Op, tag: u8, more: bool, parts: &[&[u8]]) {
    let body: usize = parts.iter().map(|part| part.len()).sum();
    debug_assert!(body <= usize::from(MAX_BODY));
    let len = body as u16 | u16::from(more) << 14;
    out.extend_from_slice(&[op as u8, tag]);
    out.extend_from_slice(&len.to_le_bytes());
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// HELLO for a new session; `silence_ms` is our limit on the server's silence.
pub(super) fn hello(silence_ms: u32) -> Vec<u8> {
    let mut body = Vec::with_capacity(GREETING);
    body.extend_from_slice(MAGIC);
    body.extend_from_slice(&[1, 1]);
    body.extend_from_slice(&WANTS_SESSION.to_le_bytes());
    body.extend_from_slice(&MAX_BODY.to_le_bytes());
    body.extend_from_slice(&16u16.to_le_bytes()); // requests the server may have open with us
    body.extend_from_slice(&silence_ms.to_le_bytes());
    body.extend_from_slice(&5_000u32.to_le_bytes()); // fastest we beat, ms
    body.extend_from_slice(&WINDOW.to_le_bytes());
    body.extend_from_slice(&(1u32 << 20).to_le_bytes()); // longest message, bytes
    body.extend_from_slice(&600u32.to_le_bytes()); // retention, s
    body.extend_from_slice(&WINDOW.to_le_bytes()); // our send buffer
    let mut out = Vec::new();
    frame(&mut out, Op::Hello, 1, false, &[&body]);
    out
}

/// What one call of [`Wire::input`] brought.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Arrived {
    /// Whole messages and responses.
    pub(crate) replies: u32,
    /// PONGs: answers to pings, and beats.
    pub(crate) beats: u32,
    /// The handshake ended well.
    pub(crate) welcomed: bool,
    /// The peer has ended its direction.
    pub(crate) closed: bool,
}

/// The session as the generator keeps it.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) welcomed: bool,
    /// Longest body the server accepts.
    pub(super) max_body: u16,
    /// Requests the server lets us have open.
    pub(super) max_requests: u16,
    /// Position behind the last sequenced byte handed to the socket.
    pub(super) sent: u64,
    /// Up to where the server has released.
    pub(super) acked: u64,
    /// Up to where we may send.
    pub(super) limit: u64,
    received: u64,
    reported: u64,
    report_step: u64,
    /// Begin of a frame whose end has not come.
    tail: Vec<u8>,
    /// Request ids that are answered.
    pub(super) free: Vec<u16>,
}

impl Wire {
    pub(super) const fn new() -> Self {
        Self {
            welcomed: false,
            max_body: 0,
            max_requests: 0,
            sent: 0,
            acked: 0,
            limit: 0,
            received: 0,
            reported: 0,
            report_step: 0,
            tail: Vec::new(),
            free: Vec::new(),
        }
    }

    /// Takes what came in and appends to `out` what the protocol obliges us to answer.
    pub(super) fn input(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> io::Result<Arrived> {
        let mut arrived = Arrived::default();
        if self.tail.is_empty() {
            let used = self.frames(bytes, out, &mut arrived)?;
            self.tail.extend_from_slice(&bytes[used..]);
        } else {
            let mut all = core::mem::take(&mut self.tail);
            all.extend_from_slice(bytes);
            let used = self.frames(&all, out, &mut arrived)?;
            self.tail.extend_from_slice(&all[used..]);
        }
        if self.tail.is_empty() {
            self.tail = Vec::new();
        }
        if self.received - self.reported >= self.report_step && self.welcomed {
            self.report(out);
        }
        Ok(arrived)
    }

    /// Appends an ACK if there is anything new to tell.
    pub(super) fn report(&mut self, out: &mut Vec<u8>) {
        if self.reported != self.received {
            self.reported = self.received;
            let [ack, limit] = self.positions();
            frame(out, Op::Ack, 0, false, &[&ack, &limit]);
        }
    }

    fn positions(&self) -> [[u8; 4]; 2] {
        let limit = self.received.wrapping_add(u64::from(WINDOW));
        [(self.received as u32).to_le_bytes(), (limit as u32).to_le_bytes()]
    }

    fn frames(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        arrived: &mut Arrived,
    ) -> io::Result<usize> {
        let mut rest = bytes;
        while let Some((header, behind)) = rest.split_first_chunk::<HEADER>() {
            let word = u32::from_le_bytes(*header);
            let len = (word >> 16 & 0x3fff) as usize;
            let Some((body, behind)) = behind.split_at_checked(len) else {
                break;
            };
            self.one(word, body, out, arrived)?;
            rest = behind;
        }
        Ok(bytes.len() - rest.len())
    }

    #[inline]
    fn one(
        &mut self,
        word: u32,
        body: &[u8],
        out: &mut Vec<u8>,
        arrived: &mut Arrived,
    ) -> io::Result<()> {
        let kind = word as u8;
        let more = word >> 30 & 1 != 0;
        if kind & 0x80 != 0 {
            self.received += (HEADER + body.len()) as u64;
        }
        match Op::from_kind(kind) {
            Some(Op::Response) => {
                self.free.push(u16_at(body, 0)?);
                arrived.replies += u32::from(!more);
            }
            Some(Op::Message | Op::Continue) => arrived.replies += u32::from(!more),
            Some(Op::Ack) => self.credit(u32_at(body, 0)?, u32_at(body, 4)?),
            Some(Op::Ping) => self.ping(body, out)?,
            Some(Op::Pong) => {
                arrived.beats += 1;
                if !body.is_empty() {
                    self.credit(u32_at(body, 8)?, u32_at(body, 12)?);
                }
            }
            Some(Op::Welcome) => {
                self.welcome(body)?;
                // The first frame behind WELCOME confirms that the session's name arrived.
                let [ack, limit] = self.positions();
                frame(out, Op::Ack, 0, false, &[&ack, &limit]);
                arrived.welcomed = true;
            }
            Some(Op::Close) => return Err(closed(body)),
            Some(Op::Request | Op::Hello) => {
                return Err(io::Error::other(format!("unexpected frame kind {kind:#04x}")));
            }
            // TOKEN, SKIP, DRAIN, INFO: nothing that a benchmark acts on.
            None => {}
        }
        Ok(())
    }

    fn credit(&mut self, ack: u32, limit: u32) {
        self.acked += u64::from(ack.wrapping_sub(self.acked as u32));
        let more = limit.wrapping_sub(self.limit as u32);
        if more < 1 << 31 {
            self.limit += u64::from(more);
        }
    }

    fn ping(&mut self, body: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        if body.is_empty() {
            frame(out, Op::Pong, 0, false, &[]);
            return Ok(());
        }
        self.credit(u32_at(body, 8)?, u32_at(body, 12)?);
        self.reported = self.received;
        let [ack, limit] = self.positions();
        let tx = (self.sent as u32).to_le_bytes();
        frame(out, Op::Pong, 0, false, &[&body[..4], &tx, &ack, &limit]);
        Ok(())
    }

    fn welcome(&mut self, body: &[u8]) -> io::Result<()> {
        if body.len() < GREETING || !body.starts_with(MAGIC) {
            return Err(io::Error::other("malformed WELCOME"));
        }
        self.welcomed = true;
        self.max_body = u16_at(body, 8)?;
        self.max_requests = u16_at(body, 10)?;
        self.limit = u64::from(u32_at(body, 20)?);
        let send_buffer = u32_at(body, 32)?;
        self.report_step = u64::from((WINDOW / 4).min(send_buffer / 2).max(1));
        Ok(())
    }
}

fn closed(body: &[u8]) -> io::Error {
    let code = u16_at(body, 0).unwrap_or_default();
    let reason = String::from_utf8_lossy(body.get(8..).unwrap_or_default()).into_owned();
    io::Error::other(format!("the server closed with {code:#06x} {reason:?}"))
}

fn u16_at(body: &[u8], at: usize) -> io::Result<u16> {
    let bytes = body.get(at..).and_then(|rest| rest.first_chunk());
    bytes.map(|b| u16::from_le_bytes(*b)).ok_or_else(|| io::Error::other("short frame body"))
}

fn u32_at(body: &[u8], at: usize) -> io::Result<u32> {
    let bytes = body.get(at..).and_then(|rest| rest.first_chunk());
    bytes.map(|b| u32::from_le_bytes(*b)).ok_or_else(|| io::Error::other("short frame body"))
}
