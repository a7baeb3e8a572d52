//! Which addresses may connect at all: networks that are let in and networks that are not.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use outlast_core::admission::{self, Access, Rule};

/// Networks that are allowed or denied. The longest prefix that covers an address decides, whatever
/// the order; of two rules for the same network the one that denies. IPv4 inside IPv6 is IPv4.
///
/// ```
/// use outlast_service::AccessList;
///
/// let list = AccessList::closed().allow("10.0.0.0/8")?.deny("10.6.6.0/24")?;
/// assert!(list.admits("10.1.2.3".parse().unwrap()));
/// assert!(!list.admits("10.6.6.6".parse().unwrap()));
/// assert!(!list.admits("192.0.2.1".parse().unwrap()));
/// # Ok::<(), outlast_service::NetworkError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessList {
    rules: Arc<[Rule]>,
    otherwise: Access,
}

/// Rules that a list may have: each connection is compared with all of them.
const MAX_RULES: usize = 65_536;

impl Default for AccessList {
    fn default() -> Self {
        Self::open()
    }
}

impl AccessList {
    /// Everybody is let in whom no rule denies.
    #[must_use]
    pub fn open() -> Self {
        Self { rules: Arc::default(), otherwise: Access::Allow }
    }

    /// Nobody is let in whom no rule allows.
    #[must_use]
    pub fn closed() -> Self {
        Self { rules: Arc::default(), otherwise: Access::Deny }
    }

    /// Lets a network in, as `10.0.0.0/8` or `2001:db8::/32`; an address alone is a network of one.
    ///
    /// # Errors
    ///
    /// If that is no network, or there are 65,536 rules already.
    pub fn allow(self, network: &str) -> Result<Self, NetworkError> {
        self.with(network, Access::Allow)
    }

    /// Keeps a network out.
    ///
    /// # Errors
    ///
    /// As [`allow`](Self::allow).
    pub fn deny(self, network: &str) -> Result<Self, NetworkError> {
        self.with(network, Access::Deny)
    }

    /// Whether this address may connect.
    #[must_use]
    pub fn admits(&self, address: IpAddr) -> bool {
        admission::access(&self.rules, self.otherwise, address) == Access::Allow
    }

    fn with(mut self, network: &str, access: Access) -> Result<Self, NetworkError> {
        let rule = rule(network, access).ok_or_else(|| NetworkError::Malformed(network.into()))?;
        if self.rules.len() >= MAX_RULES {
            return Err(NetworkError::TooMany);
        }
        self.rules = self.rules.iter().copied().chain([rule]).collect();
        Ok(self)
    }
}

/// Lines of `allow NETWORK`, `deny NETWORK`, and `default allow` or `default deny`; without the
/// last everybody is let in whom no line denies. Empty lines and what follows a `#` do not count.
impl FromStr for AccessList {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (mut rules, mut otherwise) = (Vec::new(), Access::Allow);
        for line in text.lines() {
            let said = line.split('#').next().unwrap_or_default();
            let words: Vec<&str> = said.split_whitespace().collect();
            let malformed = || NetworkError::Malformed(line.trim().into());
            match words[..] {
                [] => {}
                ["default", word] => otherwise = access(word).ok_or_else(malformed)?,
                [word, network] => {
                    let access = access(word).ok_or_else(malformed)?;
                    rules.push(rule(network, access).ok_or_else(malformed)?);
                }
                _ => return Err(malformed()),
            }
        }
        if rules.len() > MAX_RULES {
            return Err(NetworkError::TooMany);
        }
        Ok(Self { rules: rules.into(), otherwise })
    }
}

fn access(word: &str) -> Option<Access> {
    match word {
        "allow" => Some(Access::Allow),
        "deny" => Some(Access::Deny),
        _ => None,
    }
}

fn rule(network: &str, access: Access) -> Option<Rule> {
    let (address, prefix) = match network.split_once('/') {
        Some((address, prefix)) => (address.parse().ok()?, prefix.parse().ok()?),
        None => {
            let address: IpAddr = network.parse().ok()?;
            (address, if address.is_ipv4() { 32 } else { 128 })
        }
    };
    Rule::new(address, prefix, access)
}

/// What is wrong with a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NetworkError {
    /// This says no network, or not what becomes of it.
    Malformed(Box<str>),
    /// A list has at most 65,536 rules.
    TooMany,
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(text) => {
                write!(f, "`{text}` is no rule: write a network as 10.0.0.0/8 or 2001:db8::/32")
            }
            Self::TooMany => write!(f, "more than {MAX_RULES} rules: join networks"),
        }
    }
}

impl std::error::Error for NetworkError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(list: &AccessList, address: &str) -> bool {
        list.admits(address.parse().unwrap())
    }

    #[test]
    fn the_longest_prefix_decides() {
        let list: AccessList = "# who may come\n\
             default deny\n\
             allow 192.0.2.0/24  # the lab\n\
             deny 192.0.2.128/25\n\
             allow 192.0.2.200\n\n\
             allow 2001:db8::/32"
            .parse()
            .unwrap();
        assert!(admits(&list, "192.0.2.7"));
        assert!(!admits(&list, "192.0.2.129"));
        assert!(admits(&list, "192.0.2.200"));
        assert!(admits(&list, "::ffff:192.0.2.7"), "IPv4 however it came");
        assert!(admits(&list, "2001:db8:ffff::1"));
        assert!(!admits(&list, "2001:db9::1"));
        assert!(!admits(&list, "198.51.100.1"));
        assert!(admits(&AccessList::default(), "198.51.100.1"));
    }

    #[test]
    fn a_mistake_is_named() {
        for wrong in
            ["allow 10.0.0.0/33", "permit 10.0.0.0/8", "allow", "default maybe", "deny ::/129"]
        {
            let error = wrong.parse::<AccessList>().unwrap_err();
            assert_eq!(error, NetworkError::Malformed(wrong.into()), "{error}");
        }
        let full: String = (0..=MAX_RULES)
            .map(|n| format!("deny 10.{}.{}.0/24\n", n >> 8 & 255, n & 255))
            .collect();
        assert_eq!(full.parse::<AccessList>(), Err(NetworkError::TooMany));
    }
}
