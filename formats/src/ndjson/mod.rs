//! A JSON object on each line: Chat-Room.
//!
//! | bytes | what they are |
//! |---|---|
//! | an object, UTF-8, without a newline | the packet; its `message_type` is what it is routed by |
//! | `0d`, or not | a carriage return is not part of the packet |
//! | `0a` | the end of the line |
//!
//! Lines may be empty or blank, and those that are not UTF-8 are passed over, as in the original. A
//! line that is no object with a `message_type` is a [`Step::Bad`]: the connection stays open, and
//! [`Format::encode_failure`] writes what the original answers (1008, or 1009 for JSON that is no
//! object). The original's lines have no limit; here they have, 1 MiB unless configured, and what
//! is longer ends the connection or is passed over as well. Whether the object has the fields its
//! handler wants is the handler's to say: [`Cause::Malformed`].
//!
//! The payload is the whole line. [`Envelope`] writes one as the original does, with `", "` and
//! `": "`, and [`Head`] reads what all have.
//!
//! `heartbeat` is a type of the original that its server does not know, so that it answers with an
//! error. Here it is a heartbeat and is answered with one, unless [`NdjsonConfig::heartbeats`] is
//! turned off.
//!
//! # Files
//!
//! Once `file_upload_response` is sent, the next `file_size` bytes are the file:
//! [`Format::expect_raw`]. They come in pieces, as they arrive. In the other direction the original
//! sends [`FILE_START`], the bytes, and [`FILE_END`]; a receiver that knows the size expects
//! `FILE_START.len() + size + FILE_END.len()` raw bytes, whatever the file holds. A packet with
//! [`Extra::Raw`] is written as it is.

mod envelope;

use alloc::vec::Vec;

use memchr::memchr;

use crate::error::{ConfigError, FormatError, limit};
use crate::json::{Json, object};
use crate::lines::{Line, Lines, Overlong};
use crate::packet::{End, Extra, Key, Kind, Packet, Step};
use crate::{Beat, Cause, Failure, Format};

pub use envelope::{Envelope, Head};

/// What the original writes before a file.
pub const FILE_START: &[u8] = b"===FILE_DATA_START===\n";
/// What the original writes behind a file.
pub const FILE_END: &[u8] = b"\n===FILE_DATA_END===\n";

const HEARTBEAT: &str = "heartbeat";

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NdjsonConfig {
    /// The longest line in bytes, without its newline.
    pub max: usize,
    /// What happens to a longer one.
    pub overlong: Overlong,
    /// Whether objects of type `heartbeat` are heartbeats.
    pub heartbeats: bool,
}

impl NdjsonConfig {
    /// Lines of up to 1 MiB.
    pub const DEFAULT: Self = Self { max: 1 << 20, overlong: Overlong::Close, heartbeats: true };
}

/// JSON objects on lines. It remembers how far it has looked, and how many bytes are no lines.
#[derive(Debug, Clone)]
pub struct Ndjson {
    config: NdjsonConfig,
    lines: Lines,
    raw: u64,
}

impl Ndjson {
    /// As configured.
    ///
    /// # Errors
    ///
    /// A limit of zero or beyond [`LIMIT_MAX`](crate::LIMIT_MAX).
    pub fn new(config: NdjsonConfig) -> Result<Self, ConfigError> {
        limit("max", config.max)?;
        Ok(Self { config, lines: Lines::default(), raw: 0 })
    }

    /// How many bytes are still expected that are no lines.
    #[must_use]
    pub const fn raw_left(&self) -> u64 {
        self.raw
    }

    fn raw<'b>(&mut self, input: &'b [u8]) -> Step<'b> {
        let wanted = usize::try_from(self.raw).unwrap_or(usize::MAX);
        let piece = input.get(..wanted).unwrap_or(input);
        if piece.is_empty() {
            return Step::Need(1);
        }
        self.raw = self.raw.saturating_sub(piece.len() as u64);
        let packet = Packet { extra: Extra::Raw { left: self.raw }, ..Packet::plain(piece) };
        Step::Packet { packet, taken: piece.len() }
    }

    fn line<'b>(&self, line: &'b [u8], taken: usize) -> Step<'b> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let text = match core::str::from_utf8(line) {
            Ok(text) if !is_blank(line) => text,
            Ok(_) | Err(_) => return Step::Skip(taken),
        };
        match self.packet(text) {
            Ok(packet) => Step::Packet { packet, taken },
            Err(error) => Step::Bad { error, taken },
        }
    }

    fn packet<'b>(&self, text: &'b str) -> Result<Packet<'b>, FormatError> {
        let mut found: Option<Json<'b>> = None;
        object(text, |name, value| {
            if is_type(name) {
                found = Some(value);
            }
        })?;
        let name = found.and_then(Json::as_str).ok_or(FormatError::NoName)?;
        let is_beat = self.config.heartbeats && name == HEARTBEAT;
        let kind = if is_beat { Kind::Heartbeat } else { Kind::OneWay };
        Ok(Packet { kind, key: Key::Name(name), ..Packet::plain(text.as_bytes()) })
    }

    fn write(&self, line: &[u8], out: &mut Vec<u8>) -> Result<(), FormatError> {
        let limit = self.config.max;
        if line.len() > limit {
            return Err(FormatError::TooLongToSend { length: line.len(), limit });
        }
        out.extend_from_slice(line);
        out.push(b'\n');
        Ok(())
    }
}

