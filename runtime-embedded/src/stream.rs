//! Over anything that reads and writes as [`embedded_io_async`] says: TCP of an executor, TLS, a
//! reliable serial line.
//!
//! A [`Client`] has the session, which outlives transports. It says when to make one
//! ([`Client::ready`]); the application makes it, splits it in two halves and
//! [attaches](Client::attach) the session; the [`Connection`] borrows the client and
//! [runs](Connection::run) until the transport is of no more use.
//!
//! Reading, writing and time go on side by side inside `run`: a heartbeat is sent while a read
//! waits, and input is taken while a write waits. A read is never given up for a heartbeat, so the
//! reader may be one that loses bytes when that happens.
//!
//! Nothing is flushed for a message, since flushing may mean waiting until the peer has
//! acknowledged; only what closes a connection is.
//!
//! # Giving up futures
//!
//! `run` may be dropped and called again, if reads and writes of the transport may be: all else is
//! kept. That is how something is sent meanwhile: select between `run` and whatever brings it,
//! send by [`Connection::session`], and run again. [`Client::ready`] may be dropped as well.

use core::cell::RefCell;
use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::{Context, Poll};

use embedded_io_async::{Error as _, ErrorKind, Read, Write};
use outlast_core::client::{Dial, StopReason};
use outlast_core::{CloseCode, Event, Instant, StateError};

use crate::keeper::Order;
use crate::port::{Inbox, Outbox, Port};
use crate::{Session, SetupError, StreamConfig, StreamMemory};

/// How often a run looks whether there is more, before other tasks have their turn.
const ROUNDS: u32 = 32;

/// A monotonic clock that can be waited for. Wrap that of the executor at hand:
///
/// ```
/// use core::future::Future;
/// use outlast_embedded::{Instant, stream::Timer};
///
/// struct Tokio(tokio::time::Instant);
///
/// impl Timer for Tokio {
///     fn now(&self) -> Instant {
///         Instant::from_micros(self.0.elapsed().as_micros() as u64)
///     }
///     fn wait_until(&self, at: Instant) -> impl Future<Output = ()> {
///         let micros = core::time::Duration::from_micros(at.as_micros());
///         tokio::time::sleep_until(self.0 + micros)
///     }
/// }
/// ```
pub trait Timer {
    /// What time it is.
    fn now(&self) -> Instant;
    /// Resolves at `at`, or at once if that has passed.
    fn wait_until(&self, at: Instant) -> impl Future<Output = ()>;
}

/// Why a connection is of no more use. What that means for the session, events have told.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// The peer's end of the stream came.
    Eof,
    /// Reading or writing failed.
    Broken(ErrorKind),
    /// The session gave it up: too long a silence, too late an answer, too long a goodbye.
    GivenUp,
}

/// A client whose session outlives its transports.
#[derive(Debug)]
pub struct Client<'m, T> {
    port: Port<'m>,
    inbox: Inbox<'m>,
    outbox: Outbox<'m>,
    timer: T,
}

impl<'m, T: Timer> Client<'m, T> {
    /// A client without a connection.
    ///
    /// # Errors
    ///
    /// If a value is out of range or the memory is too small.
    pub fn new(
        memory: impl Into<StreamMemory<'m>>,
        config: StreamConfig<'m>,
        timer: T,
    ) -> Result<Self, SetupError> {
        let (port, inbox, outbox) = Port::new(memory.into(), config)?;
        Ok(Self { port, inbox, outbox, timer })
    }

