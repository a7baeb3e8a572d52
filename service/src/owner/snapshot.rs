//! A session of a server as bytes, with what its owner knows besides; and an owner of such bytes.

use std::panic::{AssertUnwindSafe, catch_unwind};

use outlast_core::wire::{Frame, MAX_BODY, RequestId, Status};
use outlast_core::{CloseCode, Instant, Release};

use super::Owner;
use crate::error::{Closed, Why};
use crate::handler::Handler;
use crate::shared::Staged;
use crate::snapshots::{Origin, Record, mend, unix_seconds};

impl<H: Handler> Owner<H> {
    /// Hands a snapshot in, if one is wanted.
    #[cold]
    pub(crate) fn hand_in(&mut self, now: Instant) {
        let ticket = self.shared.lock().take_ticket();
        if let Some(ticket) = ticket
            && let Some(snapshot) = self.snapshot(now, ticket.origin())
        {
            ticket.hand_in(snapshot);
        }
    }

    /// The session as bytes; `None` if it is over, or something was received that the application
    /// has not taken and that could not come again.
    pub(crate) fn snapshot(&mut self, now: Instant, origin: Origin) -> Option<Vec<u8>> {
        if self.over || self.ordered_end.is_some() {
            return None;
        }
        let received = self.session.received();
        // What the handler has had must not come again, even if its peer was to wait for credit.
        if self.release == Release::Automatic && self.handler.taken(received).is_none() {
            self.session.release(now, received);
        }
        // A handler that cannot say what it knows is made anew as if it had known nothing.
        let saved = catch_unwind(AssertUnwindSafe(|| self.handler.save())).unwrap_or_default();
        let rare = self.rare.as_deref();
        let partial = rare.map_or(&[][..], |rare| &rare.assembly);
        let mut core = vec![0; self.session.snapshot_len(partial.len())];
        let len = self.session.snapshot(origin.left_s, partial, &mut core).ok()?;
        core.truncate(len);
        let (mut queued, answers) = rare.map(|rare| rare.queues.waiting()).unwrap_or_default();
        let finish = {
            let inner = self.shared.lock();
            inner.copy_staged(&mut queued);
            self.finish || inner.is_finishing()
        };
        let (Origin { principal, source, is_last, .. }, ttl_s) =
            (origin, self.session.retention_s());
        let (core, queued, answers, saved) = (&core[..], &queued[..], &answers[..], &saved[..]);
        let taken_at = unix_seconds();
        let record = Record {
            principal,
            source,
            taken_at,
            ttl_s,
            finish,
            is_last,
            core,
            queued,
            answers,
            saved,
        };
        Some(record.encode())
    }

    /// The session goes on elsewhere, from a snapshot: it is over here, and nobody is told that
    /// anything was lost.
    pub(crate) fn hand_over(&mut self) {
        let arrived = self.session.transmitted();
        let unsent = self.rare.take().map(|mut rare| rare.queues.discard(arrived).1);
        self.session.kill(CloseCode::MOVED);
        let closed = Closed::of(Why::HandedOver, CloseCode::MOVED);
        self.end(closed, &unsent.unwrap_or_default());
    }

    /// Takes up what was queued for the session when its snapshot was taken, and sees to the
    /// requests of which nobody knows any more. False: these are no frames.
    pub(crate) fn take_up(&mut self, now: Instant, record: &Record<'_>, partial: &[u8]) -> bool {
        let Some(mut frames) = mend(record.queued, self.session.has_open_message()) else {
            return false;
        };
        let Some(answers) = mend(record.answers, false) else {
            return false;
        };
        frames.extend_from_slice(&answers);
        if !partial.is_empty() {
            self.rare.get_or_insert_default().assembly = partial.to_vec();
        }
        let answered = answered(&frames);
        if !frames.is_empty() {
            let staged = Staged { frames, ..Staged::default() };
            self.rare.get_or_insert_default().queues.stage(staged);
        }
        self.finish = record.finish;
        // The answers that come find nobody; until then their numbers are taken.
        let ours: Vec<_> = self.session.open_requests().collect();
        if !ours.is_empty() {
            self.shared.lock().asked().occupy(&ours);
        }
        self.settle(now);
        // Whoever would have answered these is gone with the process. They may have run.
        let theirs: Vec<_> = self.session.open_requests_in().collect();
        for id in theirs.into_iter().filter(|id| !answered.contains(id)) {
            self.respond(now, id, Status::INTERNAL);
        }
        self.settle(now);
        true
    }
}

/// The requests that are answered by some of these frames.
fn answered(mut frames: &[u8]) -> Vec<RequestId> {
    let mut answered = Vec::new();
    while let Ok(Some((header, body, rest))) = Frame::split(frames, MAX_BODY) {
        if let Ok(Frame::Response { id, .. }) = Frame::decode(header, body) {
            answered.push(id);
        }
        frames = rest;
    }
    answered
}
