//! What all sessions of a server have in common, or the sessions of a client: kept once, because
//! sessions are many.

use std::sync::Arc;

use crate::memory::Memory;
use crate::outgoing::Outgoing;
use crate::traffic::Traffic;
use crate::transport::{Clock, Runtime, Sleeper, Timers};

/// What a session stands on.
#[derive(Debug)]
pub(crate) struct Ground {
    /// How they send.
    pub(crate) outgoing: Outgoing,
    pub(crate) clock: Clock,
    /// What counts how much a server's sessions hold together.
    pub(crate) memory: Option<Arc<Memory>>,
    /// How much may come in, on a server: a client sets no limits.
    pub(crate) traffic: Option<Arc<Traffic>>,
    /// What handles wait with, whatever the runtime.
    pub(crate) timers: Box<dyn Timers>,
}

impl Ground {
    pub(crate) fn new<R: Runtime>(runtime: &R, clock: Clock, outgoing: Outgoing) -> Self {
        let timers = Box::new(Sleeper::of(runtime));
        Self { outgoing, clock, memory: None, traffic: None, timers }
    }

    /// Of a server, whose sessions hold and receive so much together at most.
    pub(crate) fn of_server(self, memory: Arc<Memory>, traffic: Arc<Traffic>) -> Self {
        Self { memory: Some(memory), traffic: Some(traffic), ..self }
    }

    /// Whether nobody may hold more.
    pub(crate) fn is_full(&self) -> bool {
        self.memory.as_ref().is_some_and(|memory| memory.is_full())
    }
}
