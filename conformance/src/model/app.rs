//! The application at one end, and what it objects to.

use std::collections::{BTreeMap, VecDeque};

use outlast_core::wire::{RequestId, Status};
use outlast_core::{CloseCode, Event, Head, Instant, Position, SendError, Session, Side};

use super::{Over, Plan, Wrong};

/// What is being sent in fragments, and how far it is.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
struct UnderWay {
    number: u32,
    is_answer: bool,
    offset: usize,
}

/// The application at one end.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct App {
    /// What this end says.
    pub plan: Plan,
    /// What the other end says.
    pub expects: Plan,
    /// Whether received items are released one by one, when the world says so.
    pub manual: bool,
    /// Items given to send, whole or in part.
    pub sent: u32,
    /// Items received.
    pub got: u32,
    /// Items received and released.
    pub taken: u32,
    /// The last position released, in manual release.
    pub released: u64,
    /// Positions of the items sent, in order.
    pub positions: Vec<u64>,
    /// Highest position that was acknowledged, as told.
    pub receipt: u64,
    /// Our requests without an answer: their items.
    pub open: BTreeMap<u16, u32>,
    /// The peer's requests without an answer: id and item.
    pub to_answer: VecDeque<(u16, u32)>,
    /// Requests that were answered.
    pub answered: u32,
    /// How the session ended, as told.
    pub over: Option<Over>,
    /// Codes of connections that ended, as told, latest last; cleared by the world.
    pub disconnected: Vec<(CloseCode, Side)>,
    /// What has to be released: position, and whether an item ends there.
    held: VecDeque<(Position, bool)>,
    /// The item or answer of which only some fragments were given to send.
    under_way: Option<UnderWay>,
    /// What arrived of an item in fragments.
    partial: Vec<u8>,
    finished: bool,
    peer_finished: bool,
    /// Whether the peer is known to know the session, so that sending makes sense.
    pub opened: bool,
    /// How often this end was set back to an earlier state; what it says differs each time.
    pub life: u8,
    /// How often the peer may have been set back.
    pub peer_lives: u8,
    /// The lives in which the items sent were said.
    pub said: Vec<u8>,
    /// The lives in which the items received were said.
    pub heard: Vec<u8>,
}

impl App {
    /// An application that has said and heard nothing.
    #[must_use]
    pub const fn new(plan: Plan, expects: Plan, manual: bool) -> Self {
        Self {
            plan,
            expects,
            manual,
            sent: 0,
            got: 0,
            taken: 0,
            released: 0,
            positions: Vec::new(),
            receipt: 0,
            open: BTreeMap::new(),
            to_answer: VecDeque::new(),
            answered: 0,
            over: None,
            disconnected: Vec::new(),
            held: VecDeque::new(),
            under_way: None,
            partial: Vec::new(),
            finished: false,
            peer_finished: false,
            opened: false,
            life: 0,
            peer_lives: 0,
            said: Vec::new(),
            heard: Vec::new(),
        }
    }

    /// Whether there is something left to say.
    #[must_use]
    pub const fn wants_to_send(&self) -> bool {
        self.sent < self.plan.items || self.under_way.is_some()
    }

    /// Whether everything was said and answered, and only finishing is left.
    #[must_use]
    pub fn wants_to_finish(&self) -> bool {
        let done = !self.wants_to_send() && self.open.is_empty() && self.to_answer.is_empty();
        self.plan.finishes && !self.finished && done && self.got == self.expects.items
    }

    /// Whether nothing is left to say or to hear.
    #[must_use]
    pub fn is_done(&self) -> bool {
        let said = !self.wants_to_send() && self.open.is_empty();
        let heard = self.got == self.expects.items && self.taken == self.got;
        let answered = self.to_answer.is_empty() && self.held.is_empty();
        said && heard && answered && self.finished == self.plan.finishes
    }

