//! A server's first words with a connection.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use outlast_core::auth::{AuthContext, AuthStep, Verdict, Verifier};
use outlast_core::wire::{Close, Frame, HEADER_LEN, Hello, MAX_BODY};
use outlast_core::{Acceptor, CloseCode, Config, Greeting, HANDSHAKE_MAX};

use crate::auth::{Authenticator, Recognized};
use crate::transport::{Clock, Runtime, Transport};

/// How long a refused connection may take to hear it.
const REFUSAL_TIME: Duration = Duration::from_secs(2);

/// How a connection begins over which somebody speaks TLS: a handshake record, of TLS 1.x.
const TLS_HANDSHAKE: [u8; 2] = [0x16, 0x03];

/// The CLOSE that refuses a connection.
pub(crate) type Refusal = Close<'static>;

pub(crate) const fn refusal(code: CloseCode) -> Refusal {
    Close::new(code)
}

/// A HELLO that came, from somebody who is who they should be.
pub(crate) struct Greeted {
    frame: Vec<u8>,
    /// Whom authentication found; 0 is nobody in particular.
    pub(crate) principal: u64,
    /// An AUTH frame to send ahead of WELCOME.
    pub(crate) proof: Vec<u8>,
}

impl Greeted {
    pub(crate) fn hello(&self) -> Hello<'_> {
        match hello_in(&self.frame) {
            Some(hello) => hello,
            None => unreachable!("only a frame that was decoded as HELLO is kept"),
        }
    }
}

fn hello_in(frame: &[u8]) -> Option<Hello<'_>> {
    let (header, body, _) = Frame::split(frame, MAX_BODY).ok()??;
    match Frame::decode(header, body).ok()? {
        Frame::Hello(hello) => Some(hello),
        _ => None,
    }
}

/// What is asked of a client, and what is counted of it.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) authenticator: Option<&'a dyn Authenticator>,
    pub(crate) remote: Option<SocketAddr>,
    /// Clients that began with TLS.
    pub(crate) tls_hellos: &'a AtomicU64,
}

/// Waits for HELLO and finds out who it is from, at most as long as a handshake may take. If the
/// transport's own handshake failed, the error is what it said.
pub(crate) async fn hear<R: Runtime, T: Transport>(
    runtime: &R,
    clock: Clock,
    config: &Config,
    io: &mut T,
    asked: Asked<'_>,
) -> Result<Greeted, (CloseCode, Option<io::Error>)> {
    let acceptor = Acceptor::new(clock.core(runtime.now()), config);
    let until = acceptor.poll_timeout().map_or_else(|| runtime.now(), |at| clock.std(at));
    let mut hearing = Hearing { runtime, clock, io, acceptor, failed: None };
    let heard = crate::client::before(runtime, until, pin!(hearing.introduction(asked))).await;
    heard.unwrap_or(Err(CloseCode::HS_TIMEOUT)).map_err(|code| (code, hearing.failed.take()))
}

/// A handshake up to WELCOME.
struct Hearing<'a, R, T> {
    runtime: &'a R,
    clock: Clock,
    io: &'a mut T,
    acceptor: Acceptor,
    /// What a layer's handshake failed with.
    failed: Option<io::Error>,
}

