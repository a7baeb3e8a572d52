//! A server: sessions in places, connections on sockets, and a registry that joins them.

use outlast_core::registry::{
    Admission, Entry, Lease, Parting, Peer, Refusal, Registry, RegistryConfig,
};
use outlast_core::state::{LinkState, SessionState};
use outlast_core::{Acceptor, CONTROL_MAX, CloseCode, Config, Event, Greeting, Instant};
use smoltcp::socket::tcp;
use smoltcp::time;

use super::transfer::{Frame, Reading, has_ended, has_reset_to_say, tell, write};
use super::{from_core, to_core};
use crate::memory::{check_frame, check_ring, session};
use crate::trace::info;
use crate::{Session, SetupError};

/// Bytes of the longest WELCOME, which names no address, and of any CLOSE.
const ANSWER_MAX: usize = 160;

/// Where a server gets what nobody may be able to predict: names and keys of sessions.
pub trait Entropy {
    /// Fills `out` with random bytes, from hardware or a generator seeded by it.
    fn fill(&mut self, out: &mut [u8]);
}

impl<F: FnMut(&mut [u8])> Entropy for F {
    fn fill(&mut self, out: &mut [u8]) {
        self(out);
    }
}

/// The place of one session.
#[derive(Debug)]
pub struct Place<'m> {
    session: Session<'m>,
    /// The right of the connection that carries it, or carried it last.
    lease: Option<Lease>,
    /// A connection carries it.
    bound: bool,
    /// What the connection before has still to say.
    farewell: [u8; CONTROL_MAX],
    farewell_len: usize,
}

impl<'m> Place<'m> {
    /// An empty place; `ring` keeps what the session has sent, see
    /// [`Resources`](crate::Resources).
    ///
    /// # Errors
    ///
    /// If a value of `config` is out of range, or the ring is smaller than it says.
    pub fn new(config: &Config, ring: &'m mut [u8]) -> Result<Self, SetupError> {
        let session = session(config, ring)?;
        let farewell = [0; CONTROL_MAX];
        Ok(Self { session, lease: None, bound: false, farewell, farewell_len: 0 })
    }

    /// The session in it, or the one that was there last.
    pub const fn session(&mut self) -> &mut Session<'m> {
        &mut self.session
    }

    /// The number of the session in it, or of the one that was there last.
    #[must_use]
    pub fn id(&self) -> Option<u64> {
        self.session.id()
    }

    /// Whether another session may have it.
    fn is_free(&self) -> bool {
        let over = match self.session.state() {
            SessionState::New
            | SessionState::Ended
            | SessionState::Dead
            | SessionState::Exported => true,
            SessionState::Attached | SessionState::Detached => false,
        };
        over && !self.bound
    }
}

/// What a server keeps of the connection on one socket; [`Server::connection`] makes it.
#[derive(Debug)]
pub struct Connection<'m> {
    seat: Seat,
    frame: Frame<'m>,
    port: u16,
}

#[derive(Debug)]
enum Seat {
    Vacant,
    Greeting(Acceptor),
    /// Carries the session in the place of this index.
    Bound(usize, Lease),
    /// Only lingers, until then at most.
    Leaving(Instant),
}

/// What comes of the bytes of a handshake.
enum Answer {
    /// Nothing yet.
    Wait,
    /// WELCOME, and the place of the session.
    Welcome(usize, Lease, usize),
    /// CLOSE.
    Refuse(usize),
}

/// A server with room for as many sessions as it has places, over as many sockets as it is polled
/// with. Clients are not authenticated, beyond the proof that a session they resume is theirs.
///
/// Poll every socket with its [`Connection`], and then [`poll_sessions`](Self::poll_sessions). Each
/// says when it wants to be polled next.
#[derive(Debug)]
pub struct Server<'m, E> {
    config: Config,
    registry: Registry<&'m mut [Entry]>,
    places: &'m mut [Place<'m>],
    entropy: E,
}

