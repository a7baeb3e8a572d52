//! Who may do what: names of the host, origins, and the token.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Instant as StdInstant;

use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, ORIGIN};
use outlast_core::Instant;
use outlast_core::admission::{Meter, Rate};
use sha2::{Digest, Sha256};

/// How often a token is looked at, right or wrong: once a second, and ten at once.
const TRIES: Rate = Rate::per_second(1, 10);

/// Why a request is refused.
pub(crate) type Refusal = (StatusCode, &'static str);

pub(crate) struct Guard {
    /// A digest has the same length whatever the token's is, and comparing it tells nothing of it.
    token: Option<[u8; 32]>,
    /// It listens where only this machine gets to.
    local_only: bool,
    begin: StdInstant,
    tries: Mutex<Meter>,
}

impl Guard {
    pub(crate) fn new(token: Option<&[u8]>, listens: SocketAddr) -> Self {
        let token = token.map(|token| Sha256::digest(token).into());
        let (begin, tries) = (StdInstant::now(), Mutex::new(Meter::NEW));
        Self { token, local_only: is_loopback(listens.ip()), begin, tries }
    }

    /// Whether anybody may do anything but look.
    pub(crate) const fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// A page from elsewhere may have a name of its own that leads to this machine: what it asks
    /// for comes with that name.
    pub(crate) fn may_look(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        if !self.local_only || text(headers, &HOST).is_some_and(is_of_this_machine) {
            return Ok(());
        }
        Err((StatusCode::MISDIRECTED_REQUEST, "ask for localhost, 127.0.0.1 or [::1]"))
    }

    /// Whether the request may change something.
    pub(crate) fn may_act(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let own = |origin: &str| {
            let host = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
            host.is_some_and(|host| text(headers, &HOST) == Some(host))
        };
        if headers.contains_key(ORIGIN) && !text(headers, &ORIGIN).is_some_and(own) {
            return Err((StatusCode::FORBIDDEN, "a page of another origin may not do this"));
        }
        let site = headers.get(HeaderName::from_static("sec-fetch-site"));
        if site.is_some_and(|site| site != "same-origin" && site != "none") {
            return Err((StatusCode::FORBIDDEN, "a page of another site may not do this"));
        }
        let Some(token) = &self.token else {
            return Err((StatusCode::FORBIDDEN, "no token is configured, so nobody may do this"));
        };
        const WRONG: Refusal = (StatusCode::UNAUTHORIZED, "the token is missing or wrong");
        let shown = text(headers, &AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
        let shown = shown.ok_or(WRONG)?;
        // Before it is looked at: whoever guesses would be told of the right one otherwise, however
        // many wrong ones came before.
        if !self.may_try() {
            let why = "too many tokens were shown; wait a little";
            return Err((StatusCode::TOO_MANY_REQUESTS, why));
        }
        let shown: [u8; 32] = Sha256::digest(shown.trim()).into();
        // Over all bytes, wherever the first difference is.
        let differ = token.iter().zip(&shown).fold(0, |all, (a, b)| all | (a ^ b));
        if std::hint::black_box(differ) == 0 { Ok(()) } else { Err(WRONG) }
    }

    fn may_try(&self) -> bool {
        let micros = u64::try_from(self.begin.elapsed().as_micros()).unwrap_or(u64::MAX);
        let now = Instant::from_micros(micros.saturating_add(1));
        let mut tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        tries.take(now, &TRIES).is_ok()
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Whether `Host` is a name or an address of this machine alone.
fn is_of_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(is_loopback)
}

/// Also where it is written as one of IPv6.
fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        pairs.collect()
    }

    fn guard(token: Option<&[u8]>) -> Guard {
        Guard::new(token, "127.0.0.1:7412".parse().unwrap())
    }

    #[test]
    fn only_names_of_this_machine_are_answered_to() {
        let guard = guard(None);
        for good in ["localhost", "LocalHost:7412", "127.0.0.1:7412", "127.9.9.9", "[::1]:7412"] {
            assert_eq!(guard.may_look(&headers(&[("host", good)])), Ok(()), "{good}");
        }
        for bad in ["example.test", "localhost.example.test:7412", "192.0.2.1", "[fe80::1]", ""] {
            assert!(guard.may_look(&headers(&[("host", bad)])).is_err(), "{bad}");
        }
        assert!(guard.may_look(&headers(&[])).is_err());
        // Who listens for others does not know its names.
        let wide = Guard::new(None, "0.0.0.0:7412".parse().unwrap());
        assert_eq!(wide.may_look(&headers(&[("host", "metrics.example.test")])), Ok(()));
    }

    #[test]
    fn nobody_acts_without_the_token_or_from_another_origin() {
        let (guard, host) = (guard(Some(b"open sesame")), ("host", "localhost:7412"));
        let right = ("authorization", "Bearer open sesame");
        let status = |more: &[(&'static str, &str)]| {
            let all = [&[host], more].concat();
            guard.may_act(&headers(&all)).map_err(|(status, _)| status.as_u16())
        };
        assert_eq!(status(&[right]), Ok(()));
        assert_eq!(status(&[right, ("origin", "http://localhost:7412")]), Ok(()));
        assert_eq!(status(&[right, ("sec-fetch-site", "same-origin")]), Ok(()));
        for origin in ["http://example.test", "http://localhost:7413", "null", "localhost:7412"] {
            assert_eq!(status(&[right, ("origin", origin)]), Err(403), "{origin}");
        }
        assert_eq!(status(&[right, ("sec-fetch-site", "cross-site")]), Err(403));
        for wrong in ["Bearer open sesam", "Bearer ", "open sesame", "Basic open sesame"] {
            assert_eq!(status(&[("authorization", wrong)]), Err(401), "{wrong}");
        }
        assert_eq!(status(&[]), Err(401));
        let none = Guard::new(None, "127.0.0.1:1".parse().unwrap());
        assert_eq!(none.may_act(&headers(&[host, right])).unwrap_err().0.as_u16(), 403);
    }

    #[test]
    fn whoever_guesses_does_not_get_to_the_right_one() {
        let (guard, begun) = (guard(Some(b"x")), StdInstant::now());
        let shown = headers(&[("authorization", "Bearer x")]);
        let heard = (0..1_000).filter(|_| guard.may_act(&shown).is_ok()).count() as u64;
        let most = 11 + begun.elapsed().as_secs();
        assert!((10..=most).contains(&heard), "{heard} of 1000 were looked at");
        // Who shows none uses up nothing.
        let other = self::guard(Some(b"x"));
        assert!((0..50).all(|_| other.may_act(&headers(&[])).unwrap_err().0.as_u16() == 401));
        assert_eq!(other.may_act(&headers(&[("authorization", "Bearer x")])), Ok(()));
    }

    #[test]
    fn an_address_of_this_machine_is_one_however_it_is_written() {
        let guard = Guard::new(None, "[::ffff:127.0.0.1]:7412".parse().unwrap());
        let look = |host| guard.may_look(&headers(&[("host", host)]));
        assert!(look("attacker.example.test:7412").is_err());
        assert_eq!(look("[::ffff:127.0.0.1]:7412"), Ok(()));
        assert_eq!(look("127.0.0.1:7412"), Ok(()));
    }
}