    /// Whether both ends have finished and nothing is left to be released.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.finished && self.peer_finished && self.held.is_empty()
    }

    /// Whether a request waits that can be answered now.
    #[must_use]
    pub fn wants_to_answer(&self) -> bool {
        !self.to_answer.is_empty() && self.under_way.is_none()
    }

    /// Whether something waits to be released.
    #[must_use]
    pub fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// Items whose last byte is at or before `position`.
    #[must_use]
    pub fn items_until(&self, position: u64) -> u32 {
        self.positions.partition_point(|at| *at <= position) as u32
    }

    /// Sends the next item, or the next fragment of it; whether anything was taken.
    ///
    /// # Errors
    ///
    /// A refusal that is neither want of room nor of a free request number.
    pub fn send_next(&mut self, session: &mut Session<Vec<u8>>) -> Result<bool, Wrong> {
        if let Some(under_way) = self.under_way {
            return self.send_fragment(session, under_way);
        }
        if !self.wants_to_send() {
            return Ok(false);
        }
        let number = self.sent;
        let item = self.plan.item(number);
        let id = if item.is_request { session.free_request() } else { None };
        if item.is_request && id.is_none() {
            return Ok(false);
        }
        let route = item.route;
        let head = id.map_or(Head::Message { route }, |id| Head::Request { id, route });
        let payload = self.plan.payload(number, self.life);
        if !self.begin(session, head, &payload, number)? {
            return Ok(false);
        }
        if let Some(id) = id
            && self.open.insert(id.0, number).is_some()
        {
            return Err(Wrong(format!("request number {} was given out twice", id.0)));
        }
        self.sent += 1;
        self.said.push(self.life);
        if self.under_way.is_none() {
            self.positions.push(session.sent().get());
        }
        Ok(true)
    }

    /// Sends something whole, or its first fragment if it is too long for a frame.
    fn begin(
        &mut self,
        session: &mut Session<Vec<u8>>,
        head: Head,
        payload: &[u8],
        number: u32,
    ) -> Result<bool, Wrong> {
        let most = usize::from(session.max_body()).saturating_sub(8);
        let whole = payload.len() <= most;
        let result = match head {
            _ if !whole => session.begin(head, &payload[..most]),
            Head::Message { route } => session.send(route, payload),
            Head::Request { id, route } => session.request(id, route, payload),
            Head::Response { id, status } => session.respond(id, status, payload),
        };
        let is_answer = matches!(head, Head::Response { .. });
        match result {
            Ok(_) => {
                let under_way = UnderWay { number, is_answer, offset: most };
                self.under_way = (!whole).then_some(under_way);
                Ok(true)
            }
            Err(SendError::Full) => Ok(false),
            Err(error) => Err(Wrong(format!("sending {head:?}, item {number}: {error}"))),
        }
    }

    fn send_fragment(
        &mut self,
        session: &mut Session<Vec<u8>>,
        under_way: UnderWay,
    ) -> Result<bool, Wrong> {
        let UnderWay { number, is_answer, offset } = under_way;
        let payload = if is_answer {
            self.expects.answer(number)
        } else {
            self.plan.payload(number, self.life)
        };
        let rest = &payload[offset..];
        let part = &rest[..rest.len().min(usize::from(session.max_body()))];
        let last = part.len() == rest.len();
        match session.push_fragment(part, last) {
            Ok(position) => {
                let offset = offset + part.len();
                self.under_way = (!last).then_some(UnderWay { offset, ..under_way });
                if last && !is_answer {
                    self.positions.push(position.get());
                }
                Ok(true)
            }
            Err(SendError::Full) => Ok(false),
            Err(error) => Err(Wrong(format!("a fragment of item {number}: {error}"))),
        }
    }

    /// Answers the oldest request that waits for it; whether it did.
    ///
    /// # Errors
    ///
    /// A refusal that is not want of room.
    pub fn answer_next(&mut self, session: &mut Session<Vec<u8>>) -> Result<bool, Wrong> {
        let Some(&(id, number)) = self.to_answer.front().filter(|_| self.under_way.is_none())
        else {
            return Ok(false);
        };
        let answer = self.expects.answer(number);
        let head = Head::Response { id: RequestId(id), status: Status::OK };
        let begun = self.begin(session, head, &answer, number)?;
        if begun {
            self.to_answer.pop_front();
        }
        Ok(begun)
    }

    /// Finishes if that is what the plan wants now; whether it did.
    ///
    /// # Errors
    ///
    /// A refusal that is not want of room.
    pub fn finish(&mut self, session: &mut Session<Vec<u8>>) -> Result<bool, Wrong> {
        if !self.wants_to_finish() {
            return Ok(false);
        }
        match session.finish() {
            Ok(_) => {
                self.finished = true;
                Ok(true)
            }
            Err(SendError::Full) => Ok(false),
            Err(error) => Err(Wrong(format!("finishing: {error}"))),
        }
    }

    /// Releases the oldest item held; whether there was one.
    pub fn release_next(&mut self, session: &mut Session<Vec<u8>>, now: Instant) -> bool {
        let Some((position, is_item)) = self.held.pop_front() else {
            return false;
        };
        self.taken += u32::from(is_item);
        self.released = position.get();
        session.release(now, position);
        true
    }

    /// Judges what happened.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn take(&mut self, event: &Event<'_>) -> Result<(), Wrong> {
        match *event {
            Event::Message { route, payload, position } => {
                self.take_item(Head::Message { route }, payload)?;
                self.hold(position, true);
            }
            Event::Request { id, route, payload, position } => {
                self.take_item(Head::Request { id, route }, payload)?;
                self.hold(position, true);
            }
            Event::Response { id, status, payload, position } => {
                self.take_item(Head::Response { id, status }, payload)?;
                self.hold(position, false);
            }
            Event::Fragment { head, offset, payload, last, position } => {
                if offset as usize != self.partial.len() {
                    let have = self.partial.len();
                    return Err(Wrong(format!("a fragment at {offset} after {have} bytes")));
                }
                self.partial.extend_from_slice(payload);
                if last {
                    let whole = std::mem::take(&mut self.partial);
                    self.take_item(head, &whole)?;
                }
                self.hold(position, last && !matches!(head, Head::Response { .. }));
            }
            Event::Finished { position } => {
                self.take_finish()?;
                self.hold(position, false);
            }
            Event::Acknowledged { position } => {
                if position.get() < self.receipt {
                    return Err(Wrong(format!("the receipt fell to {}", position.get())));
                }
                self.receipt = position.get();
            }
            Event::Ended => self.note_over(Over::Ended)?,
            Event::Lost { code, peer_received } => {
                self.note_over(Over::Lost(code, peer_received.map(Position::get)))?;
            }
            Event::Disconnected { code, by, .. } => self.disconnected.push((code, by)),
            _ => {}
        }
        Ok(())
    }

    fn take_finish(&mut self) -> Result<(), Wrong> {
        if std::mem::replace(&mut self.peer_finished, true) {
            return Err(Wrong("the peer finished twice".into()));
        }
        let Self { got, expects, .. } = self;
        if *got == expects.items {
            return Ok(());
        }
        Err(Wrong(format!("finished after {got} of {} items", expects.items)))
    }

    fn note_over(&mut self, over: Over) -> Result<(), Wrong> {
        match self.over.replace(over) {
            None => Ok(()),
            Some(before) => Err(Wrong(format!("over twice: {before:?}, then {over:?}"))),
        }
    }

    fn hold(&mut self, position: Position, is_item: bool) {
        if self.manual {
            self.held.push_back((position, is_item));
        } else {
            self.taken += u32::from(is_item);
        }
    }

    /// The items of the peer must come in order, each once, each as it was sent.
    fn take_item(&mut self, head: Head, payload: &[u8]) -> Result<(), Wrong> {
        if self.peer_finished {
            return Err(Wrong("something came after the peer had finished".into()));
        }
        if let Head::Response { id, status } = head {
            return self.take_answer(id, status, payload);
        }
        let number = self.got;
        if number >= self.expects.items {
            return Err(Wrong(format!("an item beyond all {number}: duplicate")));
        }
        let item = self.expects.item(number);
        let (is_request, route) = match head {
            Head::Request { id, route } => {
                self.to_answer.push_back((id.0, number));
                (true, route)
            }
            Head::Message { route } => (false, route),
            Head::Response { .. } => (false, item.route),
        };
        let said = |life: &u8| self.expects.payload(number, *life) == payload;
        let Some(life) = (0..=self.peer_lives).find(said) else {
            return Err(self.name_wrong_item(number, payload));
        };
        if (is_request, route) != (item.is_request, item.route) {
            return Err(Wrong(format!("item {number} came as {head:?}, sent as {item:?}")));
        }
        self.got += 1;
        self.heard.push(life);
        Ok(())
    }

    fn name_wrong_item(&self, number: u32, payload: &[u8]) -> Wrong {
        let other = (0..self.expects.items).find(|n| self.expects.payload(*n, 0) == payload);
        Wrong(match other {
            Some(other) if other < number => {
                format!("duplicate: item {other} came again instead of {number}")
            }
            Some(other) => format!("gap: item {other} came instead of {number}"),
            None => format!("damage: {payload:02x?} came instead of item {number}"),
        })
    }

    fn take_answer(&mut self, id: RequestId, status: Status, answer: &[u8]) -> Result<(), Wrong> {
        let Some(number) = self.open.remove(&id.0) else {
            return Err(Wrong(format!("an answer to request number {}, which is not open", id.0)));
        };
        if status != Status::OK || answer != self.plan.answer(number) {
            let id = id.0;
            return Err(Wrong(format!("a wrong answer to item {number} (request number {id})")));
        }
        self.answered += 1;
        Ok(())
    }

    /// What a durable application finds after a crash: everything it had committed by releasing.
    #[must_use]
    pub fn committed(&self) -> Self {
        let mut app = self.clone();
        app.got = app.taken;
        app.heard.truncate(app.taken as usize);
        // What finishes comes last, and so is held if anything is.
        app.peer_finished &= app.held.is_empty();
        app.held.clear();
        app.partial.clear();
        app.disconnected.clear();
        app
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Plan = Plan { seed: 1, items: 50, shortest: 1, longest: 30, ..Plan::SILENT };

    fn message(app: &mut App, number: u32) -> Result<(), Wrong> {
        let head = Head::Message { route: PLAN.item(number).route };
        app.take_item(head, &PLAN.payload(number, 0))
    }

    #[test]
    fn the_judge_notices_what_it_is_for() {
        let mut app = App::new(Plan::SILENT, PLAN, false);
        message(&mut app, 0).unwrap();
        assert!(message(&mut app, 0).unwrap_err().0.contains("duplicate"));
        assert!(message(&mut app, 2).unwrap_err().0.contains("gap"));
        let head = Head::Message { route: PLAN.item(1).route };
        assert!(app.take_item(head, b"other").unwrap_err().0.contains("damage"));
        let status = Status::OK;
        let answer = Head::Response { id: RequestId(1), status };
        assert!(app.take_item(answer, &[]).is_err(), "nothing was asked");
        message(&mut app, 1).unwrap();
        app.note_over(Over::Ended).unwrap();
        assert!(app.note_over(Over::Ended).is_err());
    }

    #[test]
    fn lengths_stay_in_their_range() {
        for n in 0..10_000 {
            let item = PLAN.item(n);
            assert!((1..=30).contains(&item.len) && !item.is_request, "{n} {item:?}");
        }
    }
}