impl<R: Runtime, T: Transport> Hearing<'_, R, T> {
    async fn introduction(&mut self, asked: Asked<'_>) -> Result<Greeted, CloseCode> {
        let (frame, auth) = self.first(asked).await?;
        if auth {
            return Err(CloseCode::BAD_STATE);
        }
        let mut greeted = Greeted { frame, principal: 0, proof: Vec::new() };
        if let Some(authenticator) = asked.authenticator {
            let identity = self.io.peer_identity();
            match identity.map_or(Recognized::Unknown, |known| authenticator.recognize(known)) {
                Recognized::As(principal) => greeted.principal = principal,
                Recognized::Denied => return Err(CloseCode::AUTH_FAILED),
                Recognized::Unknown => {
                    let verifier = authenticator.verifier(asked.remote);
                    let hello = greeted.hello();
                    (greeted.principal, greeted.proof) = self.verify(&hello, verifier).await?;
                }
            }
        }
        Ok(greeted)
    }

    /// Reads the first frame. A client that begins with TLS is counted.
    async fn first(&mut self, asked: Asked<'_>) -> Result<(Vec<u8>, bool), CloseCode> {
        let mut bytes = Vec::new();
        let first = self.next_into(&mut bytes).await;
        if first.is_err() && bytes.starts_with(&TLS_HANDSHAKE) {
            asked.tls_hellos.fetch_add(1, Ordering::Relaxed);
        }
        first.map(|is_auth| (bytes, is_auth))
    }

    /// Asks until the verifier is satisfied: the principal, and what is to be sent to it.
    //= AUT-9
    async fn verify(
        &mut self,
        hello: &Hello<'_>,
        mut verifier: Box<dyn Verifier + Send>,
    ) -> Result<(u64, Vec<u8>), CloseCode> {
        let auth = hello.auth.ok_or(CloseCode::AUTH_REQUIRED)?;
        let mut frame = Vec::new();
        let mut index = 0;
        loop {
            let data = if index == 0 { auth.data } else { auth_data(&frame) };
            let step = AuthStep { method: auth.method, index, data };
            let (principal, reply) = self.judge(hello, &mut *verifier, step)?;
            if let Some(principal) = principal {
                return Ok((principal, reply));
            }
            let sent = write_all(self.io, &reply).await;
            sent.map_err(|_| CloseCode::GOING_AWAY)?;
            let (next, is_auth) = self.next().await?;
            if !is_auth {
                return Err(CloseCode::BAD_STATE);
            }
            frame = next;
            index += 1;
        }
    }

    /// One step: the principal if that was the last one, and the AUTH frame to send, if any.
    fn judge(
        &mut self,
        hello: &Hello<'_>,
        verifier: &mut dyn Verifier,
        step: AuthStep<'_>,
    ) -> Result<(Option<u64>, Vec<u8>), CloseCode> {
        let mut out = [0; HANDSHAKE_MAX];
        let context = AuthContext {
            client_id: hello.client_id.unwrap_or_default(),
            channel_binding: self.io.channel_binding(),
            encrypted: self.io.is_encrypted(),
        };
        match verifier.handle_step(&context, step, &mut out) {
            Verdict::Deny => Err(CloseCode::AUTH_FAILED),
            Verdict::Accept { principal, reply: 0 } => Ok((Some(principal), Vec::new())),
            Verdict::Accept { principal, reply } => {
                Ok((Some(principal), self.challenge(out.get(..reply))?))
            }
            Verdict::Continue(len) => Ok((None, self.challenge(out.get(..len))?)),
        }
    }

    /// The AUTH frame with the verifier's `data`; a verifier that says more than fits fails.
    fn challenge(&mut self, data: Option<&[u8]>) -> Result<Vec<u8>, CloseCode> {
        let mut frame = [0; HEADER_LEN + HANDSHAKE_MAX];
        let data = data.ok_or(CloseCode::INTERNAL)?;
        let len = self.acceptor.challenge(data, &mut frame).map_err(|_| CloseCode::AUTH_FAILED)?;
        Ok(frame[..len].to_vec())
    }

    /// Reads the next handshake frame, and whether it is AUTH; nothing may follow it.
    async fn next(&mut self) -> Result<(Vec<u8>, bool), CloseCode> {
        let mut bytes: Vec<u8> = Vec::new();
        let is_auth = self.next_into(&mut bytes).await?;
        Ok((bytes, is_auth))
    }

    async fn next_into(&mut self, bytes: &mut Vec<u8>) -> Result<bool, CloseCode> {
        loop {
            match poll_fn(|cx| read_more(self.io, cx, bytes)).await {
                Ok(0) => return Err(CloseCode::GOING_AWAY),
                Err(error) => {
                    // The transport may know that it is not who it should be.
                    let denied = error.kind() == io::ErrorKind::PermissionDenied;
                    self.failed = Some(error).filter(|_| !self.io.is_established());
                    return Err(match denied {
                        true => CloseCode::AUTH_FAILED,
                        false => CloseCode::GOING_AWAY,
                    });
                }
                Ok(_) => {}
            }
            let now = self.clock.core(self.runtime.now());
            let mut input = &bytes[..];
            match self.acceptor.handle_input(now, &mut input) {
                Ok(Some(greeting)) => {
                    return Ok(matches!(greeting, Greeting::Auth { .. }));
                }
                Ok(None) => {
                    let rest = input.len();
                    bytes.drain(..bytes.len() - rest);
                }
                Err(violation) => return Err(violation.code()),
            }
        }
    }
}

/// The data of an AUTH frame.
fn auth_data(frame: &[u8]) -> &[u8] {
    frame.get(HEADER_LEN..).unwrap_or_default()
}

/// Reads what has arrived to the end of `bytes`. The memory to read into is that of the thread's
/// stack: thousands of handshakes may be waiting.
fn read_more<T: Transport>(
    io: &mut T,
    cx: &mut Context<'_>,
    bytes: &mut Vec<u8>,
) -> Poll<io::Result<usize>> {
    let mut chunk = [0; 1024];
    let read = ready!(io.poll_read(cx, &mut chunk))?;
    bytes.extend_from_slice(&chunk[..read]);
    Poll::Ready(Ok(read))
}

async fn write_all<T: Transport>(io: &mut T, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match poll_fn(|cx| io.poll_write(cx, &[IoSlice::new(bytes)])).await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => bytes = bytes.get(written..).unwrap_or_default(),
        }
    }
    Ok(())
}

/// Says no, and waits a little for the peer to hear it.
pub(crate) async fn refuse<R: Runtime, T: Transport>(runtime: &R, io: &mut T, close: &Refusal) {
    let mut close = *close;
    if close.code == CloseCode::VERSION {
        close.versions = Some((outlast_core::wire::VERSION, outlast_core::wire::VERSION));
    }
    let mut frame = vec![0; 256];
    let Some(len) = close.encode(&mut frame) else {
        return;
    };
    frame.truncate(len);
    let until = runtime.now() + REFUSAL_TIME;
    let saying = async {
        if io.is_established() {
            write_all(io, &frame).await?;
        }
        poll_fn(|cx| io.poll_shutdown(cx)).await?;
        // Closing with unread input would reset the connection and take the refusal with it.
        let mut discarded = 0;
        while discarded < 64 << 10 {
            match poll_fn(|cx| read_more(io, cx, &mut Vec::new())).await? {
                0 => break,
                more => discarded += more,
            }
        }
        Ok::<(), io::Error>(())
    };
    // Nothing follows from a refusal that could not be said.
    let _ = crate::client::before(runtime, until, pin!(saying)).await;
}
