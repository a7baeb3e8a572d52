//! Both ends of a session, connected by two buffers that can be cut.

use outlast_core::auth::{SessionKey, verify_resume_proof};
use outlast_core::wire::{Grant, Hello};
use outlast_core::{Accepted, Acceptor, Attach, Config, Event, Greeting, Instant, Session};

/// Bytes that each end keeps until they are acknowledged.
pub const MEMORY: usize = 512;
/// Bytes on their way in one direction.
pub const WIRE: usize = 640;

/// A session as a microcontroller has it.
pub type End<'m> = Session<&'m mut [u8]>;

/// What an end takes besides its ring: the bar of `docs/embedded.md`, and a compile-time proof.
pub const STATE: usize = size_of::<Session<[u8; 0]>>();
const _: () = assert!(usize::BITS > 32 || STATE <= 384, "session state");

/// What went wrong: the number of the line where it did, for the exit code alone is not enough.
#[derive(Debug, Copy, Clone)]
pub struct Failed(pub u32);

/// What a step yields, or where it went wrong.
pub type Outcome<T = ()> = Result<T, Failed>;

/// `Failed` here unless the condition holds.
#[macro_export]
macro_rules! ensure {
    ($condition:expr) => {
        if !$condition {
            return Err($crate::pair::Failed(line!()));
        }
    };
}

/// The value, or `Failed` here.
#[macro_export]
macro_rules! take {
    ($value:expr) => {
        match $value.ok() {
            Some(value) => value,
            None => return Err($crate::pair::Failed(line!())),
        }
    };
}

/// All memory of a pair but the two states. Aligned: whole words are copied faster.
#[repr(C, align(4))]
pub struct Memory {
    rings: [[u8; MEMORY]; 2],
    wires: [[u8; WIRE]; 2],
}

impl Memory {
    /// Memory that nothing uses yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { rings: [[0; MEMORY]; 2], wires: [[0; WIRE]; 2] }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

/// Bytes that one end wrote and the other has not read.
pub struct Wire<'m> {
    bytes: &'m mut [u8; WIRE],
    len: usize,
}

impl Wire<'_> {
    /// Lets `end` write all that it has.
    pub fn fill(&mut self, end: &mut End<'_>, now: Instant) {
        while let Some(room) = self.bytes.get_mut(self.len..)
            && let count @ 1.. = end.poll_transmit(now, room)
        {
            self.len += count;
        }
    }

    /// Adds bytes; whether there was room.
    pub fn put(&mut self, bytes: &[u8]) -> bool {
        let end = self.len + bytes.len();
        let Some(room) = self.bytes.get_mut(self.len..end) else { return false };
        room.copy_from_slice(bytes);
        self.len = end;
        true
    }

    /// Bytes on their way.
    pub fn pending(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// They have arrived, or are lost.
    pub const fn clear(&mut self) {
        self.len = 0;
    }
}

/// A client, its server, and what is on its way between them.
pub struct Pair<'m> {
    /// The time at both.
    pub now: Instant,
    /// The end that dials.
    pub client: End<'m>,
    /// The end that was dialled; there once a HELLO came.
    pub server: Option<End<'m>>,
    /// The memory of the server that is not there yet.
    spare: Option<&'m mut [u8]>,
    /// From the client to the server.
    pub up: Wire<'m>,
    /// From the server to the client.
    pub down: Wire<'m>,
}

const CONFIG: Config = Config::CONSTRAINED;

impl<'m> Pair<'m> {
    /// Two ends that have not met.
    #[inline(never)]
    pub fn new(memory: &'m mut Memory) -> Outcome<Self> {
        let Memory { rings: [client, server], wires: [up, down] } = memory;
        let client = take!(Session::client(CONFIG, &mut client[..]));
        let (up, down) = (Wire { bytes: up, len: 0 }, Wire { bytes: down, len: 0 });
        let spare = Some(&mut server[..]);
        Ok(Self { now: Instant::from_micros(1), client, server: None, spare, up, down })
    }

    /// A connection: HELLO and WELCOME. The first opens the session, the next resume it, for which
    /// the client's proof is verified.
    #[inline(never)]
    pub fn connect(&mut self, seed: u32) -> Outcome {
        let now = self.now;
        self.up.clear();
        self.down.clear();
        let attach = Attach { seed, ..Attach::default() };
        let len = take!(self.client.attach(now, &attach, self.up.bytes));
        let mut acceptor = Acceptor::new(now, &CONFIG);
        let mut input = self.up.bytes.get(..len).unwrap_or_default();
        let greeting = take!(acceptor.handle_input(now, &mut input));
        let Some(Greeting::Hello(hello)) = greeting else { return Err(Failed(line!())) };
        self.down.len = match &mut self.server {
            Some(server) => resume(server, now, &hello, seed, self.down.bytes)?,
            None => {
                let Some(ring) = self.spare.take() else { return Err(Failed(line!())) };
                open(&mut self.server, now, &hello, ring, self.down.bytes)?
            }
        };
        self.up.clear();
        Ok(())
    }

    /// The connection is gone, and all that was on its way.
    pub fn cut(&mut self) {
        self.client.detach(self.now);
        if let Some(server) = &mut self.server {
            server.detach(self.now);
        }
        self.up.clear();
        self.down.clear();
    }

    /// A turn of the client: it hears what came, and says what it has.
    #[inline(never)]
    pub fn client_turn(&mut self, hear: impl FnMut(&mut End<'_>, Event<'_>) -> Outcome) -> Outcome {
        turn(&mut self.client, self.now, &mut self.down, &mut self.up, hear)
    }

    /// A turn of the server.
    #[inline(never)]
    pub fn server_turn(&mut self, hear: impl FnMut(&mut End<'_>, Event<'_>) -> Outcome) -> Outcome {
        let Some(server) = &mut self.server else { return Err(Failed(line!())) };
        turn(server, self.now, &mut self.up, &mut self.down, hear)
    }
}

fn turn(
    end: &mut End<'_>,
    now: Instant,
    from: &mut Wire<'_>,
    to: &mut Wire<'_>,
    mut hear: impl FnMut(&mut End<'_>, Event<'_>) -> Outcome,
) -> Outcome {
    let mut input = from.pending();
    while let Some(event) = take!(end.handle_input(now, &mut input)) {
        hear(end, event)?;
    }
    // Whole frames are written, so nothing may be left over.
    ensure!(input.is_empty());
    from.clear();
    end.handle_timeout(now);
    to.fill(end, now);
    Ok(())
}

#[inline(never)]
fn open<'m>(
    slot: &mut Option<End<'m>>,
    now: Instant,
    hello: &Hello<'_>,
    ring: &'m mut [u8],
    out: &mut [u8],
) -> Outcome<usize> {
    let grant = Grant { sid: 7, epoch: 1, key_id: 1, key: [3; 16] };
    // Moved once, from where it was returned to: by way of a variable it would be copied twice.
    match End::server(now, CONFIG, hello, grant, 5, ring, out) {
        Ok(Accepted { session, written }) => {
            *slot = Some(session);
            Ok(written)
        }
        Err(_) => Err(Failed(line!())),
    }
}

#[inline(never)]
fn resume(
    server: &mut End<'_>,
    now: Instant,
    hello: &Hello<'_>,
    seed: u32,
    out: &mut [u8],
) -> Outcome<usize> {
    let Some(claim) = &hello.resume else { return Err(Failed(line!())) };
    let key = SessionKey::new(server.grant().key);
    ensure!(verify_resume_proof(&key, claim, &[], false));
    Ok(take!(server.accept(now, hello, seed, out)))
}
