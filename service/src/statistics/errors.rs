//! What went wrong, by kind: a fixed list of kinds, whatever a peer sends.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use outlast_core::{CloseCode, Scope};

use crate::error::Why;
use crate::handler::Cause;

/// Where something went wrong.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorStage {
    /// Before there was a session.
    Handshake,
    /// A connection that was open ended otherwise than in order; its session may live on.
    Connection,
    /// A session ended before everything had arrived.
    Session,
}

impl ErrorStage {
    /// Its name, as in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::Connection => "connection",
            Self::Session => "session",
        }
    }
}

impl fmt::Display for ErrorStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How often something went wrong in one way.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ErrorCount {
    /// Where.
    pub stage: ErrorStage,
    /// The name of a [`CloseCode`], or of what no code stands for: `STREAM_ENDED` without a word,
    /// `TRANSPORT` that failed, `LOST`, `DROPPED` with its task, `MALFORMED`, `TRUNCATED` and the
    /// like where connections have no sessions.
    pub kind: &'static str,
    /// How often.
    pub count: u64,
}

/// What connections without sessions end of.
const PLAIN: [&str; 7] = [
    "TRUNCATED",
    "MALFORMED",
    "PACKET_TIMEOUT",
    "WRITE_TIMEOUT",
    "OVERFLOW",
    "TOO_FAST",
    "TASK_DROPPED",
];
/// Application codes, and those that this version does not know.
const OTHERS: [CloseCode; 2] = [CloseCode::new(0x8000), CloseCode::new(0x7FFF)];

/// Counters of one kind each.
#[derive(Debug)]
pub(super) struct Errors {
    handshakes: Box<[AtomicU64]>,
    connections: Box<[AtomicU64]>,
    ended: AtomicU64,
    failed: AtomicU64,
    lost: AtomicU64,
    dropped: AtomicU64,
    plain: [AtomicU64; PLAIN.len()],
}

impl Default for Errors {
    fn default() -> Self {
        let codes = || codes().map(|_| AtomicU64::new(0)).collect();
        Self {
            handshakes: codes(),
            connections: codes(),
            ended: AtomicU64::default(),
            failed: AtomicU64::default(),
            lost: AtomicU64::default(),
            dropped: AtomicU64::default(),
            plain: Default::default(),
        }
    }
}

fn codes() -> impl Iterator<Item = CloseCode> {
    CloseCode::ALL.iter().copied().chain(OTHERS)
}

fn place(code: CloseCode) -> usize {
    let known = CloseCode::ALL.binary_search(&code);
    let other = usize::from(code.scope() != Scope::Application);
    known.unwrap_or(CloseCode::ALL.len() + other)
}

/// Whether a connection that ends with this has not ended in order.
fn is_error(code: CloseCode) -> bool {
    let bad = [CloseCode::IDLE, CloseCode::CALM, CloseCode::INTERNAL];
    code.scope() != Scope::Normal || bad.contains(&code)
}

