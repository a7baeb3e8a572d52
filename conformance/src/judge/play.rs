//! A session of the judge's, which keeps the rules where a case does not break them.

use super::{Done, Far, Fault, Judge, ensure};
use crate::raw::{self, Claim, Frame, Hello, kind};

/// What the judge grants.
pub(crate) const WINDOW: u32 = 1 << 20;

/// A session at a server.
pub(crate) struct Play {
    pub(crate) far: Far,
    pub(crate) hello: Hello,
    pub(crate) claim: Claim,
    pub(crate) welcome: Frame,
    /// What was sent and not acknowledged.
    unacked: Vec<u8>,
    acked: u64,
    /// The newest limit that was told.
    limit: u64,
    partial: Option<(u8, Vec<u8>)>,
    got: Vec<Got>,
    closed: Option<Frame>,
}

/// Something whole that came in sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Got {
    /// A message, by its route.
    Message(u32, Vec<u8>),
    /// A response: number and status.
    Response(u16, u8, Vec<u8>),
    /// FIN.
    Fin,
}

/// The HELLO of the judge, with credentials if there are any.
pub(crate) fn hello(judge: &Judge<'_>) -> Hello {
    let mut hello = Hello { window: WINDOW, send_buffer: WINDOW, ..Hello::default() };
    if let Some(token) = &judge.options.token {
        hello.flags |= 4;
        hello.options.extend([0x03, (token.len() + 1) as u8, 1]);
        hello.options.extend(token);
    }
    hello
}

