//! What happens when sessions come and go.

use outlast_core::CloseCode;

use super::link::Link;
use crate::handler::Cause;

/// How a session ended.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// Both ends finished, and everything arrived.
    Finished,
    /// It is over, and not everything is known to have arrived.
    Lost(CloseCode),
    /// Its task was dropped, or its server stopped.
    Dropped,
    /// A connection without a session ended so.
    #[cfg(feature = "formats")]
    Plain(crate::plain::PlainCause),
}

type Opened = Box<dyn Fn(&Link) + Send + Sync>;
type Resumed = Box<dyn Fn(&Link, u64) + Send + Sync>;
type Detached = Box<dyn Fn(&Link, CloseCode, Cause) + Send + Sync>;
type Over = Box<dyn Fn(&Link, End) + Send + Sync>;

/// Who is told; each list in the order of registration.
#[derive(Default)]
pub(crate) struct Life {
    pub(crate) open: Vec<Opened>,
    pub(crate) resume: Vec<Resumed>,
    pub(crate) detach: Vec<Detached>,
    pub(crate) close: Vec<Over>,
}

impl Life {
    pub(crate) fn extend(&mut self, other: Self) {
        self.open.extend(other.open);
        self.resume.extend(other.resume);
        self.detach.extend(other.detach);
        self.close.extend(other.close);
    }
}
