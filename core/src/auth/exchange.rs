//! The shape of an authentication exchange, for methods built in and brought along.

use crate::code::CloseCode;
use crate::wire::Hello;

/// What both ends of an exchange know before it begins.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct AuthContext<'a> {
    /// CLIENT_ID of the HELLO; empty where it had none. At most 255 bytes.
    pub client_id: &'a [u8],
    /// What both ends know about this transport and no other has; empty where there is nothing.
    pub channel_binding: &'a [u8],
    /// Whether the transport is confidential and its server authenticated.
    pub encrypted: bool,
}

/// One message of the client, as the server sees it.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct AuthStep<'a> {
    /// The method the client chose in its HELLO.
    pub method: u8,
    /// 0 for the data of the HELLO, 1 for the client's first AUTH frame, and so on.
    pub index: u8,
    /// What the client sent.
    pub data: &'a [u8],
}

/// What a [`Verifier`] made of a step.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Send the first `n` bytes of the output as the next AUTH frame and wait for its answer.
    Continue(usize),
    /// The peer is `principal`.
    Accept {
        /// Whom the session will belong to; 0 is nobody in particular.
        principal: u64,
        /// If not 0, send that many bytes of the output in an AUTH frame ahead of WELCOME.
        reply: usize,
    },
    /// Refuse with `AUTH_FAILED`, charge the source, and say nothing more precise to the peer.
    Deny,
}

/// The server's side of an exchange; one value serves one connection.
pub trait Verifier {
    /// Takes the client's next message and may write an answer to `out`.
    ///
    /// A verifier that returned [`Verdict::Deny`] or [`Verdict::Accept`] denies further steps.
    fn handle_step(
        &mut self,
        context: &AuthContext<'_>,
        step: AuthStep<'_>,
        out: &mut [u8],
    ) -> Verdict;
}

/// What a [`Prover`] made of the server's message.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Send the first `n` bytes of the output as the next AUTH frame.
    Send(usize),
    /// Nothing to send; WELCOME may come.
    Wait,
    /// The server is not the one this client trusts, or broke the exchange: close the connection.
    Refuse,
}

/// The client's side of an exchange; one value serves one connection.
pub trait Prover {
    /// The method number of AUTHM in the HELLO.
    fn method(&self) -> u8;

    /// Writes the data of AUTHM in the HELLO; `None` if there is no room, or the method must not
    /// be used in this context.
    fn start(&mut self, context: &AuthContext<'_>, out: &mut [u8]) -> Option<usize>;

    /// Takes the server's next message and may write an answer to `out`.
    fn handle_step(&mut self, context: &AuthContext<'_>, data: &[u8], out: &mut [u8]) -> Reply;

    /// Whether WELCOME may be believed now: a method that proves both ends says no until the
    /// server has proved its own.
    fn is_satisfied(&self) -> bool;
}

/// Takes the first step of an exchange from a HELLO, at a server that demands authentication.
///
/// The verdict is never [`Verdict::Deny`]. `context` should name the client as the HELLO does.
///
/// # Errors
///
/// [`CloseCode::AUTH_REQUIRED`] if the HELLO brings no credentials, and for whatever is wrong with
/// them the same [`CloseCode::AUTH_FAILED`].
//= AUT-9
pub fn handle_hello(
    verifier: &mut impl Verifier,
    context: &AuthContext<'_>,
    hello: &Hello<'_>,
    out: &mut [u8],
) -> Result<Verdict, CloseCode> {
    let auth = hello.auth.ok_or(CloseCode::AUTH_REQUIRED)?;
    let step = AuthStep { method: auth.method, index: 0, data: auth.data };
    match verifier.handle_step(context, step, out) {
        Verdict::Deny => Err(CloseCode::AUTH_FAILED),
        verdict @ (Verdict::Continue(_) | Verdict::Accept { .. }) => Ok(verdict),
    }
}

/// Lets everybody in as principal 0. For closed networks and tests.
#[derive(Debug, Copy, Clone, Default, PartialEq, Eq)]
pub struct NoAuth;

impl Verifier for NoAuth {
    fn handle_step(&mut self, _: &AuthContext<'_>, _: AuthStep<'_>, _: &mut [u8]) -> Verdict {
        Verdict::Accept { principal: 0, reply: 0 }
    }
}

/// Copies `data` to the front of `out`; `None` if it does not fit.
pub(super) fn put(out: &mut [u8], data: &[u8]) -> Option<usize> {
    out.get_mut(..data.len())?.copy_from_slice(data);
    Some(data.len())
}
