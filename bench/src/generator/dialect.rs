//! The wire formats the generator speaks.

/// Payload of every echo and fan-out message, in bytes.
pub(crate) const ECHO_SIZE: usize = 64;

/// A wire format.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Dialect {
    /// `len u32 BE, payload`; the byte servers do not look at it.
    Prefix,
    /// msgtrans: a fixed header of 16 bytes, big-endian.
    Msgtrans,
    /// outlast wire version 1.
    Outlast,
}

/// Which of its two ways an outlast echo goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum EchoWith {
    /// REQ and RSP.
    Request,
    /// MSG there and MSG back.
    Message,
}
