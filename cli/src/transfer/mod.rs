//! Files over a session: what is said, who stores, who sends.
//!
//! The session delivers every message once and in order, so the data needs no acknowledgements of
//! its own. What a session does not survive (the end of a program) is covered by the offer: the
//! receiver answers it with how much it has, and the digest says whether it is the same file.

mod known;
mod message;
mod name;
mod part;
mod receiver;
mod sender;
#[cfg(test)]
mod sharing;
mod store;
#[cfg(test)]
mod tests;

pub(crate) use message::Offer;
pub(crate) use receiver::{Arrived, Receiver};
pub(crate) use sender::{Progress, Source, Trouble, send, send_all, sources};
pub(crate) use store::{Begun, Folder, Store};
