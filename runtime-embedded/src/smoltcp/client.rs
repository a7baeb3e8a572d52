//! A client over one TCP socket.

use core::mem::MaybeUninit;

use outlast_core::client::{Attempt, Dial, DialState, DialerConfig, StopReason, Target};
use outlast_core::state::LinkState;
use outlast_core::{Attach, CloseCode, Config, Event, Instant};
use smoltcp::iface::Context;
use smoltcp::socket::tcp;
use smoltcp::time;
use smoltcp::wire::IpEndpoint;

use super::transfer::{Frame, Reading, has_ended, has_reset_to_say, tell, write};
use super::{from_core, to_core};
use crate::keeper::{Keeper, Order};
use crate::trace::info;
use crate::{Memory, Session, SetupError};

/// The first of the ports that a client dials from; there are 2^14.
const FIRST_PORT: u16 = 0xC000;

/// What a [`Client`] is made from.
#[derive(Debug, Clone)]
pub struct ClientConfig<'m> {
    /// Whom to dial: the first is tried first, and each failure moves on to the next.
    pub remotes: &'m [IpEndpoint],
    /// Limits and intervals of the session.
    pub session: Config,
    /// When to dial again, and when to give up. How many addresses there are is known.
    pub dialer: DialerConfig,
    /// What to say in the handshake: token, name. The seed is drawn anew for each connection.
    pub hello: Attach<'m>,
    /// Entropy, fresh for each boot: jitter, nonces and the local port are drawn from it. A board
    /// that dials from the port it had before its reset waits for the peer to forget that.
    pub seed: u64,
}

impl<'m> ClientConfig<'m> {
    /// A constrained client of these servers.
    #[must_use]
    pub fn new(remotes: &'m [IpEndpoint], seed: u64) -> Self {
        Self {
            remotes,
            session: Config::CONSTRAINED,
            dialer: DialerConfig::default(),
            hello: Attach::default(),
            seed,
        }
    }

    /// Who dials as this says.
    fn keeper(&self) -> Result<Keeper, SetupError> {
        let addresses = u32::try_from(self.remotes.len()).unwrap_or(u32::MAX);
        if addresses == 0 {
            return Err(SetupError::NoAddress);
        }
        let dialer = DialerConfig { addresses, ..self.dialer };
        dialer.validate()?;
        // Where it goes is for the socket to say, later; but none has room for what is too long.
        self.hello.hello_len()?;
        Ok(Keeper::new(dialer, self.seed))
    }
}

/// A client: keeps one session over as many connections of one socket as that takes.
///
/// ```no_run
/// use outlast_embedded::smoltcp::{Client, ClientConfig, poll_at};
/// use outlast_embedded::{Event, Resources, Route};
/// # use smoltcp::{iface::{Interface, SocketHandle, SocketSet}, socket::tcp, time::Instant};
/// # fn now() -> Instant { Instant::ZERO }
/// # fn main_loop(
/// #     iface: &mut Interface, device: &mut impl smoltcp::phy::Device,
/// #     sockets: &mut SocketSet<'static>, handle: SocketHandle, seed: u64,
/// # ) -> Result<(), outlast_embedded::SetupError> {
/// let mut resources = Resources::<1024, 256>::new();
/// let remotes = ["192.0.2.1:7000".parse().expect("an address")];
/// let mut client = Client::new(&mut resources, ClientConfig::new(&remotes, seed))?;
/// loop {
///     let now = now();
///     iface.poll(now, device, sockets);
///     let socket = sockets.get_mut::<tcp::Socket>(handle);
///     let deadline = client.poll(now, socket, iface.context(), |session, event| {
///         if let Event::Message { payload, .. } = event {
///             // The event is held while something is sent.
///             let _ = session.send(Route::from(1u8), payload);
///         }
///     });
///     if client.stopped().is_some() {
///         return Ok(());
///     }
///     let _sleep_until = poll_at(iface, now, sockets, deadline);
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct Client<'m> {
    session: Session<'m>,
    frame: Frame<'m>,
    config: ClientConfig<'m>,
    keeper: Keeper,
    phase: Phase,
}

#[derive(Debug, Copy, Clone)]
enum Phase {
    Idle,
    /// Dials once the peer was told that the connection before is broken off, or at that moment.
    Parting(Dial, Instant),
    Dialing(Attempt),
    Attached,
}

