//! What happens, as lines.

use alloc::vec::Vec;
use core::mem;

use outlast_embedded::{Event, Head, Instant, Position, Session};

use crate::line::Out;

/// Tells the suite what happens.
#[derive(Default)]
pub(crate) struct Tell {
    pub(crate) out: Out,
    /// Whether what was told has to be released.
    pub(crate) manual: bool,
    /// Sessions that are over since somebody looked.
    pub(crate) over: Vec<u64>,
}

impl Tell {
    /// Tells an event of the session that is called `place`; `partial` is its message of which not
    /// all has come.
    pub(crate) fn event(
        &mut self,
        now: Instant,
        place: u64,
        session: &mut Session<'_>,
        event: &Event<'_>,
        partial: &mut Vec<u8>,
    ) {
        if let Some(position) = self.received(place, event, partial) {
            if self.manual {
                session.release(now, position);
            }
            return;
        }
        let out = &mut self.out;
        match *event {
            Event::Opened => out.say(format_args!("opened {place}")),
            Event::Resumed { .. } => out.say(format_args!("resumed {place}")),
            Event::Acknowledged { position } => {
                out.say(format_args!("acked {place} {}", position.get()));
            }
            Event::Disconnected { code, .. } => {
                out.say(format_args!("disconnected {place} {}", code.get()));
            }
            Event::Ended => {
                self.over.push(place);
                out.say(format_args!("ended {place}"));
            }
            Event::Lost { code, peer_received } => {
                self.over.push(place);
                match peer_received {
                    Some(position) => {
                        out.say(format_args!("lost {place} {} {}", code.get(), position.get()));
                    }
                    None => out.say(format_args!("lost {place} {} -", code.get())),
                }
            }
            _ => out.say(format_args!("other {place}")),
        }
    }

    /// What was received, and the position behind it.
    fn received(
        &mut self,
        place: u64,
        event: &Event<'_>,
        partial: &mut Vec<u8>,
    ) -> Option<Position> {
        match *event {
            Event::Message { route, payload, position } => {
                self.whole(place, Head::Message { route }, payload);
                Some(position)
            }
            Event::Request { id, route, payload, position } => {
                self.whole(place, Head::Request { id, route }, payload);
                Some(position)
            }
            Event::Response { id, status, payload, position } => {
                self.whole(place, Head::Response { id, status }, payload);
                Some(position)
            }
            Event::Fragment { head, payload, last, position, .. } => {
                partial.extend_from_slice(payload);
                if last {
                    self.whole(place, head, &mem::take(partial));
                }
                Some(position)
            }
            Event::Aborted { position, .. } => {
                partial.clear();
                self.out.say(format_args!("other {place}"));
                Some(position)
            }
            Event::Cancelled { position, .. } => {
                self.out.say(format_args!("other {place}"));
                Some(position)
            }
            Event::Finished { position } => {
                self.out.say(format_args!("finished {place}"));
                Some(position)
            }
            _ => None,
        }
    }

    fn whole(&mut self, place: u64, head: Head, payload: &[u8]) {
        let out = &mut self.out;
        match head {
            Head::Message { route } => {
                out.say_bytes(format_args!("message {place} {}", route.get()), payload);
            }
            Head::Request { id, route } => {
                let id = id.0;
                out.say_bytes(format_args!("request {place} {id} {}", route.get()), payload);
            }
            Head::Response { id, status } => {
                let id = id.0;
                out.say_bytes(format_args!("response {place} {id} {}", status.0), payload);
            }
        }
    }
}
