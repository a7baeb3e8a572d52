//! A server, clients that dial it, and peers whose every byte is written by hand.

use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard};

use outlast_core::wire::{Frame, Header, MAX_BODY, Op};
use outlast_core::{Attach, Config, HANDSHAKE_MAX, Instant, Session};
use outlast_service::{
    ClientConfig, Connector, Dialed, Handle, Handler, Incoming, Limits, Peer, ServerConfig,
};
use outlast_service::{Runner, Runtime, Server, SessionInfo, Transport};

use crate::executor::{Rng, Sim};
use crate::link::{Faults, Io, Link};

/// How the next connection is to be, or that there is to be none.
type Plan = Box<dyn FnMut(usize) -> Option<(Faults, Faults)> + Send>;

/// Where clients dial. Clones are the same place.
#[derive(Clone)]
pub(crate) struct Net(Arc<Mutex<NetState>>);

pub(crate) struct NetState {
    sim: Sim,
    plan: Plan,
    /// Takes the server's end of a connection.
    accept: Arc<dyn Fn(Io) + Send + Sync>,
    /// Every connection there ever was.
    pub(crate) links: Vec<Link>,
    /// How often anybody dialled.
    pub(crate) dialled: usize,
}

impl Net {
    pub(crate) fn new(sim: &Sim, accept: impl Fn(Io) + Send + Sync + 'static) -> Self {
        let plan: Plan = Box::new(|_| Some((Faults::default(), Faults::default())));
        let (sim, accept) = (sim.clone(), Arc::new(accept));
        Self(Arc::new(Mutex::new(NetState { sim, plan, accept, links: Vec::new(), dialled: 0 })))
    }

    /// In front of a server.
    pub(crate) fn serving<H: Handler>(sim: &Sim, server: &Server<Sim, H>) -> Self {
        let server = server.clone();
        Self::new(sim, move |io| server.spawn_connection(io, None))
    }

    /// Connections go to another server from now on.
    pub(crate) fn move_to<H: Handler>(&self, server: &Server<Sim, H>) {
        let server = server.clone();
        self.state().accept = Arc::new(move |io| server.spawn_connection(io, None));
    }

    /// Decides by their number how connections are.
    pub(crate) fn plan(
        &self,
        plan: impl FnMut(usize) -> Option<(Faults, Faults)> + Send + 'static,
    ) {
        self.state().plan = Box::new(plan);
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, NetState> {
        self.0.lock().unwrap()
    }

    /// The newest connection.
    pub(crate) fn last(&self) -> Link {
        self.state().links.last().unwrap().clone()
    }

    /// Makes a connection; this is the client's end.
    pub(crate) fn dial(&self) -> io::Result<Io> {
        let mut state = self.state();
        let number = state.dialled;
        state.dialled += 1;
        let Some((up, down)) = (state.plan)(number) else {
            return Err(ErrorKind::ConnectionRefused.into());
        };
        let link = Link::new(&state.sim, up, down, number as u64);
        state.links.push(link.clone());
        let accept = Arc::clone(&state.accept);
        drop(state);
        let (near, far) = link.ends();
        accept(far);
        Ok(near)
    }
}

impl Connector for Net {
    type Io = Io;

    async fn connect(&mut self, _: usize) -> io::Result<Dialed<Io>> {
        Ok(Dialed { io: self.dial()?, remote: None })
    }
}

/// A server that makes its handlers with `factory`, and its place in the network.
pub(crate) fn serve<H: Handler>(
    sim: &Sim,
    config: Config,
    factory: impl Fn(&SessionInfo) -> H + Send + Sync + 'static,
) -> (Server<Sim, H>, Net) {
    let server = Server::new(sim.clone(), served(config), factory).unwrap();
    let house = server.clone();
    sim.spawn(async move { house.keep_house().await });
    let net = Net::serving(sim, &server);
    (server, net)
}

/// A client that dials at once when it has to.
pub(crate) fn eager(seed: u64) -> ClientConfig {
    let mut config = ClientConfig { seed, ..ClientConfig::default() };
    config.dialer.backoff_base = 1_000;
    config.dialer.backoff_cap = 20_000;
    config
}

pub(crate) fn client(
    sim: &Sim,
    net: &Net,
    config: ClientConfig,
    handler: impl Handler,
) -> (Handle, Runner) {
    Runner::new(sim.clone(), config, net.clone(), handler).unwrap()
}

/// A handler with nothing to do.
pub(crate) fn deaf(_: &mut Peer<'_>, _: Incoming<'_>) {}

/// What handlers noted, for tests to read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    pub(crate) fn add(&self, note: impl Into<String>) {
        self.0.lock().unwrap().push(note.into());
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn count(&self, start: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|note| note.starts_with(start)).count()
    }

    /// Waits for a note with this beginning.
    pub(crate) async fn wait(&self, sim: &Sim, start: &str) {
        let since = sim.micros();
        while self.count(start) == 0 {
            assert!(sim.micros() < since + 600_000_000, "no {start} in {:?}", self.all());
            sim.sleep(500).await;
        }
    }
}

/// One end of a connection that is driven by hand: nothing happens unless it is called.
pub(crate) struct Raw {
    pub(crate) io: Io,
    sim: Sim,
    /// Read and not looked at yet.
    bytes: Vec<u8>,
}

