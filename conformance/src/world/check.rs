//! What must hold after every step, what can happen next, and when everything is done.

use outlast_core::state::{LinkState, SessionState};
use outlast_core::{CloseCode, Role, Session};

use super::{Action, End, Party, Rules, Seat, Store, World};
use crate::model::{App, Over, Wrong};

fn wrong<T>(text: String) -> Result<T, Wrong> {
    Err(Wrong(text))
}

impl World {
    /// What must hold after every step.
    ///
    /// # Errors
    ///
    /// What does not hold.
    pub fn check(&self, rules: &Rules) -> Result<(), Wrong> {
        self.check_memory(rules)?;
        for (code, _) in &self.client.app.disconnected {
            if *code == CloseCode::SUPERSEDED {
                return wrong("the connection in use was told that it is superseded".into());
            }
        }
        let Some(served) = self.served() else {
            let has_session = self.client.session.id().is_some();
            let state = self.client.session.state();
            if has_session && !rules.may_lose && state != SessionState::Ended {
                return wrong(format!("the server forgot a session; the client's is {state:?}"));
            }
            return Ok(());
        };
        let server = &served.end;
        let set_back = server.app.life > 0;
        for (from, to, window) in [
            (&self.client, server, rules.server.window_max),
            (server, &self.client, rules.client.window_max),
        ] {
            if !set_back {
                // What was stored before it was transmitted counts as transmitted after a crash.
                let is_exact = rules.store == Store::Nothing;
                check_direction(from, to, is_exact.then_some(window))?;
            }
            check_over(rules, from, to, set_back)?;
        }
        if self.is_joined(server) {
            check_same(&self.client.app, &server.app)?;
            check_same(&server.app, &self.client.app)?;
        }
        Ok(())
    }

    /// Whether both ends consider the same connection open.
    fn is_joined(&self, server: &End) -> bool {
        let open =
            |end: &End| matches!(end.session.link_state(), LinkState::Open | LinkState::Draining);
        self.client.wire == server.wire && open(&self.client) && open(server)
    }

    fn check_memory(&self, rules: &Rules) -> Result<(), Wrong> {
        let server = self.served().map(|served| (&served.end, &rules.server));
        for (end, config) in [(&self.client, &rules.client)].into_iter().chain(server) {
            let held = end.session.held_bytes();
            if held > config.send_buffer as usize {
                return wrong(format!("{held} bytes held of {}", config.send_buffer));
            }
            // A frame that is not whole, and before the session one of the handshake.
            let frame = usize::from(config.max_body).max(1020) + 4;
            if end.inbox.len() > frame {
                return wrong(format!("{} bytes kept of one frame", end.inbox.len()));
            }
        }
        Ok(())
    }

    /// Whether everything was said, heard, answered and acknowledged, or both ends know that the
    /// session is over and why.
    #[must_use]
    pub fn is_complete(&self, rules: &Rules) -> bool {
        let Some(served) = self.served() else {
            return rules.may_lose && matches!(self.client.app.over, Some(Over::Lost(..)));
        };
        let server = &served.end;
        if rules.may_lose && matches!(self.client.app.over, Some(Over::Lost(..))) {
            return server.session.state() == SessionState::Dead;
        }
        let quiet = |end: &End| end.session.unacknowledged() == 0 && end.outbox.is_empty();
        let done = self.client.app.is_done() && server.app.is_done();
        let finishes = rules.up.finishes && rules.down.finishes;
        let ended = |end: &End| end.app.over == Some(Over::Ended);
        let apart = self.client.wire.is_none() && server.wire.is_none();
        if finishes && ended(&self.client) && !ended(server) && apart {
            // The last CLOSE was lost: the client has everything and will not come back, and the
            // server's session ends by expiring.
            return server.app.is_done() && !knows_all(server);
        }
        let over = if finishes {
            ended(&self.client) && ended(server)
        } else {
            quiet(&self.client) && quiet(server)
        };
        done && over
    }

