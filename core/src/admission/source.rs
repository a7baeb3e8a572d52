//! Where a connection comes from, in the one form all limits are kept by.

use core::net::IpAddr;

/// The address of a peer, cut down to what one party can be expected to control.
///
/// IPv4 counts whole, also where it comes mapped into IPv6; IPv6 counts by its first bits, since
/// whoever has one address of a network has all of them.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source(u64);

/// Marks IPv4. As an IPv6 prefix this would be a multicast address, which nobody connects from.
const V4: u64 = 0xFFFF_FFFF_0000_0000;

impl Source {
    /// The source of `address`, IPv6 by its first `v6_prefix` bits, 1 to 64 (others count as the
    /// nearest of these).
    #[must_use]
    pub fn new(address: IpAddr, v6_prefix: u8) -> Self {
        //= REG-13
        match address.to_canonical() {
            IpAddr::V4(v4) => Self(V4 | u64::from(v4.to_bits())),
            IpAddr::V6(v6) => {
                let keep = u32::from(v6_prefix.clamp(1, 64));
                let [bytes @ .., _, _, _, _, _, _, _, _] = v6.octets();
                let mask = u64::MAX << 64u32.wrapping_sub(keep).min(63);
                Self(u64::from_be_bytes(bytes) & mask)
            }
        }
    }

    /// The source as a number, equal for equal sources only.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}
