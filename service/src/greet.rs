//! A server's first words with a connection.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::time::Duration;

use outlast_core::registry::Entropy;
use outlast_core::wire::{Close, Frame, Hello, MAX_BODY};
use outlast_core::{Acceptor, CloseCode, Config, Greeting};

use crate::transport::{Clock, Runtime, Transport};

/// How long a refused connection may take to hear it.
const REFUSAL_TIME: Duration = Duration::from_secs(2);

/// The CLOSE that refuses a connection.
pub(crate) type Refusal = Close<'static>;

pub(crate) const fn refusal(code: CloseCode) -> Refusal {
    Close::new(code)
}

/// A HELLO that came.
pub(crate) struct Greeted {
    frame: Vec<u8>,
}

impl Greeted {
    pub(crate) fn hello(&self) -> Hello<'_> {
        match self.decode() {
            Some(hello) => hello,
            None => unreachable!("only a frame that was decoded as HELLO is kept"),
        }
    }

    fn decode(&self) -> Option<Hello<'_>> {
        let (header, body, _) = Frame::split(&self.frame, MAX_BODY).ok()??;
        match Frame::decode(header, body).ok()? {
            Frame::Hello(hello) => Some(hello),
            _ => None,
        }
    }
}

/// Waits for HELLO, at most as long as a handshake may take.
pub(crate) async fn hear<R: Runtime, T: Transport>(
    runtime: &R,
    clock: Clock,
    config: &Config,
    io: &mut T,
) -> Result<Greeted, CloseCode> {
    let mut acceptor = Acceptor::new(clock.core(runtime.now()), config);
    let until = acceptor.poll_timeout().map_or_else(|| runtime.now(), |at| clock.std(at));
    let mut bytes: Vec<u8> = Vec::new();
    let listening = async {
        loop {
            let mut chunk = [0; 512];
            let read = poll_fn(|cx| io.poll_read(cx, &mut chunk)).await;
            match read {
                Ok(0) | Err(_) => return Err(CloseCode::GOING_AWAY),
                Ok(read) => bytes.extend_from_slice(&chunk[..read]),
            }
            let now = clock.core(runtime.now());
            let mut input = &bytes[..];
            match acceptor.handle_input(now, &mut input) {
                Ok(Some(Greeting::Hello(_))) => return Ok(()),
                Ok(Some(Greeting::Auth { .. })) => return Err(CloseCode::BAD_STATE),
                Ok(None) => {
                    let rest = input.len();
                    bytes.drain(..bytes.len() - rest);
                }
                Err(violation) => return Err(violation.code()),
            }
        }
    };
    let heard = crate::client::before(runtime, until, listening).await;
    heard.unwrap_or(Err(CloseCode::HS_TIMEOUT))?;
    Ok(Greeted { frame: bytes })
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
        let mut at = 0;
        while at < len {
            let rest = &frame[at..len];
            at += match poll_fn(|cx| io.poll_write(cx, &[IoSlice::new(rest)])).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => written,
            };
        }
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

/// A fresh name and key for a session that may be made.
//= REG-15
pub(crate) fn entropy() -> Entropy {
    let mut key = [0; 16];
    fill(&mut key);
    Entropy { sid: entropy_u64(), key }
}

pub(crate) fn entropy_u64() -> u64 {
    let mut bytes = [0; 8];
    fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

//= DRV-13
pub(crate) fn seed() -> u32 {
    (entropy_u64() >> 32) as u32
}

/// Secrets must not be guessable: without the system's entropy there is nothing to go on with.
fn fill(bytes: &mut [u8]) {
    if let Err(error) = getrandom::fill(bytes) {
        panic!("the operating system gives no entropy: {error}");
    }
}