impl<'m, E: Entropy> Server<'m, E> {
    /// A server of sessions in `places`, which were made with the same configuration. `entries` are
    /// what it remembers of sessions: as many as places, and more to remember those that are over,
    /// so that who comes back to one is told.
    ///
    /// # Errors
    ///
    /// If a value is out of range, there is no place, a place has too small a ring for `config`, or
    /// there are fewer entries than places.
    pub fn new(
        config: Config,
        sessions: RegistryConfig,
        places: &'m mut [Place<'m>],
        entries: &'m mut [Entry],
        mut entropy: E,
    ) -> Result<Self, SetupError> {
        config.validate()?;
        let sessions = RegistryConfig { handshake_ms: config.handshake_timeout_ms, ..sessions };
        sessions.validate()?;
        if places.is_empty() {
            return Err(SetupError::NoPlace);
        }
        if entries.len() < places.len() {
            return Err(SetupError::Entries { needed: places.len() });
        }
        for place in places.iter() {
            check_ring(&config, place.session.held_bytes())?;
        }
        let mut seed = [0; 8];
        entropy.fill(&mut seed);
        let registry = Registry::new(sessions, u64::from_le_bytes(seed), entries);
        Ok(Self { config, registry, places, entropy })
    }

    /// The places of the sessions.
    pub const fn places(&mut self) -> &mut [Place<'m>] {
        self.places
    }

    /// For a socket that listens at `port` whenever nobody is connected. `frame` holds one received
    /// frame: [`Config::max_body`] + 4 bytes, and more for greetings that carry tokens.
    ///
    /// # Errors
    ///
    /// If that is too small.
    pub fn connection(&self, port: u16, frame: &'m mut [u8]) -> Result<Connection<'m>, SetupError> {
        check_frame(&self.config, frame.len())?;
        Ok(Connection { seat: Seat::Vacant, frame: Frame::new(frame), port })
    }

    /// Does everything that can be done now with one connection: listens, admits, reads, tells
    /// events, writes. Returns when to poll it next if no frame comes before.
    ///
    /// `on_event` is given the index of the session's place and the session.
    pub fn poll(
        &mut self,
        now: time::Instant,
        connection: &mut Connection<'m>,
        socket: &mut tcp::Socket<'_>,
        mut on_event: impl FnMut(usize, &mut Session<'m>, Event<'_>),
    ) -> Option<time::Instant> {
        let now = to_core(now);
        let listens = matches!(socket.state(), tcp::State::Listen);
        // A peer that had only begun to connect has given it up.
        if listens && matches!(connection.seat, Seat::Greeting(_)) {
            connection.seat = Seat::Vacant;
        }
        if matches!(connection.seat, Seat::Vacant) {
            self.receive(now, connection, socket);
        }
        if let Seat::Greeting(_) = connection.seat {
            self.greet(now, connection, socket);
        }
        if let Seat::Bound(at, lease) = connection.seat {
            self.carry(now, connection, (at, lease), socket, &mut on_event);
        }
        let mut vacated = None;
        if let Seat::Leaving(until) = connection.seat {
            linger(now, until, connection, socket);
            vacated = Some(now);
        }
        let deadline = match &connection.seat {
            // What the interface has still to say of the last connection comes before listening.
            Seat::Vacant => vacated,
            Seat::Greeting(acceptor) => acceptor.poll_timeout(),
            Seat::Bound(at, _) => self.places.get(*at)?.session.next_deadline(),
            Seat::Leaving(until) => Some(*until),
        };
        deadline.map(from_core)
    }

    /// Does what is due of sessions, with or without a connection: those that nobody came back to
    /// end. Returns when there will be more to do.
    pub fn poll_sessions(
        &mut self,
        now: time::Instant,
        mut on_event: impl FnMut(usize, &mut Session<'m>, Event<'_>),
    ) -> Option<time::Instant> {
        let now = to_core(now);
        while let Some(expired) = self.registry.poll_expired(now) {
            let of_it = |place: &&mut Place<'m>| {
                place.lease.is_some() && place.session.id() == Some(expired.sid)
            };
            let Some(place) = self.places.iter_mut().find(of_it) else {
                continue;
            };
            info!("a session expires: {}", expired.code.get());
            if expired.owned {
                place.session.end(now, expired.code);
            } else {
                place.session.kill(expired.code);
            }
        }
        for (at, place) in self.places.iter_mut().enumerate() {
            if place.lease.is_some() {
                tell(&mut place.session, now, &[], &mut |session, event| {
                    on_event(at, session, event);
                });
                report(now, &mut self.registry, place);
            }
        }
        self.registry.poll_timeout().map(from_core)
    }

    /// A socket without a connection listens; one with a connection is greeted. The time for that
    /// counts from the peer's first packet, so that a peer that sends no other does not keep the
    /// socket.
    fn receive(&self, now: Instant, connection: &mut Connection<'m>, socket: &mut tcp::Socket<'_>) {
        if !socket.is_open() && socket.listen(connection.port).is_err() {
            info!("the port cannot be listened at");
            return;
        }
        if !matches!(socket.state(), tcp::State::Listen) {
            connection.frame.clear();
            connection.seat = Seat::Greeting(Acceptor::new(now, &self.config));
        }
    }

    /// Reads what a new connection says, and answers it.
    fn greet(
        &mut self,
        now: Instant,
        connection: &mut Connection<'m>,
        socket: &mut tcp::Socket<'_>,
    ) {
        let Connection { seat, frame, .. } = connection;
        let Seat::Greeting(acceptor) = seat else {
            return;
        };
        let mut out = [0; ANSWER_MAX];
        let mut answer = Answer::Wait;
        let reading = frame.read(socket, |input| {
            if !matches!(answer, Answer::Wait) {
                return input.len();
            }
            let mut rest = input;
            answer = self.answer(now, acceptor, &mut rest, &mut out);
            match answer {
                Answer::Wait => input.len() - rest.len(),
                Answer::Welcome(..) | Answer::Refuse(_) => input.len(),
            }
        });
        if matches!(answer, Answer::Wait) {
            let failed = match acceptor.handle_timeout(now) {
                Err(error) => Some(error.code()),
                Ok(()) => (reading == Reading::TooLong).then_some(CloseCode::TOO_LARGE),
            };
            if let Some(code) = failed {
                answer = Answer::Refuse(acceptor.refuse(&refusal(code, None).close(), &mut out));
            }
        }
        match answer {
            Answer::Wait if has_ended(socket) => {
                socket.close();
                connection.seat = Seat::Leaving(self.linger_end(now));
            }
            Answer::Wait => {}
            Answer::Welcome(at, lease, len) => {
                let _ = socket.send_slice(out.get(..len).unwrap_or_default());
                connection.seat = Seat::Bound(at, lease);
            }
            Answer::Refuse(len) => {
                let _ = socket.send_slice(out.get(..len).unwrap_or_default());
                socket.close();
                connection.seat = Seat::Leaving(self.linger_end(now));
            }
        }
    }

    /// What a handshake's bytes are answered with, in `out`.
    fn answer(
        &mut self,
        now: Instant,
        acceptor: &mut Acceptor,
        input: &mut &[u8],
        out: &mut [u8],
    ) -> Answer {
        if input.is_empty() {
            return Answer::Wait;
        }
        let refused = match acceptor.handle_input(now, input) {
            Ok(None) => return Answer::Wait,
            Ok(Some(greeting)) => match self.admit(now, &greeting, out) {
                Ok((at, lease, len)) => return Answer::Welcome(at, lease, len),
                Err(refused) => refused,
            },
            Err(error) => refusal(error.code(), None),
        };
        info!("a connection is refused: {}", refused.code.get());
        Answer::Refuse(acceptor.refuse(&refused.close(), out))
    }

    /// The place of the session that a HELLO opens or resumes, and the length of WELCOME.
    fn admit(
        &mut self,
        now: Instant,
        greeting: &Greeting<'_>,
        out: &mut [u8],
    ) -> Result<(usize, Lease, usize), Refusal> {
        let Greeting::Hello(hello) = greeting else {
            // Nothing was asked that could be answered.
            return Err(refusal(CloseCode::BAD_STATE, None));
        };
        let peer = Peer { principal: None, source: 1, channel_binding: &[], encrypted: false };
        let vacant = self.places.iter().position(Place::is_free);
        if hello.resume.is_none() && vacant.is_none() {
            let retry_ms = self.registry.config().busy_retry_ms;
            return Err(Refusal { retry_ms, ..refusal(CloseCode::BUSY, None) });
        }
        let (sid, key) = (u64::from_le_bytes(self.random()), self.random());
        let entropy = outlast_core::registry::Entropy { sid, key };
        let seed = u32::from_le_bytes(self.random());
        match self.registry.admit(now, hello, &peer, entropy)? {
            Admission::New { lease, grant, .. } => {
                let opened = vacant.and_then(|at| Some((at, self.places.get_mut(at)?)));
                let (at, place) = opened.ok_or(refusal(CloseCode::BUSY, None))?;
                let config = self.config;
                match place.session.renew_server(now, config, hello, grant, seed, out) {
                    Ok(len) => {
                        (place.lease, place.bound, place.farewell_len) = (Some(lease), true, 0);
                        Ok((at, lease, len))
                    }
                    Err(code) => {
                        self.registry.ended(now, lease, code, 0);
                        Err(refusal(code, None))
                    }
                }
            }
            Admission::Resume { lease, fence, .. } => {
                let of_it = |place: &Place<'m>| {
                    place.lease.is_some_and(|old| old.is_of_same_session(&lease))
                };
                let at = self.places.iter().position(of_it);
                let at = at.ok_or(refusal(CloseCode::INTERNAL, None))?;
                let place = self.places.get_mut(at).ok_or(refusal(CloseCode::INTERNAL, None))?;
                if fence {
                    place.farewell_len = place.session.fence(now, &mut place.farewell);
                }
                place.lease = Some(lease);
                match place.session.accept(now, hello, seed, out) {
                    Ok(len) => {
                        place.bound = true;
                        Ok((at, lease, len))
                    }
                    Err(code) => {
                        place.bound = false;
                        Err(refusal(code, Some(place.session.received().get())))
                    }
                }
            }
        }
    }

    /// Input, time, output of a connection that carries a session.
    fn carry(
        &mut self,
        now: Instant,
        connection: &mut Connection<'m>,
        (at, lease): (usize, Lease),
        socket: &mut tcp::Socket<'_>,
        on_event: &mut impl FnMut(usize, &mut Session<'m>, Event<'_>),
    ) {
        let until = self.linger_end(now);
        let Some(place) = self.places.get_mut(at) else {
            return;
        };
        if place.lease != Some(lease) {
            // Another connection has the session: this one says so, and goes.
            let farewell = place.farewell.get(..place.farewell_len).unwrap_or_default();
            let _ = socket.send_slice(farewell);
            place.farewell_len = 0;
            socket.close();
            connection.seat = Seat::Leaving(until);
            return;
        }
        let session = &mut place.session;
        let mut told = |session: &mut Session<'m>, event: Event<'_>| on_event(at, session, event);
        match connection.frame.read(socket, |input| tell(session, now, input, &mut told)) {
            Reading::Done => {}
            Reading::Partial => session.handle_partial(now),
            Reading::TooLong => session.close(now, CloseCode::TOO_LARGE, 0),
        }
        session.handle_timeout(now);
        tell(session, now, &[], &mut told);
        write(session, now, socket);
        let closed = session.link_state() == LinkState::Closed;
        if session.is_closing() && !session.has_output() && socket.may_send() {
            socket.close();
        }
        report(now, &mut self.registry, place);
        if has_ended(socket) || closed {
            if closed {
                socket.abort();
            } else {
                socket.close();
            }
            place.session.detach(now);
            place.bound = false;
            let parting = Parting {
                rx_next: place.session.received().get(),
                finished: place.session.state() == SessionState::Ended,
            };
            self.registry.detached(now, lease, parting);
            connection.seat = Seat::Leaving(until);
        }
    }

    fn random<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.entropy.fill(&mut bytes);
        bytes
    }

    const fn linger_end(&self, now: Instant) -> Instant {
        now.after(self.config.linger_ms as u64 * 1_000)
    }
}

