//! Small numbers with a meaning: routes, request ids, statuses.

use super::bytes::Writer;
use crate::CloseCode;

/// Where a message or request goes: a number the two applications agree on.
///
/// Values up to `0xFB` ride in the header's tag; larger ones take two or four bytes of the body.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Route(u32);

impl Route {
    const DIRECT_MAX: u32 = 0xFB;
    const EXTENDED_MIN: u32 = 0xFC;
    const TAG_U16: u8 = 0xFE;
    const TAG_U32: u8 = 0xFF;

    /// The route with this number.
    #[inline]
    #[must_use]
    pub const fn new(route: u32) -> Self {
        Self(route)
    }

    /// The number.
    #[inline]
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Body bytes the route takes in its shortest form: 0, 2 or 4.
    #[inline]
    #[must_use]
    pub const fn encoded_len(self) -> usize {
        match self.0 {
            0..=Self::DIRECT_MAX => 0,
            Self::EXTENDED_MIN..=0xFFFF => 2,
            0x1_0000.. => 4,
        }
    }

    /// The header tag of the shortest form.
    #[inline]
    #[must_use]
    pub const fn tag(self) -> u8 {
        match self.0 {
            0..=Self::DIRECT_MAX => self.0.to_le_bytes()[0],
            Self::EXTENDED_MIN..=0xFFFF => Self::TAG_U16,
            0x1_0000.. => Self::TAG_U32,
        }
    }

    /// The number as it lies in a body; the first [`encoded_len`](Self::encoded_len) bytes count.
    #[inline]
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 4] {
        self.0.to_le_bytes()
    }

    //= FRM-16
    pub(super) fn encode(self, writer: &mut Writer<'_>) {
        writer.put(self.to_bytes().get(..self.encoded_len()).unwrap_or_default());
    }

    /// Reads the route of a frame with this tag; returns it with the body behind it.
    ///
    /// A longer form than needed is accepted.
    ///
    /// # Errors
    ///
    /// `BAD_FRAME` for the reserved tags `0xFC` and `0xFD`, and for a body shorter than the route.
    #[inline]
    pub fn split(tag: u8, body: &[u8]) -> Result<(Self, &[u8]), CloseCode> {
        if u32::from(tag) <= Self::DIRECT_MAX {
            return Ok((Self(u32::from(tag)), body));
        }
        Self::split_extended(tag, body).ok_or(CloseCode::BAD_FRAME)
    }

    fn split_extended(tag: u8, body: &[u8]) -> Option<(Self, &[u8])> {
        //= FRM-15, FRM-16
        match tag {
            Self::TAG_U16 => {
                let (route, rest) = body.split_first_chunk()?;
                Some((Self(u32::from(u16::from_le_bytes(*route))), rest))
            }
            Self::TAG_U32 => {
                let (route, rest) = body.split_first_chunk()?;
                Some((Self(u32::from_le_bytes(*route)), rest))
            }
            _ => None,
        }
    }
}

impl From<u8> for Route {
    fn from(route: u8) -> Self {
        Self(u32::from(route))
    }
}

impl From<u16> for Route {
    fn from(route: u16) -> Self {
        Self(u32::from(route))
    }
}

impl From<u32> for Route {
    fn from(route: u32) -> Self {
        Self(route)
    }
}

/// Which of the requester's open requests is meant: a slot below the responder's limit.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RequestId(pub u16);

impl RequestId {
    /// Reads the id that a body begins with; returns it with what is behind it.
    pub(crate) fn split(body: &[u8]) -> Result<(Self, &[u8]), CloseCode> {
        match body.split_first_chunk() {
            Some((id, rest)) => Ok((Self(u16::from_le_bytes(*id)), rest)),
            None => Err(CloseCode::BAD_FRAME),
        }
    }

