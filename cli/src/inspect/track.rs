//! A conversation as it unfolds: positions, credit, what is under way, what breaks a rule.

use std::fmt::Write;

use outlast_core::CloseCode;
use outlast_core::wire::{Frame, HEADER_LEN, Header, Hello, MAX_BODY, Probe, Welcome};

use super::explain::{self, Words};
use super::show::{Options, hex, looks_like};
use super::{Conversation, Piece, Sender};

/// What one end sent so far.
#[derive(Debug)]
struct Lane {
    buffer: Vec<u8>,
    /// Bytes of the connection in front of the buffer.
    offset: u64,
    frames: u64,
    messages: u64,
    /// Position of the next sequenced byte.
    position: u64,
    /// The position is counted from the start of the input, not of the session.
    relative: bool,
    /// What the other end released.
    acked: Option<u64>,
    /// How far this end may send.
    limit: Option<u64>,
    max_body: u16,
    /// Nothing behind this can be explained.
    stopped: bool,
}

impl Lane {
    const fn new() -> Self {
        Self {
            buffer: Vec::new(),
            offset: 0,
            frames: 0,
            messages: 0,
            position: 0,
            relative: true,
            acked: None,
            limit: None,
            max_body: MAX_BODY,
            stopped: false,
        }
    }

    fn begin(&mut self, position: u64, acked: u64, window: u32) {
        self.position = position;
        self.relative = false;
        self.acked = Some(acked);
        self.limit = Some(position + u64::from(window));
    }
}

/// Writes a conversation in words to `text`.
pub(super) fn explain(conversation: &Conversation, options: &Options, text: &mut String) {
    if !conversation.title.is_empty() {
        let _ = writeln!(text, "{}", conversation.title);
    }
    let mut track = Track { lanes: [Lane::new(), Lane::new()], hello: None, options, text };
    for piece in &conversation.pieces {
        track.take(piece);
    }
    track.finish();
    for remark in &conversation.remarks {
        let _ = writeln!(text, "note: {remark}");
    }
}

struct Track<'a> {
    /// The client's, the server's.
    lanes: [Lane; 2],
    /// `rx_next` and `tx_first` of a resume, and the window.
    hello: Option<(Option<(u64, u64)>, u32)>,
    options: &'a Options,
    text: &'a mut String,
}

