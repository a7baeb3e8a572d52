//! The options of HELLO and WELCOME that have an inside.

use core::fmt;

use super::bytes::{Reader, Writer, words};

/// Bytes of a RESUME in front of its proof.
pub(crate) const CLAIM_LEN: usize = 32;

pub(super) const TLV_RESUME: u8 = 0x02;
pub(super) const TLV_AUTH: u8 = 0x03;
pub(super) const TLV_SESSION: u8 = 0x10;
pub(super) const TLV_RESUMED: u8 = 0x11;

/// The claim to a session: who, which attempt, from where, and the proof.
#[derive(Copy, Clone, PartialEq, Eq)]
pub struct Resume {
    /// The session.
    pub sid: u64,
    /// The attempt, strictly increasing over the life of the session.
    pub attach: u32,
    /// Which key the proof was made with.
    pub key_id: u8,
    /// 0: the key itself, for authenticated encrypted transports only; 1: HMAC-SHA256.
    pub proof_kind: u8,
    /// Position of the next sequenced byte this side has not received.
    pub rx_next: u64,
    /// First position this side still holds for sending.
    pub tx_first: u64,
    /// The proof of ownership.
    pub proof: [u8; 16],
}

/// One step of an authentication method inside HELLO.
#[derive(Copy, Clone, PartialEq, Eq)]
pub struct AuthData<'b> {
    /// The method's number.
    pub method: u8,
    /// The method's data, at most 254 bytes here.
    pub data: &'b [u8],
}

/// A new session: its name and its first key.
#[derive(Copy, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The session's name.
    pub sid: u64,
    /// Which owner of the session this is; grows with every hand-over.
    pub epoch: u32,
    /// The number of the key.
    pub key_id: u8,
    /// The key. It is not shown by `Debug`.
    pub key: [u8; 16],
}

/// A resumed session: where each direction goes on.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct Resumed {
    /// Position of the next sequenced byte the server has not received.
    pub rx_next: u64,
    /// First position the server still holds for sending.
    pub tx_first: u64,
    /// Which owner of the session this is; grows with every hand-over.
    pub epoch: u32,
}

impl Resume {
    pub(super) const LEN: u8 = 48;

    pub(super) fn decode(value: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(exactly(value, Self::LEN)?);
        let (sid, attach) = (reader.u64()?, reader.u32()?);
        //= FRM-21
        let [key_id, proof_kind, 0, 0] = reader.take()? else {
            return None;
        };
        Some(Self {
            sid,
            attach,
            key_id,
            proof_kind,
            rx_next: reader.u64()?,
            tx_first: reader.u64()?,
            proof: reader.take()?,
        })
    }

    pub(crate) fn encode(&self, writer: &mut Writer<'_>) {
        writer.option_with(TLV_RESUME, self.covered().as_flattened(), &self.proof);
    }

    /// What lies in front of the proof, by words.
    pub(crate) fn covered(&self) -> [[u8; 4]; CLAIM_LEN / 4] {
        let [sid, id] = words(self.sid);
        let [rx, next] = words(self.rx_next);
        let [tx, first] = words(self.tx_first);
        let kinds = [self.key_id, self.proof_kind, 0, 0];
        [sid, id, self.attach.to_le_bytes(), kinds, rx, next, tx, first]
    }
}

impl Grant {
    pub(super) const LEN: u8 = 32;

    pub(super) fn decode(value: &[u8]) -> Option<Self> {
        let (sid, epoch, key_id, key) = Self::read(value)?;
        Some(Self { sid, epoch, key_id, key: *key })
    }

    /// As `decode`, but leaves the key where it is.
    pub(crate) fn read(value: &[u8]) -> Option<(u64, u32, u8, &[u8; 16])> {
        let (head, key) = exactly(value, Self::LEN)?.split_last_chunk()?;
        let mut reader = Reader::new(head);
        let (sid, epoch) = (reader.u64()?, reader.u32()?);
        //= FRM-21
        let [key_id, 0, 0, 0] = reader.take()? else {
            return None;
        };
        Some((sid, epoch, key_id, key))
    }

    pub(crate) fn encode(&self, writer: &mut Writer<'_>) {
        writer.put(&[TLV_SESSION, Self::LEN]);
        writer.put(&self.sid.to_le_bytes());
        writer.put(&self.epoch.to_le_bytes());
        writer.put(&[self.key_id, 0, 0, 0]);
        writer.put(&self.key);
    }
}

impl Resumed {
    pub(super) const LEN: u8 = 20;

    pub(crate) fn decode(value: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(exactly(value, Self::LEN)?);
        Some(Self { rx_next: reader.u64()?, tx_first: reader.u64()?, epoch: reader.u32()? })
    }

    pub(crate) fn encode(&self, writer: &mut Writer<'_>) {
        writer.put(&[TLV_RESUMED, Self::LEN]);
        writer.put(&self.rx_next.to_le_bytes());
        writer.put(&self.tx_first.to_le_bytes());
        writer.put(&self.epoch.to_le_bytes());
    }
}

impl<'b> AuthData<'b> {
    pub(super) fn decode(value: &'b [u8]) -> Option<Self> {
        let (method, data) = value.split_first()?;
        Some(Self { method: *method, data })
    }

    pub(super) fn encode(&self, writer: &mut Writer<'_>) {
        writer.option_with(TLV_AUTH, &[self.method], self.data);
    }
}

fn exactly(value: &[u8], len: u8) -> Option<&[u8]> {
    (value.len() == usize::from(len)).then_some(value)
}

impl fmt::Debug for Resume {
    /// Leaves the proof out: of kind 0 it is the key itself.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resume")
            .field("sid", &format_args!("{:#018x}", self.sid))
            .field("attach", &self.attach)
            .field("key_id", &self.key_id)
            .field("proof_kind", &self.proof_kind)
            .field("rx_next", &self.rx_next)
            .field("tx_first", &self.tx_first)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for AuthData<'_> {
    /// Leaves the data out: it may be a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthData").field("method", &self.method).finish_non_exhaustive()
    }
}

impl fmt::Debug for Grant {
    /// Leaves the key out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant")
            .field("sid", &format_args!("{:#018x}", self.sid))
            .field("epoch", &self.epoch)
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}
