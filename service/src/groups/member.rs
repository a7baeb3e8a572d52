//! Who can be in a group.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use outlast_core::wire::Route;

use super::{Groups, MemberError, group_calls};
use crate::error::SendError;
use crate::handle::Handle;
use crate::handler::Peer;
use crate::home::Hosted;
use crate::shared::Shared;
use sealed::Sealed as _;

/// Who is in a group: a session, or a connection that has none. Numbers of servers that share their
/// groups are drawn at random from 2^64, and so are different.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum MemberId {
    /// The session with this number.
    Session(u64),
    /// The connection with this number, of a server whose connections have no sessions.
    Connection(u64),
}

impl MemberId {
    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        match self {
            Self::Session(id) | Self::Connection(id) => id,
        }
    }
}

/// Whom a member of a group is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemberInfo {
    /// Its number, and of what.
    pub id: MemberId,
    /// The other end's address, of the present connection or of the last one.
    pub remote: Option<SocketAddr>,
    /// Whom authentication found it to be with, if it asked and this is somebody in particular.
    pub principal: Option<u64>,
}

#[cfg(feature = "formats")]
impl MemberInfo {
    /// A connection, of which nobody has found out whom it is with.
    pub(crate) const fn of_connection(id: u64, remote: Option<SocketAddr>) -> Self {
        Self { id: MemberId::Connection(id), remote, principal: None }
    }
}

/// A message on its way to a group.
pub(crate) struct Message<'a> {
    pub(crate) route: Route,
    pub(crate) payload: &'a [u8],
}

/// What can be in a group.
pub(crate) trait Member: Send + Sync {
    fn id(&self) -> MemberId;

    fn about(&self) -> MemberInfo;

    /// Whether it has ended, or is about to leave its groups because of that. Asked under the lock
    /// of the groups.
    fn is_over(&self) -> bool;

    /// Queues a message without waiting.
    fn deliver(&self, message: &Message<'_>) -> Result<(), MemberError>;
}

/// A member, and the groups that hear of its end.
pub struct Named {
    pub(super) member: Arc<dyn Member>,
    pub(super) groups: Groups,
}

impl Named {
    pub(crate) fn new(member: Arc<dyn Member>, groups: Groups) -> Self {
        Self { member, groups }
    }

    pub(crate) fn id(&self) -> MemberId {
        self.member.id()
    }

    /// Leaves a group; whether it was in it.
    pub(crate) fn quit(&self, group: &str) -> bool {
        self.groups.quit(self.id(), group)
    }

    /// The groups that it is in.
    pub(crate) fn joined(&self) -> Vec<Arc<str>> {
        self.groups.groups_of(self.id())
    }
}

impl fmt::Debug for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Named").field("id", &self.id()).finish_non_exhaustive()
    }
}

/// What can be put into a group: handles of servers' sessions and connections. Only this crate
/// implements it.
pub trait GroupMember: sealed::Sealed {}

pub(crate) mod sealed {
    use super::Named;

    pub trait Sealed {
        /// None if no server has it.
        fn named(&self) -> Option<Named>;
    }
}

impl Hosted {
    pub(crate) const fn member(&self) -> MemberId {
        MemberId::Session(self.id)
    }
}

impl Member for Shared {
    fn id(&self) -> MemberId {
        MemberId::Session(self.hosted().map_or(0, |hosted| hosted.id))
    }

    fn about(&self) -> MemberInfo {
        let remote = self.lock().remote();
        MemberInfo { id: Member::id(self), remote, principal: self.principal() }
    }

    fn is_over(&self) -> bool {
        self.lock().closed().is_some()
    }

    fn deliver(&self, message: &Message<'_>) -> Result<(), MemberError> {
        self.try_send(message.route, message.payload).map_err(MemberError::Session)
    }
}

impl Shared {
    /// This session as the member of a group.
    pub(crate) fn named(self: &Arc<Self>) -> Option<Named> {
        let groups = self.hosted()?.home.groups.clone();
        let member: Arc<dyn Member> = Arc::clone(self) as _;
        Some(Named::new(member, groups))
    }

    fn try_send(&self, route: Route, payload: &[u8]) -> Result<(), SendError> {
        let mut inner = self.lock();
        let staged = if inner.stage_short(route, payload) {
            Ok(())
        } else {
            match inner.stage_message(route, payload) {
                Err(SendError::Full) => {
                    inner.overflow(self.ground.outgoing.when_full, route, payload)
                }
                staged => staged,
            }
        };
        self.notify(inner);
        staged
    }
}

impl GroupMember for Handle {}

impl sealed::Sealed for Handle {
    fn named(&self) -> Option<Named> {
        self.share().named()
    }
}

impl sealed::Sealed for Peer<'_> {
    fn named(&self) -> Option<Named> {
        self.handle().share().named()
    }
}

group_calls! {
    /// A session of a server, in groups.
    Handle
}

group_calls! {
    /// A session of a server, in groups, from its handler.
    Peer<'_>
}
