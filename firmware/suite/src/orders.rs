//! What the suite says: the settings of a subject, and commands.

use alloc::vec::Vec;
use core::str::{FromStr, Split};

use outlast_embedded::client::DialerConfig;
use outlast_embedded::outlast_core::registry::RegistryConfig;
use outlast_embedded::{CloseCode, Config, Head, Release, RequestId, Route, Status};

use crate::line;

/// The words of a line.
pub(crate) type Words<'l> = Split<'l, char>;

/// Why a line cannot be understood.
pub(crate) type Wrong = &'static str;

/// The next word as a number.
pub(crate) fn number<T: FromStr>(words: &mut Words<'_>) -> Result<T, Wrong> {
    words.next().and_then(|word| word.parse().ok()).ok_or("not a number")
}

/// The next word as bytes.
pub(crate) fn payload(words: &mut Words<'_>) -> Result<Vec<u8>, Wrong> {
    words.next().and_then(line::bytes).ok_or("not bytes")
}

/// A command to one session.
pub(crate) enum Order {
    /// Say something; the flag is set if it is told when there was room for it.
    Say(Head, Vec<u8>, bool),
    Request(Route, Vec<u8>),
    Finish,
    Close(CloseCode),
    End(CloseCode),
    Drain(u32, u32),
}

impl Order {
    /// The rest of a line that begins with `name` and a session.
    pub(crate) fn parse(name: &str, words: &mut Words<'_>) -> Result<Self, Wrong> {
        let mut code = || number(words).map(CloseCode::new);
        Ok(match name {
            "close" => Self::Close(code()?),
            "end" => Self::End(code()?),
            "finish" => Self::Finish,
            "drain" => Self::Drain(number(words)?, number(words)?),
            "send" => {
                let route = Route::new(number(words)?);
                Self::Say(Head::Message { route }, payload(words)?, true)
            }
            "request" => Self::Request(Route::new(number(words)?), payload(words)?),
            "respond" => {
                let (id, status) = (RequestId(number(words)?), Status(number(words)?));
                Self::Say(Head::Response { id, status }, payload(words)?, false)
            }
            _ => return Err("no such command"),
        })
    }
}

/// How a subject is to be.
pub(crate) struct Settings {
    pub(crate) config: Config,
    pub(crate) sessions: RegistryConfig,
    pub(crate) dialer: DialerConfig,
}

impl Settings {
    /// The words `name=value` of a subject's first line.
    pub(crate) fn parse(base: Config, words: Words<'_>) -> Result<Self, Wrong> {
        let (sessions, dialer) = (RegistryConfig::default(), DialerConfig::default());
        let mut settings = Self { config: base, sessions, dialer };
        for word in words {
            let (name, value) = word.split_once('=').ok_or("a setting without a value")?;
            settings.set(name, value)?;
        }
        Ok(settings)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), Wrong> {
        let Self { config, sessions, dialer } = self;
        if name == "release" {
            config.release = if value == "manual" { Release::Manual } else { Release::Automatic };
            return Ok(());
        }
        let number: u32 = value.parse().map_err(|_| "not a number")?;
        let short = || u16::try_from(number).map_err(|_| "too large a number");
        let micros = || u64::from(number) * 1_000;
        match name {
            "max_body" => config.max_body = short()?,
            "max_message" => config.max_message = number,
            "window" => config.window = number,
            "window_max" => config.window_max = number,
            "send_buffer" => config.send_buffer = number,
            "max_requests" => config.max_requests = short()?,
            "max_requests_out" => config.max_requests_out = short()?,
            "idle_timeout_ms" => config.idle_timeout_ms = number,
            "heartbeat_min_ms" => config.heartbeat_min_ms = number,
            "retention_s" => config.retention_s = number,
            "handshake_timeout_ms" => config.handshake_timeout_ms = number,
            "frame_timeout_ms" => config.frame_timeout_ms = number,
            "ack_delay_ms" => config.ack_delay_ms = number,
            "linger_ms" => config.linger_ms = number,
            "max_entries" => sessions.max_entries = number,
            "max_per_owner" => sessions.max_per_owner = number,
            "max_unconfirmed" => sessions.max_unconfirmed = number,
            "max_detached" => sessions.max_detached = number,
            "max_detached_per_owner" => sessions.max_detached_per_owner = number,
            "max_ttl_s" => sessions.max_ttl_s = number,
            "busy_retry_ms" => sessions.busy_retry_ms = number,
            "epoch" => sessions.epoch = number,
            "backoff_base_ms" => dialer.backoff_base = micros(),
            "backoff_cap_ms" => dialer.backoff_cap = micros(),
            _ => return Err("no such setting"),
        }
        Ok(())
    }
}
