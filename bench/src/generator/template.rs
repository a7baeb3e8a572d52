//! Frames encoded beforehand.

use super::dialect::{Dialect, EchoWith};
use super::outlast::{self, Op};

/// Frames in a template; also the most requests that can be open on a connection.
pub(super) const COUNT: usize = 128;
/// The route every outlast message of the benchmark takes.
const ROUTE: u8 = 7;

/// msgtrans packet types.
const ONE_WAY: u8 = 0;
const REQUEST: u8 = 1;
const MSGTRANS_HEADER: usize = 16;

/// How a link tells that an answer has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Answers {
    /// Every `n` bytes are one answer.
    Bytes(usize),
    /// Frames have to be read.
    Frames,
}

/// Equal frames back to back, with what to expect for each.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    pub(super) bytes: Vec<u8>,
    /// Bytes of one frame.
    pub(super) frame: usize,
    pub(super) answers: Answers,
    /// Frame `i` holds request id `i`, which is free again only once it is answered.
    pub(super) by_id: bool,
}

impl Template {
    /// Frames that the server answers with their payload.
    pub(super) fn echo(dialect: Dialect, with: EchoWith, size: usize) -> Self {
        let payload = vec![b'e'; size];
        match (dialect, with) {
            (Dialect::Prefix, _) => Self::new(&payload, dialect, prefix),
            (Dialect::Msgtrans, _) => {
                Self::new(&payload, dialect, |out, id, body| msgtrans(out, REQUEST, id, body))
            }
            (Dialect::Outlast, EchoWith::Request) => {
                let mut all = Self::new(&payload, dialect, |out, id, body| {
                    let rid = (id as u16).to_le_bytes();
                    outlast::frame(out, Op::Request, ROUTE, false, &[&rid, body]);
                });
                all.by_id = true;
                all
            }
            (Dialect::Outlast, EchoWith::Message) => Self::message(dialect, size),
        }
    }

    /// One-way frames. A fan-out server sends them to everybody as they are.
    pub(super) fn message(dialect: Dialect, size: usize) -> Self {
        let payload = vec![b'm'; size];
        match dialect {
            Dialect::Prefix => Self::new(&payload, dialect, prefix),
            Dialect::Msgtrans => {
                Self::new(&payload, dialect, |out, id, body| msgtrans(out, ONE_WAY, id, body))
            }
            Dialect::Outlast => Self::new(&payload, dialect, |out, _, body| {
                outlast::frame(out, Op::Message, ROUTE, false, &[body]);
            }),
        }
    }

    /// The shortest thing that the server must answer: an empty echo, or a ping.
    pub(super) fn heartbeat(dialect: Dialect) -> Self {
        match dialect {
            Dialect::Prefix | Dialect::Msgtrans => Self::echo(dialect, EchoWith::Message, 0),
            Dialect::Outlast => Self::new(&[], dialect, |out, _, _| {
                outlast::frame(out, Op::Ping, 0, false, &[]);
            }),
        }
    }

    fn new(payload: &[u8], dialect: Dialect, one: impl Fn(&mut Vec<u8>, u32, &[u8])) -> Self {
        let mut bytes = Vec::new();
        for id in 0..COUNT as u32 {
            one(&mut bytes, id, payload);
        }
        let frame = bytes.len() / COUNT;
        let answers = match dialect {
            Dialect::Prefix | Dialect::Msgtrans => Answers::Bytes(frame),
            Dialect::Outlast => Answers::Frames,
        };
        Self { bytes, frame, answers, by_id: false }
    }

    /// Frame `index`, counted round and round.
    pub(super) fn nth(&self, index: usize) -> &[u8] {
        let at = (index % COUNT) * self.frame;
        &self.bytes[at..at + self.frame]
    }
}

/// One message of any length for one-way traffic, as the frames it takes.
///
/// `max_body` is the longest frame body the peer accepts (outlast only).
pub(super) fn one_way(dialect: Dialect, size: usize, max_body: usize, out: &mut Vec<u8>) {
    let payload = vec![b'o'; size];
    match dialect {
        Dialect::Prefix => prefix(out, 0, &payload),
        Dialect::Msgtrans => msgtrans(out, ONE_WAY, 1, &payload),
        Dialect::Outlast => {
            let pieces = size.div_ceil(max_body).max(1);
            let mut op = Op::Message;
            let mut tag = ROUTE;
            let mut rest = &payload[..];
            for left in (0..pieces).rev() {
                let (piece, later) = rest.split_at(rest.len().div_ceil(left + 1));
                outlast::frame(out, op, tag, left > 0, &[piece]);
                (op, tag, rest) = (Op::Continue, 0, later);
            }
        }
    }
}

fn prefix(out: &mut Vec<u8>, _: u32, payload: &[u8]) {
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes());
    out.extend_from_slice(payload);
}

fn msgtrans(out: &mut Vec<u8>, kind: u8, id: u32, payload: &[u8]) {
    let mut header = [0; MSGTRANS_HEADER];
    header[0] = 1;
    header[2] = kind;
    header[4..8].copy_from_slice(&(id + 1).to_be_bytes());
    header[10..14].copy_from_slice(&(payload.len() as u32).to_be_bytes());
    out.extend_from_slice(&header);
    out.extend_from_slice(payload);
}
