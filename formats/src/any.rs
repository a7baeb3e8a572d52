//! One of all formats, chosen by name.

use alloc::borrow::Cow;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::str::FromStr;

use crate::error::{ConfigError, FormatError};
use crate::packet::{End, Packet, Step};
use crate::{
    Beat, Delimiter, DelimiterConfig, Failure, Fixed, Format, Htlv, HtlvConfig, LengthField,
    LengthFieldConfig, LengthPrefix, Ltv, MsgTrans, MsgTransConfig, Ndjson, NdjsonConfig, Options,
    Raw, RocketMq, RocketMqConfig, Tlv, TlvConfig,
};

macro_rules! formats {
    ($($name:ident $text:literal $about:literal)*) => {
        /// Which format. A listener has one, fixed by its configuration.
        #[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum FormatKind {
            $(#[doc = $about] $name,)*
        }

        impl FormatKind {
            /// Every format.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Its name in a configuration.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }

        /// A format that was chosen by name.
        #[derive(Debug, Clone)]
        #[non_exhaustive]
        pub enum AnyFormat {
            $(#[doc = $about] $name($name),)*
        }

        impl AnyFormat {
            /// Which it is.
            #[must_use]
            pub const fn kind(&self) -> FormatKind {
                match self {
                    $(Self::$name(_) => FormatKind::$name,)*
                }
            }
        }

        impl Format for AnyFormat {
            #[inline]
            fn decode<'b>(&mut self, input: &'b [u8]) -> Result<Step<'b>, FormatError> {
                match self {
                    $(Self::$name(format) => format.decode(input),)*
                }
            }

            fn end<'b>(&mut self, rest: &'b [u8]) -> Result<End<'b>, FormatError> {
                match self {
                    $(Self::$name(format) => format.end(rest),)*
                }
            }

            #[inline]
            fn encode(
                &mut self,
                packet: &Packet<'_>,
                out: &mut Vec<u8>,
            ) -> Result<(), FormatError> {
                match self {
                    $(Self::$name(format) => format.encode(packet, out),)*
                }
            }

            fn max_input(&self) -> usize {
                match self {
                    $(Self::$name(format) => format.max_input(),)*
                }
            }

            fn reply<'b>(&self, to: &Packet<'_>, payload: Cow<'b, [u8]>) -> Packet<'b> {
                match self {
                    $(Self::$name(format) => format.reply(to, payload),)*
                }
            }

            fn encode_heartbeat(
                &mut self,
                beat: &Beat<'_>,
                out: &mut Vec<u8>,
            ) -> Result<bool, FormatError> {
                match self {
                    $(Self::$name(format) => format.encode_heartbeat(beat, out),)*
                }
            }

            fn encode_failure(
                &mut self,
                failure: &Failure<'_>,
                about: Option<&Packet<'_>>,
                out: &mut Vec<u8>,
            ) -> Result<bool, FormatError> {
                match self {
                    $(Self::$name(format) => format.encode_failure(failure, about, out),)*
                }
            }

            fn expect_raw(&mut self, count: u64) -> Result<(), FormatError> {
                match self {
                    $(Self::$name(format) => format.expect_raw(count),)*
                }
            }
        }
    };
}

formats! {
    LengthPrefix "length-prefix" "A big-endian length before each packet."
    RocketMq "rocketmq" "RocketMQ's remoting commands."
    Ltv "ltv" "Length and id, little-endian."
    Tlv "tlv" "Id and length, big-endian."
    Htlv "htlv" "Head, function, length, data, checksum."
    Ndjson "ndjson" "A JSON object on each line."
    MsgTrans "msgtrans" "Packets of msgtrans."
    LengthField "length-field" "A length somewhere in the header."
    Delimiter "delimiter" "Packets that end with certain bytes."
    Fixed "fixed" "Packets of one size."
    Raw "raw" "Bytes as they come."
}

impl FromStr for FormatKind {
    type Err = ConfigError;

    /// # Errors
    ///
    /// [`ConfigError::UnknownFormat`], whose text lists all there are.
    fn from_str(name: &str) -> Result<Self, ConfigError> {
        let found = Self::ALL.iter().find(|kind| kind.name() == name);
        found.copied().ok_or_else(|| ConfigError::UnknownFormat(name.to_string()))
    }
}

/// Moves an option into a setting. What is not taken has no effect and is refused.
fn take<T>(option: &mut Option<T>, setting: &mut T) {
    if let Some(value) = option.take() {
        *setting = value;
    }
}

