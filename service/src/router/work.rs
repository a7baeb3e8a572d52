//! Doing one thing of a line: the handler, in a task, with everything that may end it.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use outlast_core::wire::Status;

use super::context::Call;
use super::function::Running;
use super::line::{Ask, Asked, Line, Thing};
use super::link::Link;
use super::reply::Reply;
use super::stats::Count;
use super::table::Run;
use crate::overview::lock;

impl Line {
    /// Does the next thing. Who is `patient` waits until its answer has room; otherwise another
    /// task does, for everybody else's sake.
    pub(crate) async fn step(self: &Arc<Self>, patient: bool) {
        // It may have been dropped with its session.
        let Some((thing, payload, ask)) = self.pop() else {
            return;
        };
        let call = Call {
            link: self.link().clone(),
            shell: Arc::clone(&self.shell),
            entry: thing.entry,
            kind: thing.kind,
            route: thing.route,
            payload,
        };
        let ended = self.run(&call, ask.as_ref()).await;
        let (reply, count) = ended.reply();
        let common = self.shell.common();
        let after = catch_unwind(AssertUnwindSafe(|| {
            let cx = call.context();
            if reply.is_fault() {
                common.observe(&cx, &reply);
            }
            self.shell.after(&cx, &reply);
        }));
        common.counters.add(if after.is_err() { Count::Panicked } else { count });
        drop(call);
        let responder = ask.as_ref().and_then(|ask| ask.asked.take());
        let Some(responder) = responder else {
            self.link().leave_place();
            return self.settle(thing);
        };
        let line = Arc::clone(self);
        let mut answering = Box::pin(async move {
            let mut answer = pin!(responder.answer(&reply));
            poll_fn(|cx| {
                // The peer may have the answer, and ask again, before this returns.
                line.link().leave_place();
                let polled = answer.as_mut().poll(cx);
                if polled.is_pending() {
                    line.link().take_place();
                }
                polled
            })
            .await;
            line.settle(thing);
        });
        if patient {
            return answering.await;
        }
        let answered = poll_fn(|cx| Poll::Ready(answering.as_mut().poll(cx))).await;
        if answered.is_pending() {
            self.link().spawn(answering);
        }
    }

    /// A thing is done, and has left its place.
    fn settle(&self, thing: Thing) {
        if thing.held && lock(self.link().tickets()).done(thing.ticket) {
            self.link().nudge();
        }
        self.done();
        self.link().leave();
    }

    async fn run(&self, call: &Call, ask: Option<&Ask>) -> Ended {
        let Some(Run::Queued(queued)) =
            call.shell.common().entry(call.entry).map(|entry| &entry.run)
        else {
            return Ended::Panicked;
        };
        if ask.is_some_and(|ask| ask.asked.was_cancelled()) {
            return Ended::Cancelled;
        }
        let mut timer = None;
        if let Some(until) = ask.and_then(|ask| ask.until) {
            let left = until.saturating_duration_since(self.link().now());
            if left.is_zero() {
                return Ended::Late;
            }
            timer = Some(self.link().sleep(left));
        }
        let started = catch_unwind(AssertUnwindSafe(|| queued.service.call(call.clone())));
        match started {
            Ok(running) => supervise(self.link(), running, timer, ask.map(|ask| &*ask.asked)).await,
            Err(_) => Ended::Panicked,
        }
    }
}

/// What ended a handler.
enum Ended {
    Itself(Reply),
    Cancelled,
    Late,
    Panicked,
}

impl Ended {
    fn reply(self) -> (Reply, Count) {
        match self {
            Self::Itself(reply) => {
                let count = how(&reply);
                (reply, count)
            }
            Self::Cancelled => (Reply::status(Status::CANCELLED), Count::Cancelled),
            Self::Late => (Reply::status(Status::DEADLINE), Count::Late),
            Self::Panicked => (Reply::status(Status::INTERNAL), Count::Panicked),
        }
    }
}

/// How something is counted that came to its end.
#[inline]
pub(super) fn how(reply: &Reply) -> Count {
    if reply.is_rejected() {
        Count::Rejected
    } else if reply.is_fault() {
        Count::Failed
    } else {
        Count::Handled
    }
}

type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Polls a handler until something ends it.
async fn supervise(
    link: &Link,
    running: Running,
    mut timer: Option<Sleep>,
    asked: Option<&Asked>,
) -> Ended {
    let mut running = Some(running);
    let mut waited = false;
    let supervised = poll_fn(|cx| {
        let ended = match &mut running {
            _ if asked.is_some_and(|asked| asked.is_cancelled(cx)) => Ended::Cancelled,
            Some(running) => {
                match catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(cx))) {
                    Ok(Poll::Ready(reply)) => Ended::Itself(reply),
                    Err(_) => Ended::Panicked,
                    Ok(Poll::Pending) => {
                        let late = |timer: &mut Sleep| timer.as_mut().poll(cx).is_ready();
                        if timer.as_mut().is_some_and(late) {
                            Ended::Late
                        } else {
                            // What was done before this must not wait for it.
                            if !waited && lock(link.tickets()).settle() {
                                link.nudge();
                            }
                            waited = true;
                            return Poll::Pending;
                        }
                    }
                }
            }
            None => Ended::Panicked,
        };
        Poll::Ready(ended)
    });
    let ended = pin!(supervised).await;
    // What is left of it may panic, too.
    match catch_unwind(AssertUnwindSafe(|| drop(running.take()))) {
        Ok(()) => ended,
        Err(_) => Ended::Panicked,
    }
}