    /// Whether the session is over, or both ends are on one connection that none of them leaves.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let stays = |end: &End| end.session.link_state() == LinkState::Open;
        let over = self.client.app.over.is_some();
        over || self.served().is_some_and(|served| {
            self.is_joined(&served.end) && stays(&self.client) && stays(&served.end)
        })
    }

    /// Everything that can happen next without a fault and that would change something.
    pub fn moves(&self, rules: &Rules, out: &mut Vec<Action>) {
        let client = &self.client;
        let live = |session: &Session<Vec<u8>>| {
            matches!(
                session.state(),
                SessionState::New | SessionState::Attached | SessionState::Detached
            )
        };
        if client.wire.is_none() && live(&client.session) {
            out.push(Action::Dial);
        }
        for wire in &self.wires {
            let id = wire.id;
            let write = |by| Action::Write { wire: id, by, buffer: 1024, take: usize::MAX };
            let read = |by| Action::Read { wire: id, by, most: 0 };
            if client.wire == Some(id) {
                if wants_to_write(client, wire.up.is_ended()) {
                    out.push(write(Party::Client));
                }
                if wire.down.is_readable() {
                    out.push(read(Party::Client));
                }
            }
            let writes = match &wire.seat {
                Seat::Bound(sid, _) => self.desk.find(*sid).is_some_and(|served| {
                    served.end.wire == Some(id)
                        && !served.unsaved
                        && wants_to_write(&served.end, wire.down.is_ended())
                }),
                Seat::Refused(_) => true,
                Seat::Greeting(..) | Seat::Gone => false,
            };
            if writes {
                out.push(write(Party::Server));
            }
            if wire.up.is_readable() && wire.seat != Seat::Gone {
                out.push(read(Party::Server));
            }
        }
        let server = self.served().map(|served| (Party::Server, &served.end));
        for (party, end) in [(Party::Client, client)].into_iter().chain(server) {
            application_moves(party, end, out);
        }
        let _ = rules;
    }
}

/// What the application of one end can do.
fn application_moves(party: Party, end: &End, out: &mut Vec<Action>) {
    let state = end.session.state();
    if !matches!(state, SessionState::Attached | SessionState::Detached) {
        return;
    }
    let app = &end.app;
    if app.opened && app.wants_to_send() && end.session.room() > 0 {
        out.push(Action::Send(party));
    }
    if app.wants_to_answer() {
        out.push(Action::Answer(party));
    }
    if app.holds() {
        out.push(Action::Release(party));
    }
    if app.wants_to_finish() {
        out.push(Action::Finish(party));
    }
}

fn wants_to_write(end: &End, ended: bool) -> bool {
    !end.outbox.is_empty() || end.session.has_output() || end.session.is_closing() && !ended
}

/// One direction of a session that was not set back.
fn check_direction(from: &End, to: &End, window: Option<u32>) -> Result<(), Wrong> {
    let (acked, sent) = (from.session.acknowledged().get(), from.session.transmitted().get());
    let received = to.session.received().get();
    if acked > received {
        return wrong(format!("acknowledged {acked}, received {received}"));
    }
    if received > sent {
        return wrong(format!("received {received}, transmitted {sent}"));
    }
    let (promised, taken) = (from.app.items_until(acked), to.app.taken);
    if promised > taken {
        return wrong(format!("{promised} items acknowledged, {taken} taken"));
    }
    if from.app.receipt > acked {
        return wrong(format!("a receipt for {} at {acked}", from.app.receipt));
    }
    if to.app.got > from.app.sent {
        return wrong(format!("{} items came, {} were sent", to.app.got, from.app.sent));
    }
    // Memory for what was not released is bounded by the window, over any number of connections.
    // A TOKEN of 20 bytes is released by itself, as there is nothing in it for applications.
    let released = if to.app.manual { to.app.released.max(acked) + 20 } else { received };
    if let Some(window) = window
        && sent > released.saturating_add(u64::from(window))
    {
        return wrong(format!("{sent} transmitted, {released} released, window {window}"));
    }
    Ok(())
}

/// Whether an end knows that everything was said and taken: then it has to end.
fn knows_all(end: &End) -> bool {
    end.app.is_finished() && end.session.unacknowledged() == 0
}

/// What both ends believe to have been said must be the same, as far as both have heard.
fn check_same(from: &App, to: &App) -> Result<(), Wrong> {
    for (number, life) in to.heard.iter().enumerate() {
        if from.said.get(number) != Some(life) {
            let said = from.said.get(number);
            return wrong(format!(
                "silent divergence: item {number} was heard from life {life}, said in {said:?}"
            ));
        }
    }
    Ok(())
}

/// If a session is over: may it be, and is what was told about it true?
fn check_over(rules: &Rules, from: &End, to: &End, set_back: bool) -> Result<(), Wrong> {
    let received = match from.app.over {
        None => return Ok(()),
        Some(Over::Ended) => {
            let (sent, got) = (from.app.sent, to.app.got);
            if sent != from.app.plan.items || got != sent {
                return wrong(format!("ended after {sent} items, of which {got} came"));
            }
            return Ok(());
        }
        Some(Over::Lost(code, _)) if !rules.may_lose => {
            let role = from.session.role();
            return wrong(format!("the {role:?}'s session is lost without need: {code}"));
        }
        Some(Over::Lost(_, received)) => received,
    };
    if received.is_none() && !set_back && from.session.role() == Role::Client {
        return wrong("the session is lost without a word on what arrived".into());
    }
    if let Some(received) = received
        && !(set_back && rules.store == Store::Old)
    {
        let (told, got) = (from.app.items_until(received), to.app.got);
        if told != got {
            return wrong(format!("told that {told} items arrived, {got} did"));
        }
    }
    Ok(())
}