impl Judge<'_> {
    /// A new session.
    pub(crate) fn play(&mut self) -> Done<Play> {
        let hello = hello(self);
        self.play_with(hello)
    }

    pub(crate) fn play_with(&mut self, hello: Hello) -> Done<Play> {
        let mut far = self.connect()?;
        self.write(&mut far, &hello.encode())?;
        let welcome = self.frame(&mut far)?;
        let Some(session) = welcome.option(0x10).filter(|_| welcome.kind == kind::WELCOME) else {
            return Err(Fault::Wrong(format!("no WELCOME with a session, but {welcome:?}"), None));
        };
        let mut key = [0; 16];
        key.copy_from_slice(&session[16..32]);
        let sid = session[..8].iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte));
        let claim = Claim { sid, attach: 1, key_id: session[12], key, rx_next: 0, tx_first: 0 };
        let mut play = Play::new(far, hello, claim, welcome);
        self.acknowledge(&mut play)?;
        Ok(play)
    }

    /// Writes to the session's connection.
    pub(crate) fn say(&mut self, play: &mut Play, bytes: &[u8]) -> Done {
        self.write(&mut play.far, bytes)
    }

    /// Sends sequenced frames, when the credit allows it.
    pub(crate) fn send(&mut self, play: &mut Play, frame: &[u8]) -> Done {
        while play.sent() + frame.len() as u64 > play.limit {
            self.step(play)?;
        }
        play.unacked.extend(frame);
        self.write(&mut play.far, frame)
    }

    pub(super) fn acknowledge(&mut self, play: &mut Play) -> Done {
        let ack = play.claim.rx_next as u32;
        self.write(&mut play.far, &raw::ack(ack, ack.wrapping_add(WINDOW)))
    }

    /// Takes the next frame of an honest end.
    pub(crate) fn step(&mut self, play: &mut Play) -> Done {
        let frame = self.frame(&mut play.far)?;
        if frame.kind & 0x80 != 0 {
            play.claim.rx_next += 4 + frame.body.len() as u64;
            play.take(&frame)?;
            return self.acknowledge(play);
        }
        match frame.kind {
            kind::ACK => play.acknowledged(frame.number::<4>(0), frame.number::<4>(4)),
            kind::PONG if frame.body.len() == 16 => {
                play.acknowledged(frame.number::<4>(8), frame.number::<4>(12))
            }
            kind::PONG => Ok(()),
            kind::PING if frame.body.is_empty() => self.say(play, &raw::frame(kind::PONG, 0, &[])),
            kind::PING => {
                let pong = play.probe(kind::PONG, frame.number::<4>(0) as u32);
                self.say(play, &pong)?;
                play.acknowledged(frame.number::<4>(8), frame.number::<4>(12))
            }
            kind::NOTE | kind::GREASE | 0x41 | kind::DRAIN => Ok(()),
            kind::CLOSE => {
                let what = format!("unexpected: {frame:?}");
                play.closed = Some(frame);
                Err(Fault::Wrong(what, None))
            }
            _ => Err(Fault::Wrong(format!("unexpected: {frame:?}"), None)),
        }
    }

    /// The next thing that came in sequence.
    pub(crate) fn next(&mut self, play: &mut Play) -> Done<Got> {
        while play.got.is_empty() {
            self.step(play)?;
        }
        Ok(play.got.remove(0))
    }

    /// The end is alive: it answers a PING with this session's positions.
    pub(crate) fn is_alive(&mut self, play: &mut Play, nonce: u32) -> Done<Frame> {
        let ping = play.probe(kind::PING, nonce);
        self.say(play, &ping)?;
        loop {
            let frame = self.frame(&mut play.far)?;
            if frame.kind == kind::PONG && frame.body.len() == 16 {
                let echoed = frame.number::<4>(0) as u32;
                ensure(echoed == nonce, || format!("nonce {echoed:08x}, not {nonce:08x}"))?;
                play.acknowledged(frame.number::<4>(8), frame.number::<4>(12))?;
                return Ok(frame);
            }
            if frame.kind & 0x80 != 0 {
                play.claim.rx_next += 4 + frame.body.len() as u64;
                play.take(&frame)?;
                self.acknowledge(play)?;
            } else if frame.kind == kind::CLOSE {
                return Err(Fault::Wrong(format!("closed: {frame:?}"), None));
            }
        }
    }

    /// Claims the session on another connection; the old one is returned.
    pub(crate) fn claim(&mut self, play: &mut Play) -> Done<Far> {
        let fresh = self.connect()?;
        let old = std::mem::replace(&mut play.far, fresh);
        play.claim.attach += 1;
        play.claim.tx_first = play.acked;
        let hello = play.hello.resuming(&play.claim).encode();
        self.write(&mut play.far, &hello)?;
        Ok(old)
    }

    /// The session goes on, on another connection: what was not received is sent again.
    pub(crate) fn resume(&mut self, play: &mut Play) -> Done<Far> {
        loop {
            let old = self.claim(play)?;
            let welcome = match self.frame(&mut play.far) {
                // Others came first; the claim was not looked at.
                Err(Fault::Busy(millis)) => {
                    self.pass(u64::from(millis.clamp(20, 2_000)) * 1_000);
                    continue;
                }
                other => other?,
            };
            let resumed = welcome.option(0x11).filter(|_| welcome.kind == kind::WELCOME);
            let Some(resumed) = resumed.and_then(|resumed| resumed.first_chunk::<8>()) else {
                return Err(Fault::Wrong(format!("not resumed: {welcome:?}"), None));
            };
            let again = play.unreceived(u64::from_le_bytes(*resumed))?;
            play.limit_again();
            self.acknowledge(play)?;
            self.write(&mut play.far, &again)?;
            return Ok(old);
        }
    }
}

impl Play {
    /// A session that has just begun. `peer` is the HELLO or WELCOME of the other end.
    pub(crate) fn new(far: Far, hello: Hello, claim: Claim, peer: Frame) -> Self {
        let limit = peer.number::<4>(20);
        let (unacked, got) = (Vec::new(), Vec::new());
        let (partial, closed) = (None, None);
        Self { far, hello, claim, welcome: peer, unacked, acked: 0, limit, partial, got, closed }
    }

