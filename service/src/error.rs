//! What can go wrong, and whether trying again makes sense.

use std::fmt;

use outlast_core::{CloseCode, Retry};

/// Why a session is over.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Closed {
    /// How it came to its end.
    pub why: Why,
    /// The code that goes with it: the peer's, this end's, or the last there was.
    pub code: CloseCode,
    /// Whether everything that either end sent has arrived.
    pub complete: bool,
    /// How many bytes of what this end sent the peer had taken, if it is known.
    pub peer_received: Option<u64>,
}

/// How a session came to its end.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// Both ends finished, and everything arrived.
    Finished,
    /// It cannot be resumed: the peer ended it, or does not know it any more.
    Lost,
    /// The server refused the client for good, or could not prove who it is.
    Refused,
    /// The client's attempts are used up. How the last one failed, as far as there was a
    /// connection at all.
    GaveUp(Option<CloseCode>),
    /// The application on this side ended it.
    Stopped,
    /// Its task was dropped, or its handler panicked ([`INTERNAL`](CloseCode::INTERNAL)).
    Dropped,
    /// It goes on in another process, from a snapshot: nothing of it is lost, and nothing more can
    /// be sent here.
    HandedOver,
}

impl Closed {
    /// Whether a session that is opened anew may do better though nobody does anything about it:
    /// false where it ended in order, where the application or the server wanted it so, and where
    /// this end failed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self.why {
            Why::Lost => self.code.retry() != Retry::Never,
            Why::GaveUp(last) => last.is_none_or(|last| last.retry() != Retry::Never),
            Why::Finished | Why::Refused | Why::Stopped | Why::Dropped | Why::HandedOver => false,
        }
    }

    /// A session that is over and of which not everything is known to have arrived.
    pub(crate) const fn of(why: Why, code: CloseCode) -> Self {
        Self { why, code, complete: false, peer_received: None }
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code;
        match self.why {
            _ if self.complete => return f.write_str("the session ended; everything arrived"),
            Why::Finished => write!(f, "the session ended")?,
            Why::Lost => write!(f, "the session is lost: {code}")?,
            Why::Refused => write!(f, "the server refuses: {code}")?,
            Why::GaveUp(None) => {
                write!(f, "the server was not reached, and no attempt is left")?;
            }
            Why::GaveUp(Some(last)) => write!(f, "no attempt is left; the last failed: {last}")?,
            Why::Stopped => write!(f, "the session was ended here: {code}")?,
            Why::Dropped if code == CloseCode::INTERNAL => write!(f, "the handler panicked")?,
            Why::Dropped => write!(f, "the session's task was dropped")?,
            Why::HandedOver => return f.write_str("the session goes on in another process"),
        }
        match self.peer_received {
            Some(position) => write!(f, "; the peer took what was sent up to byte {position}"),
            None => f.write_str("; the fate of what was not acknowledged is unknown"),
        }
    }
}

impl std::error::Error for Closed {}

/// A server answered in TLS to a client that speaks none. Found inside of an
/// [`io::Error`](std::io::Error).
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct SpeaksTls;

impl fmt::Display for SpeaksTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the server speaks TLS, and this client does not")
    }
}

impl std::error::Error for SpeaksTls {}

/// Why something was not sent. It did not arrive as a whole: of a long message that the end of the
/// session cut short the peer may have had parts, which it discards.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// There is no room now; [`Handle::send`](crate::Handle::send) waits for it.
    Full,
    /// The peer does not accept messages of more than `limit` bytes.
    TooLarge {
        /// Longest payload possible.
        limit: usize,
    },
    /// The message fits no frame, of `limit` bytes, though the peer accepts it:
    /// [`Handle::send`](crate::Handle::send) sends it in parts.
    TooLongForFrame {
        /// Longest payload possible in one frame.
        limit: usize,
    },
    /// No such request is open: it was answered, or it was of a session that is over.
    NoSuchRequest,
    /// The server has no session with this number.
    NoSuchSession(u64),
    /// The session has not been opened yet; [`Handle::send`](crate::Handle::send) waits for it.
    NotOpen,
    /// This end said that it will send nothing more.
    Finished,
    /// The peer said that it will send nothing more: it would not answer a request.
    PeerFinished,
    /// The time given for it passed before there was room.
    TimedOut,
    /// The session is over.
    Closed(Closed),
    /// There is no session, and this is what its connection says.
    #[cfg(feature = "formats")]
    Plain(crate::plain::PlainError),
}

impl SendError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Full | Self::NotOpen | Self::TimedOut => true,
            Self::TooLarge { .. }
            | Self::TooLongForFrame { .. }
            | Self::NoSuchRequest
            | Self::NoSuchSession(_)
            | Self::Finished
            | Self::PeerFinished
            | Self::Closed(_) => false,
            #[cfg(feature = "formats")]
            Self::Plain(error) => error.is_retryable(),
        }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("no room to send now: wait with `send`, or drop the message"),
            Self::TooLarge { limit } => {
                write!(f, "the message exceeds the {limit} bytes that the peer accepts")
            }
            Self::TooLongForFrame { limit } => {
                write!(
                    f,
                    "the message exceeds the {limit} bytes of one frame: use a handle's `send`"
                )
            }
            Self::NoSuchRequest => f.write_str("no such request is open: each has one answer"),
            Self::NoSuchSession(id) => write!(f, "the server has no session {id}"),
            Self::NotOpen => f.write_str("the session is not open yet"),
            Self::Finished => f.write_str("this end has finished sending"),
            Self::PeerFinished => f.write_str("the peer has finished and answers nothing more"),
            Self::TimedOut => f.write_str("there was no room within the time given"),
            Self::Closed(closed) => closed.fmt(f),
            #[cfg(feature = "formats")]
            Self::Plain(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SendError {}

/// Why a request has no response.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestError {
    /// It never reached the peer as a whole; repeating it is safe.
    NotSent(SendError),
    /// It was sent, and the session was over before the response came: it may have run or not.
    OutcomeUnknown(Closed),
    /// It was sent, and the peer finished without a response: it may have run or not.
    PeerFinished,
    /// The time given for it is over. The peer was asked to stop; it may have run or not.
    TimedOut,
}

impl RequestError {
    /// Whether asking again may succeed, in this session or in another. Whether it may run twice
    /// then is what [`is_safe_to_repeat`](Self::is_safe_to_repeat) says.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NotSent(SendError::Closed(closed)) | Self::OutcomeUnknown(closed) => {
                closed.is_retryable()
            }
            Self::NotSent(error) => error.is_retryable(),
            Self::TimedOut => true,
            Self::PeerFinished => false,
        }
    }

    /// Whether the request can be repeated without the risk of running twice.
    #[must_use]
    pub const fn is_safe_to_repeat(&self) -> bool {
        matches!(self, Self::NotSent(_))
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent(error) => write!(f, "the request was not sent: {error}"),
            Self::OutcomeUnknown(closed) => write!(f, "no response, and none will come: {closed}"),
            Self::PeerFinished => f.write_str("no response, and none will come: the peer finished"),
            Self::TimedOut => f.write_str("no response within the time given"),
        }
    }
}

impl std::error::Error for RequestError {}
