//! What a session tells its application.

use crate::code::CloseCode;
use crate::wire::{Header, Op, RequestId, Route, Status};

/// A byte position in one direction of a session: how far that direction has come.
///
/// Positions only grow. The position of a message is the one just after its last byte, so
/// everything up to and including a message is acknowledged when the acknowledged position has
/// reached the message's.
//= POS-1
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Position(pub(crate) u64);

impl Position {
    /// The position as a number of bytes since the session began.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// What a fragment is a fragment of.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Head {
    /// A one-way message.
    Message {
        /// Where it is to go.
        route: Route,
    },
    /// A request.
    Request {
        /// Number of the request, for the response.
        id: RequestId,
        /// Where it is to go.
        route: Route,
    },
    /// The response to a request.
    Response {
        /// Number of the request.
        id: RequestId,
        /// How it went.
        status: Status,
    },
}

impl Head {
    /// What stands in front of the payload of a MSG, REQ or RSP, and the payload.
    pub(crate) fn decode(header: Header, body: &[u8]) -> Result<(Self, &[u8]), CloseCode> {
        let (mut route, mut rest) = (Route::default(), body);
        let is_response = header.op() == Some(Op::Response);
        if !is_response {
            (route, rest) = Route::split(header.tag(), rest)?;
        }
        if header.op() == Some(Op::Message) {
            return Ok((Self::Message { route }, rest));
        }
        let (id, rest) = RequestId::split(rest)?;
        let head = if is_response {
            Self::Response { id, status: Status(header.tag()) }
        } else {
            Self::Request { id, route }
        };
        Ok((head, rest))
    }

    /// The event of a whole message.
    pub(crate) const fn event(self, payload: &[u8], position: Position) -> Event<'_> {
        match self {
            Self::Message { route } => Event::Message { route, payload, position },
            Self::Request { id, route } => Event::Request { id, route, payload, position },
            Self::Response { id, status } => Event::Response { id, status, payload, position },
        }
    }
}

/// Which end did something.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Side {
    /// This end.
    Local,
    /// The other end.
    Peer,
}

/// What happened, as told to the application. Payloads borrow from the input, not the session.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Event<'b> {
    /// The session exists and is attached for the first time.
    Opened,
    /// The session is attached again; nothing was lost. So is one that was
    /// [restored](crate::Session::restore), by its first connection.
    Resumed {
        /// Bytes that will be sent again because the peer did not get them.
        resent: u64,
    },
    /// A one-way message.
    Message {
        /// Where it is to go.
        route: Route,
        /// What the peer sent.
        payload: &'b [u8],
        /// For [`Session::release`](crate::Session::release).
        position: Position,
    },
    /// A request; it wants exactly one [`respond`](crate::Session::respond).
    Request {
        /// Number for the response.
        id: RequestId,
        /// Where it is to go.
        route: Route,
        /// What the peer sent.
        payload: &'b [u8],
        /// For [`Session::release`](crate::Session::release).
        position: Position,
    },
    /// The one response to a request of ours.
    Response {
        /// Number of the request.
        id: RequestId,
        /// How it went.
        status: Status,
        /// What the peer sent.
        payload: &'b [u8],
        /// For [`Session::release`](crate::Session::release).
        position: Position,
    },
    /// Part of a message that is longer than a frame. Parts come in order and without others
    /// between them.
    Fragment {
        /// What it is a part of.
        head: Head,
        /// Where in the message this part begins.
        offset: u32,
        /// The part.
        payload: &'b [u8],
        /// Whether the message is complete with it.
        last: bool,
        /// For [`Session::release`](crate::Session::release).
        position: Position,
    },
    /// The peer gave up the message whose fragments came last; discard them.
    Aborted {
        /// What was given up.
        head: Head,
        /// For [`Session::release`](crate::Session::release).
        position: Position,
    },
    /// A best-effort message: not acknowledged, not repeated, perhaps not the only one.
    Note {
        /// Where it is to go.
        route: Route,
        /// What the peer sent.
        payload: &'b [u8],
    },
    /// The peer no longer wants the answer; it still must get one, for instance
    /// [`Status::CANCELLED`].
    Cancelled {
        /// Number of the request.
        id: RequestId,
        /// The peer's reason.
        reason: u8,
        /// For [`Session::release`](crate::Session::release).
        position: Position,
    },
    /// The peer has taken everything up to `position`.
    Acknowledged {
        /// How far.
        position: Position,
    },
    /// A send refused for want of room would succeed now.
    Writable,
    /// The server replaced the key that resumes this session; it is already in use.
    KeyRotated {
        /// Number of the new key.
        key_id: u8,
    },
    /// The client has the key that [`rotate_key`](crate::Session::rotate_key) sent: it acknowledged
    /// it, or resumed with it. The key before it is void, which a registry must learn by
    /// [`confirm_key`](crate::registry::Registry::confirm_key).
    KeyConfirmed {
        /// Number of the new key.
        key_id: u8,
    },
    /// The server wants another authentication step; answer with
    /// [`Session::authenticate`](crate::Session::authenticate).
    Challenge {
        /// Number of the step.
        step: u8,
        /// The server's data.
        data: &'b [u8],
    },
    /// The peer will leave. The connection closes by itself within `spread_ms`.
    Draining {
        /// Why.
        code: CloseCode,
        /// For how long new requests are still accepted, in milliseconds.
        grace_ms: u32,
        /// The time over which connections move away, in milliseconds.
        spread_ms: u32,
        /// Where to connect next, if the peer says so.
        address: Option<&'b [u8]>,
    },
    /// The peer finished: no more messages will come from it.
    Finished {
        /// For [`Session::release`](crate::Session::release).
        position: Position,
    },
    /// The connection is of no more use; the session may live on.
    Disconnected {
        /// Why.
        code: CloseCode,
        /// Who decided.
        by: Side,
        /// The peer's hint when to come back, in milliseconds; 0 is none.
        retry_ms: u32,
        /// The peer asked not to come back.
        no_retry: bool,
    },
    /// Both ends finished and everything arrived: the session is over.
    Ended,
    /// The session is over, and this is what is known.
    ///
    /// Everything sent up to `peer_received` arrived; what was sent after it did not. Without it,
    /// all up to [`Session::acknowledged`](crate::Session::acknowledged) arrived, what was never
    /// transmitted did not, and the fate of the rest is unknown.
    Lost {
        /// Why.
        code: CloseCode,
        /// How far the peer received, if it said so.
        peer_received: Option<Position>,
    },
}
