//! A board in the chat room of the other runtimes, on the host and over its TCP: `-- NAME` in one
//! terminal after the other. What is typed is said. Who comes first keeps the room, which is a
//! server of the host's.

#![expect(
    clippy::std_instead_of_core,
    clippy::cast_possible_truncation,
    clippy::wildcard_enum_match_arm,
    reason = "it runs on the host"
)]

use std::future::{Future, pending};
use std::time::Duration;

use embedded_io_adapters::tokio_1::FromTokio;
use outlast_embedded::stream::{Client, Timer};
use outlast_embedded::{Event, Instant, Route, StreamConfig, StreamResources};
use outlast_tokio as outlast;
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout_at;

#[expect(dead_code, reason = "the client is a board's here")]
mod application {
    use super::outlast;

    include!("../../examples/chat.rs");

    /// Who wants to come in, where the room is, and the room itself if it is kept here.
    pub(crate) async fn room()
    -> Result<(String, String, Option<Running>), Box<dyn std::error::Error>> {
        let (name, address) = caller()?;
        let room = keep(&address).await?;
        let address = room.as_ref().map_or(address, |room| room.local_addr().to_string());
        Ok((name, address, room))
    }

    /// What is said: the name first, and then what is typed, until the end of the input.
    pub(crate) fn all_that_is_said(name: &str, mut tell: impl FnMut(u8, &[u8])) {
        tell(NAME, name.as_bytes());
        say(std::io::stdin().lock(), tell);
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

/// Shows what there is to see. A line that is longer than a frame comes in parts.
fn show(event: Event<'_>, line: &mut Vec<u8>) {
    match event {
        Event::Message { payload, .. } => println!("{}", String::from_utf8_lossy(payload)),
        Event::Fragment { offset, payload, last, .. } => {
            if offset == 0 {
                line.clear();
            }
            line.extend_from_slice(payload);
            if last {
                println!("{}", String::from_utf8_lossy(line));
            }
        }
        Event::Disconnected { code, .. } => println!("(cut off: {code})"),
        Event::Resumed { .. } => println!("(back, and nothing is lost)"),
        _ => {}
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (name, address, room) = application::room().await?;
    // The board's keyboard.
    let (tell, mut typed) = mpsc::channel::<(u8, Vec<u8>)>(1);
    std::thread::spawn(move || {
        application::all_that_is_said(&name, |route, text| {
            let _ = tell.blocking_send((route, text.to_vec()));
        });
    });
    // All the memory there is: what was sent and not yet taken, what is read, what is written.
    let mut memory = StreamResources::<1_024, 256, 256>::new();
    let clock = Clock(tokio::time::Instant::now());
    // On a board: a number that differs from boot to boot.
    let mut client = Client::new(&mut memory, StreamConfig::new(7), clock)?;
    let (changed, mut line, mut is_over) = (Notify::new(), Vec::new(), false);
    while let Ok(dial) = client.ready().await {
        let connecting = TcpStream::connect(&address);
        let Some(Ok(stream)) = client.in_time(&dial, connecting).await else {
            client.failed(&dial);
            continue;
        };
        let (reader, writer) = stream.into_split();
        let (reader, writer) = (FromTokio::new(reader), FromTokio::new(writer));
        let mut connection = client.attach(&dial, reader, writer)?;
        loop {
            // The next line is taken once the room can be told of it.
            let session = connection.session();
            let can_say = !is_over && session.id().is_some() && session.room() > 256;
            tokio::select! {
                ended = connection.run(|_, event| {
                    if let Event::Opened | Event::Acknowledged { .. } = event {
                        changed.notify_one();
                    }
                    show(event, &mut line);
                }) => {
                    println!("({ended:?})");
                    break;
                }
                () = changed.notified() => {}
                said = typed.recv(), if can_say => match said {
                    Some((route, text)) => {
                        let sent = connection.session().send(Route::from(route), &text);
                        if let Err(error) = sent {
                            println!("(not said: {error})");
                        }
                    }
                    None => {
                        is_over = true;
                        connection.session().finish()?;
                    }
                },
            }
        }
    }
    if let Some(room) = room {
        room.shutdown(Duration::from_secs(1)).await;
    }
    Ok(())
}