fn add(counter: Option<&AtomicU64>) {
    if let Some(counter) = counter {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl Errors {
    pub(super) fn handshake_failed(&self, code: CloseCode) {
        add(self.handshakes.get(place(code)));
    }

    pub(super) fn connection_ended(&self, cause: Cause, code: CloseCode) {
        match cause {
            Cause::Transport(None) if code == CloseCode::OK => {}
            Cause::Transport(None) => add(Some(&self.ended)),
            Cause::Transport(Some(_)) => add(Some(&self.failed)),
            Cause::Silence | Cause::Peer | Cause::Local => add(self.connections.get(place(code))),
        }
    }

    pub(super) fn session_ended(&self, why: Why) {
        match why {
            Why::Lost => add(Some(&self.lost)),
            Why::Dropped => add(Some(&self.dropped)),
            Why::Finished | Why::Refused | Why::GaveUp(_) | Why::Stopped | Why::HandedOver => {}
        }
    }

    #[cfg(feature = "formats")]
    pub(super) fn plain_ended(&self, cause: &crate::plain::PlainCause) {
        use crate::plain::PlainCause;
        let at = match cause {
            PlainCause::Finished | PlainCause::Local => return,
            PlainCause::Silence => return add(self.connections.get(place(CloseCode::IDLE))),
            PlainCause::Transport(_) => return add(Some(&self.failed)),
            PlainCause::Truncated { .. } => 0,
            PlainCause::Malformed(_) => 1,
            PlainCause::PacketTimeout => 2,
            PlainCause::WriteTimeout => 3,
            PlainCause::Overflow => 4,
            PlainCause::TooFast => 5,
            PlainCause::Dropped => 6,
        };
        add(self.plain.get(at));
    }

    /// The same kinds in the same order each time.
    pub(super) fn read(&self) -> Vec<ErrorCount> {
        let count = |stage, kind, counter: &AtomicU64| ErrorCount {
            stage,
            kind,
            count: counter.load(Ordering::Relaxed),
        };
        let (handshake, connection) = (ErrorStage::Handshake, ErrorStage::Connection);
        let handshakes = codes().zip(&self.handshakes).filter(|(code, _)| *code != CloseCode::OK);
        let connections = codes().zip(&self.connections).filter(|(code, _)| is_error(*code));
        let plain = PLAIN.iter().zip(&self.plain);
        let mut all: Vec<ErrorCount> =
            handshakes.map(|(code, counter)| count(handshake, code.name(), counter)).collect();
        all.extend(connections.map(|(code, counter)| count(connection, code.name(), counter)));
        all.extend(plain.map(|(kind, counter)| count(connection, kind, counter)));
        all.push(count(connection, "STREAM_ENDED", &self.ended));
        all.push(count(connection, "TRANSPORT", &self.failed));
        all.push(count(ErrorStage::Session, "LOST", &self.lost));
        all.push(count(ErrorStage::Session, "DROPPED", &self.dropped));
        all
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_kinds_are_the_same_whatever_code_a_peer_makes_up() {
        let errors = Errors::default();
        let names = |all: &[ErrorCount]| -> Vec<(&str, &str)> {
            all.iter().map(|error| (error.stage.name(), error.kind)).collect()
        };
        let before = names(&errors.read());
        assert_eq!(before.iter().collect::<BTreeSet<_>>().len(), before.len(), "each once");
        for code in 0..=u16::MAX {
            errors.handshake_failed(CloseCode::new(code));
            errors.connection_ended(Cause::Peer, CloseCode::new(code));
        }
        let after = errors.read();
        assert_eq!(names(&after), before);
        let of = |stage: ErrorStage, kind: &str| {
            let found = after.iter().find(|error| error.stage == stage && error.kind == kind);
            found.map(|error| error.count)
        };
        let (handshake, connection) = (ErrorStage::Handshake, ErrorStage::Connection);
        assert_eq!(of(handshake, "APPLICATION"), Some(0x8000));
        assert_eq!(of(connection, "BAD_FRAME"), Some(1));
        assert_eq!((of(connection, "OK"), of(connection, "GOING_AWAY")), (None, None));
        let all: u64 = after.iter().filter(|e| e.stage == handshake).map(|e| e.count).sum();
        assert_eq!(all, 0xFFFF, "all but one are errors, and each was counted");
    }

    #[test]
    fn what_has_no_code_is_counted_too() {
        let errors = Errors::default();
        errors.connection_ended(Cause::Transport(None), CloseCode::IDLE);
        errors.connection_ended(Cause::Transport(None), CloseCode::OK);
        errors.connection_ended(Cause::Transport(Some(std::io::ErrorKind::Other)), CloseCode::IDLE);
        let ends = [Why::Lost, Why::Dropped, Why::Finished, Why::Stopped];
        ends.into_iter().for_each(|why| errors.session_ended(why));
        let told: Vec<&str> =
            errors.read().iter().filter(|error| error.count == 1).map(|error| error.kind).collect();
        assert_eq!(told, ["STREAM_ENDED", "TRANSPORT", "LOST", "DROPPED"]);
        assert_eq!(errors.read().iter().map(|error| error.count).sum::<u64>(), 4);
    }
}
