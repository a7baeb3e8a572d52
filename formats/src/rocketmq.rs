//! RocketMQ's remoting commands, on the length prefix that pyrocketmq's transport reads.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 4 | length of all that follows, big-endian; 1 MiB at most unless configured |
//! | 4 | 1 | how the header is encoded: 0 is JSON, others are refused |
//! | 5 | 3 | length of the header, big-endian; 64 KiB at most unless configured |
//! | 8 | header | JSON: `code`, `language`, `version`, `opaque`, `flag`, `remark`, `extFields` |
//! | behind | the rest | body |
//!
//! `code` is what a command is routed by, `opaque` ties a response to its request. Bit 0 of `flag`
//! makes a response, bit 1 a one-way command. pyrocketmq marks its one-way commands with bit 0, so
//! that they look like responses; [`RocketMqConfig::bit0_is_one_way`] reads them as what is meant,
//! for servers that never ask their clients anything. It also takes the byte of the encoding for a
//! part of the length, which does not matter as long as it is 0.
//!
//! Both numbers are signed in the original; here they are the same 32 bits without sign. Members of
//! the header that are not known are kept and written again, behind the known ones. In a header
//! `language`, `version` and `flag` may be missing, `code` and `opaque` may not.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write as _};

use crate::bytes::{append, field, length};
use crate::error::{ConfigError, FormatError, limit};
use crate::json::{Json, object, quote};
use crate::packet::{Extra, Key, Kind, Packet, Step};
use crate::{Cause, Failure, Format};

const PREFIX: usize = 4;
const HEAD: usize = 8;
const RESPONSE: i32 = 1;
const ONE_WAY: i32 = 2;
const KNOWN: [&str; 7] = ["code", "language", "version", "opaque", "flag", "remark", "extFields"];

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RocketMqConfig {
    /// The most bytes behind the length.
    pub max: usize,
    /// The longest header in bytes, below 16 MiB.
    pub max_header: usize,
    /// Whether a command with bit 0 set is one-way, as pyrocketmq means it; there are no responses
    /// then.
    pub bit0_is_one_way: bool,
    /// The language of commands that say nothing of it.
    pub language: i32,
    /// The version of commands that say nothing of it.
    pub version: i32,
}

impl RocketMqConfig {
    /// What pyrocketmq has.
    pub const DEFAULT: Self =
        Self { max: 1 << 20, max_header: 1 << 16, bit0_is_one_way: false, language: 3, version: 1 };
}

/// What a header has beside code, opaque id and kind.
#[derive(Debug, Copy, Clone, PartialEq)]
pub struct Command<'b> {
    /// Who wrote it: a number, or a name as RocketMQ itself writes. None is the configured one.
    pub language: Option<Json<'b>>,
    /// Its version. None is the configured one.
    pub version: Option<i32>,
    /// All bits as they came. On encoding, those of the kind are set right.
    pub flag: i32,
    /// A string, or null.
    pub remark: Option<Json<'b>>,
    /// An object, or null.
    pub ext_fields: Option<Json<'b>>,
    /// An object whose members with unknown names are members of the header as well.
    pub unknown: Option<Json<'b>>,
}

impl Command<'_> {
    /// Nothing beyond what every header has.
    pub const NONE: Self = Self {
        language: None,
        version: None,
        flag: 0,
        remark: None,
        ext_fields: None,
        unknown: None,
    };
}

/// RocketMQ commands. Without state.
#[derive(Debug, Clone)]
pub struct RocketMq {
    config: RocketMqConfig,
}

impl RocketMq {
    /// As configured.
    ///
    /// # Errors
    ///
    /// A limit of zero or beyond [`LIMIT_MAX`](crate::LIMIT_MAX), or of the header beyond 16 MiB.
    pub fn new(config: RocketMqConfig) -> Result<Self, ConfigError> {
        limit("max", config.max)?;
        if limit("max_header", config.max_header)? >= 1 << 24 {
            return Err(ConfigError::bad("max_header", "below 16777216 bytes"));
        }
        Ok(Self { config })
    }

    const fn kind(&self, flag: i32) -> Kind {
        if flag & RESPONSE != 0 {
            if self.config.bit0_is_one_way { Kind::OneWay } else { Kind::Response }
        } else if flag & ONE_WAY != 0 {
            Kind::OneWay
        } else {
            Kind::Request
        }
    }