/// A connection that nobody needs any more: what comes is dropped until it has gone.
fn linger(
    now: Instant,
    until: Instant,
    connection: &mut Connection<'_>,
    socket: &mut tcp::Socket<'_>,
) {
    while socket.recv(|bytes| (bytes.len(), bytes.len())).is_ok_and(|dropped| dropped > 0) {}
    if until <= now && socket.is_open() {
        socket.abort();
    }
    // Somebody who cannot be reached any more is not waited for.
    let says_reset = has_reset_to_say(socket) && now < until;
    if !socket.is_open() && !says_reset {
        connection.seat = Seat::Vacant;
    }
}

/// Tells the registry what it has to know.
fn report(now: Instant, registry: &mut Registry<&mut [Entry]>, place: &Place<'_>) {
    let Some(lease) = place.lease else {
        return;
    };
    if place.session.is_confirmed() {
        registry.confirmed(lease);
    }
    let code = match place.session.state() {
        SessionState::Ended => CloseCode::OK,
        SessionState::Dead => place.session.death().map_or(CloseCode::INTERNAL, |dead| dead.code),
        SessionState::New
        | SessionState::Attached
        | SessionState::Detached
        | SessionState::Exported => return,
    };
    registry.ended(now, lease, code, place.session.received().get());
}

/// A refusal for this reason, by a session that received so much if it is over.
const fn refusal(code: CloseCode, rx_next: Option<u64>) -> Refusal {
    Refusal { code, last_attach: None, rx_next, retry_ms: 0, index: None }
}
