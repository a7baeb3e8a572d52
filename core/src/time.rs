//! A clock reading that exists without an operating system.

use core::num::NonZeroU64;
use core::time::Duration;

/// A point in time on the driver's monotonic clock, in microseconds since an epoch of its choosing.
///
/// The core only compares readings and adds to them; it never asks what time it is. Arithmetic
/// saturates, so no value a peer announces can overflow it. `Option<Instant>` is eight bytes.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(NonZeroU64);

impl Instant {
    /// The reading `micros` microseconds after the driver's epoch.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(micros))
    }

    /// The same reading as a number of microseconds after the driver's epoch.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0.get() - 1
    }

    /// How long after `earlier` this reading was taken; zero if it was not after it.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.micros_since(earlier))
    }

    /// The reading `micros` microseconds later, or the latest one there is.
    #[must_use]
    pub const fn after(self, micros: u64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    pub(crate) const fn micros_since(self, earlier: Self) -> u64 {
        self.0.get().saturating_sub(earlier.0.get())
    }
}

/// A reading kept where eight bytes of alignment would cost more than they are worth.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Stored([u8; 8]);

impl From<Instant> for Stored {
    fn from(at: Instant) -> Self {
        Self(at.as_micros().to_ne_bytes())
    }
}

impl From<Stored> for Instant {
    fn from(Stored(bytes): Stored) -> Self {
        Self::from_micros(u64::from_ne_bytes(bytes))
    }
}
