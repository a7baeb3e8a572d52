//! Which addresses may come at all.

use core::net::IpAddr;

/// What becomes of an address.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Access {
    /// It may connect.
    Allow,
    /// It is turned away before anything is read from it.
    Deny,
}

/// What becomes of the addresses of a network.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct Rule {
    network: u128,
    prefix: u8,
    is_v4: bool,
    access: Access,
}

impl Rule {
    /// The addresses whose first `prefix` bits are those of `network`; `None` if the addresses
    /// are shorter than that. A network of mapped IPv4 (`::ffff:a.b.c.d/96` and longer) is the
    /// IPv4 network.
    #[must_use]
    pub const fn new(network: IpAddr, prefix: u8, access: Access) -> Option<Self> {
        let (network, prefix, is_v4) = match network {
            IpAddr::V4(v4) => (v4.to_bits() as u128, prefix, true),
            IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
                Some(v4) if prefix >= 96 => (v4.to_bits() as u128, prefix.wrapping_sub(96), true),
                Some(_) | None => (v6.to_bits(), prefix, false),
            },
        };
        if prefix > width(is_v4) {
            return None;
        }
        Some(Self { network, prefix, is_v4, access })
    }

    const fn covers(&self, address: u128, is_v4: bool) -> bool {
        let rest = width(is_v4).wrapping_sub(self.prefix) as u32;
        // A shift by the whole width is no shift to the processor: it is zero here.
        let differing = (address ^ self.network).checked_shr(rest);
        self.is_v4 == is_v4 && matches!(differing, Some(0) | None)
    }
}

const fn width(is_v4: bool) -> u8 {
    if is_v4 { 32 } else { 128 }
}

/// What becomes of `address`: the rule with the longest prefix that covers it decides, whatever
/// the order of the rules; of two with the same network the one that denies; with none of them,
/// an empty list above all, `otherwise`. IPv4 mapped into IPv6 is IPv4.
#[must_use]
pub fn access(rules: &[Rule], otherwise: Access, address: IpAddr) -> Access {
    let (bits, is_v4) = match address.to_canonical() {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), true),
        IpAddr::V6(v6) => (v6.to_bits(), false),
    };
    let covering = rules.iter().filter(|rule| rule.covers(bits, is_v4));
    let best = covering.max_by_key(|rule| (rule.prefix, rule.access == Access::Deny));
    best.map_or(otherwise, |rule| rule.access)
}
