//! A server or a client, and what it was told and could not do yet.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use outlast_embedded::smoltcp::to_core;
use outlast_embedded::{CloseCode, Config, Head, Release, SendError, Session};
use smoltcp::wire::{IpEndpoint, Ipv4Address};

use crate::network::{Network, instant};
use crate::orders::{self, Order, Settings, Words, Wrong};
use crate::subjects::{AClient, AServer, Due};
use crate::tell::Tell;

/// Bytes of messages that the suite may send before it is told that there was room for them.
const AHEAD: usize = 64 << 10;

/// A subject, and what it was told.
pub(crate) struct Role {
    actor: Actor,
    pub(crate) tell: Tell,
    queues: BTreeMap<u64, VecDeque<Pending>>,
    port: u16,
    seed: u64,
    /// For the rings of sessions, until somebody has them.
    memory: &'static mut [u8],
}

enum Actor {
    Nobody,
    Client(Box<AClient>),
    Server(Box<AServer>),
}

/// Something to say for which there was no room yet, or not for all of it.
struct Pending {
    head: Head,
    payload: Vec<u8>,
    said: usize,
    /// Whether the suite is told of room for it.
    is_counted: bool,
}

impl Pending {
    /// Says as much as there is room for.
    fn say(&mut self, session: &mut Session<'_>) -> Result<(), SendError> {
        let most = usize::from(session.max_body()).saturating_sub(8);
        let len = self.payload.len();
        if self.said == 0 && len <= most {
            let payload = &self.payload;
            return match self.head {
                Head::Message { route } => session.send(route, payload),
                Head::Request { id, route } => session.request(id, route, payload),
                Head::Response { id, status } => session.respond(id, status, payload),
            }
            .map(drop);
        }
        let part = |said: usize| self.payload.get(said..len.min(said + most)).unwrap_or(&[]);
        if self.said == 0 {
            session.begin(self.head, part(0))?;
            self.said = most;
        }
        while self.said < len {
            session.push_fragment(part(self.said), self.said + most >= len)?;
            self.said += most;
        }
        Ok(())
    }
}

impl Role {
    /// Nobody yet. A server can be reached at `port` of the host, and sessions have their rings in
    /// `memory`.
    pub(crate) fn nobody(port: u16, seed: u64, memory: &'static mut [u8]) -> Self {
        let (tell, queues) = (Tell::default(), BTreeMap::new());
        Self { actor: Actor::Nobody, tell, queues, port, seed, memory }
    }

