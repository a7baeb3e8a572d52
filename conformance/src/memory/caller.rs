//! When a client in memory dials: the core's own dialer, told of what becomes of each connection.

use outlast_core::client::{Action, Attempt, Closed, Dialer, DialerConfig, OnLost};
use outlast_core::state::SessionState;
use outlast_core::{CloseCode, Event, Instant, Session, Side};

/// Most cases cut the connection, and wait for the next; none looks at a second session.
fn eager() -> DialerConfig {
    DialerConfig {
        backoff_base: 1_000,
        backoff_cap: 10_000,
        on_lost: OnLost::Stop,
        ..DialerConfig::default()
    }
}

/// A client's dialer, and the connection it made.
#[derive(Debug)]
pub(super) struct Caller {
    dialer: Dialer,
    attempt: Option<Attempt>,
    /// How the connection ended, if the session said so, and whether the peer did it.
    ending: Option<(bool, Closed)>,
    asked_to_leave: bool,
}

impl Caller {
    pub(super) fn new(now: Instant) -> Self {
        let mut dialer = Dialer::new(eager(), 1);
        dialer.handle_start(now, false);
        Self { dialer, attempt: None, ending: None, asked_to_leave: false }
    }

    /// Whether to dial now.
    pub(super) fn wants_connection(&mut self, now: Instant) -> bool {
        while let Some(action) = self.dialer.poll_action(now) {
            if let Action::Dial(dial) = action {
                self.attempt = Some(dial.attempt);
                self.dialer.handle_transport(dial.attempt);
                return true;
            }
        }
        false
    }

    /// Notes what an event means for the connection.
    pub(super) fn note(&mut self, now: Instant, event: &Event<'_>) {
        match (event, self.attempt) {
            (Event::Opened | Event::Resumed { .. }, Some(attempt)) => {
                self.dialer.handle_welcome(now, attempt, true);
            }
            (Event::Draining { .. }, _) => self.asked_to_leave = true,
            (&Event::Disconnected { code, by, retry_ms, no_retry }, _) => {
                let closed = Closed { no_retry, retry_ms, ..Closed::by(code) };
                self.ending = Some((by == Side::Peer, closed));
            }
            _ => {}
        }
    }

    /// The connection is over.
    pub(super) fn left(&mut self, now: Instant, session: &Session<Vec<u8>>) {
        let Some(attempt) = self.attempt.take() else {
            return;
        };
        let ending = self.ending.take();
        let asked = std::mem::take(&mut self.asked_to_leave);
        let by = ending.map_or(Closed::by(CloseCode::OK), |(_, closed)| closed);
        let ended = |code| Closed { code, session_ended: true, ..by };
        if let Some(death) = session.death() {
            self.dialer.handle_close(now, attempt, ended(death.code));
        } else if session.state() == SessionState::Ended {
            self.dialer.handle_close(now, attempt, ended(CloseCode::OK));
        } else if ending.is_some_and(|(by_peer, _)| by_peer) {
            self.dialer.handle_close(now, attempt, by);
        } else if asked && by.code == CloseCode::GOING_AWAY {
            self.dialer.handle_drain(now, attempt, 0, false);
        } else {
            self.dialer.handle_failure(now, attempt);
        }
    }
}