impl Track<'_> {
    const fn index(sender: Sender) -> usize {
        match sender {
            Sender::Client | Sender::Unknown => 0,
            Sender::Server => 1,
        }
    }

    fn take(&mut self, piece: &Piece) {
        let me = Self::index(piece.sender);
        if self.lanes[me].stopped {
            return;
        }
        self.lanes[me].buffer.extend_from_slice(&piece.bytes);
        let buffer = std::mem::take(&mut self.lanes[me].buffer);
        let mut rest = buffer.as_slice();
        while !self.lanes[me].stopped {
            let first = self.lanes[me].offset == 0 && piece.sender != Sender::Unknown;
            let max_body = self.lanes[me].max_body;
            let split = if first {
                Frame::split_first(rest, max_body)
            } else {
                Frame::split(rest, max_body)
            };
            match split {
                Ok(Some((header, body, behind))) => {
                    self.frame(piece, header, body);
                    self.lanes[me].offset += header.frame_size() as u64;
                    rest = behind;
                }
                Ok(None) => break,
                Err(code) => self.refuse(piece, rest, code),
            }
        }
        self.lanes[me].buffer = rest.to_vec();
    }

    fn frame(&mut self, piece: &Piece, header: Header, body: &[u8]) {
        let me = Self::index(piece.sender);
        let mut words = match Frame::decode(header, body) {
            Ok(frame) => {
                let mut words = explain::frame(header, &frame, body, self.options);
                self.follow(piece.sender, header, &frame, &mut words);
                words
            }
            Err(code) => {
                // Skipping a bad body would show frames that no peer gets to see.
                self.lanes[me].stopped = true;
                let details = vec![format!("body: {}", hex(&body[..body.len().min(64)]))];
                Words { summary: format!("ILLEGAL: {code}"), details }
            }
        };
        let lane = &mut self.lanes[me];
        lane.frames += 1;
        let mut place = String::new();
        if header.is_sequenced() {
            let end = lane.position + header.frame_size() as u64;
            let about = if lane.relative { "+" } else { "" };
            place = format!("{about}{}..{end}", lane.position);
            lane.position = end;
            if lane.limit.is_some_and(|limit| end > limit) {
                words.details.push(format!("beyond the credit: {}", CloseCode::FLOW_VIOLATION));
            }
        }
        self.line(piece, &explain::name(header), header.frame_size(), &place, &words);
    }

    fn line(&mut self, piece: &Piece, name: &str, size: usize, place: &str, words: &Words) {
        let time = match piece.at {
            Some(at) => format!("{:>11.6} ", at.as_secs_f64()),
            None => String::new(),
        };
        let mark = piece.sender.mark();
        let line = format!("{time}{mark} {name:<8}{size:>6} B  {place:<16} {}", words.summary);
        let _ = writeln!(self.text, "{}", line.trim_end());
        for detail in &words.details {
            let _ = writeln!(self.text, "{:indent$}{detail}", "", indent = time.len() + 20);
        }
    }

    /// What a frame means for those behind it.
    fn follow(&mut self, sender: Sender, header: Header, frame: &Frame<'_>, words: &mut Words) {
        let me = Self::index(sender);
        match frame {
            Frame::Hello(hello) => self.hello(hello),
            Frame::Welcome(welcome) if sender != Sender::Unknown => self.welcome(welcome),
            Frame::Ack { ack, limit } => words.summary = self.acknowledge(sender, *ack, *limit),
            Frame::Ping(Some(probe)) => words.summary = self.probe(sender, probe, "asks: "),
            Frame::Pong(Some(probe)) => words.summary = self.probe(sender, probe, "answers: "),
            Frame::Message { .. } | Frame::Request { .. } | Frame::Response { .. } => {
                self.lanes[me].messages += 1;
            }
            Frame::Close(_) => self.lanes[me].stopped = true,
            Frame::Welcome(_)
            | Frame::Auth { .. }
            | Frame::Ping(None)
            | Frame::Pong(None)
            | Frame::Drain(_)
            | Frame::Note { .. }
            | Frame::Cancel { .. }
            | Frame::Fin
            | Frame::Token { .. }
            | Frame::Continue { .. }
            | Frame::Abort
            | Frame::Skip
            | Frame::Ignored { .. } => {}
        }
        let wrong_way = match frame {
            Frame::Hello(_) => sender == Sender::Server,
            Frame::Welcome(_) | Frame::Token { .. } => sender == Sender::Client,
            _ => false,
        };
        if wrong_way {
            let name = explain::name(header);
            words.details.push(format!("{name} from this end: {}", CloseCode::BAD_STATE));
        }
    }

    fn hello(&mut self, hello: &Hello<'_>) {
        let resume = hello.resume.as_ref().map(|resume| (resume.rx_next, resume.tx_first));
        self.hello = Some((resume, hello.terms.window));
        self.lanes[1].max_body = hello.terms.max_body;
    }

    /// From here on positions are known, if HELLO was seen.
    fn welcome(&mut self, welcome: &Welcome<'_>) {
        let window = welcome.terms.window;
        self.lanes[0].max_body = welcome.terms.max_body;
        let Some((resume, client_window)) = self.hello else {
            return;
        };
        match (&welcome.resumed, resume) {
            (Some(resumed), Some((rx_next, tx_first))) => {
                self.lanes[0].begin(resumed.rx_next, tx_first, window);
                self.lanes[1].begin(rx_next, resumed.tx_first, client_window);
            }
            (None, _) => {
                self.lanes[0].begin(0, 0, window);
                self.lanes[1].begin(0, 0, client_window);
            }
            (Some(_), None) => {}
        }
    }

    fn acknowledge(&mut self, sender: Sender, ack: u32, limit: u32) -> String {
        let other = &mut self.lanes[1 - Self::index(sender)];
        if sender == Sender::Unknown || other.relative {
            return format!("took everything up to {ack} (mod 2^32), allows up to {limit}");
        }
        let at = expand(other.position, ack);
        let to = expand(other.limit.unwrap_or(other.position), limit);
        let mut text = format!("took everything up to {at}");
        if at > other.position {
            // Whoever captures at one end may see an answer before what it answers.
            let _ = write!(text, ", which was not seen yet");
        } else if at < other.position {
            let _ = write!(text, " ({} B on the way)", other.position - at);
        }
        let _ = write!(text, "; allows up to {to}");
        if other.acked.is_some_and(|acked| at < acked) {
            let _ = write!(text, " [{}]", CloseCode::ACK_REGRESS.name());
        }
        if other.limit.is_some_and(|limit| to < limit) {
            let _ = write!(text, " [{}]", CloseCode::CREDIT_SHRINK.name());
        }
        other.acked = other.acked.max(Some(at));
        other.limit = other.limit.max(Some(to));
        text
    }

    fn probe(&mut self, sender: Sender, probe: &Probe, what: &str) -> String {
        let mine = &self.lanes[Self::index(sender)];
        let sent = if mine.relative || sender == Sender::Unknown {
            format!("sent up to {} (mod 2^32)", probe.tx)
        } else {
            let tx = expand(mine.position, probe.tx);
            let odd = if tx == mine.position { "" } else { " [SEQ_DESYNC]" };
            format!("sent up to {tx}{odd}")
        };
        let taken = self.acknowledge(sender, probe.ack, probe.limit);
        format!("{what}{}; {sent}; {taken}", explain::probe(probe))
    }

    fn refuse(&mut self, piece: &Piece, rest: &[u8], code: CloseCode) {
        let lane = &mut self.lanes[Self::index(piece.sender)];
        lane.stopped = true;
        let mut details = Vec::new();
        if let Some(bytes) = rest.first_chunk::<HEADER_LEN>() {
            let header = Header::from_bytes(*bytes);
            let (name, tag, len) = (explain::name(header), header.tag(), header.body_len());
            let bits = match (header.more(), header.lane()) {
                (false, false) => "",
                (true, false) => ", MORE",
                (false, true) => ", LANE",
                (true, true) => ", MORE, LANE",
            };
            details.push(format!("header {}: {name}, tag {tag:02x}, {len} B{bits}", hex(bytes)));
        }
        if let Some(other) = looks_like(rest).filter(|_| lane.offset == 0) {
            details.push(format!("this looks like {other}"));
        }
        let at = lane.offset;
        let words = Words { summary: format!("ILLEGAL at byte {at}: {code}"), details };
        self.line(piece, "?", rest.len(), "", &words);
    }

    fn finish(&mut self) {
        let [client, server] = &self.lanes;
        let one_way = server.offset == 0;
        for (name, lane) in [("client", client), ("server", server)] {
            if lane.offset == 0 && lane.buffer.is_empty() {
                continue;
            }
            let name = if one_way { "total" } else { name };
            let _ = write!(self.text, "{name}: {}", count(lane.frames, "frame"));
            let _ = write!(self.text, ", {} B, {}", lane.offset, count(lane.messages, "message"));
            if !lane.stopped && !lane.buffer.is_empty() {
                let len = lane.buffer.len();
                let whole = lane.buffer.first_chunk().map(|bytes| Header::from_bytes(*bytes));
                let _ = match whole {
                    Some(header) => write!(
                        self.text,
                        "; the last frame ({}) has {len} of its {} B",
                        explain::name(header),
                        header.frame_size()
                    ),
                    None => write!(self.text, "; the last header has {len} of its 4 B"),
                };
            }
            self.text.push('\n');
        }
    }
}

fn count(number: u64, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// The position nearest to `near` whose low half is `low`.
fn expand(near: u64, low: u32) -> u64 {
    #[expect(clippy::cast_possible_truncation, reason = "the low half is what is on the wire")]
    let distance = low.wrapping_sub(near as u32).cast_signed();
    near.saturating_add_signed(i64::from(distance))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_position_is_completed_from_the_nearest() {
        assert_eq!(expand(100, 90), 90);
        assert_eq!(expand(100, 110), 110);
        assert_eq!(expand(0x1_0000_0005, 0xFFFF_FFFE), 0xFFFF_FFFE);
        assert_eq!(expand(0xFFFF_FFF0, 4), 0x1_0000_0004);
        assert_eq!(expand(0, 7), 7);
    }
}