    /// The session: to send, to look at, to finish.
    pub const fn session(&mut self) -> &mut Session<'m> {
        &mut self.port.session
    }

    /// Why no further transport is wanted, once that is so.
    #[must_use]
    pub const fn stopped(&self) -> Option<StopReason> {
        self.port.keeper.stopped()
    }

    /// Failures since the last connection that worked.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.port.keeper.dialer.failures()
    }

    /// Ends the session, whatever was not delivered, and wants no further transport. The server
    /// hears of it from [`Connection::stop`] only.
    pub fn stop(&mut self, code: CloseCode) {
        self.port.session.end(self.timer.now(), code);
        self.port.keeper.dialer.handle_stop();
    }

    /// Waits until a transport is to be made: at once at first, then after a back-off.
    ///
    /// # Errors
    ///
    /// Why none will be wanted any more.
    pub async fn ready(&mut self) -> Result<Dial, StopReason> {
        loop {
            let Self { port, timer, .. } = self;
            let now = timer.now();
            let order = port.keeper.poll(now, &mut port.session, &port.config.session);
            match order {
                Some(Order::Dial(dial)) => return Ok(dial),
                Some(Order::Abort) => continue,
                None => {}
            }
            if let Some(reason) = port.keeper.stopped() {
                return Err(reason);
            }
            match port.keeper.dialer.poll_timeout() {
                Some(at) => timer.wait_until(at).await,
                None => return Err(StopReason::Requested),
            }
        }
    }

    /// The future's output, unless the attempt's time is over before.
    pub async fn in_time<F: Future>(&self, dial: &Dial, connecting: F) -> Option<F::Output> {
        let (mut connecting, mut late) =
            (pin!(connecting), pin!(self.timer.wait_until(dial.deadline)));
        poll_fn(|cx| match connecting.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => late.as_mut().poll(cx).map(|()| None),
        })
        .await
    }

    /// No transport could be made.
    pub fn failed(&mut self, dial: &Dial) {
        self.port.keeper.dialer.handle_failure(self.timer.now(), dial.attempt);
    }

    /// The two halves of a transport that is connected. Dropping the connection detaches the
    /// session.
    ///
    /// # Errors
    ///
    /// If the session is over, or what is to be said in the handshake does not fit.
    pub fn attach<R: Read, W: Write>(
        &mut self,
        dial: &Dial,
        reader: R,
        writer: W,
    ) -> Result<Connection<'_, 'm, T, R, W>, StateError> {
        let now = self.timer.now();
        // Of a connection that was forgotten and not dropped.
        self.port.leave(now);
        let attached = self.port.attach(now, dial.attempt, &mut self.inbox, &mut self.outbox);
        if let Err(error) = attached {
            self.port.keeper.dialer.handle_failure(now, dial.attempt);
            return Err(error);
        }
        Ok(Connection { client: self, reader, writer })
    }
}

/// A session's connection.
#[derive(Debug)]
pub struct Connection<'c, 'm, T: Timer, R, W> {
    client: &'c mut Client<'m, T>,
    reader: R,
    writer: W,
}

impl<'m, T: Timer, R: Read, W: Write> Connection<'_, 'm, T, R, W> {
    /// The session: to send between two runs.
    pub const fn session(&mut self) -> &mut Session<'m> {
        self.client.session()
    }

    /// Ends the session, whatever was not delivered, and wants no further transport. Run to the
    /// end, so that the server hears of it.
    pub fn stop(&mut self, code: CloseCode) {
        self.client.stop(code);
    }

    /// Carries the session until the transport is of no more use. `on_event` is given the session
    /// as well, so that it can answer while it holds the event.
    pub async fn run(&mut self, on_event: impl FnMut(&mut Session<'m>, Event<'_>)) -> Ended {
        let Client { port, inbox, outbox, timer } = &mut *self.client;
        let timer = &*timer;
        let shared = RefCell::new(Shared { port, on_event, changed: true });
        let ended = {
            let mut reading = pin!(read(inbox, &mut self.reader, timer, &shared));
            let mut writing = pin!(write(outbox, &mut self.writer, timer, &shared));
            let mut timing = pin!(keep_time(timer, &shared));
            poll_fn(|cx| {
                for _ in 0..ROUNDS {
                    let tasks = (reading.as_mut(), writing.as_mut(), timing.as_mut());
                    let ended = poll_all(cx, tasks);
                    // What one of them changed, the others have to see.
                    let changed = with(&shared, |shared| core::mem::take(&mut shared.changed));
                    if ended.is_ready() || changed != Some(true) {
                        return ended;
                    }
                }
                // Other tasks of the executor have their turn, and then this one goes on.
                cx.waker().wake_by_ref();
                Poll::Pending
            })
            .await
        };
        let Shared { port, mut on_event, .. } = shared.into_inner();
        port.tell(timer.now(), &mut &[][..], &mut on_event);
        ended
    }
}

impl<T: Timer, R, W> Drop for Connection<'_, '_, T, R, W> {
    fn drop(&mut self) {
        self.client.port.leave(self.client.timer.now());
    }
}

/// What reading, writing and time have in common.
struct Shared<'p, 'm, F> {
    port: &'p mut Port<'m>,
    on_event: F,
    /// There may be output now, or another deadline.
    changed: bool,
}

