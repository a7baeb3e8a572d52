//! What many cases begin with.

use outlast_core::{CloseCode, Config};

use crate::bench::{Bench, Peer};
use crate::driver::{Cmd, Obs, Subject};
use crate::model::Wrong;
use crate::raw::{self, Claim, Frame, Hello, kind};

/// A server's configuration that is quick to exhaust.
pub(crate) const SMALL: Config = Config {
    max_body: 200,
    max_message: 1000,
    window: 1000,
    window_max: 1000,
    send_buffer: 2000,
    max_requests: 4,
    max_requests_out: 4,
    idle_timeout_ms: 0,
    ack_delay_ms: 0,
    linger_ms: 200,
    ..Config::SERVER
};

/// How many milliseconds a handshake may take, in real time, where a case waits for that to be
/// over. Honest ones at the same server have to be through in that time even if the machine does
/// something else for a second.
pub(super) const GREET_MS: u32 = 2_500;

/// A server, a peer made of bytes at it, and the session between them.
pub(super) struct Table {
    pub(super) server: Box<dyn Subject>,
    pub(super) peer: Peer,
    pub(super) session: u64,
    /// What the session's next claim says if nothing has been received or sent.
    pub(super) claim: Claim,
    pub(super) hello: Hello,
}

impl Table {
    /// Opens a session with a server of this configuration.
    pub(super) fn set(bench: &mut Bench<'_>, config: Config) -> Result<Self, Wrong> {
        Self::set_with(bench, config, Hello::default())
    }

    pub(super) fn set_with(
        bench: &mut Bench<'_>,
        config: Config,
        hello: Hello,
    ) -> Result<Self, Wrong> {
        let server = bench.server(config)?;
        Self::at(bench, server, hello)
    }

    /// As `set`, at a server without a bystander, for cases that let long times pass.
    pub(super) fn alone(bench: &mut Bench<'_>, config: Config) -> Result<Self, Wrong> {
        let server = bench.driver().server(config);
        Self::at(bench, server, Hello::default())
    }

    /// Opens a session with this server.
    pub(super) fn at(
        bench: &mut Bench<'_>,
        mut server: Box<dyn Subject>,
        hello: Hello,
    ) -> Result<Self, Wrong> {
        let (peer, claim) = open(bench, &mut *server, &hello)?;
        let session = bench.expect(&mut *server, &Obs::Opened)?;
        Ok(Self { server, peer, session, claim, hello })
    }

    /// Writes these bytes and waits for CLOSE with this code.
    pub(super) fn refuses(
        &mut self,
        bench: &mut Bench<'_>,
        bytes: &[u8],
        code: CloseCode,
    ) -> Result<Frame, Wrong> {
        // The server may close before it has taken everything.
        let _ = self.peer.stream().write(bytes);
        bench.expect_close(&mut self.peer, code)
    }

    /// Writes these bytes and waits for the message "ok" that is written behind them.
    pub(super) fn bears(&mut self, bench: &mut Bench<'_>, bytes: &[u8]) -> Result<(), Wrong> {
        bench.write(&mut self.peer, bytes)?;
        bench.write(&mut self.peer, &raw::message(1, b"ok"))?;
        let ok = Obs::Message { route: 1, payload: b"ok".to_vec() };
        bench.expect(&mut *self.server, &ok).map(drop)
    }

    /// The session goes on, on another connection.
    pub(super) fn resumes(&mut self, bench: &mut Bench<'_>) -> Result<Frame, Wrong> {
        self.takes_over(bench).map(|(_, welcome)| welcome)
    }

    /// As `resumes`, and the old connection is kept.
    pub(super) fn takes_over(&mut self, bench: &mut Bench<'_>) -> Result<(Peer, Frame), Wrong> {
        let fresh = bench.plug(&mut *self.server)?;
        let old = std::mem::replace(&mut self.peer, fresh);
        self.claim.attach += 1;
        let hello = self.hello.resuming(&self.claim).encode();
        bench.write(&mut self.peer, &hello)?;
        let welcome = bench.frame(&mut self.peer)?;
        if welcome.kind != kind::WELCOME || welcome.option(0x11).is_none() {
            return Err(Wrong(format!("no WELCOME to a resume, but {welcome:?}")));
        }
        Ok((old, welcome))
    }

