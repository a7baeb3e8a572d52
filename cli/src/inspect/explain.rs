//! One frame in words. What needs the frames before it is in [`track`](super::track).

use outlast_core::wire::{
    CloseFlags, Drain, Frame, Header, Hello, Op, Probe, Resume, Route, Status, Terms, Welcome,
};

use super::show::{Options, escape, millis, retry};

/// Body bytes of HELLO and WELCOME in front of the options, and of DRAIN.
const GREETING_FIXED: usize = 36;
const DRAIN_FIXED: usize = 12;

/// A frame in words: a few for its line, and lines below it.
#[derive(Debug, Default)]
pub(super) struct Words {
    pub(super) summary: String,
    pub(super) details: Vec<String>,
}

/// What the specification calls a kind of frame.
pub(super) fn name(header: Header) -> String {
    match header.op() {
        Some(op) => match op {
            Op::Hello => "HELLO",
            Op::Welcome => "WELCOME",
            Op::Auth => "AUTH",
            Op::Ack => "ACK",
            Op::Ping => "PING",
            Op::Pong => "PONG",
            Op::Grant => "GRANT",
            Op::Drain => "DRAIN",
            Op::Close => "CLOSE",
            Op::Note => "NOTE",
            Op::Info => "INFO",
            Op::Grease => "GREASE",
            Op::Message => "MSG",
            Op::Request => "REQ",
            Op::Response => "RSP",
            Op::Item => "ITEM",
            Op::Cancel => "CANCEL",
            Op::Fin => "FIN",
            Op::Token => "TOKEN",
            Op::RequestStream => "REQS",
            Op::Continue => "CONT",
            Op::Skip => "SKIP",
        }
        .to_owned(),
        None => format!("KIND {:02x}", header.kind()),
    }
}

/// What a frame says by itself.
pub(super) fn frame(header: Header, frame: &Frame<'_>, body: &[u8], options: &Options) -> Words {
    let mut words = Words::default();
    words.summary = match frame {
        Frame::Hello(hello) => hello_words(hello, body, options, &mut words.details),
        Frame::Welcome(welcome) => welcome_words(welcome, body, options, &mut words.details),
        Frame::Drain(drain) => drain_words(drain, body, &mut words.details),
        Frame::Close(close) => {
            words.details.push(close_details(close));
            let ended = close.flags.contains(CloseFlags::SESSION_ENDED);
            let what = if ended { "; the session is over" } else { "" };
            format!("{}{what}", close.code)
        }
        Frame::Auth { step, data } => {
            format!("authentication, step {step}: {}", options.secret(data))
        }
        // Acknowledgements mean nothing without the positions around them.
        Frame::Ack { .. } | Frame::Ping(Some(_)) | Frame::Pong(Some(_)) => String::new(),
        Frame::Ping(None) => "are you there?".to_owned(),
        Frame::Pong(None) => "sign of life".to_owned(),
        Frame::Note { route, payload } => {
            format!("best effort, {}", data(*route, payload, options))
        }
        Frame::Message { route, payload, more } => {
            format!("{}{}", data(*route, payload, options), first_of(*more))
        }
        Frame::Request { id, route, payload, more } => {
            format!("request {}, {}{}", id.0, data(*route, payload, options), first_of(*more))
        }
        Frame::Response { id, status, payload, more } => {
            let (status, preview) = (status_name(*status), options.preview(payload));
            let size = payload.len();
            format!("to request {}: {status}, {size} B{preview}{}", id.0, first_of(*more))
        }
        Frame::Cancel { id, reason } => {
            format!("request {} is no longer wanted (reason {reason})", id.0)
        }
        Frame::Fin => "this end sends no more messages".to_owned(),
        Frame::Token { key_id, key } => {
            format!("from now on key {key_id} resumes the session: {}", options.secret(key))
        }
        Frame::Continue { payload, more } => {
            let last = if *more { "more follows" } else { "the last part" };
            format!("{} B{}; {last}", payload.len(), options.preview(payload))
        }
        Frame::Abort => "the begun message is given up".to_owned(),
        Frame::Skip => "padding".to_owned(),
        Frame::Ignored { .. } => ignored(header),
    };
    words
}

