//! What can be chosen of a format, as names and values.

use alloc::string::ToString;
use alloc::vec::Vec;

use crate::error::ConfigError;
use crate::length_field::Endian;
use crate::lines::Overlong;
use crate::packet::Compression;

/// Values for the settings of any format, each left out or given. One that has no effect in the
/// chosen format is refused, so that none is dead.
///
/// ```
/// use outlast_formats::{AnyFormat, ConfigError, FormatKind, Options};
///
/// let mut options = Options::default();
/// options.set("max", "65536")?;
/// assert!(AnyFormat::new(FormatKind::Ltv, &options).is_ok());
/// options.set("delimiter", "0d0a")?;
/// let refused = AnyFormat::new(FormatKind::Ltv, &options).unwrap_err();
/// assert_eq!(refused, ConfigError::NoEffect { format: "ltv", option: "delimiter" });
/// # Ok::<(), ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// The longest payload, line or packet in bytes, as the format counts it.
    pub max: Option<usize>,
    /// `fixed`: the size of each packet in bytes. Must be given.
    pub size: Option<usize>,
    /// `length-field`: where the length begins.
    pub offset: Option<usize>,
    /// `length-field`: its size in bytes.
    pub width: Option<usize>,
    /// `length-field`: the order of its bytes, `big` or `little`.
    pub endian: Option<Endian>,
    /// `length-field`: how many bytes follow beyond what the length says.
    pub adjustment: Option<i64>,
    /// `length-field`: how many bytes are left out of the payload.
    pub strip: Option<usize>,
    /// `length-field`: what every packet begins with, in hexadecimal.
    pub magic: Option<Vec<u8>>,
    /// `length-field`: what is written for the stripped bytes, in hexadecimal.
    pub head: Option<Vec<u8>>,
    /// `length-field`: whether bytes that are no magic are passed over.
    pub resync: Option<bool>,
    /// `delimiter`: what ends a packet, in hexadecimal.
    pub delimiter: Option<Vec<u8>>,
    /// `delimiter`: whether a carriage return before it is dropped.
    pub strip_cr: Option<bool>,
    /// `delimiter`: whether the end of the stream ends a packet as well.
    pub last: Option<bool>,
    /// `delimiter`, `ndjson`: what happens to a line that is too long, `close` or `resync`.
    pub overlong: Option<Overlong>,
    /// `ltv`, `tlv`: the id of heartbeats.
    pub heartbeat_id: Option<u32>,
    /// `ltv`, `tlv`, `ndjson`: whether there are heartbeats.
    pub heartbeats: Option<bool>,
    /// `htlv`: the first byte of packets that are sent.
    pub head_byte: Option<u8>,
    /// `htlv`: whether packets that come must have it as well.
    pub check_head: Option<bool>,
    /// `htlv`: whether a packet with a wrong checksum is passed over.
    pub skip_damaged: Option<bool>,
    /// `rocketmq`: the longest header in bytes.
    pub max_header: Option<usize>,
    /// `rocketmq`: whether bit 0 of the flag means one-way, as from pyrocketmq.
    pub bit0_is_one_way: Option<bool>,
    /// `rocketmq`: the language of commands that say nothing of it.
    pub language: Option<i32>,
    /// `rocketmq`: the version of commands that say nothing of it.
    pub version: Option<i32>,
    /// `msgtrans`: the longest extension header in bytes.
    pub max_ext: Option<usize>,
    /// `msgtrans`: the longest payload in bytes once it is unpacked.
    pub max_unpacked: Option<usize>,
    /// `msgtrans`: how payloads are compressed, `none`, `zlib` or `zstd`.
    pub compression: Option<Compression>,
    /// `msgtrans`: whether zlib is allowed.
    pub zlib: Option<bool>,
    /// `msgtrans`: whether zstd is allowed.
    pub zstd: Option<bool>,
}

macro_rules! by_name {
    ($($name:ident)*) => {
        impl Options {
            /// The names of all options.
            pub const NAMES: &[&str] = &[$(stringify!($name)),*];

            /// Sets an option from its name and a text.
            ///
            /// # Errors
            ///
            /// [`ConfigError::UnknownOption`], [`ConfigError::BadValue`].
            pub fn set(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
                match name {
                    $(stringify!($name) => {
                        self.$name = Some(Value::read(value).map_err(|must| {
                            ConfigError::bad(stringify!($name), must)
                        })?);
                    })*
                    _ => return Err(ConfigError::UnknownOption(name.to_string())),
                }
                Ok(())
            }

            /// The first option that is given.
            pub(crate) fn given(&self) -> Option<&'static str> {
                let given = [$((self.$name.is_some(), stringify!($name))),*];
                given.into_iter().find(|(is_some, _)| *is_some).map(|(_, name)| name)
            }
        }
    };
}

by_name! {
    max size offset width endian adjustment strip magic head resync delimiter strip_cr last overlong
    heartbeat_id heartbeats head_byte check_head skip_damaged max_header bit0_is_one_way language
    version max_ext max_unpacked compression zlib zstd
}

/// What can be written as a text.
trait Value: Sized {
    fn read(text: &str) -> Result<Self, &'static str>;
}

macro_rules! numbers {
    ($($number:ty)*) => {$(
        impl Value for $number {
            fn read(text: &str) -> Result<Self, &'static str> {
                text.parse().map_err(|_| "a whole number in its range")
            }
        }
    )*};
}

numbers!(usize u8 u32 i32 i64);

impl Value for bool {
    fn read(text: &str) -> Result<Self, &'static str> {
        text.parse().map_err(|_| "`true` or `false`")
    }
}

impl Value for Vec<u8> {
    fn read(text: &str) -> Result<Self, &'static str> {
        let must = "bytes in hexadecimal, such as 0d0a";
        let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|n| u8::try_from(n).ok());
        let pair = |pair: &[u8]| match pair {
            [high, low] => Some(digit(high)? << 4 | digit(low)?),
            _ => None,
        };
        text.as_bytes().chunks(2).map(pair).collect::<Option<_>>().ok_or(must)
    }
}

impl Value for Endian {
    fn read(text: &str) -> Result<Self, &'static str> {
        match text {
            "big" => Ok(Self::Big),
            "little" => Ok(Self::Little),
            _ => Err("`big` or `little`"),
        }
    }
}

impl Value for Overlong {
    fn read(text: &str) -> Result<Self, &'static str> {
        match text {
            "close" => Ok(Self::Close),
            "resync" => Ok(Self::Resync),
            _ => Err("`close` or `resync`"),
        }
    }
}

impl Value for Compression {
    fn read(text: &str) -> Result<Self, &'static str> {
        match text {
            "none" => Ok(Self::None),
            "zlib" => Ok(Self::Zlib),
            "zstd" => Ok(Self::Zstd),
            _ => Err("`none`, `zlib` or `zstd`"),
        }
    }
}