    /// Whether CLOSE came with OK, SESSION_ENDED and this position.
    pub(crate) fn has_ended(&self, rx_next: u64) -> bool {
        let ended =
            |frame: &Frame| frame.close() == Some((0, 5)) && frame.number::<8>(8) == rx_next;
        self.closed.as_ref().is_some_and(ended)
    }

    pub(crate) const fn acked(&self) -> u64 {
        self.acked
    }

    /// After a resume: step 10 of section 9.
    pub(crate) fn limit_again(&mut self) {
        self.limit = self.limit.max(self.acked + self.welcome.number::<4>(20));
    }

    /// What has to be sent again to an end that received so much.
    pub(crate) fn unreceived(&self, received: u64) -> Done<Vec<u8>> {
        let (acked, sent) = (self.acked, self.sent());
        let fits = (acked..=sent).contains(&received);
        ensure(fits, || format!("{received} received of {acked}..{sent}"))?;
        Ok(self.unacked[(received - acked) as usize..].to_vec())
    }

    pub(crate) fn sent(&self) -> u64 {
        self.acked + self.unacked.len() as u64
    }

    /// A full PING or PONG that is right.
    pub(crate) fn probe(&self, kind: u8, nonce: u32) -> Vec<u8> {
        let ack = self.claim.rx_next as u32;
        raw::probe(kind, nonce, self.sent() as u32, ack, ack.wrapping_add(WINDOW))
    }

    /// Counts bytes that were said without `send`.
    pub(crate) fn counts(&mut self, bytes: &[u8]) {
        self.unacked.extend(bytes);
    }

    fn acknowledged(&mut self, ack: u64, limit: u64) -> Done {
        let ahead = (ack as u32).wrapping_sub(self.acked as u32) as usize;
        ensure(ahead <= self.unacked.len(), || format!("{ack} acknowledged, not sent"))?;
        self.unacked.drain(..ahead);
        self.acked += ahead as u64;
        let more = (limit as u32).wrapping_sub(self.limit as u32);
        ensure(more < 1 << 31, || format!("credit went back to {limit}"))?;
        self.limit += u64::from(more);
        Ok(())
    }

    fn take(&mut self, frame: &Frame) -> Done {
        match frame.kind {
            kind::MSG | kind::RSP if frame.more => {
                self.partial = Some((frame.kind, [&[frame.tag], &frame.body[..]].concat()));
            }
            kind::CONT => {
                let (begun, mut all) = self.partial.take().unwrap_or((kind::MSG, Vec::new()));
                all.extend(&frame.body);
                if frame.more {
                    self.partial = Some((begun, all));
                } else if let Some((tag, body)) = all.split_first() {
                    self.whole(begun, *tag, body)?;
                }
            }
            kind::TOKEN => {
                self.claim.key_id = frame.tag;
                let key = frame.body.first_chunk();
                self.claim.key = *key.ok_or_else(|| Fault::Wrong("no key".into(), None))?;
            }
            kind::FIN => self.got.push(Got::Fin),
            _ => self.whole(frame.kind, frame.tag, &frame.body)?,
        }
        Ok(())
    }

    fn whole(&mut self, kind: u8, tag: u8, body: &[u8]) -> Done {
        let number =
            |bytes: &[u8]| bytes.iter().rev().fold(0, |all: u32, byte| all << 8 | u32::from(*byte));
        match kind {
            kind::MSG => {
                let at = [0, 2, 4][usize::from(tag == 0xFE) + 2 * usize::from(tag == 0xFF)];
                let route = if at == 0 { u32::from(tag) } else { number(&body[..at]) };
                self.got.push(Got::Message(route, body[at..].to_vec()));
            }
            kind::RSP => {
                let id = number(&body[..2]) as u16;
                self.got.push(Got::Response(id, tag, body[2..].to_vec()));
            }
            _ => {}
        }
        Ok(())
    }
}
