// A chat, the same on every runtime: `runtime-*/examples/*_chat.rs` include this file, name their
// crate `outlast`, and start it. Those who are in may be on different runtimes.

use std::collections::HashMap;
use std::io::{BufRead, ErrorKind};
use std::sync::{Arc, Mutex, PoisonError};

use outlast::{Client, Handle, Handler, Incoming, Peer, Runner, Running, Server, SessionInfo};

/// Where everybody meets who does not say otherwise.
const ADDRESS: &str = "127.0.0.1:7412";

/// Where a name goes, and where a line.
const NAME: u8 = 1;
const LINE: u8 = 2;

/// What is known of everybody who is in.
#[derive(Clone, Default)]
struct Room(Arc<Mutex<HashMap<u64, Handle>>>);

impl Room {
    /// Somebody who has come in and not said anything yet.
    fn member(&self) -> Member {
        Member { room: self.clone(), name: String::new() }
    }

    /// Everybody hears it. Who reads too slowly misses it, and nobody waits for anybody.
    fn tell(&self, line: &str) {
        let members = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for member in members.values() {
            let _ = member.try_send(LINE, line.as_bytes());
        }
    }
}

/// One session of the server's. It outlives its connections: who is cut off misses nothing.
struct Member {
    room: Room,
    name: String,
}

impl Handler for Member {
    fn handle(&mut self, peer: &mut Peer<'_>, event: Incoming<'_>) {
        let id = peer.id().unwrap_or_default();
        let members = || self.room.0.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Incoming::Opened => drop(members().insert(id, peer.handle())),
            Incoming::Message { route, payload } if route == NAME.into() => {
                self.name = String::from_utf8_lossy(payload).escape_debug().to_string();
                self.room.tell(&format!("{} is here", self.name));
            }
            Incoming::Message { payload, .. } => {
                let line = String::from_utf8_lossy(payload).escape_debug().to_string();
                self.room.tell(&format!("{}: {line}", self.name));
            }
            Incoming::Finished => peer.finish(),
            Incoming::Ended | Incoming::Lost { .. } => {
                drop(members().remove(&id));
                self.room.tell(&format!("{} has left", self.name));
            }
            _ => {}
        }
    }
}

/// The room at this address, if nobody keeps it yet: who comes first does, for as long as he stays.
async fn keep(address: &str) -> std::io::Result<Option<Running>> {
    let server = match Server::builder().bind(address).await {
        Err(error) if error.kind() == ErrorKind::AddrInUse => return Ok(None),
        bound => bound?,
    };
    let room = Room::default();
    let running = server.start(move |_: &SessionInfo| room.member())?;
    println!("(the room is at {})", running.local_addr());
    Ok(Some(running))
}

/// Who wants to come in, and where: what the program was called with.
fn caller() -> Result<(String, String), &'static str> {
    let mut said = std::env::args().skip(1);
    let name = said.next().ok_or("say your name")?;
    Ok((name, said.next().unwrap_or_else(|| ADDRESS.to_owned())))
}

/// A session in the room, and the task that keeps it.
fn enter(room: Option<&Running>, address: String) -> std::io::Result<(Handle, Runner)> {
    let address = room.map_or(address, |room| room.local_addr().to_string());
    Client::builder().address(address).connect(screen(|line| println!("{line}")))
}

/// A client's handler: shows what there is to see.
fn screen(show: impl Fn(&str) + Send + 'static) -> impl Handler {
    move |_: &mut Peer<'_>, event: Incoming<'_>| match event {
        Incoming::Message { payload, .. } => show(&String::from_utf8_lossy(payload)),
        Incoming::Disconnected { cause, .. } => show(&format!("(cut off: {cause})")),
        Incoming::Resumed { .. } => show("(back, and nothing is lost)"),
        _ => {}
    }
}

/// Says what is typed, until the end of the input.
fn say(lines: impl BufRead, mut say: impl FnMut(u8, &[u8])) {
    for line in lines.lines().map_while(Result::ok) {
        say(LINE, line.as_bytes());
    }
}