    /// Reads a body that is an id.
    pub(crate) fn only(body: &[u8]) -> Result<Self, CloseCode> {
        match Self::split(body)? {
            (id, []) => Ok(id),
            (_, [_, ..]) => Err(CloseCode::BAD_FRAME),
        }
    }
}

/// How a request ended. 64 and above are the application's.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Status(pub u8);

impl Status {
    /// It succeeded.
    pub const OK: Self = Self(0);
    /// It failed as the application defines it; the payload says how.
    pub const APP: Self = Self(1);
    /// Nobody serves the route.
    pub const NO_ROUTE: Self = Self(2);
    /// It was refused before it ran.
    pub const REFUSED: Self = Self(3);
    /// It was cancelled by the requester.
    pub const CANCELLED: Self = Self(4);
    /// Its deadline passed.
    pub const DEADLINE: Self = Self(5);
    /// The responder was overloaded; it did not run.
    pub const OVERLOADED: Self = Self(6);
    /// The requester may not do this.
    pub const DENIED: Self = Self(7);
    /// The request made no sense to the responder.
    pub const INVALID: Self = Self(8);
    /// The responder failed; it may have run.
    pub const INTERNAL: Self = Self(9);
    /// More came than was granted.
    pub const OVERRUN: Self = Self(10);

    /// Whether the request succeeded.
    #[must_use]
    pub const fn is_ok(self) -> bool {
        matches!(self, Self::OK)
    }

    /// Whether the request may have had effects, so that repeating it is not safe by itself.
    ///
    /// Only `NO_ROUTE`, `REFUSED` and `OVERLOADED` promise that nothing ran.
    #[must_use]
    pub const fn may_have_run(self) -> bool {
        !matches!(self, Self::NO_ROUTE | Self::REFUSED | Self::OVERLOADED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //= test FRM-16
    #[test]
    fn a_route_takes_its_shortest_form() {
        let form = |route: u32| (Route::from(route).tag(), Route::from(route).encoded_len());
        assert_eq!(form(0), (0, 0));
        assert_eq!(form(0xFB), (0xFB, 0));
        assert_eq!(form(0xFC), (0xFE, 2));
        assert_eq!(form(0xFF), (0xFE, 2));
        assert_eq!(form(0xFFFF), (0xFE, 2));
        assert_eq!(form(0x1_0000), (0xFF, 4));
        assert_eq!(form(u32::MAX), (0xFF, 4));
        assert_eq!(Route::from(0xFFu8), Route::from(0xFFu16));
        assert_eq!(Route::from(0xFFFFu16), Route::new(0xFFFF));
    }

    //= test FRM-15, FRM-16
    #[test]
    fn a_longer_form_than_needed_is_read_and_a_cut_one_is_not() {
        let seven = Route::from(7u8);
        assert_eq!(Route::split(7, b"x"), Ok((seven, &b"x"[..])));
        assert_eq!(Route::split(0xFE, b"\x07\x00x"), Ok((seven, &b"x"[..])));
        assert_eq!(Route::split(0xFF, b"\x07\x00\x00\x00x"), Ok((seven, &b"x"[..])));
        assert_eq!(Route::split(0xFE, b"\x07"), Err(CloseCode::BAD_FRAME));
        assert_eq!(Route::split(0xFF, b"\x07\x00\x00"), Err(CloseCode::BAD_FRAME));
        assert_eq!(Route::split(0xFC, b"\x00\x00\x00\x00"), Err(CloseCode::BAD_FRAME));
        assert_eq!(Route::split(0xFD, b"\x00\x00\x00\x00"), Err(CloseCode::BAD_FRAME));
    }

    #[test]
    fn only_three_statuses_promise_that_nothing_ran() {
        for status in 0..=0xFF {
            let promised = [Status::NO_ROUTE, Status::REFUSED, Status::OVERLOADED];
            assert_eq!(Status(status).may_have_run(), !promised.contains(&Status(status)));
            assert_eq!(Status(status).is_ok(), status == 0);
        }
    }
}