impl Default for Ndjson {
    fn default() -> Self {
        Self { config: NdjsonConfig::DEFAULT, lines: Lines::default(), raw: 0 }
    }
}

impl Format for Ndjson {
    fn decode<'b>(&mut self, input: &'b [u8]) -> Result<Step<'b>, FormatError> {
        if self.raw > 0 {
            return Ok(self.raw(input));
        }
        let (max, overlong) = (self.config.max, self.config.overlong);
        let line = self.lines.next(input, 1, max, overlong, |bytes| memchr(b'\n', bytes))?;
        Ok(match line {
            Line::Need(need) => Step::Need(need),
            Line::Whole { length, taken } => {
                self.line(input.get(..length).unwrap_or_default(), taken)
            }
            Line::Overlong { error, taken } => Step::Bad { error, taken },
            Line::Rest(taken) => Step::Skip(taken),
        })
    }

    fn end<'b>(&mut self, rest: &'b [u8]) -> Result<End<'b>, FormatError> {
        let truncated = End::Truncated { have: rest.len(), need: rest.len() + 1 };
        if self.raw > 0 || self.lines.is_skipping() {
            return Ok(truncated);
        }
        if !rest.is_empty() && !matches!(self.decode(rest)?, Step::Need(_)) {
            return Err(FormatError::Undecoded);
        }
        Ok(if is_blank(rest) { End::Clean } else { truncated })
    }

    /// The payload is an object on one line, and its `message_type` is the key if that is given.
    fn encode(&mut self, packet: &Packet<'_>, out: &mut Vec<u8>) -> Result<(), FormatError> {
        match packet.extra {
            Extra::None => {}
            Extra::Raw { .. } => {
                out.extend_from_slice(&packet.payload);
                return Ok(());
            }
            Extra::MsgTrans { .. } | Extra::Htlv { .. } | Extra::RocketMq(_) => {
                return Err(FormatError::Unrepresentable("what another format has"));
            }
        }
        if packet.correlation.is_some() {
            return Err(FormatError::Unrepresentable("a correlation"));
        }
        let line = packet.payload.as_ref();
        if memchr(b'\n', line).is_some() || line.ends_with(b"\r") {
            return Err(FormatError::Unrepresentable("an object on several lines"));
        }
        let no_object = |_| FormatError::Unrepresentable("a payload that is no named object");
        let text = core::str::from_utf8(line).map_err(|_| no_object(FormatError::BadUtf8))?;
        let written = self.packet(text).map_err(no_object)?;
        if packet.key != Key::None && packet.key != written.key {
            return Err(FormatError::Unrepresentable("another name than the payload's"));
        }
        if packet.kind != written.kind {
            return Err(FormatError::Unrepresentable("a kind that the name does not mean"));
        }
        self.write(line, out)
    }

    fn max_input(&self) -> usize {
        self.config.max + 1
    }

    fn encode_heartbeat(
        &mut self,
        beat: &Beat<'_>,
        out: &mut Vec<u8>,
    ) -> Result<bool, FormatError> {
        if !self.config.heartbeats {
            return Ok(false);
        }
        let line = Envelope::new(HEARTBEAT, beat.unix.as_secs_f64()).finish();
        self.write(line.as_bytes(), out)?;
        Ok(true)
    }

    /// An `error_message`, whatever it is about, in the words of the original unless others are
    /// given.
    fn encode_failure(
        &mut self,
        failure: &Failure<'_>,
        _: Option<&Packet<'_>>,
        out: &mut Vec<u8>,
    ) -> Result<bool, FormatError> {
        let (code, text) = match failure.cause {
            Cause::Malformed(FormatError::NotAnObject) => (1009, "服务器内部错误"),
            Cause::Malformed(_) => (1008, "消息格式错误"),
            Cause::NoRoute => (1008, "未知的消息类型"),
            Cause::Denied => (1001, "请先登录"),
            Cause::Busy | Cause::TimedOut | Cause::Failed => (1009, "服务器内部错误"),
        };
        let line = Envelope::new("error_message", failure.unix.as_secs_f64())
            .number("error_code", code)
            .string("error_message", failure.text.unwrap_or(text))
            .finish();
        self.write(line.as_bytes(), out)?;
        Ok(true)
    }

    fn expect_raw(&mut self, count: u64) -> Result<(), FormatError> {
        self.raw = self.raw.saturating_add(count);
        // What was looked through for a newline may be no line at all.
        self.lines = Lines::default();
        Ok(())
    }
}

fn is_type(name: Json<'_>) -> bool {
    // Nearly always without escapes.
    name.text() == "\"message_type\""
        || name.text().contains('\\') && name.as_str().is_some_and(|name| name == "message_type")
}

fn is_blank(line: &[u8]) -> bool {
    line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0x0B | 0x0C))
}
