//! Pipes in memory, a clock that is set by hand, and a server made of the core alone.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::Poll;

use embedded_io_async::{ErrorType, Read, Write};
use outlast_core::wire::{Grant, Route};
use outlast_core::{Acceptor, Config, Event, Greeting, HANDSHAKE_MAX, Session};
use outlast_embedded::Instant;
use outlast_embedded::stream::Timer;

/// A clock that is set by hand.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clock(Rc<Cell<u64>>);

impl Clock {
    pub(crate) fn micros(&self) -> u64 {
        self.0.get()
    }

    pub(crate) fn pass(&self, micros: u64) {
        self.0.set(self.0.get() + micros);
    }
}

impl Timer for Clock {
    fn now(&self) -> Instant {
        Instant::from_micros(self.0.get())
    }

    fn wait_until(&self, at: Instant) -> impl Future<Output = ()> {
        poll_fn(move |_| if at <= self.now() { Poll::Ready(()) } else { Poll::Pending })
    }
}

/// One direction of a stream.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pipe {
    pub(crate) bytes: Rc<RefCell<VecDeque<u8>>>,
    pub(crate) ended: Rc<Cell<bool>>,
    /// Bytes that it holds at most.
    pub(crate) room: Rc<Cell<usize>>,
    /// Reads given up before they came to an end.
    pub(crate) given_up: Rc<Cell<u32>>,
    pub(crate) flushes: Rc<Cell<u32>>,
}

impl ErrorType for Pipe {
    type Error = Infallible;
}

/// Counts a read that is dropped.
struct Guard<'a>(&'a Cell<u32>, bool);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() + u32::from(!self.1));
    }
}

impl Read for Pipe {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Infallible> {
        let mut guard = Guard(&self.given_up, false);
        let count = poll_fn(|_| {
            let mut bytes = self.bytes.borrow_mut();
            if bytes.is_empty() && !self.ended.get() {
                return Poll::Pending;
            }
            let count = bytes.len().min(buf.len());
            for (to, from) in buf.iter_mut().zip(bytes.drain(..count)) {
                *to = from;
            }
            Poll::Ready(count)
        })
        .await;
        guard.1 = true;
        Ok(count)
    }
}

impl Write for Pipe {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, Infallible> {
        poll_fn(|_| {
            let mut bytes = self.bytes.borrow_mut();
            let count = buf.len().min(self.room.get().saturating_sub(bytes.len()));
            bytes.extend(&buf[..count]);
            if count > 0 { Poll::Ready(Ok(count)) } else { Poll::Pending }
        })
        .await
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        self.flushes.set(self.flushes.get() + 1);
        Ok(())
    }
}

/// A server of one session, which says everything it hears to its log and echoes it.
pub(crate) struct Server {
    config: Config,
    session: Option<Session<Vec<u8>>>,
    acceptor: Option<Acceptor>,
    inbox: Vec<u8>,
    pub(crate) heard: Vec<Vec<u8>>,
}

impl Server {
    pub(crate) fn new(config: Config) -> Self {
        let heard = Vec::new();
        Self { config, session: None, acceptor: None, inbox: Vec::new(), heard }
    }

    pub(crate) fn session(&mut self) -> &mut Session<Vec<u8>> {
        self.session.as_mut().expect("a session")
    }

    pub(crate) fn has_session(&self) -> bool {
        self.session.is_some()
    }

    /// Another connection.
    pub(crate) fn connected(&mut self, now: Instant) {
        self.lost(now);
        self.acceptor = Some(Acceptor::new(now, &self.config));
    }

    /// The connection broke.
    pub(crate) fn lost(&mut self, now: Instant) {
        self.inbox.clear();
        if let Some(session) = &mut self.session {
            session.detach(now);
        }
    }

    /// Takes up to `most` bytes, and says up to `most` bytes.
    pub(crate) fn turn(&mut self, now: Instant, from: &Pipe, to: &Pipe, most: usize) {
        {
            let mut bytes = from.bytes.borrow_mut();
            let count = bytes.len().min(most);
            self.inbox.extend(bytes.drain(..count));
        }
        let mut out = vec![0; HANDSHAKE_MAX];
        if let Some(acceptor) = &mut self.acceptor {
            let mut input = &self.inbox[..];
            let hello = match acceptor.handle_input(now, &mut input) {
                Ok(Some(Greeting::Hello(hello))) => hello,
                other => {
                    assert!(matches!(other, Ok(None)), "{other:?}");
                    return;
                }
            };
            // Who was never told the name of its session asks for another one.
            let resumed = self.session.as_mut().filter(|_| hello.resume.is_some());
            let written = match resumed {
                Some(session) => session.accept(now, &hello, 5, &mut out).expect("a resume"),
                None => {
                    let grant = Grant { sid: 9, epoch: 1, key_id: 1, key: [3; 16] };
                    let (config, storage) = (self.config, Vec::new());
                    let made = Session::server(now, config, &hello, grant, 5, storage, &mut out);
                    let made = made.expect("a session");
                    self.session = Some(made.session);
                    made.written
                }
            };
            to.bytes.borrow_mut().extend(&out[..written]);
            self.acceptor = None;
            self.inbox.clear();
        }
        let Some(session) = &mut self.session else {
            return;
        };
        let mut input = &self.inbox[..];
        loop {
            match session.handle_input(now, &mut input) {
                Ok(Some(Event::Message { payload, .. })) => {
                    self.heard.push(payload.to_vec());
                    session.send(Route::from(2u8), payload).expect("room");
                }
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => panic!("{error}"),
            }
        }
        let left = input.len();
        self.inbox.drain(..self.inbox.len() - left);
        if left > 0 {
            session.handle_partial(now);
        }
        session.handle_timeout(now);
        let mut out = vec![0; most.clamp(96, 4_096)];
        let count = session.poll_transmit(now, &mut out);
        to.bytes.borrow_mut().extend(&out[..count]);
    }
}
