//! Players on a board: of a position only the newest counts, of comings and goings each one.
//!
//! Both go over one session. A position is sent with [`Handle::send_latest`]: while it waits, a
//! newer one of the same player takes its place, so that who is slow, or away for a minute, is told
//! where everybody is now and not where everybody was. That somebody came or left is an ordinary
//! message: it arrives once and in order. Who cannot even take those is let go and told so
//! ([`WhenFull::Disconnect`]).

pub mod player;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::Args;
use outlast_service::core::wire::{Route, Status};
use outlast_service::net::{Net, Running, Server};
use outlast_service::router::{BuildError, Context, Hook, Link, Router, Routes, State};
use outlast_service::{Handle, Outgoing, WhenFull};

use crate::runtime::{Failure, Program, asked_to_end, at, lock, show};

/// A request to take part, with a name; the answer is the number that the player has from then on.
pub const JOIN: u32 = 1;
/// Where the player is now: see [`Place`].
pub const MOVE: u32 = 2;
/// Somebody came: his number and his name.
pub const JOINED: u32 = 3;
/// Somebody left: his number.
pub const LEFT: u32 = 4;
/// Where somebody is: his number and a [`Place`]. Each player has a route of his own from here on,
/// so that nobody's position takes the place of somebody else's.
pub const POSITION: u32 = 0x100;

/// Players that there may be; a handle keeps the newest values of 256 routes.
pub const MOST: usize = 200;

/// The board is so wide and so high.
pub const SIZE: u16 = 1_000;

/// Longest name in characters.
const NAME: usize = 20;

/// Where somebody is.
#[derive(Debug, Copy, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// From the left, below [`SIZE`].
    pub x: u16,
    /// From the top, below [`SIZE`].
    pub y: u16,
}

impl Place {
    /// As it is sent.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 4] {
        let ([a, b], [c, d]) = (self.x.to_be_bytes(), self.y.to_be_bytes());
        [a, b, c, d]
    }

    /// As it came; none if it is not on the board.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let [a, b, c, d] = *<&[u8; 4]>::try_from(bytes).ok()?;
        let place = Self { x: u16::from_be_bytes([a, b]), y: u16::from_be_bytes([c, d]) };
        (place.x < SIZE && place.y < SIZE).then_some(place)
    }
}

/// What a player is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// Somebody came, or was there before.
    Joined(u32, String),
    /// Somebody left.
    Left(u32),
    /// Where somebody is. It may come behind that he left, as it does not wait in line.
    At(u32, Place),
}

impl Told {
    /// Reads a message of the server's; none if it is something else.
    #[must_use]
    pub fn read(route: Route, payload: &[u8]) -> Option<Self> {
        let (number, rest) = payload.split_first_chunk()?;
        let number = u32::from_be_bytes(*number);
        match route.get() {
            JOINED => Some(Self::Joined(number, std::str::from_utf8(rest).ok()?.to_owned())),
            LEFT => Some(Self::Left(number)),
            POSITION.. => Some(Self::At(number, Place::read(rest)?)),
            _ => None,
        }
    }
}

/// The board. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct Board(Arc<Mutex<Players>>);

#[derive(Debug, Default)]
struct Players {
    /// The place in this list is what a player's route is made from; it may be somebody else's
    /// later, which a number never is.
    all: Vec<Option<Player>>,
    last: u32,
}

#[derive(Debug)]
struct Player {
    number: u32,
    name: String,
    handle: Handle,
    place: Place,
}

impl Player {
    fn position(&self) -> [u8; 8] {
        let mut position = [0; 8];
        position[..4].copy_from_slice(&self.number.to_be_bytes());
        position[4..].copy_from_slice(&self.place.to_bytes());
        position
    }

    fn came(&self) -> Vec<u8> {
        [&self.number.to_be_bytes(), self.name.as_bytes()].concat()
    }
}

/// The player of a session, as it is kept with its link.
#[derive(Debug, Copy, Clone)]
struct Number(u32);

impl Players {
    fn present(&self) -> impl Iterator<Item = &Player> {
        self.all.iter().flatten()
    }

    /// Tells everybody. Whoever has no room for it is let go by the server, and told why; who is
    /// over already leaves by himself.
    fn tell(&self, route: u32, payload: &[u8]) {
        for player in self.present() {
            let _ = player.handle.try_send(route, payload);
        }
    }
}

/// The routes of players' positions begin here.
fn position_of(slot: usize) -> u32 {
    POSITION + u32::try_from(slot).unwrap_or(0)
}