impl Raw {
    pub(crate) fn new(sim: &Sim, io: Io) -> Self {
        Self { io, sim: sim.clone(), bytes: Vec::new() }
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::from_micros(1 + self.sim.micros())
    }

    pub(crate) async fn sleep(&self, micros: u64) {
        self.sim.sleep(micros).await;
    }

    pub(crate) async fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let slices = [IoSlice::new(bytes)];
            let written = poll_fn(|cx| self.io.poll_write(cx, &slices)).await?;
            bytes = &bytes[written..];
        }
        Ok(())
    }

    /// The next frame as it came; `None` at the end of the stream.
    pub(crate) async fn frame(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Ok(Some((_, _, rest))) = Frame::split(&self.bytes, MAX_BODY) {
                let size = self.bytes.len() - rest.len();
                return Some(self.bytes.drain(..size).collect());
            }
            let mut chunk = [0; 4096];
            match poll_fn(|cx| self.io.poll_read(cx, &mut chunk)).await {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.bytes.extend_from_slice(&chunk[..count]),
            }
        }
    }

    /// Skips to the next frame of this kind.
    pub(crate) async fn wait_for(&mut self, op: Op) -> Option<Vec<u8>> {
        loop {
            let frame = self.frame().await?;
            if op_of(&frame) == Some(op) {
                return Some(frame);
            }
        }
    }

    /// Asks for a new session, as a client with this configuration, and has it opened.
    pub(crate) async fn open(&mut self, config: Config) -> Session<Vec<u8>> {
        let mut session = Session::client(config, Vec::new()).unwrap();
        self.attach(&mut session).await;
        session
    }

    /// Sends HELLO, as a client with this configuration that has no session.
    pub(crate) async fn hello(&mut self, config: Config) -> Session<Vec<u8>> {
        let mut session = Session::client(config, Vec::new()).unwrap();
        let mut hello = [0; HANDSHAKE_MAX];
        let len = session.attach(self.now(), &Attach::default(), &mut hello).unwrap();
        // An end that closed already hears nothing.
        let _ = self.write(&hello[..len]).await;
        session
    }

    /// Greets; whether WELCOME is the answer.
    pub(crate) async fn greet(&mut self, config: Config) -> bool {
        self.hello(config).await;
        self.frame().await.is_some_and(|frame| op_of(&frame) == Some(Op::Welcome))
    }

    /// Greets, and hears WELCOME.
    pub(crate) async fn attach(&mut self, session: &mut Session<Vec<u8>>) {
        let mut hello = [0; HANDSHAKE_MAX];
        let len = session.attach(self.now(), &Attach::default(), &mut hello).unwrap();
        self.write(&hello[..len]).await.unwrap();
        let welcome = self.wait_for(Op::Welcome).await.unwrap();
        let mut input = &welcome[..];
        while session.handle_input(self.now(), &mut input).unwrap().is_some() {}
        let mut out = [0; 512];
        let len = session.poll_transmit(self.now(), &mut out);
        self.write(&out[..len]).await.unwrap();
    }
}

/// Plays a server to a client: takes its HELLO and answers with a session.
pub(crate) async fn welcome(raw: &mut Raw, config: Config, sid: u64) -> Session<Vec<u8>> {
    let hello = raw.wait_for(Op::Hello).await.unwrap();
    let (header, body, _) = Frame::split(&hello, MAX_BODY).unwrap().unwrap();
    let Ok(Frame::Hello(hello)) = Frame::decode(header, body) else {
        panic!("no HELLO");
    };
    let grant = outlast_core::wire::Grant { sid, epoch: 1, key_id: 0, key: [7; 16] };
    let mut out = [0; HANDSHAKE_MAX];
    let (now, storage) = (raw.now(), Vec::new());
    let made = Session::server(now, config, &hello, grant, 1, storage, &mut out).unwrap();
    raw.write(&out[..made.written]).await.unwrap();
    made.session
}

pub(crate) fn op_of(frame: &[u8]) -> Option<Op> {
    frame.first_chunk().and_then(|head| Header::from_bytes(*head).op())
}

/// The kinds of the whole frames in `bytes`; panics at what is no frame.
pub(crate) fn ops(mut bytes: &[u8]) -> Vec<Op> {
    let mut ops = Vec::new();
    while let Some((header, body, rest)) = Frame::split(bytes, MAX_BODY).unwrap() {
        Frame::decode(header, body).unwrap();
        ops.push(header.op().unwrap());
        bytes = rest;
    }
    ops
}

/// Runs `test` with each of these seeds and says which one failed.
pub(crate) fn for_seeds(seeds: u64, test: impl Fn(u64, Rng)) {
    let only = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    for seed in only.map_or(0..seeds, |seed| seed..seed + 1) {
        let told = Told(seed);
        test(seed, Rng(seed));
        std::mem::forget(told);
    }
}

/// Says on the way out of a panic how to repeat it.
struct Told(u64);

impl Drop for Told {
    fn drop(&mut self) {
        eprintln!("seed {}: repeat with SEED={}", self.0, self.0);
    }
}

/// A server for links of one source, as many and as often as the script wants.
pub(crate) fn served(session: Config) -> ServerConfig {
    ServerConfig { session, limits: Limits::one_source(), ..ServerConfig::default() }
}
