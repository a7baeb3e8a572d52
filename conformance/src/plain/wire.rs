//! A peer made of bytes: a socket that blocks, and the format alone to read what comes.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use outlast_service::plain::formats::{AnyFormat, Format, FormatKind, Step};

use crate::net::LONG;

/// One end of a connection.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    format: AnyFormat,
    input: Vec<u8>,
}

impl Wire {
    /// Connects.
    ///
    /// # Panics
    ///
    /// If nobody listens there.
    #[must_use]
    pub fn to(address: SocketAddr, format: AnyFormat) -> Self {
        Self::over(TcpStream::connect(address).expect("a listener"), format)
    }

    pub(super) fn over(stream: TcpStream, format: AnyFormat) -> Self {
        stream.set_nodelay(true).expect("an option of TCP");
        stream.set_read_timeout(Some(LONG)).expect("an option of the socket");
        Self { stream, format, input: Vec::new() }
    }

    /// The same connection for another thread.
    pub(super) fn socket(&self) -> TcpStream {
        self.stream.try_clone().expect("a descriptor")
    }

    pub(super) fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("a connection");
    }

    /// Writes what may cost the connection while it is under way.
    pub(super) fn offer(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Sends nothing more.
    pub(super) fn shut(&self) {
        // The other end may have closed it already.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// The payload of the next packet; `None` at the end of the stream.
    pub(super) fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            let taken = match self.format.decode(&self.input).expect("the format") {
                Step::Packet { packet, taken } => {
                    let payload = packet.payload.to_vec();
                    self.input.drain(..taken);
                    return Some(payload);
                }
                Step::Skip(taken) | Step::Bad { taken, .. } => Some(taken),
                Step::Need(_) => None,
            };
            if let Some(taken) = taken {
                self.input.drain(..taken);
                continue;
            }
            let mut chunk = [0; 16 << 10];
            match self.stream.read(&mut chunk) {
                Ok(0) => return None,
                Ok(count) => self.input.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                // A process that was stopped for a while goes on with this.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("nothing came: {error}"),
            }
        }
    }

    /// The payloads of `count` packets; of a format without packets, as many bytes as they have.
    pub(super) fn take(&mut self, payloads: &[Vec<u8>]) -> Vec<Vec<u8>> {
        if self.format.kind() != FormatKind::Raw {
            return payloads.iter().map_while(|_| self.next()).collect();
        }
        let wanted: usize = payloads.iter().map(Vec::len).sum();
        let mut bytes = Vec::new();
        while bytes.len() < wanted {
            match self.next() {
                Some(some) => bytes.extend(some),
                None => break,
            }
        }
        let mut rest = &bytes[..];
        payloads
            .iter()
            .map_while(|payload| {
                let (now, later) = rest.split_at_checked(payload.len())?;
                rest = later;
                Some(now.to_vec())
            })
            .collect()
    }
}