/// Takes part: everybody is told, and the newcomer who was there before and where.
fn join(State(board): State<Board>, link: Link, name: String) -> Result<String, (Status, String)> {
    let refused = |why: &str| Err((Status::REFUSED, why.to_owned()));
    let Some(handle) = link.session().cloned() else {
        return refused("this takes a session");
    };
    if link.get::<Number>().is_some() {
        return refused("you are in already");
    }
    let short = (1..=NAME).contains(&name.chars().count());
    if !short || name.chars().any(char::is_control) {
        return refused("a name has 1 to 20 characters");
    }
    let players = &mut *lock(&board.0);
    let free = players.all.iter().position(Option::is_none).unwrap_or(players.all.len());
    if free >= MOST {
        return refused("the board is full");
    }
    players.last += 1;
    let number = players.last;
    link.set(Number(number));
    for (slot, there) in players.all.iter().enumerate() {
        if let Some(there) = there {
            // As with everybody: who has no room for it is let go.
            let _ = handle.try_send(JOINED, &there.came());
            let _ = handle.send_latest(position_of(slot), &there.position());
        }
    }
    let player = Player { number, name, handle, place: Place::default() };
    let came = player.came();
    show(format_args!("{} joins as {number}", player.name));
    if free == players.all.len() {
        players.all.push(Some(player));
    } else {
        players.all[free] = Some(player);
    }
    players.tell(JOINED, &came);
    Ok(number.to_string())
}

/// Tells all others where somebody is. It takes as long as that takes and waits for nobody: a
/// position that waits already is overwritten.
fn moved(board: &Board, cx: &Context<'_>) {
    let (Some(place), Some(Number(number))) = (Place::read(cx.payload()), cx.link().get()) else {
        return;
    };
    let players = &mut *lock(&board.0);
    let own = |it: &Option<Player>| it.as_ref().is_some_and(|player| player.number == number);
    let Some(slot) = players.all.iter().position(own) else {
        return;
    };
    let Some(player) = &mut players.all[slot] else {
        return;
    };
    player.place = place;
    let position = player.position();
    for other in players.present().filter(|other| other.number != number) {
        // Who is over already leaves by himself.
        let _ = other.handle.send_latest(position_of(slot), &position);
    }
}

fn left(board: &Board, link: &Link) {
    let Some(Number(number)) = link.remove() else {
        return;
    };
    let players = &mut *lock(&board.0);
    let own = |it: &&mut Option<Player>| it.as_ref().is_some_and(|it| it.number == number);
    if let Some(player) = players.all.iter_mut().find(own).and_then(Option::take) {
        show(format_args!("{} leaves", player.name));
        players.tell(LEFT, &number.to_be_bytes());
    }
}

/// Every route of the game.
///
/// # Errors
///
/// If two routes had one number.
pub fn routes(board: &Board) -> Result<Routes<impl Hook + use<>>, BuildError> {
    let (moves, leaves, away) = (board.clone(), board.clone(), board.clone());
    Router::new()
        .state(board.clone())
        .route(JOIN, join)
        .on(MOVE, move |cx: &mut Context<'_>| moved(&moves, cx))
        .on_detach(move |link, _, _| {
            if let Some(Number(number)) = link.get() {
                let players = lock(&away.0);
                if let Some(player) = players.present().find(|it| it.number == number) {
                    show(format_args!("{} is away", player.name));
                }
            }
        })
        .on_close(move |link, _| left(&leaves, link))
        .build()
}

/// What the server can be told.
#[derive(Debug, Clone, Args)]
pub struct Serve {
    /// Where to listen
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7450")]
    pub listen: String,
}

impl Serve {
    /// Starts the server in tasks of a runtime.
    ///
    /// # Errors
    ///
    /// If the address cannot be had.
    pub async fn start<N: Net>(&self, net: &N) -> Result<Running, Failure> {
        let outgoing = Outgoing { when_full: WhenFull::Disconnect, ..Outgoing::default() };
        let server = Server::on(net.clone()).outgoing(outgoing).bind(&self.listen).await;
        let server = server.map_err(|error| at(&self.listen, error))?;
        Ok(server.start(routes(&Board::default())?.factory())?)
    }
}

impl Program for Serve {
    async fn run<N: Net>(self, net: N) -> Result<(), Failure> {
        let running = self.start(&net).await?;
        println!("the board is on {}", running.local_addr());
        asked_to_end().await?;
        running.shutdown(Duration::from_secs(1)).await;
        Ok(())
    }
}
