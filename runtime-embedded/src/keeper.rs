//! What every client does about its connections, whatever they are made of.

use outlast_core::backoff::Jitter;
use outlast_core::client::{Action, Attempt, Closed, Dial, Dialer, DialerConfig, StopReason};
use outlast_core::state::SessionState;
use outlast_core::{CloseCode, Config, Event, Instant, Position, Side};

use crate::Session;
use crate::trace::info;

/// Follows the one connection there may be, and tells the dialer what became of it.
#[derive(Debug)]
pub(crate) struct Keeper {
    pub(crate) dialer: Dialer,
    entropy: Jitter,
    current: Option<Current>,
    stopped: Option<StopReason>,
}

/// The connection that carries the session.
#[derive(Debug)]
struct Current {
    attempt: Attempt,
    ending: Option<Ending>,
    asked_to_leave: bool,
    /// How far both directions had come when it began.
    before: (Position, Position),
}

#[derive(Debug, Copy, Clone)]
struct Ending {
    by_peer: bool,
    closed: Closed,
}

/// What a driver has to do for its dialer.
pub(crate) enum Order {
    /// Make a connection.
    Dial(Dial),
    /// Drop the one that is being made.
    Abort,
}

impl Keeper {
    /// Dials at once when asked.
    pub(crate) fn new(config: DialerConfig, seed: u64) -> Self {
        let mut entropy = Jitter::new(seed);
        let mut dialer = Dialer::new(config, entropy.next_u64());
        dialer.handle_start(Instant::from_micros(0), false);
        Self { dialer, entropy, current: None, stopped: None }
    }

    pub(crate) const fn stopped(&self) -> Option<StopReason> {
        self.stopped
    }

    pub(crate) const fn draw_u32(&mut self) -> u32 {
        let [a, b, c, d, ..] = self.entropy.next_u64().to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }

    /// HELLO is on its way.
    pub(crate) fn began(&mut self, attempt: Attempt, session: &Session<'_>) {
        self.dialer.handle_transport(attempt);
        let before = (session.received(), session.acknowledged());
        self.current = Some(Current { attempt, ending: None, asked_to_leave: false, before });
    }

    /// Notes what an event means for the connection.
    pub(crate) fn note(&mut self, now: Instant, event: &Event<'_>) {
        let Some(current) = &mut self.current else {
            return;
        };
        // The rest is the application's, whatever it is.
        if let Event::Opened | Event::Resumed { .. } = *event {
            self.dialer.handle_welcome(now, current.attempt, true);
        } else if let Event::Draining { .. } = *event {
            current.asked_to_leave = true;
        } else if let Event::Disconnected { code, by, retry_ms, no_retry } = *event {
            info!("the connection ends: {}", code.get());
            let by_peer = by == Side::Peer;
            let closed = Closed { no_retry, retry_ms, ..Closed::by(code) };
            current.ending = Some(Ending { by_peer, closed });
        }
    }

    /// The connection is over, all was told of it, and the session is detached.
    pub(crate) fn ended(&mut self, now: Instant, session: &Session<'_>) {
        let Some(Current { attempt, ending, asked_to_leave, before }) = self.current.take() else {
            return;
        };
        let dialer = &mut self.dialer;
        if (session.received(), session.acknowledged()) != before {
            dialer.handle_progress(attempt);
        }
        let hint = ending.map_or(Closed::by(CloseCode::OK), |ending| ending.closed);
        if let Some(death) = session.death() {
            let closed = Closed { code: death.code, session_ended: true, ..hint };
            dialer.handle_close(now, attempt, closed);
        } else if session.state() == SessionState::Ended {
            let closed = Closed { session_ended: true, ..Closed::by(CloseCode::OK) };
            dialer.handle_close(now, attempt, closed);
        } else if ending.is_some_and(|ending| ending.by_peer) {
            dialer.handle_close(now, attempt, hint);
        } else if asked_to_leave && hint.code == CloseCode::GOING_AWAY {
            // The session drew the moment, and has left.
            //= CLI-4
            dialer.handle_drain(now, attempt, 0, false);
        } else {
            dialer.handle_failure(now, attempt);
        }
    }

    /// What the dialer wants done; what can be done here is.
    pub(crate) fn poll(
        &mut self,
        now: Instant,
        session: &mut Session<'_>,
        config: &Config,
    ) -> Option<Order> {
        while let Some(action) = self.dialer.poll_action(now) {
            match action {
                Action::Dial(dial) => {
                    info!("dialling, attempt {}", dial.attempt.get());
                    return Some(Order::Dial(dial));
                }
                //= CLI-7
                Action::Abort(_) => {
                    session.detach(now);
                    self.current = None;
                    return Some(Order::Abort);
                }
                Action::Leave(_) => {}
                Action::Replace(code) => {
                    info!("the session is lost, and a new one begins: {}", code.get());
                    // The configuration was good when the client was made.
                    let _ = session.renew(*config);
                }
                Action::Stop(reason) => {
                    info!("the client stops after {} failures", self.dialer.failures());
                    self.stopped = Some(reason);
                }
            }
        }
        None
    }
}
