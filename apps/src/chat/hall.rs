//! Rooms, and who is in them.
//!
//! A room is a [`Log`] and those who are in it. Who keeps up is in the room's group: a line goes to
//! all of them with one call that waits for nobody, whether they have a session or a connection.
//! Who does not keep up is taken out of the group and told line by line from the log, at its own
//! pace, until nothing is left; then it is in the group again. Who comes in begins like that. So
//! nobody waits for anybody, memory does not grow behind the slow, and everybody hears every line
//! once and in order, as long as the log has it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use outlast_service::router::{Link, named};
use outlast_service::{Bytes, GroupLimits, Groups, MemberId, SendError};

use super::accounts::Accounts;
use super::files::{FileLimits, Files, Shared};
use super::log::{HistoryLimits, Log, Said};
use super::messages::{self, line, object, system, unix};
use crate::runtime::{Spawn, lock};

/// Where everybody is who has not gone elsewhere.
pub const PUBLIC: &str = "public";

/// Rooms that there may be. They stay once they are made.
const ROOMS: usize = 1_000;

/// Lines that are read from a log at once.
const AT_ONCE: usize = 64;

/// Who has logged in, and where.
#[derive(Debug, Clone)]
pub struct Member {
    /// The account's number.
    pub id: i64,
    /// Its name.
    pub name: Arc<str>,
}

/// The rooms of a server. Clones are the same ones.
#[derive(Debug, Clone)]
pub struct Hall(Arc<Inside>);

#[derive(Debug)]
struct Inside {
    rooms: Mutex<Vec<Arc<Room>>>,
    groups: Groups,
    history: HistoryLimits,
    files: Files,
    accounts: Accounts,
    spawn: Spawn,
}

/// A room.
#[derive(Debug)]
pub struct Room {
    /// Its number.
    pub id: i64,
    /// Its name, which is that of its group.
    pub name: String,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    log: Log,
    present: HashMap<MemberId, Present>,
    /// Counts what is told to somebody from the log.
    tellings: u64,
}

/// Somebody who is in a room.
#[derive(Debug)]
struct Present {
    link: Link,
    member: Member,
    /// Who tells it lines from the log; none if it is in the group.
    told_by: Option<u64>,
}

/// The room that somebody is in, as it is kept with his link.
#[derive(Debug, Clone)]
struct Place(Arc<Room>);

impl Hall {
    /// With the room that everybody begins in.
    #[must_use]
    pub fn new(
        history: HistoryLimits,
        files: FileLimits,
        accounts: Accounts,
        spawn: Spawn,
    ) -> Self {
        let limits = GroupLimits { groups: ROOMS, ..GroupLimits::default() };
        let groups = Groups::new(limits).expect("the limits are in range");
        let (rooms, files) = (Mutex::default(), Files::new(files));
        let hall = Self(Arc::new(Inside { rooms, groups, history, files, accounts, spawn }));
        hall.make(PUBLIC);
        hall
    }

    /// The groups that all listeners of the chat have in common.
    #[must_use]
    pub fn groups(&self) -> Groups {
        self.0.groups.clone()
    }

    /// Whom the server knows.
    #[must_use]
    pub fn accounts(&self) -> &Accounts {
        &self.0.accounts
    }

    /// What was sent to rooms beside words.
    #[must_use]
    pub fn files(&self) -> &Files {
        &self.0.files
    }

    /// Finds a room, or makes it; none if it cannot be called so or there are too many.
    pub fn make(&self, name: &str) -> Option<Arc<Room>> {
        let fits = (1..=50).contains(&name.chars().count()) && !name.chars().any(char::is_control);
        let mut rooms = lock(&self.0.rooms);
        if let Some(known) = rooms.iter().find(|room| room.name == name) {
            return Some(Arc::clone(known));
        }
        if !fits || rooms.len() >= ROOMS {
            return None;
        }
        let log = Log::new(self.0.history);
        let inner = Mutex::new(Inner { log, present: HashMap::new(), tellings: 0 });
        let id = i64::try_from(rooms.len() + 1).unwrap_or(i64::MAX);
        let room = Arc::new(Room { id, name: name.to_owned(), inner });
        rooms.push(Arc::clone(&room));
        Some(room)
    }

