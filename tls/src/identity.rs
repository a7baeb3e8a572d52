//! Who a certificate is about.
//!
//! By the time this looks at a certificate it has been verified, but what stands in it was chosen
//! by whoever asked for it: what is not understood is left out, and nothing here can fail.

use std::net::{Ipv4Addr, Ipv6Addr};

use outlast_service::PeerIdentity;
use sha2::{Digest, Sha256};

/// Names that are kept, and bytes of each.
const MAX_NAMES: usize = 32;
const MAX_NAME: usize = 255;

const SEQUENCE: u8 = 0x30;
const OBJECT: u8 = 0x06;
const OCTETS: u8 = 0x04;
/// `[3]` of a certificate: its extensions.
const EXTENSIONS: u8 = 0xA3;
/// 2.5.4.3 and 2.5.29.17, encoded.
const COMMON_NAME: [u8; 3] = [0x55, 0x04, 0x03];
const ALTERNATIVE_NAMES: [u8; 3] = [0x55, 0x1D, 0x11];

/// What a certificate in DER says of its owner.
pub(crate) fn of(certificate: &[u8]) -> PeerIdentity {
    let mut identity = PeerIdentity::new(Sha256::digest(certificate).into());
    if let Some(fields) = fields(certificate) {
        identity.common_name = common_name(fields.subject);
        identity.names = fields.extensions.map(names).unwrap_or_default();
    }
    identity
}

/// From when until when a certificate in DER is valid, in seconds since 1970.
pub(crate) fn validity(certificate: &[u8]) -> Option<(i64, i64)> {
    let (from, rest) = expect_time(fields(certificate)?.validity)?;
    Some((from, expect_time(rest)?.0))
}

struct Fields<'a> {
    validity: &'a [u8],
    subject: &'a [u8],
    extensions: Option<&'a [u8]>,
}

/// The next element: its tag, what it holds, and what follows it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [tag, first, rest @ ..] = bytes else {
        return None;
    };
    let (len, rest) = match first {
        0..=0x7F => (usize::from(*first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7F))?;
            (digits.iter().fold(0, |len, digit| len << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(len)?;
    Some((*tag, content, rest))
}

/// What an element of this tag holds, and what follows it.
fn expect(bytes: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    let (tag, content, rest) = element(bytes)?;
    (tag == wanted).then_some((content, rest))
}

/// The elements one after the other.
fn elements(mut bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (tag, content, rest) = element(bytes)?;
        bytes = rest;
        Some((tag, content))
    })
}

fn fields(certificate: &[u8]) -> Option<Fields<'_>> {
    let (whole, _) = expect(certificate, SEQUENCE)?;
    let (signed, _) = expect(whole, SEQUENCE)?;
    // Version, if it is there; serial number, algorithm, issuer, validity, subject, key.
    let mut rest = signed;
    if let Some((_, behind)) = expect(rest, 0xA0) {
        rest = behind;
    }
    for _ in 0..3 {
        rest = element(rest)?.2;
    }
    let (validity, rest) = expect(rest, SEQUENCE)?;
    let (subject, rest) = expect(rest, SEQUENCE)?;
    let extensions = elements(rest).find(|(tag, _)| *tag == EXTENSIONS);
    let extensions = extensions.and_then(|(_, content)| Some(expect(content, SEQUENCE)?.0));
    Some(Fields { validity, subject, extensions })
}

/// A time in UTC, `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`, and what follows it.
fn expect_time(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let (tag, content, rest) = element(bytes)?;
    let digits = content.strip_suffix(b"Z")?;
    let number = |from: usize, len: usize| -> Option<i64> {
        let digits = digits.get(from..from + len)?;
        digits.iter().all(u8::is_ascii_digit).then(|| str::from_utf8(digits).ok()?.parse().ok())?
    };
    let (year, at) = match (tag, digits.len()) {
        (0x17, 12) => (number(0, 2)?, 2),
        (0x18, 14) => (number(0, 4)?, 4),
        _ => return None,
    };
    // Two digits are of the years 1950 to 2049.
    let year = if tag == 0x17 { year + if year < 50 { 2000 } else { 1900 } } else { year };
    let of = |index: usize| number(at + 2 * index, 2);
    let days = days_before(year, of(0)?, of(1)?)?;
    Some((((days * 24 + of(2)?) * 60 + of(3)?) * 60 + of(4)?, rest))
}

/// Days from 1970 to a date of the Gregorian calendar.
fn days_before(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Years are counted from March, so that the odd day is the last one.
    let year = if month > 2 { year } else { year - 1 };
    let month = (month + 9) % 12;
    let leap_days = year / 4 - year / 100 + year / 400;
    Some(365 * year + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468)
}

