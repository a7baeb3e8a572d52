//! A clock reading that exists without an operating system.

use core::num::{NonZeroU32, NonZeroU64};
use core::time::Duration;

/// A point in time on the driver's monotonic clock, in microseconds since an epoch of its choosing.
///
/// The core only compares readings and adds to them; it never asks what time it is. Arithmetic
/// saturates, so no value a peer announces can overflow it. `Option<Instant>` is eight bytes.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
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
    #[cfg_attr(target_pointer_width = "32", inline(never))]
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

/// A reading in steps of 1.024 ms, for what lies less than 24 days before or after the present:
/// four bytes, also as an option.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Coarse(NonZeroU32);

impl Coarse {
    const BITS: u32 = 10;

    /// The last step not after `at`.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    #[cfg_attr(not(target_pointer_width = "32"), inline)]
    pub(crate) const fn before(at: Instant) -> Self {
        Self::of(at.as_micros() >> Self::BITS)
    }

    /// The first step after `at`.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    #[cfg_attr(not(target_pointer_width = "32"), inline)]
    pub(crate) const fn after(at: Instant) -> Self {
        Self::of((at.as_micros() >> Self::BITS) + 1)
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the low half is what is meant")]
    const fn of(steps: u64) -> Self {
        // One in 2^32 steps is a step late.
        match NonZeroU32::new(steps as u32) {
            Some(low) => Self(low),
            None => Self(NonZeroU32::MIN),
        }
    }

    /// Steps from `now` to this reading.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the low half is what is meant")]
    const fn steps_since(self, now: Instant) -> i32 {
        self.0.get().wrapping_sub((now.as_micros() >> Self::BITS) as u32).cast_signed()
    }

    #[inline]
    pub(crate) const fn is_due(self, now: Instant) -> bool {
        self.steps_since(now) <= 0
    }

    /// The reading, seen from `now`.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    pub(crate) const fn instant(self, now: Instant) -> Instant {
        let steps = now.as_micros() >> Self::BITS;
        let steps = steps.wrapping_add_signed(self.steps_since(now) as i64);
        Instant::from_micros(steps << Self::BITS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coarse_readings_are_at_most_a_step_off_wherever_the_clock_stands() {
        let days = |count: u64| count * 86_400_000_000;
        for base in [0, 1, 1_023, 1 << 42, (1 << 42) - 1, u64::MAX >> 1, days(49), days(51)] {
            for ahead in [0, 1, 1_023, 1_024, 1_000_000, days(23)] {
                let (now, at) = (Instant::from_micros(base), Instant::from_micros(base + ahead));
                for (seen, as_of) in [(now, at), (at, now)] {
                    let before = Coarse::before(as_of).instant(seen);
                    let after = Coarse::after(as_of).instant(seen);
                    // The step that is zero in its low half is taken for the one after it.
                    assert!(
                        before.micros_since(as_of) <= 1_024 && as_of.micros_since(before) < 1_024
                    );
                    assert!(after > as_of && after.micros_since(as_of) <= 2_048);
                    assert_eq!(Coarse::before(as_of).is_due(seen), before <= seen);
                }
            }
        }
    }

    #[test]
    fn stored_readings_are_exact() {
        for micros in [0, 1, u64::MAX - 1] {
            let at = Instant::from_micros(micros);
            assert_eq!(Instant::from(Stored::from(at)), at);
        }
    }
}
