//! Commands carried out by a session, and its events as observations: for every driver whose
//! subjects are sessions of the core at hand.

use outlast_core::wire::{RequestId, Route, Status};
use outlast_core::{CloseCode, Event, Head, Instant, Position, SendError, Session, Storage};

use super::end::End;
use crate::driver::{Cmd, Obs};

impl End {
    pub(super) fn command(&mut self, session: u64, command: Cmd) -> Result<(), String> {
        let now = self.now;
        let is_server = self.is_server;
        let held = self
            .sessions
            .iter_mut()
            .find(|held| !is_server || held.session.id() == Some(session))
            .ok_or("no such session")?;
        carry_out(&mut held.session, now, command)
    }
}

/// Carries a command out on a session that a driver has at hand.
///
/// # Errors
///
/// Why not, in words; the session is unchanged.
pub fn carry_out<S: Storage + ?Sized>(
    session: &mut Session<S>,
    now: Instant,
    command: Cmd,
) -> Result<(), String> {
    let text = |error: SendError| error.to_string();
    match command {
        Cmd::Send { route, payload } => {
            send(session, Head::Message { route: Route::new(route) }, &payload)
        }
        Cmd::Request { route, payload } => {
            let id = session.free_request().ok_or("no request is free")?;
            send(session, Head::Request { id, route: Route::new(route) }, &payload)
        }
        Cmd::Respond { id, status, payload } => {
            let (id, status) = (RequestId(id), Status(status));
            send(session, Head::Response { id, status }, &payload)
        }
        Cmd::Finish => session.finish().map(drop).map_err(text),
        Cmd::Close(code) => {
            session.close(now, code, 0);
            Ok(())
        }
        Cmd::End(code) => {
            session.end(now, code);
            Ok(())
        }
        Cmd::Drain(grace, spread) => session
            .drain(now, CloseCode::GOING_AWAY, grace, spread)
            .map_err(|error| error.to_string()),
    }
}

/// Sends a message whole, or in as many fragments as it takes.
fn send<S: Storage + ?Sized>(
    session: &mut Session<S>,
    head: Head,
    payload: &[u8],
) -> Result<(), String> {
    let text = |error: SendError| error.to_string();
    let most = usize::from(session.max_body()).saturating_sub(8);
    if payload.len() <= most {
        let sent = match head {
            Head::Message { route } => session.send(route, payload),
            Head::Request { id, route } => session.request(id, route, payload),
            Head::Response { id, status } => session.respond(id, status, payload),
        };
        return sent.map(drop).map_err(text);
    }
    let (first, rest) = payload.split_at(most);
    session.begin(head, first).map_err(text)?;
    let mut parts = rest.chunks(most).peekable();
    while let Some(part) = parts.next() {
        session.push_fragment(part, parts.peek().is_none()).map_err(text)?;
    }
    Ok(())
}

/// An event as an observation, and the position that has to be released with it.
pub fn observe(event: &Event<'_>, partial: &mut Vec<u8>) -> (Obs, Option<Position>) {
    match *event {
        Event::Message { route, payload, position } => {
            (whole(Head::Message { route }, payload), Some(position))
        }
        Event::Request { id, route, payload, position } => {
            (whole(Head::Request { id, route }, payload), Some(position))
        }
        Event::Response { id, status, payload, position } => {
            (whole(Head::Response { id, status }, payload), Some(position))
        }
        Event::Fragment { head, payload, last, position, .. } => {
            partial.extend_from_slice(payload);
            if last {
                (whole(head, &std::mem::take(partial)), Some(position))
            } else {
                (Obs::Other("part"), Some(position))
            }
        }
        Event::Aborted { position, .. } => {
            partial.clear();
            (Obs::Other("aborted"), Some(position))
        }
        Event::Cancelled { position, .. } => (Obs::Other("cancelled"), Some(position)),
        Event::Finished { position } => (Obs::Finished, Some(position)),
        _ => (observe_state(event), None),
    }
}

fn whole(head: Head, payload: &[u8]) -> Obs {
    let payload = payload.to_vec();
    match head {
        Head::Message { route } => Obs::Message { route: route.get(), payload },
        Head::Request { id, route } => Obs::Request { id: id.0, route: route.get(), payload },
        Head::Response { id, status } => Obs::Response { id: id.0, status: status.0, payload },
    }
}

/// An event that is not about something received.
fn observe_state(event: &Event<'_>) -> Obs {
    match *event {
        Event::Opened => Obs::Opened,
        Event::Resumed { .. } => Obs::Resumed,
        Event::Acknowledged { position } => Obs::Acked(position.get()),
        Event::Disconnected { code, .. } => Obs::Disconnected(code),
        Event::Ended => Obs::Ended,
        Event::Lost { code, peer_received } => Obs::Lost(code, peer_received.map(Position::get)),
        _ => Obs::Other("event"),
    }
}