    /// Does what was said over the control line; how many milliseconds it is to do nothing, if it
    /// was told so.
    pub(crate) fn obey(&mut self, now: u64, network: &mut Network) -> Option<u64> {
        let heard = network.hear();
        let mut starve = None;
        for line in heard.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let line = core::str::from_utf8(line).unwrap_or_default();
            let mut words = line.split(' ');
            let name = words.next().unwrap_or_default();
            let done = match name {
                "starve" => {
                    starve = orders::number(&mut words).ok();
                    continue;
                }
                "send" => {
                    self.send(now, &mut words);
                    continue;
                }
                "server" | "client" => self.begin(name, words, now, network),
                "sync" => {
                    self.catch_up();
                    Ok(())
                }
                "held" => {
                    let held = self.held(network);
                    self.tell.out.say(format_args!("held {held}"));
                    continue;
                }
                "stop" => Ok(()),
                _ => self.order(now, name, &mut words),
            };
            match done {
                Ok(()) if matches!(name, "server" | "client") => {}
                Ok(()) => self.tell.out.say(format_args!("ok")),
                Err(Refused::Wrong(why)) => self.tell.out.say(format_args!("no {why}")),
                Err(Refused::Send(why)) => self.tell.out.say(format_args!("no {why}")),
            }
        }
        starve
    }

    fn begin(
        &mut self,
        what: &str,
        mut words: Words<'_>,
        now: u64,
        network: &mut Network,
    ) -> Result<(), Refused> {
        if what == "server" {
            let settings = Settings::parse(Config::SERVER, words)?;
            self.tell.manual = settings.config.release == Release::Manual;
            let memory = core::mem::take(&mut self.memory);
            let server = AServer::new(settings.config, settings.sessions, memory, self.seed);
            self.actor = Actor::Server(Box::new(server));
            self.listen(now, network);
            let port = self.port;
            self.tell.out.say(format_args!("ready {AHEAD} 127.0.0.1:{port}"));
        } else {
            let address = words.next().and_then(|word| word.rsplit_once(':'));
            let (host, port) = address.ok_or("no address")?;
            let host: Ipv4Address = host.parse().map_err(|_| "no address of a host")?;
            let port: u16 = port.parse().map_err(|_| "no port")?;
            let remote = IpEndpoint::new(host.into(), port);
            let settings = Settings::parse(Config::CLIENT, words)?;
            self.tell.manual = settings.config.release == Release::Manual;
            let memory = core::mem::take(&mut self.memory);
            let client = AClient::new(&settings, remote, memory, self.seed, network);
            self.actor = Actor::Client(Box::new(client));
            self.tell.out.say(format_args!("ready {AHEAD} -"));
        }
        Ok(())
    }

    /// The session of this number.
    fn session(actor: &mut Actor, place: u64) -> Result<&mut Session<'static>, Refused> {
        match actor {
            Actor::Nobody => Err("nobody".into()),
            Actor::Client(client) => Ok(client.client.session()),
            Actor::Server(server) => {
                let mut places = server.server.places().iter_mut();
                let place = places.find(|at| at.id() == Some(place)).ok_or("no such session")?;
                Ok(place.session())
            }
        }
    }

    /// A message, now or once there is room; the suite is told when.
    fn send(&mut self, now: u64, words: &mut Words<'_>) {
        let place = orders::number(words).unwrap_or(0);
        let sent = Order::parse("send", words).map_err(Refused::Wrong);
        let sent = sent.and_then(|order| self.carry_out(now, place, order));
        match sent {
            Ok(()) => {}
            Err(Refused::Wrong(why)) => self.tell.out.say(format_args!("refused {place} {why}")),
            Err(Refused::Send(why)) => self.tell.out.say(format_args!("refused {place} {why}")),
        }
    }

    fn order(&mut self, now: u64, name: &str, words: &mut Words<'_>) -> Result<(), Refused> {
        let place = orders::number(words)?;
        let order = Order::parse(name, words)?;
        self.carry_out(now, place, order)
    }

    fn carry_out(&mut self, now: u64, place: u64, order: Order) -> Result<(), Refused> {
        if let (Actor::Client(client), Order::End(code)) = (&mut self.actor, &order) {
            client.client.stop(instant(now), *code);
            return Ok(());
        }
        let session = Self::session(&mut self.actor, place)?;
        let at = to_core(instant(now));
        match order {
            Order::Say(head, payload, is_counted) => {
                let pending = Pending { head, payload, said: 0, is_counted };
                return self.say(place, pending);
            }
            Order::Request(route, payload) => {
                let id = session.free_request().ok_or("no request is free")?;
                let head = Head::Request { id, route };
                return self.say(place, Pending { head, payload, said: 0, is_counted: false });
            }
            Order::Finish => drop(session.finish()?),
            Order::Close(code) => session.close(at, code, 0),
            Order::End(code) => session.end(at, code),
            Order::Drain(grace, spread) => {
                let code = CloseCode::GOING_AWAY;
                session.drain(at, code, grace, spread).map_err(|_| "it cannot leave")?;
            }
        }
        Ok(())
    }

    /// Says something at once, or queues it if it may wait.
    fn say(&mut self, place: u64, mut pending: Pending) -> Result<(), Refused> {
        let session = Self::session(&mut self.actor, place)?;
        let queue = self.queues.entry(place).or_default();
        let said = if queue.is_empty() || !pending.is_counted {
            pending.say(session)
        } else {
            Err(SendError::Full)
        };
        match said {
            Ok(()) if pending.is_counted => self.tell.out.took(place, 1),
            Ok(()) => {}
            // What has begun has to be completed before anything else.
            Err(SendError::Full) if pending.said > 0 => queue.push_front(pending),
            Err(SendError::Full | SendError::MessageOpen) if pending.is_counted => {
                queue.push_back(pending);
            }
            Err(why) => return Err(Refused::Send(why)),
        }
        Ok(())
    }

    /// Says what there is room for by now.
    fn catch_up(&mut self) {
        for place in self.tell.over.drain(..) {
            self.queues.remove(&place);
        }
        for (place, queue) in &mut self.queues {
            if queue.is_empty() {
                continue;
            }
            let Ok(session) = Self::session(&mut self.actor, *place) else { continue };
            while let Some(first) = queue.front_mut() {
                match first.say(session) {
                    Ok(()) if first.is_counted => self.tell.out.took(*place, 1),
                    Ok(()) => {}
                    Err(SendError::Full | SendError::MessageOpen) => break,
                    Err(why) => self.tell.out.say(format_args!("refused {place} {why}")),
                }
                queue.pop_front();
            }
        }
    }

    /// Bytes kept for all sessions.
    fn held(&mut self, network: &mut Network) -> usize {
        let queued = |queue: &VecDeque<Pending>| -> usize {
            queue.iter().map(|pending| pending.payload.len() + 32).sum()
        };
        let queued: usize = self.queues.values().map(queued).sum();
        queued
            + match &mut self.actor {
                Actor::Nobody => 0,
                Actor::Client(client) => client.held(network),
                Actor::Server(server) => server.held(network),
            }
    }

    /// Sees to it that there is a socket for whoever comes next.
    pub(crate) fn listen(&mut self, now: u64, network: &mut Network) {
        if let Actor::Server(server) = &mut self.actor {
            server.listen(now, network, &mut self.tell);
        }
    }

    /// Does what is due, and says when more is.
    pub(crate) fn poll(&mut self, now: u64, network: &mut Network) -> Due {
        let mut due = None;
        // What is said because there is room for it goes at once.
        for _ in 0..2 {
            due = match &mut self.actor {
                Actor::Nobody => None,
                Actor::Client(client) => client.poll(instant(now), network, &mut self.tell),
                Actor::Server(server) => server.poll(instant(now), network, &mut self.tell),
            };
            self.catch_up();
        }
        due
    }
}

/// Why something was not done.
enum Refused {
    Wrong(Wrong),
    Send(SendError),
}

impl From<Wrong> for Refused {
    fn from(why: Wrong) -> Self {
        Self::Wrong(why)
    }
}

impl From<SendError> for Refused {
    fn from(why: SendError) -> Self {
        Self::Send(why)
    }
}
