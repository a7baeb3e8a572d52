//! Where to listen and whom to call: `host:port`, with the usual parts left out.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// The host that is meant where none is given: this machine, reachable from nowhere else.
const DEFAULT_HOST: &str = "127.0.0.1";

/// A host and a port, not looked up yet. Either may be left out where it is written: the host is
/// then 127.0.0.1, the port 7411. IPv6 addresses with a port stand in brackets.
///
/// ```
/// use outlast_config::Address;
///
/// let address: Address = "example.org".parse()?;
/// assert_eq!(address.to_string(), "example.org:7411");
/// assert!(Address::default().is_loopback());
/// # Ok::<(), String>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
}

impl Default for Address {
    /// 127.0.0.1:7411.
    fn default() -> Self {
        Self { host: DEFAULT_HOST.to_owned(), port: Self::DEFAULT_PORT }
    }
}

impl Address {
    /// The port that is meant where none is given.
    pub const DEFAULT_PORT: u16 = 7411;
    /// Host and port that are meant where nothing is given.
    pub const DEFAULT: &str = "127.0.0.1:7411";
    /// The port of what a server shows of itself.
    pub const ADMIN_PORT: u16 = 7412;
    /// Host and port of that where nothing is given.
    pub const ADMIN: &str = "127.0.0.1:7412";

    /// Whether only programs on this machine can reach it.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(ip) => ip.is_loopback(),
            Err(_) => self.host == "localhost",
        }
    }
}

impl FromStr for Address {
    type Err = String;

    /// # Errors
    ///
    /// A sentence that names what is wrong, and how addresses are written.
    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text, Self::DEFAULT_PORT)
    }
}

impl Address {
    /// As `parse` of a string, for what a server shows of itself.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn of_admin(text: &str) -> Result<Self, String> {
        Self::parse(text, Self::ADMIN_PORT)
    }

    /// As it is written, with this port where none is.
    pub(crate) fn parse(text: &str, default_port: u16) -> Result<Self, String> {
        let text = text.trim();
        // A bare IPv6 address has colons of its own and no port.
        if let Ok(ip) = text.parse::<Ipv6Addr>() {
            return Ok(Self { host: ip.to_string(), port: default_port });
        }
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or_else(|| {
                    format!("`{text}` has no `]`: write IPv6 addresses as [::1]:7411")
                })?;
                let ip = host.parse::<Ipv6Addr>();
                let ip = ip.map_err(|_| format!("`{host}` in brackets is no IPv6 address"))?;
                (ip.to_string(), port.strip_prefix(':').unwrap_or(port).to_owned())
            }
            None => {
                let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
                if host.contains(':') {
                    return Err(format!(
                        "`{text}` has too many colons: write IPv6 addresses as [::1]:7411"
                    ));
                }
                (host.to_owned(), port.to_owned())
            }
        };
        let port = match port.as_str() {
            "" => default_port,
            digits => digits.parse().map_err(|_| {
                format!("`{digits}` is no port: write host:port, for instance 127.0.0.1:7411")
            })?,
        };
        let host = if host.is_empty() { DEFAULT_HOST.to_owned() } else { host };
        let legal = |c: char| c.is_ascii_alphanumeric() || ".-_:%".contains(c);
        if !host.chars().all(legal) {
            return Err(format!(
                "`{host}` is no host: write host:port, for instance 127.0.0.1:7411"
            ));
        }
        Ok(Self { host, port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> String {
        text.parse::<Address>().unwrap().to_string()
    }

    #[test]
    fn whatever_is_left_out_is_the_default() {
        assert_eq!(parsed("example.test:99"), "example.test:99");
        assert_eq!(parsed("example.test"), "example.test:7411");
        assert_eq!(parsed(":99"), "127.0.0.1:99");
        assert_eq!(parsed("::1"), "[::1]:7411");
        assert_eq!(parsed("[::1]"), "[::1]:7411");
        assert_eq!(parsed("[::1]:0"), "[::1]:0");
        assert_eq!(parsed(Address::DEFAULT), Address::DEFAULT);
        assert_eq!(Address::of_admin("").unwrap().to_string(), Address::ADMIN);
    }

    #[test]
    fn mistakes_are_explained() {
        for (text, hint) in [
            ("host:port", "no port"),
            ("host:70000", "no port"),
            ("1:2:3", "too many colons"),
            ("[::1:7411", "no `]`"),
            ("[host]:1", "no IPv6"),
            ("a b:1", "no host"),
        ] {
            let error = text.parse::<Address>().unwrap_err();
            assert!(error.contains(hint), "{text}: {error}");
        }
    }

    #[test]
    fn loopback_is_recognised() {
        for (text, is) in
            [("::1", true), ("127.3.0.1", true), ("localhost", true), ("0.0.0.0", false)]
        {
            assert_eq!(text.parse::<Address>().unwrap().is_loopback(), is, "{text}");
        }
    }
}
