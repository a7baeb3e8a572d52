//! One-way messages that came in together.

use outlast_core::wire::Route;
use outlast_core::{Event, Violation};

use crate::handler::Peer;

/// What came instead of another message.
type End<'b> = Result<Option<Event<'b>>, Violation>;

/// One-way messages that one read brought, in order, and the session they came in: what
/// [`Handler::messages`](crate::Handler::messages) is given.
#[derive(Debug)]
pub struct Messages<'p, 'b> {
    peer: Peer<'p>,
    input: &'b [u8],
    /// What came instead of another message, and what came behind it.
    end: Option<(End<'b>, &'b [u8])>,
}

impl<'p, 'b> Messages<'p, 'b> {
    pub(crate) const fn new(peer: Peer<'p>, input: &'b [u8]) -> Self {
        Self { peer, input, end: None }
    }

    /// The next one's route and payload; `None` if something else came, or if there are no more.
    #[inline(always)]
    #[expect(clippy::should_implement_trait, reason = "the session is lent out in between")]
    pub fn next(&mut self) -> Option<(Route, &'b [u8])> {
        let Self { peer, input, .. } = self;
        let before = peer.session.received();
        let Some(message) = peer.session.handle_message(peer.now, input) else {
            return self.next_of_any();
        };
        peer.before = before;
        Some(message)
    }

    /// The session, for what is to be done about a message before the next one is taken.
    #[inline(always)]
    pub const fn peer(&mut self) -> &mut Peer<'p> {
        &mut self.peer
    }

    /// There is something about it, or it is no message.
    #[cold]
    #[inline(never)]
    fn next_of_any(&mut self) -> Option<(Route, &'b [u8])> {
        if self.end.is_some() {
            return None;
        }
        self.peer.before = self.peer.session.received();
        match self.peer.session.handle_input(self.peer.now, &mut self.input) {
            Ok(Some(Event::Message { route, payload, .. })) => Some((route, payload)),
            other => {
                // So the short way finds nothing either.
                self.end = Some((other, std::mem::take(&mut self.input)));
                None
            }
        }
    }

    /// What ended them, what is behind it, and the session.
    #[inline]
    pub(crate) fn finish(self) -> (End<'b>, &'b [u8], Peer<'p>) {
        let (end, rest) = self.end.unwrap_or((Ok(None), self.input));
        (end, rest, self.peer)
    }
}
