//! A client's session and the bytes on both sides of it, for streams that lend no buffers.

use core::cell::Cell;

use outlast_core::client::{Attempt, DialerConfig};
use outlast_core::state::LinkState;
use outlast_core::{Attach, Config, Event, Instant, StateError};

use crate::keeper::{Keeper, Order};
use crate::{Session, SetupError, StreamMemory};

/// Bytes of a handshake that carries neither tokens nor names, rounded up: the least memory for
/// what is read, and for what is written. What this end says is measured besides.
const HANDSHAKE: usize = 256;

/// What a client over a stream of bytes is made from.
#[derive(Debug, Clone)]
pub struct StreamConfig<'m> {
    /// Limits and intervals of the session.
    pub session: Config,
    /// When to connect again, and when to give up.
    pub dialer: DialerConfig,
    /// What to say in the handshake: token, name. The seed is drawn anew for each connection.
    pub hello: Attach<'m>,
    /// Entropy, fresh for each boot: jitter and nonces are drawn from it.
    pub seed: u64,
}

impl StreamConfig<'_> {
    /// A constrained client.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let (dialer, hello) = (DialerConfig::default(), Attach::default());
        Self { session: Config::CONSTRAINED, dialer, hello, seed }
    }
}

/// Received bytes until they are whole frames.
#[derive(Debug)]
pub(crate) struct Inbox<'m> {
    bytes: &'m mut [u8],
    filled: usize,
}

impl Inbox<'_> {
    /// Where more is to be read to; never empty, unless a frame is longer than all of it.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.filled..).unwrap_or_default()
    }

    /// So many bytes were read.
    pub(crate) fn grow(&mut self, count: usize) {
        self.filled = self.filled.saturating_add(count).min(self.bytes.len());
    }

    /// Keeps what comes after the first `taken` bytes.
    fn keep(&mut self, taken: usize) {
        let taken = taken.min(self.filled);
        let filled = self.bytes.get_mut(..self.filled).unwrap_or_default();
        // A move of memory that cannot be out of bounds, which the link proof sees of no other.
        let bytes = Cell::from_mut(filled).as_slice_of_cells();
        for (to, from) in bytes.iter().zip(bytes.iter().skip(taken)).take_while(|_| taken > 0) {
            to.set(from.get());
        }
        self.filled -= taken;
    }
}

/// Bytes that are being written.
#[derive(Debug)]
pub(crate) struct Outbox<'m> {
    bytes: &'m mut [u8],
    from: usize,
    to: usize,
}

impl Outbox<'_> {
    /// What is still to be written.
    pub(crate) fn rest(&self) -> &[u8] {
        self.bytes.get(self.from..self.to).unwrap_or_default()
    }

    /// So many bytes of it were.
    pub(crate) fn written(&mut self, count: usize) {
        self.from = self.from.saturating_add(count).min(self.to);
    }

    /// Takes what the session has to say, if everything before was written; whether there is
    /// anything to write.
    pub(crate) fn fill(&mut self, now: Instant, session: &mut Session<'_>) -> bool {
        if self.from >= self.to {
            (self.from, self.to) = (0, session.poll_transmit(now, self.bytes));
        }
        self.from < self.to
    }
}

/// The session and who follows its connections.
#[derive(Debug)]
pub(crate) struct Port<'m> {
    pub(crate) session: Session<'m>,
    pub(crate) keeper: Keeper,
    pub(crate) config: StreamConfig<'m>,
}

impl<'m> Port<'m> {
    pub(crate) fn new(
        memory: StreamMemory<'m>,
        config: StreamConfig<'m>,
    ) -> Result<(Self, Inbox<'m>, Outbox<'m>), SetupError> {
        config.dialer.validate()?;
        let hello = config.hello.hello_len()?;
        let (session, inbox) = memory.frame.client(&config.session)?;
        for (len, needed) in [(inbox.len(), HANDSHAKE), (memory.outbox.len(), hello.max(HANDSHAKE))]
        {
            if len < needed {
                return Err(SetupError::Frame { needed });
            }
        }
        let keeper = Keeper::new(config.dialer, config.seed);
        let inbox = Inbox { bytes: inbox, filled: 0 };
        let outbox = Outbox { bytes: memory.outbox, from: 0, to: 0 };
        Ok((Self { session, keeper, config }, inbox, outbox))
    }

    /// A transport is there: HELLO is the first that goes over it.
    pub(crate) fn attach(
        &mut self,
        now: Instant,
        attempt: Attempt,
        inbox: &mut Inbox<'_>,
        outbox: &mut Outbox<'_>,
    ) -> Result<(), StateError> {
        let hello = Attach { seed: self.keeper.draw_u32(), ..self.config.hello };
        (inbox.filled, outbox.from) = (0, 0);
        outbox.to = self.session.attach(now, &hello, outbox.bytes)?;
        self.keeper.began(attempt, &self.session);
        Ok(())
    }

    /// Lets the session take whole frames from the inbox, and tells what waits.
    pub(crate) fn feed(
        &mut self,
        now: Instant,
        inbox: &mut Inbox<'_>,
        on_event: &mut impl FnMut(&mut Session<'m>, Event<'_>),
    ) {
        let input = inbox.bytes.get(..inbox.filled).unwrap_or_default();
        let mut rest = input;
        self.tell(now, &mut rest, on_event);
        let taken = input.len() - rest.len();
        let is_partial = !rest.is_empty();
        inbox.keep(taken);
        if is_partial {
            self.session.handle_partial(now);
        }
    }

    /// Hands bytes over and tells events until there are no more.
    pub(crate) fn tell(
        &mut self,
        now: Instant,
        input: &mut &[u8],
        on_event: &mut impl FnMut(&mut Session<'m>, Event<'_>),
    ) {
        loop {
            match self.session.handle_input(now, input) {
                Ok(Some(event)) => {
                    self.keeper.note(now, &event);
                    on_event(&mut self.session, event);
                }
                Ok(None) => return,
                // An event tells it as well, and CLOSE is among the output.
                Err(_) => {}
            }
        }
    }

    /// Does what is due; false once the connection is of no more use.
    pub(crate) fn turn(
        &mut self,
        now: Instant,
        on_event: &mut impl FnMut(&mut Session<'m>, Event<'_>),
    ) -> bool {
        self.session.handle_timeout(now);
        self.tell(now, &mut &[][..], on_event);
        let order = self.keeper.poll(now, &mut self.session, &self.config.session);
        let aborted = matches!(order, Some(Order::Abort));
        !aborted && self.session.link_state() != LinkState::Closed
    }

    /// When there is something to do without input or output.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match (self.session.next_deadline(), self.keeper.dialer.poll_timeout()) {
            (Some(session), Some(dialer)) => Some(session.min(dialer)),
            (one, None) | (None, one) => one,
        }
    }

    /// The transport is gone.
    pub(crate) fn leave(&mut self, now: Instant) {
        self.session.detach(now);
        self.keeper.ended(now, &self.session);
    }
}