    /// Every room, and how many are in it.
    #[must_use]
    pub fn list(&self) -> Vec<(Arc<Room>, usize)> {
        let rooms = lock(&self.0.rooms);
        rooms.iter().map(|room| (Arc::clone(room), lock(&room.inner).present.len())).collect()
    }

    /// The room that somebody is in.
    #[must_use]
    pub fn place(&self, link: &Link) -> Option<Arc<Room>> {
        link.get::<Place>().map(|place| place.0)
    }

    /// Puts somebody into a room, and out of the one he was in. He is told what was said there
    /// before, or what came behind `heard`, then that this was the history, and then whatever is
    /// said. Ready once he has been told everything that there was.
    ///
    /// # Errors
    ///
    /// That he is gone.
    pub async fn enter(
        &self,
        link: &Link,
        member: &Member,
        room: &Arc<Room>,
        heard: Option<i64>,
    ) -> Result<(), SendError> {
        self.leave(link);
        let entered = self.come_in(link, member, room, heard).await;
        if entered.is_err() {
            // It may have been over before it came in.
            self.leave(link);
        }
        entered
    }

    async fn come_in(
        &self,
        link: &Link,
        member: &Member,
        room: &Arc<Room>,
        heard: Option<i64>,
    ) -> Result<(), SendError> {
        let Some(id) = member_id(link) else {
            return Err(SendError::NotOpen);
        };
        link.set(Place(Arc::clone(room)));
        let (telling, begin, until) = {
            let inner = &mut *lock(&room.inner);
            inner.tellings += 1;
            let telling = inner.tellings;
            let present =
                Present { link: link.clone(), member: member.clone(), told_by: Some(telling) };
            inner.present.insert(id, present);
            (telling, inner.log.begin(Instant::now(), heard), inner.log.last())
        };
        self.status(room, member, "online");
        let told = room.tell_history(link, begin, until).await?;
        let complete = object("chat_history_complete")
            .number("chat_group_id", room.id)
            .string("chat_group_name", &room.name)
            .number("message_count", told);
        let complete = complete.finish();
        link.send(named("chat_history_complete"), complete.as_bytes()).await?;
        room.catch_up(id, telling, until).await
    }

    /// Takes somebody out of the room that he is in.
    pub fn leave(&self, link: &Link) {
        let Some(Place(room)) = link.remove() else {
            return;
        };
        let gone = {
            let mut inner = lock(&room.inner);
            link.leave_group(&room.name);
            member_id(link).and_then(|id| inner.present.remove(&id))
        };
        if let Some(gone) = gone {
            self.status(&room, &gone.member, "offline");
        }
    }

    /// Says something in a room, and which number it has there.
    pub fn say(&self, room: &Arc<Room>, member: &Member, said: Said) -> i64 {
        let inner = &mut *lock(&room.inner);
        // Under the lock: the order of the log is that in which everybody hears it.
        let sender = (member.id, Arc::clone(&member.name));
        let said = inner.log.push(Instant::now(), unix(), sender, said);
        let (kind, text) = line(&said, (room.id, &room.name), false);
        let report = self.0.groups.send(&room.name, named(kind), text.as_bytes());
        for (id, error) in report.failed {
            if !error.is_retryable() {
                // It is over, and leaves by itself.
                continue;
            }
            inner.tellings += 1;
            let (room, telling) = (Arc::clone(room), inner.tellings);
            if let Some(slow) = inner.present.get_mut(&id) {
                slow.link.leave_group(&room.name);
                slow.told_by = Some(telling);
                self.0.spawn.spawn(async move {
                    // An error means that it is gone.
                    let _ = room.catch_up(id, telling, said.id - 1).await;
                });
            }
        }
        said.id
    }

