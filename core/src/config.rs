//! Every limit and interval of a session, checked before it is used.

use core::fmt;

use crate::Attach;
use crate::wire::{HEADER_LEN, Hello, MAX_BODY, MIN_MAX_BODY};

/// How one end of a session behaves. Both ends may differ; each declares its own limits.
///
/// Start from [`Config::SERVER`], [`Config::CLIENT`] or [`Config::CONSTRAINED`] and set what
/// differs. [`validate`](Self::validate) is called by everything that takes a configuration.
///
/// ```
/// use outlast_core::Config;
/// let config = Config { idle_timeout_ms: 3_000, ..Config::SERVER };
/// assert!(config.validate().is_ok());
/// ```
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Config {
    /// Longest frame body accepted, in bytes: 60 to 16,383.
    pub max_body: u16,
    /// Longest message accepted when its fragments are put together, in bytes: from
    /// [`max_body`](Self::max_body) to 2^30.
    pub max_message: u32,
    /// Bytes the peer may send beyond what was released, at first: from `max_body + 4`, a whole
    /// frame, to 2^30.
    pub window: u32,
    /// Bytes that the window may grow to on a link that needs it: from [`window`](Self::window) to
    /// 2^30.
    pub window_max: u32,
    /// Bytes of frames kept until the peer acknowledges them: how far storage grows. Storage of a
    /// fixed size is used whole whatever this says; who lends it makes sure that it is not less.
    /// The least is 64, and on top of it two bits for each request of the peer's and one for each
    /// of this end's, in whole words of four bytes; the most is 2^30.
    pub send_buffer: u32,
    /// Requests the peer may have open at this end at once: 0, so that none is taken, to 32,768.
    pub max_requests: u16,
    /// Requests of this end that may be open at once, if the peer allows as many: 0 to 32,768.
    pub max_requests_out: u16,
    /// Silence of the peer after which the connection is given up, in milliseconds, up to 2^30; 0
    /// is never.
    pub idle_timeout_ms: u32,
    /// The fastest this end is able to beat, in milliseconds, up to a third of 2^30; peers are not
    /// to ask for more.
    pub heartbeat_min_ms: u32,
    /// How long a session without a connection is kept (server) or asked for (client), in seconds:
    /// any number; the smaller one of both ends counts.
    pub retention_s: u32,
    /// Time for the whole handshake, in milliseconds, rounded up to ten: 1 to 600,000. Bytes do not
    /// extend it.
    pub handshake_timeout_ms: u32,
    /// Time for a frame to become whole once its first byte is there, in milliseconds: 1 to
    /// 3,600,000. Where [`idle_timeout_ms`](Self::idle_timeout_ms) is longer, that counts.
    pub frame_timeout_ms: u32,
    /// Longest delay of an acknowledgement, in milliseconds: 0 to 60,000.
    pub ack_delay_ms: u32,
    /// How long to wait for the peer's end of stream after closing, in milliseconds, rounded up to
    /// ten: 0 to 600,000.
    pub linger_ms: u32,
    /// When received messages are acknowledged.
    pub release: Release,
}

/// When a received message counts as taken, and so is acknowledged and its credit returned.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Release {
    /// When it is handed to the application.
    Automatic,
    /// When the application says so with [`Session::release`](crate::Session::release).
    Manual,
}

impl Config {
    /// The largest `heartbeat_min_ms`: ten minutes (spec HND-26).
    pub const SLOWEST_BEAT_MS: u32 = 600_000;

    /// Suits a server on the Internet.
    pub const SERVER: Self = Self {
        max_body: MAX_BODY,
        max_message: 1 << 20,
        window: 1 << 20,
        window_max: 4 << 20,
        send_buffer: 1 << 20,
        max_requests: 256,
        max_requests_out: 64,
        idle_timeout_ms: 45_000,
        heartbeat_min_ms: 0,
        retention_s: 600,
        handshake_timeout_ms: 5_000,
        frame_timeout_ms: 10_000,
        ack_delay_ms: 25,
        linger_ms: 2_000,
        release: Release::Automatic,
    };

