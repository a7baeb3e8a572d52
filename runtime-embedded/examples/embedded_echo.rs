//! A board's end of an echo, on the host and over its TCP. The other end is the server that the
//! other runtimes' examples have.

#![expect(
    clippy::std_instead_of_core,
    clippy::expect_used,
    clippy::cast_possible_truncation,
    clippy::wildcard_enum_match_arm,
    reason = "it runs on the host, and what cannot be ends it"
)]

use std::future::{Future, pending};
use std::time::Duration;

use embedded_io_adapters::tokio_1::FromTokio;
use outlast_embedded::stream::{Client, Timer};
use outlast_embedded::{Event, Instant, Route, Session, StreamConfig, StreamResources};
use outlast_tokio as outlast;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout_at;

#[expect(dead_code, reason = "the client is a board's here")]
mod application {
    use super::outlast;

    include!("../../examples/echo.rs");

    pub(crate) async fn server() -> std::io::Result<Running> {
        serve().await
    }
}

/// What counts the board's microseconds, here that of tokio.
struct Clock(tokio::time::Instant);

impl Timer for Clock {
    fn now(&self) -> Instant {
        Instant::from_micros(self.0.elapsed().as_micros() as u64)
    }

    fn wait_until(&self, at: Instant) -> impl Future<Output = ()> {
        let at = self.0 + Duration::from_micros(at.as_micros());
        async move { drop(timeout_at(at, pending::<()>()).await) }
    }
}

/// Says ten things, one after the other.
struct Talk<'c> {
    said: u32,
    /// Somebody pulls the cable now.
    cut: &'c Notify,
}

impl Talk<'_> {
    fn say(&mut self, session: &mut Session<'_>) {
        self.said += 1;
        let id = session.free_request().expect("one is enough");
        let said = format!("hello {}", self.said);
        session.request(id, Route::from(1u8), said.as_bytes()).expect("room for a few bytes");
    }

    fn handle(&mut self, session: &mut Session<'_>, event: Event<'_>) {
        match event {
            Event::Opened => self.say(session),
            Event::Resumed { .. } => println!("(back, and nothing is lost)"),
            Event::Response { payload, .. } => {
                assert_eq!(payload, format!("hello {}", self.said).as_bytes());
                println!("hello {}", self.said);
                if self.said == 5 {
                    self.cut.notify_one();
                }
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
    // All the memory there is: what was sent and not yet taken, what is read, what is written.
    let mut memory = StreamResources::<1_024, 256, 256>::new();
    let clock = Clock(tokio::time::Instant::now());
    // On a board: a number that differs from boot to boot.
    let mut client = Client::new(&mut memory, StreamConfig::new(7), clock)?;
    let cut = Notify::new();
    let mut talk = Talk { said: 0, cut: &cut };
    while let Ok(dial) = client.ready().await {
        let connecting = TcpStream::connect(server.local_addr());
        let Some(Ok(stream)) = client.in_time(&dial, connecting).await else {
            client.failed(&dial);
            continue;
        };
        let (reader, writer) = stream.into_split();
        let (reader, writer) = (FromTokio::new(reader), FromTokio::new(writer));
        let mut connection = client.attach(&dial, reader, writer)?;
        tokio::select! {
            ended = connection.run(|session, event| talk.handle(session, event)) => {
                println!("(over: {ended:?})");
            }
            () = cut.notified() => println!("(cut off: somebody pulled the cable)"),
        }
    }
    server.shutdown(Duration::from_secs(1)).await;
    Ok(())
}