impl<'m> Client<'m> {
    /// A client, which dials when it is polled.
    ///
    /// # Errors
    ///
    /// If a value is out of range, the ring or the memory for a frame is too small, what is to be
    /// said in the handshake is too long, or there is no address.
    pub fn new(
        memory: impl Into<Memory<'m>>,
        config: ClientConfig<'m>,
    ) -> Result<Self, SetupError> {
        let (session, frame) = memory.into().client(&config.session)?;
        let keeper = config.keeper()?;
        Ok(Self { session, frame: Frame::new(frame), config, keeper, phase: Phase::Idle })
    }

    /// As [`new`](Self::new), in memory that stays, such as that of a `static_cell::StaticCell`: a
    /// small stack has no room to make a client on it and to move it then.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new); the memory is as it was.
    #[inline]
    pub fn new_in<'p>(
        place: &'p mut MaybeUninit<Self>,
        memory: impl Into<Memory<'m>>,
        config: ClientConfig<'m>,
    ) -> Result<&'p mut Self, SetupError> {
        let keeper = config.keeper()?;
        let (session, frame) = memory.into().client(&config.session)?;
        let (frame, phase) = (Frame::new(frame), Phase::Idle);
        Ok(place.write(Self { session, frame, config, keeper, phase }))
    }

    /// The session: to send, to look at, to finish. Poll after having used it.
    pub const fn session(&mut self) -> &mut Session<'m> {
        &mut self.session
    }

    /// Why the client will do nothing further, once that is so.
    #[must_use]
    pub const fn stopped(&self) -> Option<StopReason> {
        self.keeper.stopped()
    }

    /// Where dialling stands.
    #[must_use]
    pub const fn state(&self) -> DialState {
        self.keeper.dialer.state()
    }

    /// Failures since the last connection that worked.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.keeper.dialer.failures()
    }

    /// Dials these servers from the next attempt on: as many of them as before, or the first ones
    /// of more.
    pub const fn set_remotes(&mut self, remotes: &'m [IpEndpoint]) {
        self.config.remotes = remotes;
    }

    /// Ends the session, whatever was not delivered, and stops dialling. Poll until the socket is
    /// closed, so that the server hears of it.
    pub fn stop(&mut self, now: time::Instant, code: CloseCode) {
        self.session.end(to_core(now), code);
        self.keeper.dialer.handle_stop();
    }

    /// Does everything that can be done now: dials, reads, tells events, writes. Returns when to
    /// poll next if no frame comes before.
    ///
    /// `on_event` is given the session as well, so that it can answer while it holds the event.
    /// The socket must be used by nobody else; its buffers have to be as large as
    /// [the module](super) says.
    pub fn poll(
        &mut self,
        now: time::Instant,
        socket: &mut tcp::Socket<'_>,
        cx: &mut Context,
        mut on_event: impl FnMut(&mut Session<'m>, Event<'_>),
    ) -> Option<time::Instant> {
        let at = to_core(now);
        match self.phase {
            Phase::Idle => self.tell(at, &mut on_event),
            Phase::Parting(dial, until) if until <= at || !has_reset_to_say(socket) => {
                self.connect(at, dial, socket, cx);
            }
            Phase::Parting(..) => {}
            Phase::Dialing(attempt) => self.greet(at, attempt, socket),
            Phase::Attached => self.carry(at, socket, &mut on_event),
        }
        self.obey(at, socket, cx);
        let session = match self.phase {
            Phase::Attached => self.session.next_deadline(),
            Phase::Parting(_, until) => Some(until),
            Phase::Idle | Phase::Dialing(_) => None,
        };
        match (session, self.keeper.dialer.poll_timeout()) {
            (Some(session), Some(dialer)) => Some(from_core(session.min(dialer))),
            (one, None) | (None, one) => one.map(from_core),
        }
    }

    /// Tells what waits to be told without input.
    fn tell(&mut self, now: Instant, on_event: &mut impl FnMut(&mut Session<'m>, Event<'_>)) {
        let Self { session, keeper, .. } = self;
        let mut note = |session: &mut Session<'m>, event: Event<'_>| {
            keeper.note(now, &event);
            on_event(session, event);
        };
        tell(session, now, &[], &mut note);
    }

    /// Says HELLO once the socket is connected. Apart from `carry`, so that the stack is not that
    /// of both.
    #[inline(never)]
    fn greet(&mut self, now: Instant, attempt: Attempt, socket: &mut tcp::Socket<'_>) {
        if matches!(socket.state(), tcp::State::SynSent | tcp::State::SynReceived) {
            return;
        }
        let seed = self.keeper.draw_u32();
        let Self { session, config, frame, .. } = self;
        let hello = Attach { seed, ..config.hello };
        frame.clear();
        let said = socket.send(|out| match session.attach(now, &hello, out) {
            Ok(written) => (written, true),
            Err(_) => (0, false),
        });
        if said == Ok(true) {
            self.keeper.began(attempt, &self.session);
            self.phase = Phase::Attached;
        } else {
            info!("the connection was refused, or its transmit buffer is too small");
            socket.abort();
            self.phase = Phase::Idle;
            self.keeper.dialer.handle_failure(now, attempt);
        }
    }

    /// Input, time, output of the connection there is.
    #[inline(never)]
    fn carry(
        &mut self,
        now: Instant,
        socket: &mut tcp::Socket<'_>,
        on_event: &mut impl FnMut(&mut Session<'m>, Event<'_>),
    ) {
        let Self { session, keeper, frame, .. } = self;
        let mut note = |session: &mut Session<'m>, event: Event<'_>| {
            keeper.note(now, &event);
            on_event(session, event);
        };
        let reading = frame.read(socket, |input| tell(session, now, input, &mut note));
        match reading {
            Reading::Done => {}
            Reading::Partial => session.handle_partial(now),
            Reading::TooLong => session.close(now, CloseCode::TOO_LARGE, 0),
        }
        session.handle_timeout(now);
        tell(session, now, &[], &mut note);
        write(session, now, socket);
        if has_ended(socket) || session.link_state() == LinkState::Closed {
            self.leave(now, socket, on_event);
        } else if session.is_closing() && !session.has_output() && socket.may_send() {
            socket.close();
        }
    }

    /// The connection is over: what that means for the next.
    fn leave(
        &mut self,
        now: Instant,
        socket: &mut tcp::Socket<'_>,
        on_event: &mut impl FnMut(&mut Session<'m>, Event<'_>),
    ) {
        // One that the peer ended properly is ended properly from here.
        if matches!(socket.state(), tcp::State::CloseWait) {
            socket.close();
        } else if !matches!(socket.state(), tcp::State::LastAck) {
            socket.abort();
        }
        self.tell(now, on_event);
        self.session.detach(now);
        self.frame.clear();
        self.phase = Phase::Idle;
        self.keeper.ended(now, &self.session);
    }

    /// Does what the dialer says.
    fn obey(&mut self, now: Instant, socket: &mut tcp::Socket<'_>, cx: &mut Context) {
        while let Some(order) = self.keeper.poll(now, &mut self.session, &self.config.session) {
            match order {
                Order::Dial(dial) => self.dial(now, dial, socket, cx),
                Order::Abort => {
                    socket.abort();
                    self.phase = Phase::Idle;
                }
            }
        }
        // Nobody waits any more for what is being dialled.
        if self.stopped().is_some() && matches!(self.phase, Phase::Dialing(_) | Phase::Parting(..))
        {
            socket.abort();
            self.phase = Phase::Idle;
        }
    }

    fn dial(&mut self, now: Instant, dial: Dial, socket: &mut tcp::Socket<'_>, cx: &mut Context) {
        if socket.is_open() {
            socket.abort();
        }
        if has_reset_to_say(socket) {
            let linger = u64::from(self.config.session.linger_ms).saturating_mul(1_000);
            self.phase = Phase::Parting(dial, now.after(linger));
        } else {
            self.connect(now, dial, socket, cx);
        }
    }

    fn connect(
        &mut self,
        now: Instant,
        dial: Dial,
        socket: &mut tcp::Socket<'_>,
        cx: &mut Context,
    ) {
        let index = match dial.target {
            Target::Listed(index) => usize::try_from(index).unwrap_or(0),
            Target::Hinted => 0,
        };
        // A fresh port for each attempt: whatever the peer remembers of the last is no matter.
        let [low, high, ..] = self.keeper.draw_u32().to_le_bytes();
        let port = FIRST_PORT | u16::from_le_bytes([low, high]);
        let remote = self.config.remotes.get(index).copied();
        if remote.is_some_and(|remote| socket.connect(cx, remote, port).is_ok()) {
            self.phase = Phase::Dialing(dial.attempt);
        } else {
            self.phase = Phase::Idle;
            info!("the address cannot be dialled");
            self.keeper.dialer.handle_failure(now, dial.attempt);
        }
    }
}