impl AnyFormat {
    /// The format of this kind with these options, the defaults for all others.
    ///
    /// # Errors
    ///
    /// What [`Options`] refuse for this format, and what its configuration does.
    pub fn new(kind: FormatKind, options: &Options) -> Result<Self, ConfigError> {
        let mut rest = options.clone();
        let format = match kind {
            FormatKind::LengthPrefix => {
                let max = rest.max.take().unwrap_or(LengthPrefix::MAX);
                Self::LengthPrefix(LengthPrefix::new(max)?)
            }
            FormatKind::RocketMq => Self::RocketMq(rocketmq(&mut rest)?),
            FormatKind::Ltv => Self::Ltv(Ltv::new(tlv(&mut rest))?),
            FormatKind::Tlv => Self::Tlv(Tlv::new(tlv(&mut rest))?),
            FormatKind::Htlv => Self::Htlv(htlv(&mut rest)),
            FormatKind::Ndjson => Self::Ndjson(ndjson(&mut rest)?),
            FormatKind::MsgTrans => Self::MsgTrans(msgtrans(&mut rest)?),
            FormatKind::LengthField => Self::LengthField(length_field(&mut rest)?),
            FormatKind::Delimiter => Self::Delimiter(delimiter(&mut rest)?),
            FormatKind::Fixed => {
                let missing = ConfigError::Missing { format: kind.name(), option: "size" };
                Self::Fixed(Fixed::new(rest.size.take().ok_or(missing)?)?)
            }
            FormatKind::Raw => Self::Raw(Raw::new(rest.max.take().unwrap_or(Raw::MAX))?),
        };
        match rest.given() {
            Some(option) => Err(ConfigError::NoEffect { format: kind.name(), option }),
            None => Ok(format),
        }
    }
}

fn rocketmq(rest: &mut Options) -> Result<RocketMq, ConfigError> {
    let mut config = RocketMqConfig::DEFAULT;
    take(&mut rest.max, &mut config.max);
    take(&mut rest.max_header, &mut config.max_header);
    take(&mut rest.bit0_is_one_way, &mut config.bit0_is_one_way);
    take(&mut rest.language, &mut config.language);
    take(&mut rest.version, &mut config.version);
    RocketMq::new(config)
}

fn tlv(rest: &mut Options) -> TlvConfig {
    let mut config = TlvConfig::DEFAULT;
    take(&mut rest.max, &mut config.max);
    match rest.heartbeats.take() {
        // The id of what there is not would have no effect, and stays to be refused.
        Some(false) => config.heartbeat = None,
        Some(true) | None => config.heartbeat = rest.heartbeat_id.take().or(config.heartbeat),
    }
    config
}

fn htlv(rest: &mut Options) -> Htlv {
    let mut config = HtlvConfig::DEFAULT;
    take(&mut rest.head_byte, &mut config.head);
    take(&mut rest.check_head, &mut config.check_head);
    take(&mut rest.skip_damaged, &mut config.skip_damaged);
    Htlv::new(config)
}

fn ndjson(rest: &mut Options) -> Result<Ndjson, ConfigError> {
    let mut config = NdjsonConfig::DEFAULT;
    take(&mut rest.max, &mut config.max);
    take(&mut rest.overlong, &mut config.overlong);
    take(&mut rest.heartbeats, &mut config.heartbeats);
    Ndjson::new(config)
}

fn msgtrans(rest: &mut Options) -> Result<MsgTrans, ConfigError> {
    let mut config = MsgTransConfig::DEFAULT;
    take(&mut rest.max, &mut config.max);
    take(&mut rest.max_ext, &mut config.max_ext);
    take(&mut rest.max_unpacked, &mut config.max_unpacked);
    take(&mut rest.compression, &mut config.compression);
    take(&mut rest.zlib, &mut config.zlib);
    take(&mut rest.zstd, &mut config.zstd);
    MsgTrans::new(config)
}

fn length_field(rest: &mut Options) -> Result<LengthField, ConfigError> {
    let mut config = LengthFieldConfig::default();
    take(&mut rest.offset, &mut config.offset);
    take(&mut rest.width, &mut config.width);
    take(&mut rest.endian, &mut config.endian);
    take(&mut rest.adjustment, &mut config.adjustment);
    // By default the whole header is left out, wherever it ends.
    config.strip = config.offset.saturating_add(config.width);
    take(&mut rest.strip, &mut config.strip);
    take(&mut rest.max, &mut config.max);
    take(&mut rest.magic, &mut config.magic);
    take(&mut rest.head, &mut config.head);
    take(&mut rest.resync, &mut config.resync);
    LengthField::new(config)
}

fn delimiter(rest: &mut Options) -> Result<Delimiter, ConfigError> {
    let mut config = DelimiterConfig::default();
    take(&mut rest.delimiter, &mut config.delimiter);
    take(&mut rest.max, &mut config.max);
    take(&mut rest.strip_cr, &mut config.strip_cr);
    take(&mut rest.overlong, &mut config.overlong);
    take(&mut rest.last, &mut config.last);
    Delimiter::new(config)
}
