//! The short way of one-way messages: hooks and function of a route as one piece of code.
//!
//! Where the types of a router's hooks are known when a route is added, its function is compiled
//! together with them and with the loop that takes messages off what was read. So there is one call
//! for a row of messages of one route, and none for each.

use super::context::{Context, Kind};
use super::function::Inline;
use super::hook::{Flow, Hook};
use super::link::Link;
use super::stats::Count;
use super::table::Common;
use super::work::how;
use crate::messages::Messages;
use outlast_core::wire::Route;

/// A message's route and payload.
pub(super) type Message<'b> = (Route, &'b [u8]);

/// A function and the hooks around it.
pub(crate) trait Whole<H>: Send + Sync {
    /// Handles `first` and what follows it on the same route; the first message of another.
    fn run<'b>(
        &self,
        hooks: &H,
        scene: Scene<'_>,
        messages: &mut Messages<'_, 'b>,
        first: Message<'b>,
        progress: &mut Progress<'b>,
    ) -> Option<Message<'b>>;
}

/// Where messages are handled.
#[derive(Copy, Clone)]
pub(super) struct Scene<'a> {
    pub(super) link: &'a Link,
    pub(super) common: &'a Common,
    pub(super) entry: u16,
}

/// How far a row of messages has come, for those who clean up behind a panic.
#[derive(Default)]
pub(super) struct Progress<'b> {
    /// Messages whose handler ran to its end.
    pub(super) handled: u64,
    /// The one that is being handled, and whether its handler runs.
    pub(super) current: Option<(Message<'b>, bool)>,
}

/// Progress in registers; it is written down in the end, and by a panic.
struct Tracker<'p, 'b> {
    handled: u64,
    current: Option<(Message<'b>, bool)>,
    progress: &'p mut Progress<'b>,
}

impl Drop for Tracker<'_, '_> {
    #[inline]
    fn drop(&mut self) {
        self.progress.handled += self.handled;
        self.progress.current = self.current;
    }
}

impl<T: Inline, H: Hook> Whole<H> for T {
    fn run<'b>(
        &self,
        hooks: &H,
        scene: Scene<'_>,
        messages: &mut Messages<'_, 'b>,
        first: Message<'b>,
        progress: &mut Progress<'b>,
    ) -> Option<Message<'b>> {
        let Scene { link, common, entry } = scene;
        let mut tracker = Tracker { handled: 0, current: None, progress };
        let (route, mut payload) = first;
        loop {
            tracker.current = Some(((route, payload), false));
            let outlet = Some(messages.peer() as _);
            let kind = Kind::Message;
            let mut cx = Context { link, common, outlet, entry, kind, route, payload, owned: None };
            if let Flow::Answer(reply) = hooks.before(&cx) {
                common.counters.add(Count::Stopped);
                drop(reply);
            } else {
                tracker.current = Some(((route, payload), true));
                let reply = self.call(&mut cx);
                tracker.current = Some(((route, payload), false));
                if reply.is_fault() {
                    common.observe(&cx, &reply);
                }
                hooks.after(&cx, &reply);
                match how(&reply) {
                    Count::Handled => tracker.handled += 1,
                    count => common.counters.add(count),
                }
                reply.discard();
            }
            tracker.current = None;
            match messages.next() {
                Some((next, bytes)) if next == route => payload = bytes,
                other => return other,
            }
        }
    }
}
