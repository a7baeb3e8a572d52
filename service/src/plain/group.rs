//! Connections without sessions in groups, and what happens on their server.

use std::net::SocketAddr;
use std::sync::Arc;

use outlast_core::admission::Turned;
use outlast_formats::{FormatError, Packet};

use super::error::{PlainClosed, PlainError};
use super::handle::PlainHandle;
use super::handler::PlainPeer;
use super::shared::Shared;
use crate::events::Emitter;
use crate::groups::sealed::Sealed;
use crate::groups::{
    GroupMember, Groups, Member, MemberError, MemberId, MemberInfo, Message, Named, group_calls,
};
use crate::home::{Reached, ServerLimit, WhyRefused};
use crate::statistics::Ledger;
use crate::trace::Trace;
use crate::transport::Clock;

/// Something that happened on a server whose connections have no sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlainServerEvent {
    /// There is another connection.
    Connected {
        /// Its number.
        id: u64,
        /// The other end's address, as far as the connection has one.
        remote: Option<SocketAddr>,
    },
    /// A connection is over. Told once of each that was told to be there.
    Closed {
        /// Its number.
        id: u64,
        /// How it ended.
        closed: PlainClosed,
    },
    /// A connection was turned away.
    Refused {
        /// Where it came from.
        remote: Option<SocketAddr>,
        /// Why.
        why: WhyRefused,
    },
    /// A connection was turned away because of this limit, for the first time since one was last
    /// let in.
    LimitReached(ServerLimit),
}

/// What all connections of a server share.
#[derive(Debug)]
pub(super) struct Home {
    pub(super) groups: Groups,
    pub(super) events: Emitter<PlainServerEvent>,
    pub(super) ledger: Ledger,
    clock: Clock,
    trace: Trace,
    reached: Reached,
}

impl Home {
    pub(super) fn new(groups: Groups, ledger: Ledger) -> Self {
        let (clock, events) = (Clock::new(ledger.now()), Emitter::default());
        let (trace, reached) = (Trace::default(), Reached::default());
        Self { groups, events, ledger, clock, trace, reached }
    }

    /// Tells whoever wants to know.
    fn happened(&self, event: impl FnOnce() -> PlainServerEvent) {
        if Trace::is_on() {
            let event = event();
            self.trace.plain(self.clock.core(self.ledger.now()), &event);
            self.events.publish(|| event);
        } else {
            self.events.publish(event);
        }
    }

    /// A connection was turned away.
    pub(super) fn refused(&self, remote: Option<SocketAddr>, turned: Turned) {
        let why = WhyRefused::from(turned);
        self.happened(|| PlainServerEvent::Refused { remote, why });
        if let Some(limit) = self.reached.refused(why) {
            self.happened(|| PlainServerEvent::LimitReached(limit));
        }
    }

    /// A connection was let in.
    pub(super) fn let_in(&self) {
        self.reached.let_in(false);
    }

    pub(super) fn connected(&self, id: u64, remote: Option<SocketAddr>) {
        self.happened(|| PlainServerEvent::Connected { id, remote });
    }

    /// A connection is over, and in no group any more.
    pub(super) fn closed(&self, id: u64, closed: PlainClosed) {
        self.groups.depart(MemberId::Connection(id));
        self.ledger.plain_ended(&closed.cause);
        self.happened(|| PlainServerEvent::Closed { id, closed });
    }
}

impl Member for Shared {
    fn id(&self) -> MemberId {
        MemberId::Connection(self.id)
    }

    fn about(&self) -> MemberInfo {
        MemberInfo::of_connection(self.id, self.lock().info.remote)
    }

    fn is_over(&self) -> bool {
        !self.lock().info.state.is_connected()
    }

    fn deliver(&self, message: &Message<'_>) -> Result<(), MemberError> {
        let packet = Packet::one_way(message.route.get(), message.payload);
        let sent = match self.try_send(&packet) {
            // The format has no numbers: what is for whom is said in the payload.
            Err(PlainError::Format(FormatError::Unrepresentable(_))) => {
                self.try_send(&Packet::plain(message.payload))
            }
            sent => sent,
        };
        sent.map_err(MemberError::Connection)
    }
}

impl GroupMember for PlainHandle {}

impl Sealed for PlainHandle {
    fn named(&self) -> Option<Named> {
        let member: Arc<dyn Member> = Arc::clone(self.share()) as _;
        Some(Named::new(member, self.share().home()?.groups.clone()))
    }
}

impl Sealed for PlainPeer<'_> {
    fn named(&self) -> Option<Named> {
        self.handle().named()
    }
}

group_calls! {
    /// A connection of a server, in groups.
    PlainHandle
}

group_calls! {
    /// A connection of a server, in groups, from its handler.
    PlainPeer<'_>
}
