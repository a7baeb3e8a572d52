//! What can be wrong: with the peer's bytes, with a packet of ours, with a configuration.

use core::fmt;

use crate::packet::Compression;

/// Whose fault an error is, and so what it costs.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The peer's. Where the boundaries of packets are is no longer known: close the connection,
    /// unless it came in a [`Step::Bad`](crate::Step::Bad).
    Peer,
    /// Ours. Nothing was written and nothing is lost: the connection goes on.
    Local,
}

/// Why bytes are no packet, or a packet cannot become bytes.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FormatError {
    /// The peer announced more than is allowed; it was not read, nor was memory taken for it.
    TooLong {
        /// What it announced in bytes.
        length: u64,
        /// What is allowed.
        limit: usize,
    },
    /// So many bytes without the delimiter that ends a packet.
    NoDelimiter {
        /// What is allowed in bytes.
        limit: usize,
    },
    /// A length that contradicts the format: shorter than its own header, or negative.
    BadLength {
        /// As it was read from the wire.
        length: u64,
    },
    /// A packet that does not begin as all packets do.
    BadMagic,
    /// A version that is not spoken here.
    BadVersion(u8),
    /// A kind of packet that does not exist.
    BadType(u8),
    /// A compression, or an encoding of a header, that does not exist or is not spoken.
    BadCodec(u8),
    /// A compression that is not built in or not allowed.
    NoCodec(Compression),
    /// A payload that is not what its compression makes.
    BadCompressed(Compression),
    /// A payload that becomes longer than is allowed; it was given up at the limit.
    Bomb {
        /// What is allowed in bytes.
        limit: usize,
    },
    /// A checksum that is not that of the packet.
    BadSum {
        /// What the packet says.
        found: u16,
        /// What is right.
        right: u16,
    },
    /// Text that is not JSON.
    BadJson {
        /// Where it stops being JSON, in bytes.
        at: usize,
    },
    /// JSON, but not an object.
    NotAnObject,
    /// An object without the field that a packet is routed by, or with another type of it.
    NoName,
    /// A header without a field it must have, or with another type of it.
    BadField(
        /// The field.
        &'static str,
    ),
    /// Text that is not UTF-8.
    BadUtf8,
    /// Longer than this end may send.
    TooLongToSend {
        /// How long it would be in bytes.
        length: usize,
        /// What is allowed.
        limit: usize,
    },
    /// This format has no way to say what the packet says.
    Unrepresentable(
        /// What it cannot say.
        &'static str,
    ),
    /// The end of the stream was asked about before all packets were taken.
    Undecoded,
}

impl FormatError {
    /// Whose fault it is.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        match self {
            Self::TooLongToSend { .. } | Self::Unrepresentable(_) | Self::Undecoded => Fault::Local,
            Self::TooLong { .. }
            | Self::NoDelimiter { .. }
            | Self::BadLength { .. }
            | Self::BadMagic
            | Self::BadVersion(_)
            | Self::BadType(_)
            | Self::BadCodec(_)
            | Self::NoCodec(_)
            | Self::BadCompressed(_)
            | Self::Bomb { .. }
            | Self::BadSum { .. }
            | Self::BadJson { .. }
            | Self::NotAnObject
            | Self::NoName
            | Self::BadField(_)
            | Self::BadUtf8 => Fault::Peer,
        }
    }
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { length, limit } => {
                write!(f, "a packet of {length} bytes is announced, {limit} are allowed")
            }
            Self::NoDelimiter { limit } => write!(f, "no delimiter within {limit} bytes"),
            Self::BadLength { length } => write!(f, "the length {length} contradicts the format"),
            Self::BadMagic => f.write_str("a packet does not begin as it must"),
            Self::BadVersion(version) => write!(f, "version {version} is not spoken"),
            Self::BadType(kind) => write!(f, "there is no packet type {kind}"),
            Self::BadCodec(codec) => write!(f, "there is no codec {codec}"),
            Self::NoCodec(codec) => write!(f, "{codec:?} is not built in or not allowed"),
            Self::BadCompressed(codec) => write!(f, "the payload is not {codec:?}"),
            Self::Bomb { limit } => write!(f, "the payload unpacks to more than {limit} bytes"),
            Self::BadSum { found, right } => {
                write!(f, "the checksum is {found:04x} and should be {right:04x}")
            }
            Self::BadJson { at } => write!(f, "no JSON from byte {at} on"),
            Self::NotAnObject => f.write_str("a JSON value that is no object"),
            Self::NoName => f.write_str("an object without the name of a message"),
            Self::BadField(name) => write!(f, "the header's field `{name}` is missing or wrong"),
            Self::BadUtf8 => f.write_str("text that is not UTF-8"),
            Self::TooLongToSend { length, limit } => {
                write!(f, "{length} bytes are too long to send, {limit} are allowed")
            }
            Self::Unrepresentable(what) => write!(f, "the format cannot say this: {what}"),
            Self::Undecoded => f.write_str("there are packets left that were not taken"),
        }
    }
}

impl core::error::Error for FormatError {}

/// Why there is no format of this configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// No format has this name; the message lists those there are.
    UnknownFormat(alloc::string::String),
    /// No option has this name; the message lists those there are.
    UnknownOption(alloc::string::String),
    /// The option has no effect in this format, so it is refused.
    NoEffect {
        /// The format.
        format: &'static str,
        /// The option.
        option: &'static str,
    },
    /// The option must be given in this format.
    Missing {
        /// The format.
        format: &'static str,
        /// The option.
        option: &'static str,
    },
    /// The option's value is not possible.
    BadValue {
        /// The option.
        option: &'static str,
        /// What it must be.
        must: &'static str,
    },
}

impl ConfigError {
    pub(crate) const fn bad(option: &'static str, must: &'static str) -> Self {
        Self::BadValue { option, must }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownFormat(name) => {
                write!(f, "no format is called `{name}`; there are:")?;
                crate::FormatKind::ALL.iter().try_for_each(|kind| write!(f, " {}", kind.name()))
            }
            Self::UnknownOption(name) => {
                write!(f, "no option is called `{name}`; there are:")?;
                crate::Options::NAMES.iter().try_for_each(|name| write!(f, " {name}"))
            }
            Self::NoEffect { format, option } => {
                write!(f, "`{option}` has no effect in {format}: leave it out")
            }
            Self::Missing { format, option } => write!(f, "{format} wants `{option}`"),
            Self::BadValue { option, must } => write!(f, "`{option}` must be {must}"),
        }
    }
}

impl core::error::Error for ConfigError {}

/// The highest limit that can be set, in bytes. More would be none.
pub const LIMIT_MAX: usize = 1 << 30;

/// A limit is at least one byte and at most [`LIMIT_MAX`].
pub(crate) const fn limit(option: &'static str, value: usize) -> Result<usize, ConfigError> {
    if value == 0 || value > LIMIT_MAX {
        return Err(ConfigError::bad(
            option,
            "1 to 1073741824 bytes; no limit at all is no choice",
        ));
    }
    Ok(value)
}