    /// Suits a client on the Internet.
    pub const CLIENT: Self = Self {
        send_buffer: 4 << 20,
        max_requests: 64,
        max_requests_out: 256,
        idle_timeout_ms: 15_000,
        ..Self::SERVER
    };

    /// Suits a microcontroller with some hundred bytes to spare for each direction.
    pub const CONSTRAINED: Self = Self {
        max_body: 252,
        max_message: 1024,
        window: 512,
        window_max: 512,
        send_buffer: 512,
        max_requests: 8,
        max_requests_out: 8,
        idle_timeout_ms: 30_000,
        heartbeat_min_ms: 1_000,
        retention_s: 600,
        handshake_timeout_ms: 10_000,
        frame_timeout_ms: 10_000,
        ack_delay_ms: 200,
        linger_ms: 2_000,
        release: Release::Automatic,
    };

    /// Checks every value and every pair of values that must fit each other.
    ///
    /// # Errors
    ///
    /// The first item out of range, with the range.
    #[inline]
    pub const fn validate(&self) -> Result<(), ConfigError> {
        const MAX: u64 = 1 << 30;
        let frame = self.max_body as u64 + HEADER_LEN as u64;
        //= HND-25
        // A frame that every end must be able to take, behind the bits of open requests.
        let shortest_frame = MIN_MAX_BODY as u64 + HEADER_LEN as u64;
        let bitmaps = bitmaps_len(self.max_requests, self.max_requests_out);
        // One by one, so that nothing is left of what is known when a program is compiled.
        let mut range = Range { broken: None };
        range.check("max_body", self.max_body as u64, MIN_MAX_BODY as u64, MAX_BODY as u64);
        //= HND-23
        range.check("max_message", self.max_message as u64, self.max_body as u64, MAX);
        range.check("window", self.window as u64, frame, MAX);
        range.check("window_max", self.window_max as u64, self.window as u64, MAX);
        range.check("max_requests", self.max_requests as u64, 0, 32_768);
        range.check("max_requests_out", self.max_requests_out as u64, 0, 32_768);
        let least = shortest_frame + bitmaps as u64;
        range.check("send_buffer", self.send_buffer as u64, least, MAX);
        range.check("handshake_timeout_ms", self.handshake_timeout_ms as u64, 1, 600_000);
        range.check("frame_timeout_ms", self.frame_timeout_ms as u64, 1, 3_600_000);
        range.check("idle_timeout_ms", self.idle_timeout_ms as u64, 0, MAX);
        range.check("ack_delay_ms", self.ack_delay_ms as u64, 0, 60_000);
        range.check("linger_ms", self.linger_ms as u64, 0, 600_000);
        let slowest = Self::SLOWEST_BEAT_MS as u64;
        range.check("heartbeat_min_ms", self.heartbeat_min_ms as u64, 0, slowest);
        match range.broken {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// [`send_buffer`](Self::send_buffer) as a size in memory.
    pub(crate) fn send_limit(&self) -> usize {
        usize::try_from(self.send_buffer).unwrap_or(usize::MAX)
    }

    /// What a session keeps of its configuration.
    pub(crate) const fn rules(&self) -> Rules {
        Rules {
            max_body: self.max_body,
            max_message: self.max_message,
            max_requests: self.max_requests,
            idle_timeout_ms: self.idle_timeout_ms,
            heartbeat_min_ms: self.heartbeat_min_ms,
            handshake_timeout: Hundredths::of(self.handshake_timeout_ms),
            frame_timeout_ms: self.frame_timeout_ms,
            ack_delay_ms: short(self.ack_delay_ms),
            linger: Hundredths::of(self.linger_ms),
            release: self.release,
        }
    }
}

/// The part of a [`Config`] that a session goes on needing; the rest is with what it sets up. There
/// is one for each of very many sessions.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Rules {
    pub(crate) max_body: u16,
    pub(crate) max_message: u32,
    pub(crate) max_requests: u16,
    pub(crate) idle_timeout_ms: u32,
    pub(crate) heartbeat_min_ms: u32,
    pub(crate) handshake_timeout: Hundredths,
    pub(crate) frame_timeout_ms: u32,
    pub(crate) ack_delay_ms: u16,
    pub(crate) linger: Hundredths,
    pub(crate) release: Release,
}

/// A time in hundredths of a second, up to ten minutes: as exact as waiting for a peer needs.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Hundredths(u16);

impl Hundredths {
    /// Milliseconds, rounded up.
    const fn of(ms: u32) -> Self {
        Self(short(ms.div_ceil(10)))
    }

