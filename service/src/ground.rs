//! What all sessions of a server have in common, or the sessions of a client: kept once, because
//! sessions are many.

use std::sync::Arc;

use crate::memory::Memory;
use crate::outgoing::Outgoing;
use crate::transport::{Clock, Runtime, Sleeper, Timers};

/// What a session stands on.
#[derive(Debug)]
pub(crate) struct Ground {
    /// How they send.
    pub(crate) outgoing: Outgoing,
    pub(crate) clock: Clock,
    /// What counts how much a server's sessions hold together.
    pub(crate) memory: Option<Arc<Memory>>,
    /// What handles wait with, whatever the runtime.
    pub(crate) timers: Box<dyn Timers>,
}

impl Ground {
    pub(crate) fn new<R: Runtime>(
        runtime: &R,
        clock: Clock,
        outgoing: Outgoing,
        memory: Option<Arc<Memory>>,
    ) -> Arc<Self> {
        let timers = Box::new(Sleeper::of(runtime));
        Arc::new(Self { outgoing, clock, memory, timers })
    }

    /// Whether nobody may hold more.
    pub(crate) fn is_full(&self) -> bool {
        self.memory.as_ref().is_some_and(|memory| memory.is_full())
    }
}