fn ignored(header: Header) -> String {
    match header.op() {
        Some(Op::Info) => "ignorable information",
        Some(Op::Grease) => "ignorable noise: proves that unknown frames are skipped",
        Some(_) | None => "unknown, and may be skipped",
    }
    .to_owned()
}

fn data(route: Route, payload: &[u8], options: &Options) -> String {
    format!("route {}, {} B{}", route.get(), payload.len(), options.preview(payload))
}

const fn first_of(more: bool) -> &'static str {
    if more { "; more follows" } else { "" }
}

fn status_name(status: Status) -> String {
    match status {
        Status::OK => "OK".to_owned(),
        Status::APP => "APP (failed as the application defines it)".to_owned(),
        Status::NO_ROUTE => "NO_ROUTE (nobody serves this route; nothing ran)".to_owned(),
        Status::REFUSED => "REFUSED (nothing ran)".to_owned(),
        Status::CANCELLED => "CANCELLED".to_owned(),
        Status::DEADLINE => "DEADLINE (it may have run)".to_owned(),
        Status::OVERLOADED => "OVERLOADED (nothing ran)".to_owned(),
        Status::DENIED => "DENIED".to_owned(),
        Status::INVALID => "INVALID".to_owned(),
        Status::INTERNAL => "INTERNAL (it may have run)".to_owned(),
        Status::OVERRUN => "OVERRUN".to_owned(),
        Status(other @ 64..) => format!("status {other} of the application"),
        Status(other) => format!("status {other}, not assigned"),
    }
}

fn terms(terms: &Terms, hello: bool, details: &mut Vec<String>) {
    let Terms { max_body, max_requests, window, max_msg, send_buffer, .. } = terms;
    details.push(format!(
        "accepts frames with up to {max_body} B, messages up to {max_msg} B, \
         {max_requests} open requests"
    ));
    details.push(format!("window {window} B, send buffer {send_buffer} B"));
    let (idle, beat, kept) = (terms.idle_ms, terms.heartbeat_ms, terms.ttl_s);
    let silence = if idle == 0 { "any time".to_owned() } else { millis(idle) };
    details.push(if hello {
        format!(
            "the server may be silent for {silence}; fastest heartbeat {}; \
             asks to keep the session {kept} s",
            millis(beat)
        )
    } else {
        format!(
            "the client may be silent for {silence}; grants {} for its own silence; \
             keeps the session {kept} s",
            millis(beat)
        )
    });
}

fn hello_words(
    hello: &Hello<'_>,
    body: &[u8],
    options: &Options,
    details: &mut Vec<String>,
) -> String {
    terms(&hello.terms, true, details);
    for (kind, value) in tlvs(body, GREETING_FIXED) {
        details.push(match kind {
            0x01 => format!("CAPS {:#010x}", hello.caps),
            0x02 => hello.resume.as_ref().map_or_else(String::new, |r| resume_words(r, options)),
            0x03 => {
                let method = hello.auth.map_or(0, |auth| auth.method);
                let data = options.secret(value.get(1..).unwrap_or_default());
                format!("AUTH method {method}: {data}")
            }
            0x04 => format!("AGENT \"{}\"", text(value)),
            0x05 => format!("CLIENT_ID \"{}\"", text(value)),
            other => unknown_tlv(other, value),
        });
    }
    let versions = format!("versions {} to {}", hello.version_min, hello.version_max);
    match &hello.resume {
        Some(resume) => format!("{versions}; resumes session {:#018x}", resume.sid),
        None if hello.wants_session => format!("{versions}; wants a new session"),
        None => format!("{versions}; wants no session, only this connection"),
    }
}

