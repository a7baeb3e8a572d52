//! Every foreign format, with packets that it can carry.

use outlast_service::plain::formats::{AnyFormat, Extra, Format, FormatKind, Key, Options, Packet};

/// A format under test.
#[derive(Debug, Copy, Clone)]
pub struct Subject {
    /// Its name in a configuration.
    pub name: &'static str,
    /// Its options, as `name=value`.
    pub options: &'static [(&'static str, &'static str)],
}

/// Every format.
pub const SUBJECTS: &[Subject] = &[
    Subject::of("length-prefix", &[]),
    Subject::of("rocketmq", &[]),
    Subject::of("ltv", &[]),
    Subject::of("tlv", &[]),
    Subject::of("htlv", &[]),
    Subject::of("ndjson", &[]),
    Subject::of("msgtrans", &[]),
    Subject::of("length-field", &[("width", "2"), ("offset", "2"), ("magic", "aa55")]),
    Subject::of("delimiter", &[("delimiter", "0d0a")]),
    Subject::of("fixed", &[("size", "16")]),
    Subject::of("raw", &[]),
];

impl Subject {
    const fn of(name: &'static str, options: &'static [(&'static str, &'static str)]) -> Self {
        Self { name, options }
    }

    /// The format, as it is on a new connection.
    ///
    /// # Panics
    ///
    /// If there is no such format.
    #[must_use]
    pub fn format(&self) -> AnyFormat {
        self.with(&[])
    }

    /// The same with more options.
    ///
    /// # Panics
    ///
    /// If there is no such format, or it has no such option.
    #[must_use]
    pub fn with(&self, more: &[(&str, &str)]) -> AnyFormat {
        let mut options = Options::default();
        for (name, value) in self.options.iter().chain(more) {
            options.set(name, value).expect("an option");
        }
        AnyFormat::new(self.name.parse().expect("a format"), &options).expect(self.name)
    }

    /// Whether it has packets at all.
    #[must_use]
    pub fn has_packets(&self) -> bool {
        self.format().kind() != FormatKind::Raw
    }

    /// Whether requests find their answers.
    #[must_use]
    pub fn has_requests(&self) -> bool {
        matches!(self.format().kind(), FormatKind::RocketMq | FormatKind::MsgTrans)
    }

    /// Whether it can say that something failed.
    #[must_use]
    pub fn has_failures(&self) -> bool {
        matches!(self.format().kind(), FormatKind::RocketMq | FormatKind::Ndjson)
    }

    /// Whether a packet may be empty.
    #[must_use]
    pub fn has_empty(&self) -> bool {
        !matches!(self.format().kind(), FormatKind::Fixed | FormatKind::Raw | FormatKind::Ndjson)
    }

    /// A payload with this number in it, and of this many bytes where the format leaves that open.
    #[must_use]
    pub fn payload(&self, number: u32, len: usize) -> Vec<u8> {
        match self.format().kind() {
            FormatKind::Ndjson => {
                format!("{{\"message_type\": \"echo\", \"number\": {number}}}").into_bytes()
            }
            FormatKind::Fixed => format!("{number:016}").into_bytes(),
            FormatKind::Raw => vec![b'x'; len.max(1)],
            _ => {
                let digits = format!("{number}");
                let len = len.min(200);
                format!("{digits:0>len$}").into_bytes()
            }
        }
    }

    /// A packet with this payload, for the number or name `key`.
    #[must_use]
    pub fn packet<'p>(&self, key: &'p (u32, &str), number: u32, payload: &'p [u8]) -> Packet<'p> {
        match self.format().kind() {
            FormatKind::RocketMq | FormatKind::MsgTrans => {
                Packet::request(key.0, number + 1, payload)
            }
            FormatKind::Ltv | FormatKind::Tlv => Packet::one_way(key.0, payload),
            FormatKind::Htlv => {
                Packet { extra: Extra::Htlv { head: 0xA2 }, ..Packet::one_way(key.0, payload) }
            }
            FormatKind::Ndjson => Packet { key: Key::None, ..Packet::plain(payload) },
            _ => Packet::plain(payload),
        }
    }

    /// The bytes of packets that are to come back.
    ///
    /// # Panics
    ///
    /// If the format cannot carry one.
    #[must_use]
    pub fn bytes(&self, payloads: &[Vec<u8>]) -> Vec<u8> {
        let (mut format, mut out) = (self.format(), Vec::new());
        for (number, payload) in payloads.iter().enumerate() {
            let packet = self.packet(&ECHO, number as u32, payload);
            format.encode(&packet, &mut out).expect("a packet");
        }
        out
    }

    /// The bytes of a packet that nobody takes, if the format knows such a thing.
    ///
    /// # Panics
    ///
    /// If the format cannot carry it.
    #[must_use]
    pub fn unknown(&self) -> Option<Vec<u8>> {
        let kind = self.format().kind();
        if kind == FormatKind::Ndjson {
            return Some(b"{\"message_type\": \"unknown\"}\n".to_vec());
        }
        if matches!(self.packet(&ECHO, 0, b"").key, Key::None) {
            return None;
        }
        let (mut format, mut out) = (self.format(), Vec::new());
        format.encode(&self.packet(&UNKNOWN, 0, b"?"), &mut out).expect("a packet");
        Some(out)
    }

    /// The beginning of a packet that announces more than may be, if the format can.
    #[must_use]
    pub fn overlong(&self) -> Option<Vec<u8>> {
        match self.format().kind() {
            FormatKind::LengthPrefix | FormatKind::RocketMq => Some(vec![0x7F, 0xFF, 0xFF, 0xFF]),
            FormatKind::Ltv => Some(vec![0xFF, 0xFF, 0xFF, 0xFF, 1, 0, 0, 0]),
            FormatKind::Tlv => Some(vec![0, 0, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF]),
            FormatKind::MsgTrans => {
                Some([&[1, 0, 0, 1, 0, 0, 0, 1, 0, 0][..], &[0xFF; 4], &[0, 0]].concat())
            }
            FormatKind::Ndjson | FormatKind::Delimiter => {
                Some(vec![b'x'; self.format().max_input() + 1])
            }
            _ => None,
        }
    }
}

/// Whom echoes come from.
pub(super) const ECHO: (u32, &str) = (1, "echo");
/// Whom nothing comes from.
pub(super) const UNKNOWN: (u32, &str) = (77, "unknown");
/// Whom the peers in another language call when they want nobody.
pub(super) const NOBODY: (u32, &str) = (404, "nobody");
