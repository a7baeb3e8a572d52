//! The bytes on the wire: frame headers, frames, and what they carry.

mod bytes;
mod control;
mod frame;
mod handshake;
mod header;
mod ids;
mod options;

pub use control::{Close, CloseFlags, Drain, Probe, REASON_MAX};
pub use control::{encode_ack, encode_empty, encode_probe};
pub use frame::{Frame, Split};
pub(crate) use frame::{encode_note, encode_simple, version_1};
pub(crate) use handshake::{Fixed, HANDSHAKE_BODY_MAX};
pub use handshake::{HANDSHAKE_MAX, MIN_MAX_BODY};
pub use handshake::{Hello, Terms, Welcome};
pub use header::{Header, Op};
pub use ids::{RequestId, Route, Status};
pub(crate) use options::CLAIM_LEN;
pub use options::{AuthData, Grant, Resume, Resumed};

/// Bytes of a frame header.
pub const HEADER_LEN: usize = 4;
/// The longest body a header can announce, in bytes.
pub const MAX_BODY: u16 = 16_383;
/// The bytes HELLO and WELCOME of every version begin with.
pub const MAGIC: [u8; 4] = *b"OUTL";
/// The protocol version this crate speaks.
pub const VERSION: u8 = 1;