    /// `flag` with the bits of this kind.
    fn flag(&self, kind: Kind, flag: i32) -> Result<i32, FormatError> {
        if self.kind(flag) == kind {
            return Ok(flag);
        }
        let other = flag & !(RESPONSE | ONE_WAY);
        match kind {
            Kind::Request => Ok(other),
            Kind::OneWay if self.config.bit0_is_one_way => Ok(other | RESPONSE),
            Kind::OneWay => Ok(other | ONE_WAY),
            // Where bit 0 means one-way there are no requests to answer but the peer's own, and
            // the peer takes it for a response.
            Kind::Response => Ok(other | RESPONSE),
            Kind::Heartbeat => Err(FormatError::Unrepresentable("a heartbeat")),
        }
    }

    fn packet<'b>(&self, header: &'b [u8], body: &'b [u8]) -> Result<Packet<'b>, FormatError> {
        let header = core::str::from_utf8(header).map_err(|_| FormatError::BadUtf8)?;
        let (mut code, mut opaque, mut flag, mut version) = (None, None, None, None);
        let mut command = Command::NONE;
        let mut has_unknown = false;
        object(header, |name, value| match name.as_str().as_deref() {
            Some("code") => code = Some(value),
            Some("opaque") => opaque = Some(value),
            Some("flag") => flag = Some(value),
            Some("version") => version = Some(value),
            Some("language") => command.language = Some(value),
            Some("remark") => command.remark = Some(value),
            Some("extFields") => command.ext_fields = Some(value),
            Some(_) | None => has_unknown = true,
        })?;
        let number = |value: Option<Json<'_>>, name| match value.map(Json::as_i32) {
            Some(None) => Err(FormatError::BadField(name)),
            Some(Some(number)) => Ok(Some(number)),
            None => Ok(None),
        };
        let code = number(code, "code")?.ok_or(FormatError::BadField("code"))?;
        let opaque = number(opaque, "opaque")?.ok_or(FormatError::BadField("opaque"))?;
        command.flag = number(flag, "flag")?.unwrap_or(0);
        command.version = number(version, "version")?;
        check(&command)?;
        if has_unknown {
            command.unknown = Some(Json::new(header)?);
        }
        Ok(Packet {
            kind: self.kind(command.flag),
            key: Key::Id(code.cast_unsigned()),
            correlation: Some(opaque.cast_unsigned()),
            payload: Cow::Borrowed(body),
            extra: Extra::RocketMq(command),
        })
    }

    fn header(&self, packet: &Packet<'_>, out: &mut Vec<u8>) -> Result<(), FormatError> {
        let Key::Id(code) = packet.key else {
            return Err(FormatError::Unrepresentable("a command without a code"));
        };
        let Some(opaque) = packet.correlation else {
            return Err(FormatError::Unrepresentable("a command without an opaque id"));
        };
        let command = match packet.extra {
            Extra::RocketMq(command) => command,
            Extra::None => Command::NONE,
            Extra::Raw { .. } | Extra::MsgTrans { .. } | Extra::Htlv { .. } => {
                return Err(FormatError::Unrepresentable("what another format has"));
            }
        };
        check(&command).map_err(|_| FormatError::Unrepresentable("a member of another type"))?;
        let flag = self.flag(packet.kind, command.flag)?;
        let (code, opaque) = (code.cast_signed(), opaque.cast_signed());
        let mut text = Text(out);
        let mut write = || {
            write!(text, "{{\"code\":{code},\"language\":")?;
            match command.language {
                Some(language) => text.write_str(language.text())?,
                None => write!(text, "{}", self.config.language)?,
            }
            let version = command.version.unwrap_or(self.config.version);
            write!(text, ",\"version\":{version},\"opaque\":{opaque},\"flag\":{flag}")?;
            for (name, value) in [("remark", command.remark), ("extFields", command.ext_fields)] {
                if let Some(value) = value {
                    write!(text, ",\"{name}\":{}", value.text())?;
                }
            }
            for (name, value) in command.unknown.iter().flat_map(|object| object.members()) {
                if !name.as_str().is_some_and(|name| KNOWN.contains(&&*name)) {
                    write!(text, ",{}:{}", name.text(), value.text())?;
                }
            }
            text.write_char('}')
        };
        // Writing to memory does not fail.
        write().map_err(|fmt::Error| FormatError::Unrepresentable("a header"))
    }
}

impl Default for RocketMq {
    fn default() -> Self {
        Self { config: RocketMqConfig::DEFAULT }
    }
}