    pub(crate) const fn micros(self) -> u64 {
        self.0 as u64 * 10_000
    }
}

/// What was checked to be short enough.
#[expect(clippy::cast_possible_truncation, reason = "it is compared first")]
const fn short(value: u32) -> u16 {
    if value > u16::MAX as u32 { u16::MAX } else { value as u16 }
}

/// Bytes at the front of the storage for what is open: two bits for each request of the peer's,
/// one for each of this end's. Whole words, so that the ring behind them begins at one: a processor
/// that copies what is not aligned byte by byte spends most of a short message's time on that.
pub(crate) const fn bitmaps_len(max_in: u16, max_out: u16) -> usize {
    (bitmap_len(max_in) * 2 + bitmap_len(max_out)).next_multiple_of(4)
}

/// Bytes for a bitmap of `count` requests.
pub(crate) const fn bitmap_len(count: u16) -> usize {
    (count as usize).div_ceil(8)
}

/// The first item that is not from its least to its greatest value: key, value, least, greatest.
pub(crate) const fn check(items: &[(&'static str, u64, u64, u64)]) -> Result<(), ConfigError> {
    let mut rest = items;
    while let [(key, value, min, max), more @ ..] = rest {
        if *value < *min || *value > *max {
            return Err(ConfigError { key, value: *value, min: *min, max: *max });
        }
        rest = more;
    }
    Ok(())
}

/// The first item that was out of range.
struct Range {
    broken: Option<ConfigError>,
}

impl Range {
    #[inline(always)]
    const fn check(&mut self, key: &'static str, value: u64, min: u64, max: u64) {
        if self.broken.is_none() && (value < min || value > max) {
            self.broken = Some(ConfigError { key, value, min, max });
        }
    }
}

impl Attach<'_> {
    /// Bytes of the longest HELLO that says this, which is one that resumes a session: what
    /// [`Session::attach`](crate::Session::attach) needs room for, at every attempt.
    ///
    /// # Errors
    ///
    /// What is longer than its option may be, and would make every attempt fail.
    #[inline]
    pub fn hello_len(&self) -> Result<usize, ConfigError> {
        let auth = self.auth.map(|auth| auth.data.len());
        let (agent, client_id) = (self.agent.map(<[u8]>::len), self.client_id.map(<[u8]>::len));
        // One by one, so that nothing is left of what is known when a program is compiled.
        ConfigError::check("auth", auth.unwrap_or(0) as u64, 0, 254)?;
        ConfigError::check("agent", agent.unwrap_or(0) as u64, 0, 255)?;
        ConfigError::check("client_id", client_id.unwrap_or(0) as u64, 0, 255)?;
        // The number of the method is in front of its data.
        Ok(Hello::len_with([auth.map(|len| 1 + len), agent, client_id]))
    }
}

/// A configuration item is out of range.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ConfigError {
    key: &'static str,
    value: u64,
    min: u64,
    max: u64,
}

impl ConfigError {
    /// Whether the item `key` is from its least to its greatest value.
    ///
    /// # Errors
    ///
    /// It is not.
    pub const fn check(key: &'static str, value: u64, min: u64, max: u64) -> Result<(), Self> {
        if value < min || value > max { Err(Self { key, value, min, max }) } else { Ok(()) }
    }

    /// Name of the item.
    #[must_use]
    pub const fn key(&self) -> &'static str {
        self.key
    }

    /// What it is.
    #[must_use]
    pub const fn value(&self) -> u64 {
        self.value
    }

    /// The least and the greatest value it may have.
    #[must_use]
    pub const fn range(&self) -> (u64, u64) {
        (self.min, self.max)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, value, min, max } = self;
        write!(f, "{key} is {value}: it must be from {min} to {max}")
    }
}

impl core::error::Error for ConfigError {}
