//! A board on a serial line, and the program at the line's other end that carries its connections
//! on to a server over TCP. Both are here in one, with the line in memory, which loses a byte.

#![expect(
    clippy::std_instead_of_core,
    clippy::expect_used,
    clippy::cast_possible_truncation,
    clippy::wildcard_enum_match_arm,
    reason = "it runs on the host, and what cannot be ends it"
)]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::pending;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use embedded_io::{ErrorType, Read, ReadReady, Write};
use outlast_embedded::serial::line::{Arrived, End, Line};
use outlast_embedded::serial::packet::{decoded_len, encoded_len};
use outlast_embedded::serial::{SerialClient, SerialResources};
use outlast_embedded::{Event, Instant, Route, Session, StreamConfig};
use outlast_tokio as outlast;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout_at;

#[expect(dead_code, reason = "the client is a board's here")]
mod application {
    use super::outlast;

    include!("../../examples/echo.rs");

    pub(crate) async fn server() -> std::io::Result<Running> {
        serve().await
    }
}

/// Bytes of what one packet on the line carries.
const PACKET: usize = 64;

/// What is under way on the line in one direction.
type Wire = RefCell<VecDeque<u8>>;

/// An end of the line. On a board: its UART.
struct Uart<'w> {
    from: &'w Wire,
    to: &'w Wire,
}

impl ErrorType for Uart<'_> {
    type Error = Infallible;
}

impl ReadReady for Uart<'_> {
    fn read_ready(&mut self) -> Result<bool, Infallible> {
        Ok(!self.from.borrow().is_empty())
    }
}

impl Read for Uart<'_> {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Infallible> {
        let mut bytes = self.from.borrow_mut();
        let count = bytes.len().min(buf.len());
        buf.iter_mut().zip(bytes.drain(..count)).for_each(|(to, from)| *to = from);
        Ok(count)
    }
}

impl Write for Uart<'_> {
    fn write(&mut self, buf: &[u8]) -> Result<usize, Infallible> {
        self.to.borrow_mut().extend(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// The other end of the line: each connection on it is one of TCP. It knows nothing of sessions.
struct Gateway<'m> {
    line: Line<'m>,
    server: SocketAddr,
    stream: Option<TcpStream>,
    /// What came from the server and is not on the line yet.
    waiting: Vec<u8>,
}

impl Gateway<'_> {
    /// Carries on what there is, both ways; whether there was anything.
    async fn turn(&mut self, uart: &mut Uart<'_>) -> std::io::Result<bool> {
        let mut moved = false;
        let mut byte = [0];
        while uart.read_ready() == Ok(true) && uart.read(&mut byte) == Ok(1) {
            moved = true;
            let (begins, bytes) = match self.line.receive(byte[0]) {
                None => continue,
                Some(Arrived::Over) => {
                    (self.stream, self.waiting) = (None, Vec::new());
                    continue;
                }
                Some(Arrived::Start(bytes)) => (true, bytes),
                Some(Arrived::Data(bytes)) => (false, bytes),
            };
            if begins {
                self.waiting.clear();
                self.stream = Some(TcpStream::connect(self.server).await?);
            }
            let written = match &mut self.stream {
                Some(stream) => stream.write_all(bytes).await,
                None => Ok(()),
            };
            if written.is_err() {
                self.close();
            }
        }
        let mut bytes = [0; 512];
        match self.stream.as_ref().map(|stream| stream.try_read(&mut bytes)) {
            Some(Ok(count)) if count > 0 => self.waiting.extend(bytes.iter().take(count)),
            Some(Err(error)) if error.kind() == ErrorKind::WouldBlock => {}
            Some(_) => self.close(),
            None => {}
        }
        let mut packet = [0; encoded_len(PACKET)];
        loop {
            let (taken, len) = self.line.encode(&self.waiting, &mut packet);
            self.waiting.drain(..taken);
            let _ = uart.write(packet.get(..len).unwrap_or_default());
            if len == 0 {
                return Ok(moved);
            }
            moved = true;
        }
    }

    /// The server has closed the connection: so is that on the line, once everything is on it.
    fn close(&mut self) {
        self.stream = None;
        if self.waiting.is_empty() {
            self.line.close();
        }
    }

    /// Waits until the server says something.
    async fn readable(&self) {
        match &self.stream {
            Some(stream) => drop(stream.readable().await),
            None => pending().await,
        }
    }
}

/// Says ten things, one after the other; the answer to the fifth loses a byte on its way.
struct Talk<'w> {
    said: u32,
    down: &'w Wire,
    loses: bool,
}

impl Talk<'_> {
    fn say(&mut self, session: &mut Session<'_>) {
        self.said += 1;
        self.loses = self.said == 5;
        let id = session.free_request().expect("one is enough");
        let said = format!("hello {}", self.said);
        session.request(id, Route::from(1u8), said.as_bytes()).expect("room for a few bytes");
    }

    /// What the line does to what is on it.
    fn disturb(&mut self) {
        if self.loses && self.down.borrow_mut().pop_front().is_some() {
            self.loses = false;
            println!("(cut off: a byte was lost)");
        }
    }

    fn handle(&mut self, session: &mut Session<'_>, event: Event<'_>) {
        match event {
            Event::Opened => self.say(session),
            Event::Resumed { .. } => println!("(back, and nothing is lost)"),
            Event::Response { payload, .. } => {
                assert_eq!(payload, format!("hello {}", self.said).as_bytes());
                println!("hello {}", self.said);
                if self.said < 10 {
                    self.say(session);
                } else {
                    session.finish().expect("nobody has finished before");
                }
            }
            _ => {}
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = application::server().await?;
    let (up, down) = (Wire::default(), Wire::default());
    let (mut here, mut there) = (Uart { from: &down, to: &up }, Uart { from: &up, to: &down });
    // All the memory of the board: what was sent and not yet taken, what is read, what is written,
    // and a packet of the line each way.
    let mut memory = SerialResources::<512, 256, 256, { encoded_len(PACKET) }>::new();
    let (memory, incoming, outgoing) = memory.parts();
    // On a board: a number that differs from boot to boot.
    let mut client = SerialClient::new(memory, incoming, outgoing, StreamConfig::new(7))?;
    let mut packet = [0; decoded_len(PACKET)];
    let line = Line::new(End::Server, 0, &mut packet);
    let server_address = server.local_addr();
    let mut gateway = Gateway { line, server: server_address, stream: None, waiting: Vec::new() };
    let mut talk = Talk { said: 0, down: &down, loses: false };
    let start = tokio::time::Instant::now();
    while client.stopped().is_none() {
        let now = Instant::from_micros(start.elapsed().as_micros() as u64);
        talk.disturb();
        let next = client.poll(now, &mut here, |session, event| talk.handle(session, event))?;
        if gateway.turn(&mut there).await? || !down.borrow().is_empty() {
            continue;
        }
        let next = next.map_or(Duration::MAX, |next| Duration::from_micros(next.as_micros()));
        match start.checked_add(next) {
            Some(at) => drop(timeout_at(at, gateway.readable()).await),
            None => gateway.readable().await,
        }
    }
    server.shutdown(Duration::from_secs(1)).await;
    Ok(())
}