/// Lets one of the three use what they share; it is never held across an await, so it is free.
fn with<S, A>(shared: &RefCell<S>, act: impl FnOnce(&mut S) -> A) -> Option<A> {
    shared.try_borrow_mut().ok().map(|mut shared| act(&mut shared))
}

fn poll_all<F: Future<Output = Ended>>(
    cx: &mut Context<'_>,
    (reading, writing, timing): (
        Pin<&mut F>,
        Pin<&mut impl Future<Output = Ended>>,
        Pin<&mut impl Future<Output = Ended>>,
    ),
) -> Poll<Ended> {
    if let Poll::Ready(ended) = reading.poll(cx) {
        return Poll::Ready(ended);
    }
    if let Poll::Ready(ended) = writing.poll(cx) {
        return Poll::Ready(ended);
    }
    timing.poll(cx)
}

async fn read<'m, F: FnMut(&mut Session<'m>, Event<'_>)>(
    inbox: &mut Inbox<'m>,
    reader: &mut impl Read,
    timer: &impl Timer,
    shared: &RefCell<Shared<'_, 'm, F>>,
) -> Ended {
    loop {
        let space = inbox.space();
        if space.is_empty() {
            // The handshake is longer than the memory for it: nothing else is not whole here.
            return Ended::GivenUp;
        }
        match reader.read(space).await {
            Ok(0) => return Ended::Eof,
            Ok(count) => inbox.grow(count),
            Err(error) => return Ended::Broken(error.kind()),
        }
        let now = timer.now();
        with(shared, |shared| {
            shared.port.feed(now, inbox, &mut shared.on_event);
            shared.changed = true;
        });
        give_way().await;
    }
}

/// Lets the other two have their turn: a reader that always has more would leave them none.
async fn give_way() {
    let mut has_waited = false;
    poll_fn(|_| match core::mem::replace(&mut has_waited, true) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}

async fn write<'m, F: FnMut(&mut Session<'m>, Event<'_>)>(
    outbox: &mut Outbox<'m>,
    writer: &mut impl Write,
    timer: &impl Timer,
    shared: &RefCell<Shared<'_, 'm, F>>,
) -> Ended {
    let mut has_said_goodbye = false;
    loop {
        poll_fn(|_| {
            let fill = |shared: &mut Shared<'_, 'm, F>| {
                let has_some = outbox.fill(timer.now(), &mut shared.port.session);
                has_some || (shared.port.session.is_closing() && !has_said_goodbye)
            };
            match with(shared, fill) {
                Some(true) => Poll::Ready(()),
                Some(false) | None => Poll::Pending,
            }
        })
        .await;
        if outbox.rest().is_empty() {
            has_said_goodbye = true;
            if let Err(error) = writer.flush().await {
                return Ended::Broken(error.kind());
            }
            continue;
        }
        match writer.write(outbox.rest()).await {
            Ok(0) => return Ended::Broken(ErrorKind::WriteZero),
            Ok(count) => outbox.written(count),
            Err(error) => return Ended::Broken(error.kind()),
        }
        with(shared, |shared| shared.changed = true);
    }
}

async fn keep_time<'m, F: FnMut(&mut Session<'m>, Event<'_>)>(
    timer: &impl Timer,
    shared: &RefCell<Shared<'_, 'm, F>>,
) -> Ended {
    let deadline = || with(shared, |shared| shared.port.deadline()).flatten();
    loop {
        let armed = deadline();
        {
            let mut alarm = pin!(async {
                match armed {
                    Some(at) => timer.wait_until(at).await,
                    None => core::future::pending().await,
                }
            });
            poll_fn(|cx| {
                // One that fires early costs a look; arming it for every message costs more.
                let is_sooner = match (deadline(), armed) {
                    (Some(at), Some(armed)) => at < armed,
                    (Some(_), None) => true,
                    (None, _) => false,
                };
                if is_sooner { Poll::Ready(()) } else { alarm.as_mut().poll(cx) }
            })
            .await;
        }
        let now = timer.now();
        let goes_on = with(shared, |shared| {
            shared.changed = true;
            shared.port.turn(now, &mut shared.on_event)
        });
        if goes_on == Some(false) {
            return Ended::GivenUp;
        }
    }
}
