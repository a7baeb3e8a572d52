//! The core itself as a subject: in memory, under virtual time.

mod caller;
pub mod commands;
mod end;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use outlast_core::registry::{Registry, RegistryConfig};
use outlast_core::{Config, Instant, Session};

use crate::driver::{Cmd, Driver, Seen, Stream, Subject};
use crate::link::Got;
use caller::Caller;
use end::{End, Held, Wire};

/// Bytes under way that a connection takes, in each direction.
const CAPACITY: usize = 64 << 10;

/// Two or more cores in memory.
#[derive(Debug)]
pub struct Memory {
    now: Instant,
    ends: Vec<Rc<RefCell<End>>>,
}

impl Default for Memory {
    fn default() -> Self {
        Self { now: Instant::from_micros(1_000_000), ends: Vec::new() }
    }
}

impl Memory {
    fn start(
        &mut self,
        is_server: bool,
        config: Config,
        sessions: RegistryConfig,
    ) -> Box<dyn Subject> {
        let handshake_ms = config.handshake_timeout_ms;
        let sessions = RegistryConfig { handshake_ms, ..sessions };
        let mut end = End {
            now: self.now,
            config,
            is_server,
            wires: Vec::new(),
            sessions: Vec::new(),
            registry: Registry::new(sessions, 7, Vec::new()),
            seen: VecDeque::new(),
            dialled: VecDeque::new(),
            caller: (!is_server).then(|| Caller::new(self.now)),
            count: 0,
        };
        if !is_server && let Ok(session) = Session::client(config, Vec::new()) {
            end.sessions.push(Held { session, lease: None, wire: None, partial: Vec::new() });
        }
        let end = Rc::new(RefCell::new(end));
        self.ends.push(Rc::clone(&end));
        Box::new(Handle(end))
    }
}

impl Driver for Memory {
    fn name(&self) -> &'static str {
        "core in memory"
    }

    fn time_is_virtual(&self) -> bool {
        true
    }

    fn server_with(&mut self, config: Config, sessions: RegistryConfig) -> Box<dyn Subject> {
        self.start(true, config, sessions)
    }

    fn client(&mut self, config: Config) -> Box<dyn Subject> {
        self.start(false, config, RegistryConfig::default())
    }

    fn now(&self) -> u64 {
        self.now.as_micros()
    }

    fn wait(&mut self, micros: u64) {
        self.now = self.now.after(micros);
        for end in &self.ends {
            end.borrow_mut().turn(self.now);
        }
    }
}

#[derive(Debug)]
struct Handle(Rc<RefCell<End>>);

impl Subject for Handle {
    fn command(&mut self, session: u64, command: Cmd) -> Result<(), String> {
        self.0.borrow_mut().command(session, command)
    }

    fn poll(&mut self) -> Option<Seen> {
        self.0.borrow_mut().seen.pop_front()
    }

    fn plug(&mut self) -> Option<Box<dyn Stream>> {
        let mut end = self.0.borrow_mut();
        let wire = if end.is_server { Some(end.accept()) } else { end.dialled.pop_front() };
        Some(Box::new(Far { end: Rc::clone(&self.0), wire: wire? }))
    }

    fn held_bytes(&self) -> usize {
        let end = self.0.borrow();
        let sessions: usize = end.sessions.iter().map(|held| held.session.held_bytes()).sum();
        let wires: usize = end.wires.iter().map(|wire| wire.inbox.len() + wire.outbox.len()).sum();
        sessions + wires
    }
}

/// The far end of a connection.
#[derive(Debug)]
struct Far {
    end: Rc<RefCell<End>>,
    wire: u32,
}

impl Far {
    fn with<T>(&self, or: T, act: impl FnOnce(&mut Wire) -> T) -> T {
        let mut end = self.end.borrow_mut();
        match end.wires.iter_mut().find(|wire| wire.id == self.wire) {
            Some(wire) => act(wire),
            None => or,
        }
    }
}

impl Stream for Far {
    fn write(&mut self, bytes: &[u8]) -> usize {
        self.with(bytes.len(), |wire| wire.to.write(bytes, CAPACITY))
    }

    fn read(&mut self, out: &mut Vec<u8>) -> bool {
        self.with(false, |wire| match wire.from.read(usize::MAX) {
            Got::Bytes(bytes) => {
                out.extend(bytes);
                true
            }
            Got::Nothing => true,
            Got::End => false,
        })
    }

    fn shut(&mut self) {
        self.with((), |wire| wire.to.end());
    }

    fn cut(&mut self) {
        self.with((), |wire| {
            wire.to.cut(0);
            wire.from.cut(0);
        });
    }
}
