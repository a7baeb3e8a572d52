//! Wire formats of other systems: packets out of bytes and bytes out of packets, nothing else.
//!
//! **There are no sessions here.** None of these formats has positions, acknowledgements or
//! resumption. A packet that was written may have arrived or not, and what was under way when a
//! connection broke is lost without a word. Whoever needs more speaks the native protocol
//! (`outlast-core`); these formats are for peers that exist already, and for machines that will
//! never speak anything else.
//!
//! | name | type | whose it is |
//! |---|---|---|
//! | `length-prefix` | [`LengthPrefix`] | pyrocketmq's transport, and many others |
//! | `rocketmq` | [`RocketMq`] | RocketMQ's remoting commands on top of it |
//! | `ltv`, `tlv`, `htlv` | [`Ltv`], [`Tlv`], [`Htlv`] | Paguma and zinx |
//! | `ndjson` | [`Ndjson`] | Chat-Room: a JSON object on each line |
//! | `msgtrans` | [`MsgTrans`] | msgtrans over TCP |
//! | `length-field`, `delimiter` | [`LengthField`], [`Delimiter`] | devices, lines, end marks |
//! | `fixed`, `raw` | [`Fixed`], [`Raw`] | packets of one size, and no framing at all |
//!
//! Each module has the table of its bytes. All of them are a [`Format`], so that one driver runs
//! them all; [`AnyFormat`] is one of them, chosen by name. Like the protocol's core this crate has
//! no sockets, no clock and no tasks; it needs a heap, for what it writes and for payloads that
//! were compressed.
//!
//! # Is it this crate that you want?
//!
//! For bytes in memory, a driver of your own, or a machine with nothing but a heap: yes. For
//! connections over TCP take a runtime (`outlast-tokio`, `outlast-async-std`, `outlast-std`) with
//! its feature `formats`: its module `plain` has servers and clients that speak any of these, with
//! limits, heartbeats, requests and the same handlers as sessions have.
//!
//! # A connection
//!
//! ```
//! use outlast_formats::{End, Format, Ltv, Packet, Step};
//!
//! // What a driver does with the bytes of one connection.
//! fn echo(format: &mut impl Format, input: &[u8], out: &mut Vec<u8>) -> usize {
//!     let mut at = 0;
//!     loop {
//!         match format.decode(&input[at..]).expect("the peer keeps the format") {
//!             // The driver would read on, until there are that many bytes.
//!             Step::Need(_) => return at,
//!             Step::Packet { packet, taken } => {
//!                 format.encode(&packet, out).expect("what came can be sent");
//!                 at += taken;
//!             }
//!             Step::Skip(taken) | Step::Bad { taken, .. } => at += taken,
//!         }
//!     }
//! }
//!
//! let (mut format, mut input, mut output) = (Ltv::default(), Vec::new(), Vec::new());
//! format.encode(&Packet::one_way(1, b"ping"), &mut input)?;
//! assert_eq!(input, *b"\x04\0\0\0\x01\0\0\0ping");
//! let taken = echo(&mut format, &input, &mut output);
//! assert_eq!((taken, &output), (12, &input));
//!
//! // The same bytes in two reads: the first is no packet yet, and would be half of one at the end.
//! assert_eq!(format.decode(&input[..9])?, Step::Need(12));
//! assert_eq!(format.end(&input[..9])?, End::Truncated { have: 9, need: 12 });
//! # Ok::<(), outlast_formats::FormatError>(())
//! ```
//!
//! # By name
//!
//! What a configuration says becomes a format, or an error that says what would do:
//!
//! ```
//! use outlast_formats::{AnyFormat, Format, FormatKind, Options, Packet};
//!
//! let mut options = Options::default();
//! options.set("max", "64")?;
//! let mut format = AnyFormat::new("tlv".parse::<FormatKind>()?, &options)?;
//! let mut out = Vec::new();
//! format.encode(&Packet::one_way(7, b"hello"), &mut out).expect("it is short");
//! assert_eq!(out, *b"\0\0\0\x07\0\0\0\x05hello");
//!
//! // Beyond the limit nothing is written, and the connection goes on.
//! assert!(format.encode(&Packet::one_way(7, &[0; 65]), &mut out).is_err());
//! assert_eq!(out.len(), 13);
//! // An option that the format does not have is refused, and not ignored.
//! options.set("size", "3")?;
//! assert!(AnyFormat::new(FormatKind::Tlv, &options).is_err());
//! # Ok::<(), outlast_formats::ConfigError>(())
//! ```
//!
//! # Limits
//!
//! Every format has a limit on what a packet may be. By default it is 1 MiB where a length stands
//! in front ([`LengthPrefix`], [`LengthField`], [`RocketMq`]) and for a line of [`Ndjson`], 16 MiB
//! for [`MsgTrans`], 64 KiB for what ends with a mark ([`Delimiter`]) and 4 KiB for [`Tlv`] and
//! [`Ltv`]. It can be set, up to [`LIMIT_MAX`] or what the format itself can say. A length beyond
//! it is refused from the header, before memory is taken for the rest; what is compressed is
//! unpacked no further than that. [`Format::max_input`] is the buffer that is always enough.
//!
//! # Errors
//!
//! [`FormatError::fault`] says whose fault it is. [`Fault::Peer`]: where the next packet begins is
//! no longer known, close the connection; unless it came in a [`Step::Bad`], which says where.
//! [`Fault::Local`]: nothing was written, go on. A [`ConfigError`] comes when a format is made.
//!
//! # What is promised, and what is not
//!
//! * The bytes are those of the systems themselves, in both directions; where these differ among
//!   themselves, the module says which one it is.
//! * Any division of the same bytes gives the same packets, and each byte is looked at a bounded
//!   number of times. Hostile bytes are errors and never a panic.
//! * Not that a packet arrives, nor that two ends agree on what its payload means.
//!
//! # Features
//!
//! | feature | what for | what it adds |
//! |---|---|---|
//! | `zlib` (default) | payloads of msgtrans compressed with zlib | `miniz_oxide` |
//! | `zstd` | payloads of msgtrans compressed with zstd | `ruzstd` |
//!
//! `no_std` with a heap. `memchr` is always there. Rust 1.91 or newer. `docs/formats.md` of the
//! repository has every option, and `docs/moving.md` says how to come from there to sessions.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod any;
mod bytes;
pub mod delimiter;
mod error;
pub mod fixed;
pub mod htlv;
pub mod json;
pub mod length_field;
mod lines;
pub mod msgtrans;
pub mod ndjson;
mod options;
mod packet;
pub mod prefix;
pub mod rocketmq;
pub mod tlv;

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::time::Duration;