    /// Gives a file to a room, and says its number; none if it is too long.
    pub fn give(
        &self,
        room: &Arc<Room>,
        member: &Member,
        name: &str,
        bytes: Bytes,
    ) -> Option<Shared> {
        let file = self.0.files.keep(room.id, name, bytes)?;
        let said = Said::File { file: file.id, name: file.name.clone(), size: file.bytes.len() };
        self.say(room, member, said);
        Some(file)
    }

    /// Tells a room who comes and goes. Who reads too slowly misses it; `list_users` knows.
    fn status(&self, room: &Room, member: &Member, status: &str) {
        let object = object("user_status_update")
            .number("user_id", member.id)
            .string("username", &member.name)
            .string("status", status)
            .number("chat_group_id", room.id);
        let route = named("user_status_update");
        let _ = self.0.groups.send(&room.name, route, object.finish().as_bytes());
    }
}

impl Room {
    /// Who is in it, each once.
    #[must_use]
    pub fn users(&self) -> Vec<Member> {
        let inner = lock(&self.inner);
        let mut users: Vec<_> = inner.present.values().map(|it| it.member.clone()).collect();
        users.sort_by_key(|user| user.id);
        users.dedup_by_key(|user| user.id);
        users
    }

    /// Tells what was said behind `after`, up to `until`, and how many lines that were.
    async fn tell_history(&self, link: &Link, after: i64, until: i64) -> Result<i64, SendError> {
        let (mut at, mut told) = (after, 0);
        while at < until {
            let lines = lock(&self.inner).log.behind(Instant::now(), at, AT_ONCE);
            if lines.is_empty() {
                break;
            }
            self.tell_gap(link, at, lines[0].id).await?;
            for said in lines.iter().take_while(|line| line.id <= until) {
                let (kind, text) = line(said, (self.id, &self.name), true);
                link.send(named(kind), text.as_bytes()).await?;
                told += 1;
            }
            at = lines[lines.len() - 1].id;
        }
        Ok(told)
    }

    /// Tells what is said behind `after`, until nothing is left, and puts who is told into the
    /// group then. Somebody else may take over, or he may leave: then there is nothing more to do.
    async fn catch_up(&self, id: MemberId, telling: u64, after: i64) -> Result<(), SendError> {
        let mut at = after;
        loop {
            let (link, lines) = {
                let inner = &mut *lock(&self.inner);
                let own = |it: &&mut Present| it.told_by == Some(telling);
                let Some(present) = inner.present.get_mut(&id).filter(own) else {
                    return Ok(());
                };
                let lines = inner.log.behind(Instant::now(), at, AT_ONCE);
                if lines.is_empty() {
                    // Under the lock, so that no line is said in between. Who cannot be in the
                    // group is over, and leaves by itself.
                    let _ = present.link.join_group(&self.name);
                    present.told_by = None;
                    return Ok(());
                }
                (present.link.clone(), lines)
            };
            self.tell_gap(&link, at, lines[0].id).await?;
            for said in &lines {
                let (kind, text) = line(said, (self.id, &self.name), false);
                link.send(named(kind), text.as_bytes()).await?;
                at = said.id;
            }
        }
    }

    /// Says so if lines between `known` and `next` are not kept any more.
    async fn tell_gap(&self, link: &Link, known: i64, next: i64) -> Result<(), SendError> {
        let gone = next - known - 1;
        if gone > 0 {
            let text = system(&format!("{gone} lines of {} are not kept any more", self.name));
            link.send(named("system_message"), text.as_bytes()).await?;
        }
        Ok(())
    }
}

/// Who a link is in groups.
fn member_id(link: &Link) -> Option<MemberId> {
    let id = link.id()?;
    Some(if link.session().is_some() { MemberId::Session(id) } else { MemberId::Connection(id) })
}

/// An `error_message` to somebody, whatever carries it.
pub async fn complain(link: &Link, code: i64, text: &str) {
    let error = messages::error(code, text);
    // Who is gone need not be told.
    let _ = link.send(named("error_message"), error.as_bytes()).await;
}
