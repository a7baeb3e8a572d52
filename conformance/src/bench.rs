//! What cases are written in: a driver with the means to wait for something.

use std::fmt;

use outlast_core::registry::RegistryConfig;
use outlast_core::{CloseCode, Config};

use crate::bystander::Watch;
use crate::driver::{Driver, Obs, Seen, Stream, Subject};
use crate::model::Wrong;
use crate::raw;

/// A driver with the helpers that cases are written in.
pub struct Bench<'d> {
    driver: &'d mut dyn Driver,
    watch: Watch,
}

impl fmt::Debug for Bench<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bench({})", self.driver.name())
    }
}

/// How long an expectation may take, in microseconds: virtual time is free.
const PATIENCE: [u64; 2] = [30_000_000, 50_000_000];
const TICK: u64 = 1_000;

impl<'d> Bench<'d> {
    /// Cases over this driver.
    pub fn new(driver: &'d mut dyn Driver) -> Self {
        Self { driver, watch: Watch::default() }
    }

    /// The driver.
    pub fn driver(&mut self) -> &mut dyn Driver {
        self.driver
    }

    /// One of two numbers: the first where time is virtual, the second where it is real.
    #[must_use]
    pub fn either<T>(&self, time_is_virtual: T, time_is_real: T) -> T {
        if self.driver.time_is_virtual() { time_is_virtual } else { time_is_real }
    }

    /// How often a case repeats what must leave nothing behind: one of two numbers, as with
    /// [`either`](Self::either), unless the environment says how often in `OUTLAST_MANY`.
    #[must_use]
    pub fn many(&self, time_is_virtual: u32, time_is_real: u32) -> u32 {
        let wanted = std::env::var("OUTLAST_MANY").ok().and_then(|many| many.parse().ok());
        wanted.unwrap_or_else(|| self.either(time_is_virtual, time_is_real))
    }

    /// Starts a server at which a bystander has a session: somebody who keeps all the rules and
    /// exchanges messages while the case does what it does. The case fails if any of them is
    /// missing, or anything else happens to the bystander.
    ///
    /// # Errors
    ///
    /// If not even the bystander gets a session.
    pub fn server(&mut self, config: Config) -> Result<Box<dyn Subject>, Wrong> {
        let subject = self.driver.server(config);
        self.watched(subject)
    }

    /// As [`server`](Self::server), with limits on how many sessions it holds.
    ///
    /// # Errors
    ///
    /// If not even the bystander gets a session.
    pub fn server_with(
        &mut self,
        config: Config,
        sessions: RegistryConfig,
    ) -> Result<Box<dyn Subject>, Wrong> {
        let subject = self.driver.server_with(config, sessions);
        self.watched(subject)
    }

    fn watched(&mut self, subject: Box<dyn Subject>) -> Result<Box<dyn Subject>, Wrong> {
        self.dismiss(false)?;
        let guard = self.watch.begin(subject);
        self.until_attended("a bystander's session", |watch| watch.newest_has(1))?;
        Ok(guard)
    }

    /// Lets the bystanders go, once each has exchanged two more messages: those whose server the
    /// case is done with, or all of them.
    ///
    /// # Errors
    ///
    /// If one of them noticed anything.
    pub fn dismiss(&mut self, all: bool) -> Result<(), Wrong> {
        if self.watch.begin_dismissal(all) {
            self.until_attended("the bystanders", Watch::is_dismissed)?;
            self.watch.dismiss();
        }
        Ok(())
    }

    fn until_attended(&mut self, what: &str, done: impl Fn(&Watch) -> bool) -> Result<(), Wrong> {
        let end = self.driver.now() + self.either(PATIENCE[1], PATIENCE[0]);
        loop {
            self.watch.attend()?;
            if done(&self.watch) {
                return Ok(());
            }
            if self.driver.now() > end {
                return Err(Wrong(format!("waited in vain for {what}")));
            }
            self.driver.pause(TICK);
        }
    }