pub use any::{AnyFormat, FormatKind};
pub use delimiter::{Delimiter, DelimiterConfig};
pub use error::{ConfigError, Fault, FormatError, LIMIT_MAX};
pub use fixed::{Fixed, Raw};
pub use htlv::{Htlv, HtlvConfig};
pub use length_field::{Endian, LengthField, LengthFieldConfig};
pub use lines::Overlong;
pub use msgtrans::{MsgTrans, MsgTransConfig};
pub use ndjson::{Ndjson, NdjsonConfig};
pub use options::Options;
pub use packet::{Compression, End, Extra, Key, Kind, Packet, Step};
pub use prefix::LengthPrefix;
pub use rocketmq::{RocketMq, RocketMqConfig};
pub use tlv::{Ltv, Tlv, TlvConfig};

/// One wire format and its state on one connection.
///
/// `decode` and `end` are about what comes, the others about what goes. They share nothing but the
/// configuration, so a connection may also use one value for each direction.
///
/// Every connection has a value of its own: a decoder may remember how far it has looked, and what
/// it is skipping.
pub trait Format: Send + 'static {
    /// What the first bytes of `input` are.
    ///
    /// `input` begins behind what was taken before, and holds at least what it held at the last
    /// call: after [`Step::Need`] come the same bytes again with more behind them. A driver that
    /// follows `Need` never holds more than [`max_input`](Self::max_input) bytes, and bytes are
    /// looked at a bounded number of times, however they are divided.
    ///
    /// # Errors
    ///
    /// What ends the connection. A length beyond the limit is one as soon as it can be read. After
    /// an error the format is of no further use for decoding.
    fn decode<'b>(&mut self, input: &'b [u8]) -> Result<Step<'b>, FormatError>;

    /// What it means that the stream ends with `rest` not taken.
    ///
    /// # Errors
    ///
    /// [`FormatError::Undecoded`] if `decode` would have taken something of `rest`, and what
    /// `decode` says.
    fn end<'b>(&mut self, rest: &'b [u8]) -> Result<End<'b>, FormatError> {
        if rest.is_empty() {
            return Ok(End::Clean);
        }
        match self.decode(rest)? {
            Step::Need(need) => Ok(End::Truncated { have: rest.len(), need }),
            Step::Packet { .. } | Step::Skip(_) | Step::Bad { .. } => Err(FormatError::Undecoded),
        }
    }

    /// Appends the bytes of `packet` to `out`.
    ///
    /// # Errors
    ///
    /// What this format, or a peer with the same configuration, could not read. `out` is then as
    /// it was, and the connection goes on.
    fn encode(&mut self, packet: &Packet<'_>, out: &mut Vec<u8>) -> Result<(), FormatError>;

    /// How many bytes `decode` ever wants to see at once: the size of a buffer that is enough.
    fn max_input(&self) -> usize;

    /// The packet that answers `to`, as far as the format ties answers to what they answer.
    ///
    /// It has the same key and correlation; a request becomes a response. Where the payload itself
    /// says what it is (a name in a JSON object), the key is left to it.
    fn reply<'b>(&self, to: &Packet<'_>, payload: Cow<'b, [u8]>) -> Packet<'b> {
        let kind = match to.kind {
            Kind::Request => Kind::Response,
            kind @ (Kind::OneWay | Kind::Response | Kind::Heartbeat) => kind,
        };
        let key = match to.key {
            Key::Id(id) => Key::Id(id),
            Key::None | Key::Name(_) => Key::None,
        };
        Packet { kind, key, correlation: to.correlation, payload, extra: Extra::None }
    }

    /// Appends a sign of life. The end that accepted the connection answers with one to each that
    /// comes; the end that dialled does not, for that would never end.
    ///
    /// Returns whether the format has one.
    ///
    /// # Errors
    ///
    /// As for [`encode`](Self::encode).
    fn encode_heartbeat(
        &mut self,
        beat: &Beat<'_>,
        out: &mut Vec<u8>,
    ) -> Result<bool, FormatError> {
        let _ = (beat, out);
        Ok(false)
    }

    /// Appends what tells the peer of a failure: about a packet, or about bytes that were none.
    ///
    /// Returns whether the format has such a thing. Where it has not, the peer learns of nothing,
    /// as from the originals.
    ///
    /// # Errors
    ///
    /// As for [`encode`](Self::encode).
    fn encode_failure(
        &mut self,
        failure: &Failure<'_>,
        about: Option<&Packet<'_>>,
        out: &mut Vec<u8>,
    ) -> Result<bool, FormatError> {
        let _ = (failure, about, out);
        Ok(false)
    }

    /// The next `count` bytes that `decode` has not taken are no packets: they come as they are,
    /// in pieces, with [`Extra::Raw`].
    ///
    /// # Errors
    ///
    /// [`FormatError::Unrepresentable`] where the format has nothing like it.
    fn expect_raw(&mut self, count: u64) -> Result<(), FormatError> {
        let _ = count;
        Err(FormatError::Unrepresentable("raw bytes between packets"))
    }
}

