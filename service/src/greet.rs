//! A server's first words with a connection.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::time::Duration;

use outlast_core::auth::{AuthContext, AuthStep, Verdict, Verifier};
use outlast_core::wire::{Close, Frame, HEADER_LEN, Hello, MAX_BODY};
use outlast_core::{Acceptor, CloseCode, Config, Greeting, HANDSHAKE_MAX};

use crate::transport::{Clock, Runtime, Transport};

/// How long a refused connection may take to hear it.
const REFUSAL_TIME: Duration = Duration::from_secs(2);

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

/// Waits for HELLO and finds out who it is from, at most as long as a handshake may take.
pub(crate) async fn hear<R: Runtime, T: Transport>(
    runtime: &R,
    clock: Clock,
    config: &Config,
    io: &mut T,
    verifier: Option<Box<dyn Verifier + Send>>,
) -> Result<Greeted, CloseCode> {
    let acceptor = Acceptor::new(clock.core(runtime.now()), config);
    let until = acceptor.poll_timeout().map_or_else(|| runtime.now(), |at| clock.std(at));
    let mut hearing = Hearing { runtime, clock, io, acceptor };
    let heard = crate::client::before(runtime, until, hearing.introduction(verifier)).await;
    heard.unwrap_or(Err(CloseCode::HS_TIMEOUT))
}

/// A handshake up to WELCOME.
struct Hearing<'a, R, T> {
    runtime: &'a R,
    clock: Clock,
    io: &'a mut T,
    acceptor: Acceptor,
}

impl<R: Runtime, T: Transport> Hearing<'_, R, T> {
    async fn introduction(
        &mut self,
        verifier: Option<Box<dyn Verifier + Send>>,
    ) -> Result<Greeted, CloseCode> {
        let (frame, auth) = self.next().await?;
        if auth {
            return Err(CloseCode::BAD_STATE);
        }
        let mut greeted = Greeted { frame, principal: 0, proof: Vec::new() };
        if let Some(verifier) = verifier {
            (greeted.principal, greeted.proof) = self.verify(&greeted.hello(), verifier).await?;
        }
        Ok(greeted)
    }

    /// Asks until the verifier is satisfied: the principal, and what is to be sent to it.
    //= AUT-9
    async fn verify(
        &mut self,
        hello: &Hello<'_>,
        mut verifier: Box<dyn Verifier + Send>,
    ) -> Result<(u64, Vec<u8>), CloseCode> {
        let auth = hello.auth.ok_or(CloseCode::AUTH_REQUIRED)?;
        let mut data = auth.data.to_vec();
        let mut index = 0;
        loop {
            let mut out = [0; HANDSHAKE_MAX];
            let context = AuthContext {
                client_id: hello.client_id.unwrap_or_default(),
                channel_binding: self.io.channel_binding(),
                encrypted: self.io.is_encrypted(),
            };
            let step = AuthStep { method: auth.method, index, data: &data };
            match verifier.handle_step(&context, step, &mut out) {
                Verdict::Deny => return Err(CloseCode::AUTH_FAILED),
                Verdict::Accept { principal, reply: 0 } => return Ok((principal, Vec::new())),
                Verdict::Accept { principal, reply } => {
                    return Ok((principal, self.challenge(out.get(..reply))?));
                }
                Verdict::Continue(len) => {
                    let frame = self.challenge(out.get(..len))?;
                    let sent = write_all(self.io, &frame).await;
                    sent.map_err(|_| CloseCode::GOING_AWAY)?;
                }
            }
            let (frame, is_auth) = self.next().await?;
            if !is_auth {
                return Err(CloseCode::BAD_STATE);
            }
            data = frame.get(HEADER_LEN..).unwrap_or_default().to_vec();
            index += 1;
        }
    }

    /// The AUTH frame with the verifier's `data`; a verifier that says more than fits fails.
    fn challenge(&mut self, data: Option<&[u8]>) -> Result<Vec<u8>, CloseCode> {
        let mut frame = vec![0; HEADER_LEN + HANDSHAKE_MAX];
        let data = data.ok_or(CloseCode::INTERNAL)?;
        let len = self.acceptor.challenge(data, &mut frame).map_err(|_| CloseCode::AUTH_FAILED)?;
        frame.truncate(len);
        Ok(frame)
    }

    /// Reads the next handshake frame, and whether it is AUTH; nothing may follow it.
    async fn next(&mut self) -> Result<(Vec<u8>, bool), CloseCode> {
        let mut bytes: Vec<u8> = Vec::new();
        loop {
            let mut chunk = [0; 512];
            let read = poll_fn(|cx| self.io.poll_read(cx, &mut chunk)).await;
            match read {
                Ok(0) | Err(_) => return Err(CloseCode::GOING_AWAY),
                Ok(read) => bytes.extend_from_slice(&chunk[..read]),
            }
            let now = self.clock.core(self.runtime.now());
            let mut input = &bytes[..];
            match self.acceptor.handle_input(now, &mut input) {
                Ok(Some(greeting)) => {
                    let is_auth = matches!(greeting, Greeting::Auth { .. });
                    return Ok((bytes, is_auth));
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
    let mut frame = [0; 256];
    let Some(len) = close.encode(&mut frame) else {
        return;
    };
    let until = runtime.now() + REFUSAL_TIME;
    let saying = async {
        write_all(io, &frame[..len]).await?;
        poll_fn(|cx| io.poll_shutdown(cx)).await?;
        // Closing with unread input would reset the connection and take the refusal with it.
        let mut rest = [0; 512];
        let mut read = 0;
        while read < 64 << 10 {
            match poll_fn(|cx| io.poll_read(cx, &mut rest)).await? {
                0 => break,
                more => read += more,
            }
        }
        Ok::<(), io::Error>(())
    };
    // Nothing follows from a refusal that could not be said.
    let _ = crate::client::before(runtime, until, saying).await;
}