    /// Lets so many microseconds pass. Bystanders hold their breath.
    pub fn pass(&mut self, micros: u64) {
        self.driver.wait(micros);
    }

    /// Waits until `done` gives something.
    ///
    /// # Errors
    ///
    /// If it does not in time, or a bystander noticed anything meanwhile.
    pub fn until<T>(&mut self, what: &str, done: impl FnMut() -> Option<T>) -> Result<T, Wrong> {
        self.until_within(what, self.either(PATIENCE[1], PATIENCE[0]), done)
    }

    /// As [`until`](Self::until), for so many microseconds.
    ///
    /// # Errors
    ///
    /// If it does not in time, or a bystander noticed anything meanwhile.
    pub fn until_within<T>(
        &mut self,
        what: &str,
        micros: u64,
        mut done: impl FnMut() -> Option<T>,
    ) -> Result<T, Wrong> {
        let end = self.driver.now() + micros;
        loop {
            self.watch.attend()?;
            if let Some(found) = done() {
                return Ok(found);
            }
            if self.driver.now() > end {
                return Err(Wrong(format!("waited in vain for {what}")));
            }
            self.driver.pause(TICK);
        }
    }

    /// The next observation that is not [`Obs::Other`], [`Obs::Acked`] or [`Obs::Disconnected`].
    ///
    /// # Errors
    ///
    /// If there is none in time.
    pub fn next(&mut self, subject: &mut dyn Subject) -> Result<Seen, Wrong> {
        self.until("an observation", || {
            loop {
                let seen = subject.poll()?;
                if !is_background(&seen.what) {
                    return Some(seen);
                }
            }
        })
    }

    /// Waits until a connection is observed to be of no more use for this reason.
    ///
    /// # Errors
    ///
    /// If anything but the end of connections is observed before, or nothing in time.
    pub fn expect_disconnected(
        &mut self,
        subject: &mut dyn Subject,
        code: CloseCode,
    ) -> Result<(), Wrong> {
        self.until("the end of a connection", || {
            loop {
                let seen = subject.poll()?;
                match seen.what {
                    Obs::Disconnected(found) if found == code => return Some(Ok(())),
                    ref what if is_background(what) => {}
                    what => {
                        return Some(Err(Wrong(format!("{code:?} expected, {what:?} observed"))));
                    }
                }
            }
        })?
    }

    /// Waits for this observation; its session.
    ///
    /// # Errors
    ///
    /// If something else is observed, or nothing in time.
    pub fn expect(&mut self, subject: &mut dyn Subject, what: &Obs) -> Result<u64, Wrong> {
        let seen = self.next(subject)?;
        if seen.what == *what {
            Ok(seen.session)
        } else {
            Err(Wrong(format!("{what:?} expected, {:?} observed", seen.what)))
        }
    }

    /// That nothing is observed for a while.
    ///
    /// # Errors
    ///
    /// What was.
    pub fn expect_silence(&mut self, subject: &mut dyn Subject) -> Result<(), Wrong> {
        for _ in 0..20 {
            self.driver.wait(TICK);
            while let Some(seen) = subject.poll() {
                if !is_background(&seen.what) {
                    return Err(Wrong(format!("nothing expected, {:?} observed", seen.what)));
                }
            }
        }
        Ok(())
    }

    /// The next connection of a subject, for a peer made of bytes.
    ///
    /// # Errors
    ///
    /// If there is none in time.
    pub fn plug(&mut self, subject: &mut dyn Subject) -> Result<Peer, Wrong> {
        let stream = self.until("a connection", || subject.plug())?;
        Ok(Peer::new(stream))
    }

    /// Writes all of this, as fast as it is taken.
    ///
    /// # Errors
    ///
    /// If the subject does not take it.
    pub fn write(&mut self, peer: &mut Peer, bytes: &[u8]) -> Result<(), Wrong> {
        let mut rest = bytes;
        self.until("room to write", || {
            rest = &rest[peer.stream.write(rest)..];
            rest.is_empty().then_some(())
        })
    }

