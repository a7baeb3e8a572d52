//! Connections on a line that has none: what begins one, and what breaks it.
//!
//! The protocol of a session wants a stream that loses nothing. A [`Line`] gives that or breaks: a
//! packet that is missing, disturbed or out of turn ends the connection, and the session resumes
//! over the next one, which says again what did not arrive. Repeating packets here would be a
//! second memory for what the session's ring holds already; and dropping them without a word, as if
//! the next were in turn, would hand the session a stream with a hole in it.

use super::packet::{Decoder, Kind, Packet, Received};

/// Which end of a line this is.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum End {
    /// Begins connections.
    Client,
    /// Is told that they begin.
    Server,
}

/// What came over a line.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Arrived<'b> {
    /// A connection begins, with these bytes; the one before is over.
    Start(&'b [u8]),
    /// More bytes of the connection.
    Data(&'b [u8]),
    /// The connection is over, whichever end saw it first.
    Over,
}

/// One end of a line.
#[derive(Debug)]
pub struct Line<'m> {
    decoder: Decoder<'m>,
    end: End,
    connection: u8,
    is_open: bool,
    /// The next packet says that the connection begins.
    begins: bool,
    /// The peer is to be told that this connection is over.
    tells_end: Option<u8>,
    next_out: u16,
    next_in: u16,
}

impl<'m> Line<'m> {
    /// A line without a connection. `memory` holds one received packet, see
    /// [`decoded_len`](super::packet::decoded_len); a client's first connection is the one after
    /// number `before`, which should differ from boot to boot.
    #[must_use]
    pub const fn new(end: End, before: u8, memory: &'m mut [u8]) -> Self {
        Self {
            decoder: Decoder::new(memory),
            end,
            connection: before,
            is_open: false,
            begins: false,
            tells_end: None,
            next_out: 0,
            next_in: 0,
        }
    }

    /// Whether there is a connection.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.is_open
    }

    /// A client begins another connection.
    pub const fn open(&mut self) {
        self.connection = self.connection.wrapping_add(1);
        (self.is_open, self.begins) = (true, true);
        (self.next_out, self.next_in) = (0, 0);
        self.tells_end = None;
    }

    /// The connection is over from here; the peer is told with the next packet.
    pub const fn close(&mut self) {
        if self.is_open {
            self.is_open = false;
            self.tells_end = Some(self.connection);
        }
    }

    /// Whether [`encode`](Self::encode) has something to write even without payload.
    #[must_use]
    pub const fn has_output(&self) -> bool {
        self.tells_end.is_some()
    }

    /// Writes the next packet to `out`: how much of `payload` is in it, and its length. Both are 0
    /// if there is nothing to write, or `out` has room for no more than an empty packet.
    pub fn encode(&mut self, payload: &[u8], out: &mut [u8]) -> (usize, usize) {
        if let Some(connection) = self.tells_end {
            let packet = Packet { kind: Kind::End, connection, number: 0, payload: &[] };
            self.tells_end = None;
            return (0, packet.encode(out).unwrap_or(0));
        }
        // A code byte for each run, one more, and the end.
        let overhead = super::packet::encoded_len(0) + out.len() / 254;
        let most = out.len().saturating_sub(overhead);
        let payload = payload.get(..most).unwrap_or(payload);
        if payload.is_empty() || !self.is_open {
            return (0, 0);
        }
        let kind = if self.begins { Kind::Start } else { Kind::Data };
        let (connection, number) = (self.connection, self.next_out);
        match (Packet { kind, connection, number, payload }).encode(out) {
            Some(len) => {
                self.begins = false;
                self.next_out = self.next_out.wrapping_add(1);
                (payload.len(), len)
            }
            None => (0, 0),
        }
    }

    /// Takes a byte from the line.
    pub fn receive(&mut self, byte: u8) -> Option<Arrived<'_>> {
        match self.decoder.take(byte) {
            Received::Nothing => return None,
            // Whose it was cannot be known: what is in turn may be missing now.
            Received::Corrupt => return self.break_off(),
            Received::Whole => {}
        }
        let (kind, connection, number) = {
            let packet = self.decoder.packet()?;
            (packet.kind, packet.connection, packet.number)
        };
        match kind {
            Kind::Start if self.end == End::Server => {
                (self.is_open, self.connection) = (true, connection);
                (self.next_out, self.next_in) = (0, 1);
                self.tells_end = None;
                self.decoder.packet().map(|packet| Arrived::Start(packet.payload))
            }
            Kind::End if self.is_open && connection == self.connection => {
                self.is_open = false;
                Some(Arrived::Over)
            }
            Kind::Data if self.is_open && connection == self.connection => {
                if number != self.next_in {
                    return self.break_off();
                }
                self.next_in = self.next_in.wrapping_add(1);
                self.decoder.packet().map(|packet| Arrived::Data(packet.payload))
            }
            Kind::Data => {
                // Of a connection that is over, and the peer does not know it.
                let stranger = !self.is_open && self.end == End::Server;
                self.tells_end = if stranger { Some(connection) } else { self.tells_end };
                None
            }
            Kind::Start | Kind::End => None,
        }
    }

    fn break_off(&mut self) -> Option<Arrived<'_>> {
        if !self.is_open {
            return None;
        }
        self.close();
        Some(Arrived::Over)
    }
}