impl Format for RocketMq {
    fn decode<'b>(&mut self, input: &'b [u8]) -> Result<Step<'b>, FormatError> {
        let Some(announced) = field(input, 0) else {
            return Ok(Step::Need(PREFIX));
        };
        let announced = length(u32::from_be_bytes(announced), self.config.max)?;
        let Some(room) = announced.checked_sub(HEAD - PREFIX) else {
            return Err(FormatError::BadLength { length: announced as u64 });
        };
        let Some([codec, a, b, c]) = field(input, PREFIX) else {
            return Ok(Step::Need(HEAD));
        };
        if codec != 0 {
            return Err(FormatError::BadCodec(codec));
        }
        let header = length(u32::from_be_bytes([0, a, b, c]), self.config.max_header)?;
        if header > room {
            return Err(FormatError::BadLength { length: header as u64 });
        }
        let taken = PREFIX + announced;
        let behind = HEAD + header;
        match (input.get(HEAD..behind), input.get(behind..taken)) {
            (Some(header), Some(body)) => {
                Ok(Step::Packet { packet: self.packet(header, body)?, taken })
            }
            _ => Ok(Step::Need(taken)),
        }
    }

    fn encode(&mut self, packet: &Packet<'_>, out: &mut Vec<u8>) -> Result<(), FormatError> {
        append(out, |out| {
            let start = out.len();
            out.extend_from_slice(&[0; HEAD]);
            self.header(packet, out)?;
            let header = out.len() - start - HEAD;
            let limit = self.config.max_header;
            if header > limit {
                return Err(FormatError::TooLongToSend { length: header, limit });
            }
            let whole = (HEAD - PREFIX + header).saturating_add(packet.payload.len());
            let whole = crate::bytes::announce(whole, self.config.max)?;
            let header = crate::bytes::announce(header, limit)?;
            out.extend_from_slice(&packet.payload);
            let lengths = [whole.to_be_bytes(), header.to_be_bytes()];
            let places = out.get_mut(start..).unwrap_or_default().iter_mut();
            for (place, byte) in places.zip(lengths.as_flattened()) {
                *place = *byte;
            }
            Ok(())
        })
    }

    fn max_input(&self) -> usize {
        PREFIX + self.config.max
    }

    /// A response with code 0, which is success, and the opaque id of the request.
    fn reply<'b>(&self, to: &Packet<'_>, payload: Cow<'b, [u8]>) -> Packet<'b> {
        let (kind, key) = (Kind::Response, Key::Id(0));
        Packet { kind, key, correlation: to.correlation, payload, extra: Extra::None }
    }

    /// A response to a request, with one of RocketMQ's codes and the text as its remark.
    fn encode_failure(
        &mut self,
        failure: &Failure<'_>,
        about: Option<&Packet<'_>>,
        out: &mut Vec<u8>,
    ) -> Result<bool, FormatError> {
        let Some(request) = about.filter(|packet| packet.kind == Kind::Request) else {
            return Ok(false);
        };
        let (code, text) = match failure.cause {
            Cause::Malformed(_) => (1, "the request cannot be read"),
            Cause::Failed => (1, "the request failed"),
            Cause::TimedOut => (1, "the request took too long"),
            Cause::Busy => (2, "too many requests"),
            Cause::NoRoute => (3, "the request code is not supported"),
            Cause::Denied => (16, "no permission"),
        };
        let mut remark = String::new();
        quote(failure.text.unwrap_or(text), &mut remark);
        let command = Command { remark: Some(Json::new(&remark)?), ..Command::NONE };
        let reply = self.reply(request, Cow::Borrowed(&[]));
        let key = Key::Id(code);
        self.encode(&Packet { key, extra: Extra::RocketMq(command), ..reply }, out)?;
        Ok(true)
    }
}

/// The members whose type matters have it.
fn check(command: &Command<'_>) -> Result<(), FormatError> {
    let is = |value: Option<Json<'_>>, first: char| {
        value.is_none_or(|value| value.is_null() || value.text().starts_with(first))
    };
    if !is(command.remark, '"') {
        return Err(FormatError::BadField("remark"));
    }
    if !is(command.ext_fields, '{') {
        return Err(FormatError::BadField("extFields"));
    }
    let has_language = command
        .language
        .is_none_or(|language| language.as_i32().is_some() || language.text().starts_with('"'));
    if has_language { Ok(()) } else { Err(FormatError::BadField("language")) }
}

struct Text<'o>(&'o mut Vec<u8>);

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}