/// The last common name of a subject, which is a sequence of sets of pairs.
fn common_name(subject: &[u8]) -> Option<String> {
    let pairs = elements(subject).flat_map(|(_, set)| elements(set));
    let named = pairs.filter_map(|(_, pair)| {
        let (kind, rest) = expect(pair, OBJECT)?;
        let (tag, value, _) = element(rest)?;
        // UTF8String, PrintableString, IA5String.
        (kind == COMMON_NAME && [0x0C, 0x13, 0x16].contains(&tag)).then(|| text(value))?
    });
    named.last()
}

/// The alternative names among a certificate's extensions.
fn names(extensions: &[u8]) -> Vec<String> {
    let found = elements(extensions).find_map(|(_, extension)| {
        let (kind, rest) = expect(extension, OBJECT)?;
        let (_, value) = elements(rest).find(|(tag, _)| *tag == OCTETS)?;
        (kind == ALTERNATIVE_NAMES).then(|| Some(expect(value, SEQUENCE)?.0))?
    });
    let all = elements(found.unwrap_or_default());
    all.filter_map(|(tag, value)| name(tag, value)).take(MAX_NAMES).collect()
}

/// A mail box, a host, a URI or an address.
fn name(tag: u8, value: &[u8]) -> Option<String> {
    match (tag, value.len()) {
        (0x81 | 0x82 | 0x86, _) => text(value),
        (0x87, 4) => Some(Ipv4Addr::from(<[u8; 4]>::try_from(value).ok()?).to_string()),
        (0x87, 16) => Some(Ipv6Addr::from(<[u8; 16]>::try_from(value).ok()?).to_string()),
        _ => None,
    }
}

/// Text that can be printed in one line as it is.
fn text(bytes: &[u8]) -> Option<String> {
    let text = str::from_utf8(bytes).ok()?;
    let plain = !text.is_empty() && text.len() <= MAX_NAME && !text.chars().any(char::is_control);
    plain.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::string::Ia5String;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType, date_time_ymd};

    use super::*;

    fn certificate() -> Vec<u8> {
        let names = vec!["device-7.example".to_owned(), "192.0.2.7".into(), "2001:db8::7".into()];
        let mut params = CertificateParams::new(names).unwrap();
        let text = |text: &str| Ia5String::try_from(text).unwrap();
        params.subject_alt_names.push(SanType::URI(text("spiffe://example/device/7")));
        params.subject_alt_names.push(SanType::Rfc822Name(text("seven@example.net")));
        params.distinguished_name.push(DnType::OrganizationName, "somebody");
        params.distinguished_name.push(DnType::CommonName, "gr\u{fc}\u{df}e");
        params.not_before = date_time_ymd(1999, 12, 31);
        params.not_after = date_time_ymd(2050, 3, 1);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn a_certificate_says_who_it_is_about() {
        let certificate = certificate();
        let identity = of(&certificate);
        assert_eq!(identity.common_name.as_deref(), Some("gr\u{fc}\u{df}e"));
        let names = [
            "device-7.example",
            "192.0.2.7",
            "2001:db8::7",
            "spiffe://example/device/7",
            "seven@example.net",
        ];
        assert_eq!(identity.names, names);
        assert_eq!(identity.name(), Some("device-7.example"));
        assert_eq!(identity.fingerprint, <[u8; 32]>::from(Sha256::digest(&certificate)));
    }

    #[test]
    fn times_are_read_in_both_forms() {
        // date --utc --date=1999-12-31 +%s; date --utc --date=2050-03-01 +%s
        assert_eq!(validity(&certificate()), Some((946_598_400, 2_529_705_600)));
        assert_eq!(days_before(1970, 1, 1), Some(0));
        assert_eq!(days_before(2000, 2, 29), Some(11_016));
        assert_eq!(days_before(2000, 13, 1), None);
    }

    #[test]
    fn text_that_cannot_be_printed_is_left_out() {
        assert_eq!(text(b"a\nb"), None);
        assert_eq!(text(b"\xff"), None);
        assert_eq!(text(&[b'a'; 256]), None);
        assert_eq!(text(&[b'a'; 255]).map(|text| text.len()), Some(255));
    }

    proptest! {
        /// Whatever is changed or cut off, something comes of it and nothing breaks.
        #[test]
        fn nonsense_is_left_out(
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
            keep in any::<prop::sample::Index>(),
            nothing in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            let mut certificate = certificate();
            for (at, byte) in changes {
                let at = at.index(certificate.len());
                certificate[at] = byte;
            }
            let part = keep.index(certificate.len());
            for bytes in [&certificate[..], &certificate[..part], &nothing] {
                let identity = of(bytes);
                let _ = validity(bytes);
                prop_assert!(identity.names.len() <= MAX_NAMES);
                prop_assert!(identity.names.iter().all(|name| name.len() <= MAX_NAME));
            }
        }
    }
}
