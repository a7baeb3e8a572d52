//! How numbers, payloads and secrets look.

use std::fmt::Write;

use outlast_core::Retry;

/// What the reader wants to see.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Payload bytes shown of each message.
    pub(crate) payload: usize,
    /// Keys, proofs and credentials are shown.
    pub(crate) secrets: bool,
    /// Streams of this port are the protocol.
    pub(crate) port: Option<u16>,
    /// Every TCP stream is explained.
    pub(crate) all: bool,
}

impl Options {
    /// A secret, or the fact that there is one.
    pub(super) fn secret(&self, bytes: &[u8]) -> String {
        if self.secrets { hex(bytes) } else { format!("({} secret bytes)", bytes.len()) }
    }

    /// The beginning of a payload: as text if it is text, as hex if not.
    pub(super) fn preview(&self, payload: &[u8]) -> String {
        if payload.is_empty() || self.payload == 0 {
            return String::new();
        }
        let (shown, more) = match payload.get(..self.payload) {
            Some(shown) if shown.len() < payload.len() => (shown, "…"),
            Some(_) | None => (payload, ""),
        };
        match printable(shown) {
            Some(text) => format!(" \"{text}\"{more}"),
            None => format!(" [{}{more}]", hex(shown)),
        }
    }
}

/// `bytes` as text without anything that could move a cursor, if they are text at all. A
/// character that was cut at the end does not count against it.
pub(crate) fn printable(bytes: &[u8]) -> Option<String> {
    let text = match str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() && error.valid_up_to() > 0 => {
            str::from_utf8(&bytes[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    let readable = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t');
    text.chars().all(readable).then(|| escape(text))
}

/// A message as one line: its text, or its beginning in hex if it is none.
pub(crate) fn readable(payload: &[u8]) -> String {
    const HEX_SHOWN: usize = 64;
    match str::from_utf8(payload) {
        Ok(text) => escape_controls(text),
        Err(_) if payload.len() > HEX_SHOWN => {
            format!("[{}… {} bytes]", hex(&payload[..HEX_SHOWN]), payload.len())
        }
        Err(_) => format!("[{}]", hex(payload)),
    }
}

/// Text with control characters, and those that turn the direction of writing, made visible.
pub(crate) fn escape(text: &str) -> String {
    escape_if(text, |c| moves_cursor(c) || c == '"' || c == '\\')
}

/// The same, and quotes stay as they are.
fn escape_controls(text: &str) -> String {
    escape_if(text, moves_cursor)
}

fn moves_cursor(c: char) -> bool {
    let turns = matches!(
        c,
        '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}'
    );
    c.is_control() && c != '\t' || turns
}

fn escape_if(text: &str, bad: impl Fn(char) -> bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if bad(c) {
            escaped.extend(c.escape_default());
        } else {
            escaped.push(c);
        }
    }
    escaped
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// A time span as people say it.
pub(super) fn millis(ms: u32) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        _ if ms.is_multiple_of(1_000) => format!("{} s", ms / 1_000),
        _ => format!("{}.{:03} s", ms / 1_000, ms % 1_000),
    }
}

/// What a client does after a close.
pub(super) const fn retry(retry: Retry) -> &'static str {
    match retry {
        Retry::Now => "the client reconnects and resumes the session",
        Retry::Later => "the client reconnects later, when the hint says or after a long pause",
        Retry::NewSession => "the session is lost; the client reports that and starts a new one",
        Retry::Never => "the client stops and reports it",
    }
}

/// What bytes that are not the protocol look like.
pub(super) fn looks_like(bytes: &[u8]) -> Option<&'static str> {
    const KNOWN: [(&[u8], &str); 12] = [
        (b"GET ", "an HTTP request"),
        (b"POST ", "an HTTP request"),
        (b"PUT ", "an HTTP request"),
        (b"HEAD ", "an HTTP request"),
        (b"OPTIONS ", "an HTTP request"),
        (b"PRI * HTTP", "an HTTP/2 preface"),
        (b"HTTP/", "an HTTP response"),
        (b"SSH-", "an SSH greeting"),
        (b"PROXY ", "a PROXY protocol header"),
        (b"\x0D\x0A\x0D\x0A\x00\x0D\x0A", "a PROXY protocol header, version 2"),
        (b"\x16\x03", "a TLS handshake"),
        (b"*", "a Redis command"),
    ];
    KNOWN.iter().find(|(start, _)| bytes.starts_with(start)).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: Options = Options { payload: 8, secrets: false, port: None, all: false };

    #[test]
    fn payloads_are_text_or_hex_and_never_control_the_terminal() {
        assert_eq!(OPTIONS.preview(b"hello"), " \"hello\"");
        assert_eq!(OPTIONS.preview(b"hello world"), " \"hello wo\"…");
        assert_eq!(OPTIONS.preview(b"a\nb"), " \"a\\nb\"");
        assert_eq!(OPTIONS.preview(b"\x1b[2J"), " [1b5b324a]");
        assert_eq!(OPTIONS.preview("aaaaaaaé".as_bytes()), " \"aaaaaaa\"…");
        assert_eq!(OPTIONS.preview(b"\xff\xfe"), " [fffe]");
        assert_eq!(OPTIONS.preview(b""), "");
        assert_eq!(escape("a\u{202E}b\x07\""), "a\\u{202e}b\\u{7}\\\"");
        assert_eq!(readable(b"say \"a\"\x1b\tb"), "say \"a\"\\u{1b}\tb");
        assert_eq!(readable(&[0xFF; 100]).len(), 128 + "[… 100 bytes]".len());
    }

    #[test]
    fn secrets_are_kept_unless_asked_for() {
        assert_eq!(OPTIONS.secret(&[0xAB, 0xCD]), "(2 secret bytes)");
        assert_eq!(Options { secrets: true, ..OPTIONS }.secret(&[0xAB, 0xCD]), "abcd");
    }

    #[test]
    fn time_spans_are_short() {
        assert_eq!(millis(250), "250 ms");
        assert_eq!(millis(15_000), "15 s");
        assert_eq!(millis(1_500), "1.500 s");
    }
}