    /// The next frame from a subject; heartbeats are skipped.
    ///
    /// # Errors
    ///
    /// If there is none in time, or the stream ended.
    pub fn frame(&mut self, peer: &mut Peer) -> Result<raw::Frame, Wrong> {
        self.until("a frame", || {
            peer.pull();
            loop {
                match raw::Frame::take(&mut peer.inbox) {
                    Some(frame) if frame.kind == raw::kind::PONG && frame.body.is_empty() => {}
                    Some(frame) => return Some(Ok(frame)),
                    None if !peer.open => return Some(Err(Wrong("the stream ended".into()))),
                    None => return None,
                }
            }
        })?
    }

    /// Waits for CLOSE; its code, flags and the whole frame.
    ///
    /// # Errors
    ///
    /// If it does not come, or the stream does not end behind it.
    pub fn close(&mut self, peer: &mut Peer) -> Result<(CloseCode, raw::Frame), Wrong> {
        loop {
            let frame = self.frame(peer)?;
            if let Some((code, _)) = frame.close() {
                self.until("the end behind CLOSE", || {
                    peer.pull();
                    (!peer.open).then_some(())
                })?;
                return Ok((CloseCode::new(code), frame));
            }
        }
    }

    /// Waits for CLOSE with this code.
    ///
    /// # Errors
    ///
    /// If another one comes, or none.
    pub fn expect_close(&mut self, peer: &mut Peer, code: CloseCode) -> Result<raw::Frame, Wrong> {
        let (found, frame) = self.close(peer)?;
        if found == code { Ok(frame) } else { Err(Wrong(format!("{found:?}, not {code:?}"))) }
    }
}

/// Whether most cases do not care about this.
const fn is_background(what: &Obs) -> bool {
    matches!(what, Obs::Other(_) | Obs::Acked(_) | Obs::Disconnected(_))
}

/// A peer made of bytes, at one connection.
pub struct Peer {
    stream: Box<dyn Stream>,
    /// What has come and was not taken.
    pub inbox: Vec<u8>,
    /// Whether the subject's end has not come yet.
    pub open: bool,
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").field("inbox", &self.inbox).field("open", &self.open).finish()
    }
}

impl Peer {
    pub(crate) const fn new(stream: Box<dyn Stream>) -> Self {
        Self { stream, inbox: Vec::new(), open: true }
    }

    /// Takes in what has come.
    pub fn pull(&mut self) {
        loop {
            let before = self.inbox.len();
            self.open &= self.stream.read(&mut self.inbox);
            if !self.open || self.inbox.len() == before {
                break;
            }
        }
    }

    /// The stream itself.
    pub fn stream(&mut self) -> &mut dyn Stream {
        &mut *self.stream
    }
}

/// Carries bytes between the connections of two subjects.
#[derive(Debug)]
pub struct Proxy {
    client: Peer,
    server: Peer,
}

impl Proxy {
    /// Between a client's connection and a server's.
    #[must_use]
    pub const fn new(client: Peer, server: Peer) -> Self {
        Self { client, server }
    }

    /// Carries up to so many bytes of each direction; whether either connection goes on.
    pub fn carry(&mut self, up: usize, down: usize) -> bool {
        let Self { client, server } = self;
        carry(client, server, up);
        carry(server, client, down);
        self.client.open || self.server.open
    }

    /// Breaks both connections; what was not carried is lost.
    pub fn cut(mut self) {
        self.client.stream.cut();
        self.server.stream.cut();
    }
}

fn carry(from: &mut Peer, to: &mut Peer, most: usize) {
    from.pull();
    let count = from.inbox.len().min(most);
    let taken = to.stream.write(&from.inbox[..count]);
    from.inbox.drain(..taken);
    if !from.open && from.inbox.is_empty() {
        to.stream.shut();
    }
}
