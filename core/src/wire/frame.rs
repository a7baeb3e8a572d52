//! Whole frames: split off a byte stream, decoded, encoded.

use core::fmt;

use super::bytes::Writer;
use super::handshake::{HANDSHAKE_BODY_MAX, check_handshake_len};
use super::header::{CONTINUE_ABORT, CONTINUE_DATA};
use super::{Close, Drain, HEADER_LEN, Header, Hello, MAGIC, MAX_BODY, Op, Probe};
use super::{RequestId, Route, Status, VERSION, Welcome};
use crate::CloseCode;

const BAD_FRAME: CloseCode = CloseCode::BAD_FRAME;
/// A sequenced kind that version 1 does not know and may skip; `GREASE` is the unsequenced one.
const IGNORED_SEQUENCED: u32 = 0xDE;

/// A frame split off a byte stream: its header, its body, and the bytes behind it.
pub type Split<'b> = (Header, &'b [u8], &'b [u8]);

/// A legal frame of version 1; what has a length borrows from the input.
#[derive(Copy, Clone, PartialEq, Eq)]
pub enum Frame<'b> {
    /// The client's first frame.
    Hello(Hello<'b>),
    /// The server's answer that opens the session.
    Welcome(Welcome<'b>),
    /// One step of authentication.
    Auth {
        /// Which step.
        step: u8,
        /// The method's data.
        data: &'b [u8],
    },
    /// Released up to, may send up to; both low halves of positions.
    Ack {
        /// Released up to here.
        ack: u32,
        /// May send up to here.
        limit: u32,
    },
    /// Asks for a PONG.
    Ping(Option<Probe>),
    /// Answers a PING, or is a heartbeat.
    Pong(Option<Probe>),
    /// The sender will go away.
    Drain(Drain<'b>),
    /// The connection ends here.
    Close(Close<'b>),
    /// A best-effort message.
    Note {
        /// Where it goes.
        route: Route,
        /// What it says.
        payload: &'b [u8],
    },
    /// A message, or its first fragment.
    Message {
        /// Where it goes.
        route: Route,
        /// What it says.
        payload: &'b [u8],
        /// Whether fragments follow.
        more: bool,
    },
    /// A request, or its first fragment.
    Request {
        /// The slot the response will name.
        id: RequestId,
        /// Where it goes.
        route: Route,
        /// What it asks.
        payload: &'b [u8],
        /// Whether fragments follow.
        more: bool,
    },
    /// A response, or its first fragment.
    Response {
        /// The slot of the request.
        id: RequestId,
        /// How it ended.
        status: Status,
        /// The answer.
        payload: &'b [u8],
        /// Whether fragments follow.
        more: bool,
    },
    /// The requester lost interest.
    Cancel {
        /// The slot of the request.
        id: RequestId,
        /// Why, as the applications agree.
        reason: u8,
    },
    /// No more sequenced frames from the sender.
    Fin,
    /// The next session key.
    Token {
        /// The number of the key.
        key_id: u8,
        /// The key. It is not shown by `Debug`.
        key: [u8; 16],
    },
    /// The next fragment of the open message.
    Continue {
        /// The fragment, never empty.
        payload: &'b [u8],
        /// Whether fragments follow.
        more: bool,
    },
    /// The open message will not be finished.
    Abort,
    /// Padding.
    Skip,
    /// A kind that says of itself that it may be skipped.
    Ignored {
        /// Whether it counts in the position.
        sequenced: bool,
    },
}

impl<'b> Frame<'b> {
    /// Splits the first frame off `input`: header, body, rest. `None` if it is not all there.
    ///
    /// A frame that cannot be legal is refused as soon as its header is there, whatever its body.
    /// `max_body` is the limit this side announced, in bytes.
    ///
    /// # Errors
    ///
    /// In this order: `BAD_FRAME` for kind zero and for operation 31, `UNKNOWN_CRITICAL` for a
    /// kind that is reserved or unknown and not ignorable, `BAD_LANE` for the lane bit, `BAD_FRAME`
    /// for MORE on a frame that cannot continue, `TOO_LARGE` for a body beyond `max_body`.
    #[inline]
    pub fn split(input: &'b [u8], max_body: u16) -> Result<Option<Split<'b>>, CloseCode> {
        //= FRM-1, FRM-17
        let Some((header, rest)) = input.split_first_chunk() else {
            return Ok(None);
        };
        let header = Header::from_bytes(*header);
        // Looking twice saves time where code costs nothing.
        if usize::BITS <= 32 || !header.is_plain(max_body) {
            header.check(max_body)?;
        }
        let Some((body, rest)) = rest.split_at_checked(usize::from(header.body_len())) else {
            return Ok(None);
        };
        Ok(Some((header, body, rest)))
    }

    /// Like [`split`](Self::split) for the first frame of a connection, which must be HELLO,
    /// WELCOME, AUTH or CLOSE.
    ///
    /// Another protocol is refused at its first byte, or at the first one that is not the magic; a
    /// HELLO or WELCOME that is too short for the magic, at its header.
    ///
    /// # Errors
    ///
    /// `BAD_FRAME` for a kind version 1 does not know, ignorable or not, and for HELLO or WELCOME
    /// without magic; `BAD_STATE` for the other kinds; `TOO_LARGE` also beyond
    /// [`HANDSHAKE_MAX`](super::HANDSHAKE_MAX); otherwise as `split`.
    pub fn split_first(input: &'b [u8], max_body: u16) -> Result<Option<Split<'b>>, CloseCode> {
        Self::check_first(input)?;
        //= HND-4
        let split = Self::split(input, max_body.min(HANDSHAKE_BODY_MAX))?;
        Self::check_magic(input)?;
        Ok(split)
    }

    /// Refuses what cannot begin the first frame of a connection, by its first byte.
    //= HND-1
    pub(crate) fn check_first(input: &[u8]) -> Result<(), CloseCode> {
        const GREETINGS: u32 = 1 << Op::Hello as u8
            | 1 << Op::Welcome as u8
            | 1 << Op::Auth as u8
            | 1 << Op::Close as u8;
        match input.first() {
            Some(kind @ 0..=31) if GREETINGS >> kind & 1 == 1 => Ok(()),
            Some(kind) if Header::from_word(u32::from(*kind)).op().is_some() => {
                Err(CloseCode::BAD_STATE)
            }
            Some(_) => Err(BAD_FRAME),
            None => Ok(()),
        }
    }

    /// Refuses a HELLO or WELCOME that begins, perhaps in mid-header, as none does.
    pub(crate) fn check_magic(input: &[u8]) -> Result<(), CloseCode> {
        const HELLO: u8 = Op::Hello as u8;
        const WELCOME: u8 = Op::Welcome as u8;
        //= HND-2
        match input {
            [HELLO | WELCOME, ..] if !may_have_magic(input) => Err(BAD_FRAME),
            _ => Ok(()),
        }
    }

    /// Reads the frame of this header and body, which [`split`](Self::split) returned.
    ///
    /// # Errors
    ///
    /// What `split` refuses (except for the length, which only has to be that of `body`); then
    /// `BAD_FRAME` for a body that does not fit its kind, a tag that must be zero and is not, and
    /// the reserved routes `0xFC` and `0xFD`; `VERSION` for HELLO and WELCOME in the layout of
    /// another version; and what the `decode` of [`Hello`], [`Welcome`], [`Drain`] and [`Close`]
    /// refuses.
    #[inline]
    pub fn decode(header: Header, body: &'b [u8]) -> Result<Self, CloseCode> {
        // Whole messages outnumber everything else; what is rare can afford the call.
        if header.is_whole(Op::Message) && body.len() == usize::from(header.body_len()) {
            let (route, payload) = Route::split(header.tag(), body)?;
            return Ok(Self::Message { route, payload, more: false });
        }
        Self::decode_any(header, body)
    }

    #[inline(never)]
    fn decode_any(header: Header, body: &'b [u8]) -> Result<Self, CloseCode> {
        if !header.is_plain(MAX_BODY) {
            header.check(MAX_BODY)?;
        }
        if body.len() != usize::from(header.body_len()) {
            return Err(BAD_FRAME);
        }
        //= FRM-7, FRM-13
        match header.op() {
            Some(op) => {
                if is_tagless(op) {
                    header.check_tag()?;
                }
                Self::decode_op(op, header, body)
            }
            // The check let only ignorable kinds pass.
            None => Ok(Self::Ignored { sequenced: header.is_sequenced() }),
        }
    }

    fn decode_op(op: Op, header: Header, body: &'b [u8]) -> Result<Self, CloseCode> {
        let (tag, more) = (header.tag(), header.more());
        //= FRM-12, FRM-19
        match op {
            Op::Hello => Self::decode_hello(version_1(tag, body)?),
            Op::Welcome => Self::decode_welcome(version_1(tag, body)?),
            Op::Drain => Drain::decode(body).map(Self::Drain),
            Op::Close => Close::decode(body).map(Self::Close),
            Op::Auth => {
                check_handshake_len(body)?;
                Ok(Self::Auth { step: tag, data: body })
            }
            Op::Note => {
                let (route, payload) = Route::split(tag, body)?;
                Ok(Self::Note { route, payload })
            }
            Op::Message => {
                let (route, payload) = Route::split(tag, body)?;
                Ok(Self::Message { route, payload, more })
            }
            Op::Request => {
                let (route, body) = Route::split(tag, body)?;
                let (id, payload) = RequestId::split(body)?;
                Ok(Self::Request { id, route, payload, more })
            }
            Op::Response => {
                let (id, payload) = RequestId::split(body)?;
                Ok(Self::Response { id, status: Status(tag), payload, more })
            }
            Op::Ack => header.fields(body).map(|[ack, limit]| Self::Ack { ack, limit }),
            Op::Ping => Probe::read(header, body).map(Self::Ping),
            Op::Pong => Probe::read(header, body).map(Self::Pong),
            Op::Cancel => Ok(Self::Cancel { id: RequestId::only(body)?, reason: tag }),
            Op::Fin => header.fields(body).map(|[]| Self::Fin),
            Op::Token => {
                Ok(Self::Token { key_id: tag, key: body.try_into().map_err(|_| BAD_FRAME)? })
            }
            Op::Continue if header.is_abort(body)? => Ok(Self::Abort),
            Op::Continue => Ok(Self::Continue { payload: body, more }),
            //= FRM-27
            Op::Skip => Ok(Self::Skip),
            //= FRM-26
            Op::Info | Op::Grease => Ok(Self::Ignored { sequenced: false }),
            Op::Grant | Op::Item | Op::RequestStream => Err(CloseCode::UNKNOWN_CRITICAL),
        }
    }

    // The two largest have functions of their own, whose stack is not below all the others.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn decode_hello(body: &'b [u8]) -> Result<Self, CloseCode> {
        // Not by way of `decode`, whose result would lie here and then be copied.
        let mut values = [None; 5];
        let fixed = Hello::read(body, &mut values)?;
        Ok(Self::Hello(Hello::of(fixed, &values)))
    }

    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn decode_welcome(body: &'b [u8]) -> Result<Self, CloseCode> {
        let mut values = [None; 4];
        let fixed = Welcome::read_strictly(body, &mut values)?;
        Ok(Self::Welcome(Welcome::of(fixed, &values)))
    }

    /// Writes the whole frame and returns its size.
    ///
    /// `None` if `out` is too small or the frame is not legal: a body beyond [`MAX_BODY`], an empty
    /// [`Continue`](Self::Continue), an [`Auth`](Self::Auth) beyond
    /// [`HANDSHAKE_MAX`](super::HANDSHAKE_MAX), or what the `encode` of [`Hello`], [`Welcome`] and
    /// [`Drain`] refuses. `out` may have been written to all the same.
    ///
    /// What comes out is read back as an equal frame, except for the reason of a [`Close`], which
    /// may be cut. Nothing is known of the body of an [`Ignored`](Self::Ignored) frame, so it is
    /// written without.
    #[must_use]
    pub fn encode(&self, out: &mut [u8]) -> Option<usize> {
        //= FRM-4, FRM-30
        let mut writer = Writer::new(out);
        let (header, payload): (_, &[u8]) = match *self {
            Self::Hello(ref hello) => return hello.encode(out),
            Self::Welcome(ref welcome) => return welcome.encode(out),
            Self::Drain(ref drain) => return drain.encode(out),
            Self::Close(ref close) => return close.encode(out),
            Self::Auth { step, data } => {
                check_handshake_len(data).ok()?;
                (Header::new(Op::Auth, step, 0), data)
            }
            Self::Ack { ack, limit } => {
                writer.put(&ack.to_le_bytes());
                writer.put(&limit.to_le_bytes());
                (Header::new(Op::Ack, 0, 0), &[])
            }
            Self::Ping(probe) => (encode_probe(&mut writer, Op::Ping, probe), &[]),
            Self::Pong(probe) => (encode_probe(&mut writer, Op::Pong, probe), &[]),
            Self::Note { route, payload } => (routed(&mut writer, Op::Note, route), payload),
            Self::Message { route, payload, more } => {
                (routed(&mut writer, Op::Message, route).with_more(more), payload)
            }
            Self::Request { id, route, payload, more } => {
                let header = routed(&mut writer, Op::Request, route).with_more(more);
                writer.put(&id.0.to_le_bytes());
                (header, payload)
            }
            Self::Response { id, status, payload, more } => {
                writer.put(&id.0.to_le_bytes());
                (Header::new(Op::Response, status.0, 0).with_more(more), payload)
            }
            Self::Cancel { id, reason } => {
                writer.put(&id.0.to_le_bytes());
                (Header::new(Op::Cancel, reason, 0), &[])
            }
            Self::Fin => (Header::new(Op::Fin, 0, 0), &[]),
            Self::Token { key_id, ref key } => (Header::new(Op::Token, key_id, 0), key),
            Self::Continue { payload: [], .. } => return None,
            Self::Continue { payload, more } => {
                (Header::new(Op::Continue, CONTINUE_DATA, 0).with_more(more), payload)
            }
            Self::Abort => (Header::new(Op::Continue, CONTINUE_ABORT, 0), &[]),
            Self::Skip => (Header::new(Op::Skip, 0, 0), &[]),
            Self::Ignored { sequenced: true } => (Header::from_word(IGNORED_SEQUENCED), &[]),
            Self::Ignored { sequenced: false } => (Header::new(Op::Grease, 0, 0), &[]),
        };
        writer.put(payload);
        writer.finish(header)
    }
}

/// The kinds whose tag says nothing and must be zero.
const fn is_tagless(op: Op) -> bool {
    matches!(op, Op::Ack | Op::Ping | Op::Pong | Op::Drain | Op::Close | Op::Fin)
}

/// Lets the bodies of HELLO and WELCOME through if they have the layout of this version.
///
/// Only the magic is known of a layout with another number, so it decides what is refused.
pub(crate) fn version_1(tag: u8, body: &[u8]) -> Result<&[u8], CloseCode> {
    //= HND-5
    match tag {
        VERSION => Ok(body),
        _ if body.starts_with(&MAGIC) => Err(CloseCode::VERSION),
        _ => Err(BAD_FRAME),
    }
}

/// Whether a HELLO or WELCOME that begins like this, perhaps in mid-header, can be one.
fn may_have_magic(input: &[u8]) -> bool {
    let Some((header, body)) = input.split_first_chunk() else {
        return true;
    };
    if Header::from_bytes(*header).frame_size() < HEADER_LEN + MAGIC.len() {
        return false;
    }
    let there = body.get(..MAGIC.len()).unwrap_or(body);
    let word =
        |bytes: &[u8]| bytes.iter().rev().fold(0, |word: u32, byte| word << 8 | u32::from(*byte));
    // What is not there yet is shifted out.
    there.is_empty() || (word(there) ^ word(&MAGIC)) << (32 - 8 * there.len()) == 0
}

/// Writes an AUTH, or a frame that is nothing but this tag and this body, and returns its size;
/// `None` if `out` or the frame is too small for it.
pub(crate) fn encode_simple(op: Op, tag: u8, body: &[u8], out: &mut [u8]) -> Option<usize> {
    if op == Op::Auth {
        check_handshake_len(body).ok()?;
    }
    let mut writer = Writer::new(out);
    writer.put(body);
    writer.finish(Header::new(op, tag, 0))
}

/// Writes a NOTE, as [`encode_simple`].
pub(crate) fn encode_note(route: Route, payload: &[u8], out: &mut [u8]) -> Option<usize> {
    let mut writer = Writer::new(out);
    let header = routed(&mut writer, Op::Note, route);
    writer.put(payload);
    writer.finish(header)
}

fn encode_probe(writer: &mut Writer<'_>, op: Op, probe: Option<Probe>) -> Header {
    if let Some(probe) = probe {
        probe.encode(writer);
    }
    Header::new(op, 0, 0)
}

fn routed(writer: &mut Writer<'_>, op: Op, route: Route) -> Header {
    route.encode(writer);
    Header::new(op, route.tag(), 0)
}

impl fmt::Debug for Frame<'_> {
    /// Leaves keys and credentials out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hello(hello) => hello.fmt(f),
            Self::Welcome(welcome) => welcome.fmt(f),
            Self::Drain(drain) => drain.fmt(f),
            Self::Close(close) => close.fmt(f),
            Self::Auth { step, data: _ } => write!(f, "Auth {{ step: {step}, .. }}"),
            Self::Ack { ack, limit } => write!(f, "Ack {{ ack: {ack}, limit: {limit} }}"),
            Self::Ping(probe) => write!(f, "Ping({probe:?})"),
            Self::Pong(probe) => write!(f, "Pong({probe:?})"),
            Self::Note { route, payload } => {
                write!(f, "Note {{ route: {}, payload: {payload:?} }}", route.get())
            }
            Self::Message { route, payload, more } => {
                let route = route.get();
                write!(f, "Message {{ route: {route}, payload: {payload:?}, more: {more} }}")
            }
            Self::Request { id: RequestId(id), route, payload, more } => {
                write!(f, "Request {{ id: {id}, route: {}, ", route.get())?;
                write!(f, "payload: {payload:?}, more: {more} }}")
            }
            Self::Response { id: RequestId(id), status: Status(status), payload, more } => {
                write!(f, "Response {{ id: {id}, status: {status}, ")?;
                write!(f, "payload: {payload:?}, more: {more} }}")
            }
            Self::Cancel { id: RequestId(id), reason } => {
                write!(f, "Cancel {{ id: {id}, reason: {reason} }}")
            }
            Self::Fin => f.write_str("Fin"),
            Self::Token { key_id, key: _ } => write!(f, "Token {{ key_id: {key_id}, .. }}"),
            Self::Continue { payload, more } => {
                write!(f, "Continue {{ payload: {payload:?}, more: {more} }}")
            }
            Self::Abort => f.write_str("Abort"),
            Self::Skip => f.write_str("Skip"),
            Self::Ignored { sequenced } => write!(f, "Ignored {{ sequenced: {sequenced} }}"),
        }
    }
}
