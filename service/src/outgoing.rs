//! What waits to be sent: how much, for how long, and what becomes of the rest.

use std::time::Duration;

use outlast_core::wire::{HEADER_LEN, MAX_BODY};
use outlast_core::{ConfigError, Instant, Session};

/// Bytes of the longest frame.
const FRAME_MAX: usize = HEADER_LEN + MAX_BODY as usize;

/// How one end of a session sends.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Bytes that handles may queue before they have to wait, 16,387 (a frame of any length) to
    /// 1 GiB. As much again may wait behind the session's own
    /// [`send_buffer`](outlast_core::Config::send_buffer).
    pub queue: usize,
    /// What becomes of a message that finds the queue full, where nobody waits for room.
    pub when_full: WhenFull,
    /// A peer whose transport takes nothing for so long loses its connection: 1 ms to 49 days. Its
    /// session stays.
    pub write_timeout: Duration,
    /// Whether small messages wait for others, so that one write carries many.
    pub batch: Option<Batch>,
}

/// What becomes of a message for which there is no room, if nobody waits for room.
#[derive(Debug, Copy, Clone, Default, PartialEq, Eq, Hash)]
pub enum WhenFull {
    /// Whoever sends it is told, and nothing else happens.
    #[default]
    Refuse,
    /// It is dropped, and counted; whoever sends it is not told.
    DropNewest,
    /// Whoever sends it is told, and the peer, which is too slow, is let go: a session ends with
    /// [`EVICTED`](outlast_core::CloseCode::EVICTED), a connection without a session is closed.
    /// A message that finds no room for another reason, because a long one is just being queued or
    /// all sessions together take too much memory, is refused and nothing else happens.
    Disconnect,
}

/// When what waits is written at last; the first of these counts. What the protocol itself has to
/// say, such as acknowledgements and signs of life, does not wait and takes along what does.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct Batch {
    /// As soon as so many bytes wait.
    pub bytes: usize,
    /// As soon as so many messages wait, at least 1.
    pub messages: u32,
    /// As soon as the first of them has waited for so long, up to 10 s.
    pub delay: Duration,
}

impl Default for Outgoing {
    /// 256 KiB, refused when full, 30 s for a write, no batches: what is ready in the same moment
    /// is written at once anyway.
    fn default() -> Self {
        Self {
            queue: 256 << 10,
            when_full: WhenFull::Refuse,
            write_timeout: Duration::from_secs(30),
            batch: None,
        }
    }
}

impl Outgoing {
    /// Checks every value.
    ///
    /// # Errors
    ///
    /// The first item out of range, with the range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        ConfigError::check("queue", self.queue as u64, FRAME_MAX as u64, 1 << 30)?;
        let timeout = millis(self.write_timeout);
        ConfigError::check("write_timeout_ms", timeout, 1, u64::from(u32::MAX))?;
        self.batch.as_ref().map_or(Ok(()), Batch::validate)
    }

    pub(crate) fn write_timeout_us(&self) -> u64 {
        millis(self.write_timeout).saturating_mul(1_000)
    }
}

impl Batch {
    /// Checks every value.
    ///
    /// # Errors
    ///
    /// The first item out of range, with the range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        ConfigError::check("batch.messages", u64::from(self.messages), 1, u64::from(u32::MAX))?;
        ConfigError::check("batch.delay_ms", millis(self.delay), 0, 10_000)
    }

    /// Whether so little waits for more.
    pub(crate) const fn holds(&self, bytes: usize, messages: u32) -> bool {
        bytes < self.bytes && messages < self.messages
    }

    pub(crate) fn delay_us(&self) -> u64 {
        u64::try_from(self.delay.as_micros()).unwrap_or(u64::MAX)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// How long small messages wait for others.
#[derive(Debug, Copy, Clone, Default)]
pub(crate) struct Lingering {
    /// Until then, if some do.
    pub(crate) until: Option<Instant>,
    /// Messages given to send when everything had last been written.
    written: u32,
}

impl Lingering {
    /// Whether what waits in `session` is not written yet. Nothing is held back while something
    /// else has to be written.
    pub(crate) fn lingers(
        &mut self,
        now: Instant,
        batch: &Batch,
        session: &Session<Vec<u8>>,
        other: bool,
    ) -> bool {
        let bytes = session.sent().get().saturating_sub(session.transmitted().get()) as usize;
        let given = session.stats().messages_out;
        let messages = given.wrapping_sub(self.written);
        let few = bytes > 0 && batch.holds(bytes, messages);
        if few
            && !other
            && !session.has_control_output()
            && *self.until.get_or_insert_with(|| now.after(batch.delay_us())) > now
        {
            return true;
        }
        *self = Self { until: None, written: given };
        false
    }
}