fn resume_words(resume: &Resume, options: &Options) -> String {
    let kind = match resume.proof_kind {
        0 => "the key itself",
        1 => "HMAC-SHA256",
        _ => "unknown kind",
    };
    format!(
        "RESUME attempt {}, received up to {}, holds from {}; proof with key {} ({kind}): {}",
        resume.attach,
        resume.rx_next,
        resume.tx_first,
        resume.key_id,
        options.secret(&resume.proof)
    )
}

fn welcome_words(
    welcome: &Welcome<'_>,
    body: &[u8],
    options: &Options,
    details: &mut Vec<String>,
) -> String {
    terms(&welcome.terms, false, details);
    for (kind, value) in tlvs(body, GREETING_FIXED) {
        details.push(match (kind, &welcome.session, &welcome.resumed) {
            (0x01, ..) => format!("CAPS {:#010x}", welcome.caps),
            (0x10, Some(grant), _) => format!(
                "SESSION {:#018x}, epoch {}, key {}: {}",
                grant.sid,
                grant.epoch,
                grant.key_id,
                options.secret(&grant.key)
            ),
            (0x11, _, Some(resumed)) => format!(
                "RESUMED received up to {}, holds from {}, epoch {}",
                resumed.rx_next, resumed.tx_first, resumed.epoch
            ),
            (0x12, ..) => format!("ADDR \"{}\": reconnect there", text(value)),
            (other, ..) => unknown_tlv(other, value),
        });
    }
    let version = welcome.version;
    match (&welcome.session, &welcome.resumed) {
        (Some(grant), _) => format!("version {version}; new session {:#018x}", grant.sid),
        (None, Some(_)) => format!("version {version}; the session goes on"),
        (None, None) => format!("version {version}; without a session"),
    }
}

fn drain_words(drain: &Drain<'_>, body: &[u8], details: &mut Vec<String>) -> String {
    for (kind, value) in tlvs(body, DRAIN_FIXED) {
        details.push(match kind {
            0x12 => format!("ADDR \"{}\": reconnect there", text(value)),
            other => unknown_tlv(other, value),
        });
    }
    format!(
        "this end will leave: {}; requests for {} more, clients leave within {}",
        drain.code,
        millis(drain.grace_ms),
        millis(drain.spread_ms)
    )
}

fn close_details(close: &outlast_core::wire::Close<'_>) -> String {
    let mut text = if close.flags.contains(CloseFlags::NO_RETRY) {
        "the client must not reconnect by itself".to_owned()
    } else {
        retry(close.code.retry()).to_owned()
    };
    if close.retry_ms != 0 {
        text += &format!("; not before {}", millis(close.retry_ms));
    }
    if let Some(rx_next) = close.rx_next {
        text += &format!("; received up to {rx_next}");
    }
    if let Some(last) = close.last_attach {
        text += &format!("; the latest attempt known is {last}");
    }
    if let Some((oldest, newest)) = close.versions {
        text += &format!("; speaks versions {oldest} to {newest}");
    }
    if !close.reason.is_empty() {
        text += &format!("; reason \"{}\"", escape(close.reason));
    }
    text
}

/// The fields of a full PING or PONG that need no positions.
pub(super) fn probe(probe: &Probe) -> String {
    format!("nonce {:08x}", probe.nonce)
}

fn text(value: &[u8]) -> String {
    escape(&String::from_utf8_lossy(value))
}

fn unknown_tlv(kind: u8, value: &[u8]) -> String {
    format!("option {kind:02x}, {} B: unknown, and may be skipped", value.len())
}

/// The options of a body that was decoded, so all of them are whole.
fn tlvs(body: &[u8], fixed: usize) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = body.get(fixed..).unwrap_or_default();
    std::iter::from_fn(move || {
        let [kind, length] = *rest.first_chunk()?;
        let value = rest.get(2..2 + usize::from(length))?;
        rest = rest.get(2 + usize::from(length)..)?;
        Some((kind, value))
    })
}