/// What a heartbeat may say.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Default)]
pub struct Beat<'a> {
    /// This end's address.
    pub local: &'a str,
    /// The other end's address.
    pub remote: &'a str,
    /// Time since 1970-01-01 UTC.
    pub unix: Duration,
}

/// What is told of a failure.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct Failure<'a> {
    /// What happened.
    pub cause: Cause,
    /// Words for it. Without them the format's own are used, which reveal nothing.
    pub text: Option<&'a str>,
    /// Time since 1970-01-01 UTC.
    pub unix: Duration,
}

/// Why something was not done.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The bytes are no packet, or its payload is not what its receiver takes.
    Malformed(FormatError),
    /// Nobody takes packets of this key.
    NoRoute,
    /// The peer may not do this, or not yet.
    Denied,
    /// There is too much to do.
    Busy,
    /// It took too long.
    TimedOut,
    /// Whoever took it failed.
    Failed,
}

/// A packet of a format that knows nothing but payloads.
#[inline]
fn need_plain(packet: &Packet<'_>) -> Result<(), FormatError> {
    need_kind(packet)?;
    if packet.key == Key::None { Ok(()) } else { Err(FormatError::Unrepresentable("a key")) }
}

/// A packet of a format that knows no requests.
#[inline]
fn need_kind(packet: &Packet<'_>) -> Result<(), FormatError> {
    if packet.kind != Kind::OneWay {
        return Err(FormatError::Unrepresentable("a kind of packet"));
    }
    if packet.correlation.is_some() {
        return Err(FormatError::Unrepresentable("a correlation"));
    }
    match packet.extra {
        Extra::None => Ok(()),
        Extra::Raw { .. } | Extra::MsgTrans { .. } | Extra::Htlv { .. } | Extra::RocketMq(_) => {
            Err(FormatError::Unrepresentable("what another format has"))
        }
    }
}