    /// The code that the next resume is refused with.
    pub(super) fn resume_refused(
        &mut self,
        bench: &mut Bench<'_>,
    ) -> Result<(CloseCode, Frame), Wrong> {
        self.peer = bench.plug(&mut *self.server)?;
        self.claim.attach += 1;
        let hello = self.hello.resuming(&self.claim).encode();
        bench.write(&mut self.peer, &hello)?;
        bench.close(&mut self.peer)
    }
}

/// A new session for a peer made of bytes, confirmed by an ACK.
pub(super) fn open(
    bench: &mut Bench<'_>,
    server: &mut dyn Subject,
    hello: &Hello,
) -> Result<(Peer, Claim), Wrong> {
    let (mut peer, claim) = greet(bench, server, hello)?;
    bench.write(&mut peer, &raw::ack(0, hello.window))?;
    Ok((peer, claim))
}

/// A new session for a peer made of bytes, whose client was not heard yet.
pub(super) fn greet(
    bench: &mut Bench<'_>,
    server: &mut dyn Subject,
    hello: &Hello,
) -> Result<(Peer, Claim), Wrong> {
    let mut peer = bench.plug(server)?;
    bench.write(&mut peer, &hello.encode())?;
    let welcome = bench.frame(&mut peer)?;
    let Some(session) = welcome.option(0x10).filter(|_| welcome.kind == kind::WELCOME) else {
        return Err(Wrong(format!("no WELCOME to a HELLO, but {welcome:?}")));
    };
    let mut key = [0; 16];
    key.copy_from_slice(&session[16..32]);
    let sid = session[..8].iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte));
    let claim = Claim { sid, attach: 1, key_id: session[12], key, rx_next: 0, tx_first: 0 };
    Ok((peer, claim))
}

/// Sends messages of this length until no more are taken, for a while; how many were.
pub(super) fn fill(
    bench: &mut Bench<'_>,
    subject: &mut dyn Subject,
    session: u64,
    length: usize,
) -> Result<u32, Wrong> {
    let (mut taken, mut refused) = (0, 0);
    bench.until("no room", || {
        let say = || Cmd::Send { route: 1, payload: vec![0; length] };
        let before = taken;
        while subject.command(session, say()).is_ok() {
            taken += 1;
        }
        refused = if taken == before { refused + 1 } else { 0 };
        (refused == 50).then_some(taken)
    })
}

/// That a subject comes to hold no more than so many bytes.
///
/// What a task holds while it runs is nobody's cost: where time is real it may have been stopped in
/// the midst of its work, and it is waited for.
pub(super) fn settles(
    bench: &mut Bench<'_>,
    subject: &dyn Subject,
    most: usize,
) -> Result<(), Wrong> {
    let mut held = subject.held_bytes();
    let settled = bench.until("its memory", || {
        held = subject.held_bytes();
        (held <= most).then_some(())
    });
    settled.map_err(|wrong| Wrong(format!("{wrong}: {held} bytes are held, not {most}")))
}

/// How many milliseconds have passed since `start`, a moment of the driver's.
pub(super) fn since(bench: &mut Bench<'_>, start: u64) -> u64 {
    (bench.driver().now() - start) / 1_000
}

/// That what has just happened did so `limit` milliseconds after `start`, and not before.
///
/// Where time is virtual, it is `late` milliseconds after that at most; where it is real, waiting
/// for it has an end anyway, and how late it may be depends on what else the machine does.
pub(super) fn within(
    bench: &mut Bench<'_>,
    start: u64,
    limit: u32,
    late: u64,
) -> Result<(), Wrong> {
    let (passed, limit) = (since(bench, start), u64::from(limit));
    let in_time = bench.either(passed <= limit + late, true);
    ensure(passed >= limit && in_time, || format!("after {passed} ms, not {limit}"))
}

/// What must hold.
pub(super) fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<(), Wrong> {
    if holds { Ok(()) } else { Err(Wrong(what())) }
}
