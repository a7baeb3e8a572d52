//! Players: one who types, and one who walks by himself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use clap::Args;
use outlast_service::core::client::DialerConfig;
use outlast_service::core::wire::Status;
use outlast_service::net::{Client, Net};
use outlast_service::{Handle, Incoming, Peer};

use super::{JOIN, MOVE, Place, SIZE, Told};
use crate::runtime::{Failure, Program, Spawn, Typed, keep, lock, show};

/// Where the board is, and who comes.
#[derive(Debug, Clone, Args)]
pub struct Who {
    /// Your name
    pub name: String,
    /// The server
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7450")]
    pub server: String,
    /// Longest pause between two attempts to reach the server, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 10_000,
          value_parser = clap::value_parser!(u64).range(1..=86_400_000))]
    pub patience: u64,
}

/// What a player knows of the others.
#[derive(Debug, Default)]
struct Seen(HashMap<u32, String>);

impl Seen {
    /// Takes in what was told, and says what there is to see.
    fn take(&mut self, told: Told) -> Option<String> {
        match told {
            Told::Joined(number, name) => {
                let line = format!("({name} is here)");
                self.0.insert(number, name);
                Some(line)
            }
            Told::Left(number) => Some(format!("({} has left)", self.0.remove(&number)?)),
            // Of somebody who has left nobody wants to know where he was.
            Told::At(number, Place { x, y }) => {
                Some(format!("{} is at {x} {y}", self.0.get(&number)?))
            }
        }
    }
}

impl Who {
    /// A session on the board, once it has joined. Should it be lost, the next one joins anew.
    async fn come<N: Net>(&self, net: &N, watch: bool) -> Result<Handle, Failure> {
        let (spawn, name) = (Spawn::on(net), self.name.clone());
        let (joined, joining) = smol::channel::bounded(1);
        let seen = Arc::new(Mutex::new(Seen::default()));
        let handler = move |peer: &mut Peer<'_>, event: Incoming<'_>| match event {
            Incoming::Opened => {
                *lock(&seen) = Seen::default();
                let (handle, name, joined) = (peer.handle(), name.clone(), joined.clone());
                spawn.spawn(async move {
                    join(&handle, &name).await;
                    // Only the first is waited for.
                    let _ = joined.try_send(());
                });
            }
            Incoming::Message { route, payload } if watch => {
                let told = Told::read(route, payload);
                if let Some(line) = told.and_then(|told| lock(&seen).take(told)) {
                    show(line);
                }
            }
            Incoming::Disconnected { cause, .. } => show(format_args!("(cut off: {cause})")),
            Incoming::Resumed { .. } => show("(back)"),
            Incoming::Finished => peer.finish(),
            _ => {}
        };
        let usual = DialerConfig::default();
        let backoff_cap = self.patience * 1_000;
        let backoff_base = usual.backoff_base.min(backoff_cap);
        let (handle, runner) = Client::on(net.clone())
            .address(&self.server)
            .reconnect(DialerConfig { backoff_base, backoff_cap, ..usual })
            .connect(handler)?;
        keep(net, runner);
        joining.recv().await?;
        Ok(handle)
    }
}

async fn join(handle: &Handle, name: &str) {
    match handle.request(JOIN, name.as_bytes()).await {
        Ok(answer) if answer.status == Status::OK => {}
        Ok(answer) => {
            show(format_args!("(not let in: {})", String::from_utf8_lossy(&answer.payload)));
            handle.finish();
        }
        Err(error) => show(format_args!("(not let in: {error})")),
    }
}

/// Plays from the terminal: `X Y` goes there, `w`, `a`, `s` and `d` go a step.
#[derive(Debug, Clone, Args)]
pub struct Play {
    /// Who
    #[command(flatten)]
    pub who: Who,
}

/// Where a line leads from here.
fn step(from: Place, line: &str) -> Option<Place> {
    let Place { x, y } = from;
    let last = SIZE - 1;
    match line.trim() {
        "w" => Some(Place { x, y: y.saturating_sub(1) }),
        "s" => Some(Place { x, y: (y + 1).min(last) }),
        "a" => Some(Place { x: x.saturating_sub(1), y }),
        "d" => Some(Place { x: (x + 1).min(last), y }),
        line => {
            let (x, y) = line.split_once(' ')?;
            let place = Place { x: x.parse().ok()?, y: y.parse().ok()? };
            (place.x <= last && place.y <= last).then_some(place)
        }
    }
}

impl Program for Play {
    async fn run<N: Net>(self, net: N) -> Result<(), Failure> {
        let handle = self.who.come(&net, true).await?;
        let (mut typed, mut here) = (Typed::here(), Place::default());
        while let Some(line) = typed.line().await {
            match step(here, &line) {
                Some(there) => {
                    here = there;
                    // Of this, too, only the newest counts.
                    handle.send_latest(MOVE, &here.to_bytes())?;
                }
                None => show("X Y, w, a, s or d; the board is 1000 by 1000"),
            }
        }
        leave(&handle).await
    }
}

/// Of Knuth's generator.
const SEED_STEP: u64 = 1_442_695_040_888_963_407;

async fn leave(handle: &Handle) -> Result<(), Failure> {
    handle.finish();
    let closed = handle.closed().await;
    if closed.complete { Ok(()) } else { Err(closed.into()) }
}

/// Walks about, and says where it ended.
#[derive(Debug, Clone, Args)]
pub struct Bot {
    /// Who
    #[command(flatten)]
    pub who: Who,
    /// How many steps
    #[arg(long, default_value_t = 1_000)]
    pub moves: u64,
    /// What its way is made from
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Stay until the input ends
    #[arg(long)]
    pub stay: bool,
}

impl Program for Bot {
    async fn run<N: Net>(self, net: N) -> Result<(), Failure> {
        let handle = self.who.come(&net, false).await?;
        let (mut here, mut state) = (Place { x: SIZE / 2, y: SIZE / 2 }, self.seed);
        for _ in 0..self.moves {
            // Knuth's generator; its upper bits are good enough to walk by.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(SEED_STEP);
            let way = ["w", "a", "s", "d"][usize::try_from(state >> 62).unwrap_or(0)];
            here = step(here, way).unwrap_or(here);
            // Every step, so that the server has something to leave out.
            handle.send(MOVE, &here.to_bytes()).await?;
        }
        handle.flushed().await?;
        show(format_args!("{} walked to {} {}", self.who.name, here.x, here.y));
        if self.stay {
            let mut typed = Typed::here();
            while typed.line().await.is_some() {}
        }
        leave(&handle).await
    }
}
