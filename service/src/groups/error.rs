//! Why somebody cannot join a group, or send to it.

use std::fmt;

use crate::error::SendError;
#[cfg(feature = "formats")]
use crate::plain::PlainError;

/// Why somebody cannot join a group, or send to it.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GroupError {
    /// There is no room.
    Limit {
        /// What there is too much of.
        limit: GroupLimit,
        /// How much there may be.
        max: usize,
    },
    /// A group without a name.
    NoName,
    /// Its rule does not allow it.
    Denied,
    /// The session or connection is over.
    Over,
    /// The session or connection is not of a server that has these groups, such as a client's.
    NotServed,
}

/// What there may be only so much of.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GroupLimit {
    /// Groups.
    Groups,
    /// Members of one group.
    Members,
    /// Groups that one member is in.
    GroupsPerMember,
    /// Bytes of a name.
    Name,
}

impl GroupError {
    pub(super) const fn limit(limit: GroupLimit, max: usize) -> Self {
        Self::Limit { limit, max }
    }
}

impl fmt::Display for GroupLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Groups => "groups",
            Self::Members => "members in the group",
            Self::GroupsPerMember => "groups of this member",
            Self::Name => "bytes in the name",
        })
    }
}

impl fmt::Display for GroupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit { limit, max } => write!(f, "too many {limit}: there may be {max}"),
            Self::NoName => f.write_str("a group has a name"),
            Self::Denied => f.write_str("the group's rule does not allow it"),
            Self::Over => f.write_str("the session or connection is over"),
            Self::NotServed => f.write_str("no server with these groups has it"),
        }
    }
}

impl std::error::Error for GroupError {}

/// Why a member of a group does not get a message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum MemberError {
    /// It is a session.
    Session(SendError),
    /// It is a connection without a session.
    #[cfg(feature = "formats")]
    Connection(PlainError),
}

impl MemberError {
    /// Whether the same message may reach it later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Session(error) => error.is_retryable(),
            #[cfg(feature = "formats")]
            Self::Connection(error) => error.is_retryable(),
        }
    }
}

impl fmt::Display for MemberError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session(error) => error.fmt(f),
            #[cfg(feature = "formats")]
            Self::Connection(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for MemberError {}
