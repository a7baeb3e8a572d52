//! The client for a terminal: what is typed is said, what is said is shown.
//!
//! It has a session. A line that is typed while the network is away is said when it is back; what
//! others say meanwhile comes then, each line once and in order.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use clap::Args;
use outlast_service::core::Config;
use outlast_service::core::client::DialerConfig;
use outlast_service::net::{Client, Net, PlainClient};
use outlast_service::plain::formats::ndjson::Head;
use outlast_service::plain::formats::{Ndjson, Packet};
use outlast_service::plain::{PlainEvent, PlainPeer};
use outlast_service::router::{BuildError, Context, Hook, Link, Router, Routes, named};
use outlast_service::{Closed, Handle, Password};

use super::files::{safe_name, save};
use super::hall::PUBLIC;
use super::messages::object;
use super::{LINES, SESSIONS};
use crate::runtime::{Failure, Program, Spawn, Typed, aside, keep, lock, show};

/// What the client can be told.
#[derive(Debug, Clone, Args)]
pub struct Join {
    /// Your name
    pub name: String,
    /// The room to begin in
    #[arg(long, default_value = PUBLIC)]
    pub room: String,
    /// The server's address for sessions
    #[arg(long, value_name = "ADDR", default_value = SESSIONS)]
    pub server: String,
    /// Make an account first
    #[arg(long)]
    pub new: bool,
    /// The server's address for lines of JSON, where accounts are made
    #[arg(long, value_name = "ADDR", default_value = LINES)]
    pub lines: String,
    /// Your password; the first line that is typed otherwise
    #[arg(long, env = "CHAT_PASSWORD", hide_env_values = true)]
    pub password: Option<String>,
    /// Save files that others send in this folder
    #[arg(long, value_name = "DIR")]
    pub save: Option<PathBuf>,
    /// Longest pause between two attempts to reach the server, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 10_000,
          value_parser = clap::value_parser!(u64).range(1..=86_400_000))]
    pub patience: u64,
}

/// Longest file that a server may have.
const LONGEST: u32 = (512 << 20) + (16 << 10);

/// What is typed to do something else than to speak.
const HELP: &str = "/room NAME, /rooms, /who, /send FILE, /files, /get NUMBER, /quit";

/// What the tasks of a client share. Clones are the same.
#[derive(Debug, Clone)]
struct Screen(Arc<Inside>);

#[derive(Debug)]
struct Inside {
    spawn: Spawn,
    save: Option<PathBuf>,
    room: Mutex<String>,
    /// The number of the last line that was shown of the room.
    heard: AtomicI64,
}

impl Screen {
    fn room(&self) -> String {
        lock(&self.0.room).clone()
    }

    /// Shows a line, and keeps its number, should another session have to begin behind it. None
    /// is told twice: a session repeats nothing, and the next one is told what was heard.
    fn line(&self, cx: &Context<'_>, show_it: impl FnOnce(&Head<'_>)) {
        let Ok(head) = Head::of(cx.payload()) else {
            return;
        };
        let number = head.object.get("message_id").and_then(|id| id.text().parse().ok());
        if let Some(number) = number.filter(|_| field(&head, "chat_group_name") == self.room()) {
            self.0.heard.store(number, Ordering::SeqCst);
        }
        show_it(&head);
    }
}

/// A field of an object, as it is shown.
fn field(head: &Head<'_>, name: &str) -> String {
    let value = head.object.get(name);
    value.map_or_else(String::new, |it| {
        it.as_str().map_or_else(|| it.text().to_owned(), |text| text.into_owned())
    })
}

/// What the client does with what comes: a router, as on the server.
fn routes(screen: &Screen) -> Result<Routes<impl Hook + use<>>, BuildError> {
    let said = |screen: &Screen| {
        let screen = screen.clone();
        move |cx: &mut Context<'_>| {
            screen.line(cx, |head| {
                let (room, who) = (field(head, "chat_group_name"), field(head, "sender_username"));
                show(format_args!("[{room}] {who}: {}", field(head, "content")));
            });
        }
    };
    let (file, opened) = (screen.clone(), screen.clone());
    Router::new()
        .on_open(move |link| come_in(&opened, link))
        .on_detach(|_, _, cause| show(format_args!("(cut off: {cause})")))
        .on_resume(|_, _| show("(back, and nothing is lost)"))
        .on("chat_message", said(screen))
        .on("chat_history", said(screen))
        .on("chat_history_complete", |_: &mut Context<'_>| {})
        .on("file_notification", move |cx: &mut Context<'_>| {
            file.line(cx, |head| offer(&file, cx.link(), head));
        })
        .on("user_status_update", |cx: &mut Context<'_>| {
            if let Ok(head) = Head::of(cx.payload()) {
                let (who, how) = (field(&head, "username"), field(&head, "status"));
                show(format_args!("({who} is {how})"));
            }
        })
        .on("system_message", |cx: &mut Context<'_>| complaint(cx, "content"))
        .on("error_message", |cx: &mut Context<'_>| complaint(cx, "error_message"))
        .build()
}

fn complaint(cx: &Context<'_>, name: &str) {
    if let Ok(head) = Head::of(cx.payload()) {
        show(format_args!("({})", field(&head, name)));
    }
}

/// There is a session: the first one, or one in place of another that was lost.
fn come_in(screen: &Screen, link: &Link) {
    let Some(handle) = link.session().cloned() else {
        return;
    };
    let screen = screen.clone();
    screen.0.spawn.clone().spawn(async move {
        let heard = screen.0.heard.load(Ordering::SeqCst);
        enter(&handle, &screen.room(), heard).await;
    });
}

async fn enter(handle: &Handle, room: &str, heard: i64) {
    let asked = object("enter_chat_request").string("chat_name", room);
    let asked = if heard > 0 { asked.number("after", heard) } else { asked };
    let asked = asked.finish();
    match handle.request(named("enter_chat_request"), asked.as_bytes()).await {
        Ok(answer) => match Head::of(&answer.payload) {
            Ok(head) if field(&head, "success") == "true" => show(format_args!("(in {room})")),
            Ok(head) => show(format_args!("({room}: {})", field(&head, "error_message"))),
            Err(_) => show(format_args!("({room}: {:?})", answer.status)),
        },
        Err(error) => show(format_args!("({room}: {error})")),
    }
}

/// A file was sent: it is fetched where files are saved.
fn offer(screen: &Screen, link: &Link, head: &Head<'_>) {
    let (who, name) = (field(head, "sender_username"), field(head, "filename"));
    let (number, size) = (field(head, "file_id"), field(head, "file_size"));
    show(format_args!("({who} sends {name}: file {number}, {size} bytes)"));
    if let (Some(folder), Some(handle)) = (screen.0.save.clone(), link.session().cloned())
        && let Ok(number) = number.parse()
    {
        screen.0.spawn.spawn(async move { fetch(&handle, number, folder).await });
    }
}

/// Fetches a file, and saves it under a name that leads nowhere else, whatever the server says.
async fn fetch(handle: &Handle, number: i64, folder: PathBuf) {
    let asked = object("file_download_request").number("file_id", number).finish();
    let answer = match handle.request(named("file_download_request"), asked.as_bytes()).await {
        Ok(answer) => answer.payload,
        Err(error) => return show(format_args!("(file {number}: {error})")),
    };
    let end = answer.iter().position(|byte| *byte == b'\n').unwrap_or(answer.len());
    let Ok(head) = Head::of(&answer[..end]) else {
        return show(format_args!("(file {number}: the server does not answer)"));
    };
    if field(&head, "success") != "true" {
        return show(format_args!("(file {number}: {})", field(&head, "message")));
    }
    let (name, bytes) = (field(&head, "filename"), answer.slice((end + 1).min(answer.len())..));
    match aside(move || save(&folder, &name, &bytes)).await {
        Ok(path) => show(format_args!("(saved {})", path.display())),
        Err(error) => show(format_args!("(file {number}: {error})")),
    }
}

/// Sends a file to the room, in one long message.
async fn send_file(handle: &Handle, path: PathBuf) {
    let read = path.clone();
    let bytes = match aside(move || std::fs::read(read)).await {
        Ok(bytes) => bytes,
        Err(error) => return show(format_args!("({}: {error})", path.display())),
    };
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let asked = object("file_upload_request")
        .string("filename", &name.unwrap_or_default())
        .number("file_size", i64::try_from(bytes.len()).unwrap_or(i64::MAX))
        .finish();
    let whole = [asked.as_bytes(), b"\n", &bytes].concat();
    match handle.request(named("file_upload_request"), &whole).await {
        Ok(answer) => match Head::of(&answer.payload) {
            Ok(head) => show(format_args!("({}: {})", path.display(), field(&head, "message"))),
            Err(_) => show(format_args!("({}: {:?})", path.display(), answer.status)),
        },
        Err(error) => show(format_args!("({}: {error})", path.display())),
    }
}

/// Asks for a list, and shows what is in it.
async fn list(handle: &Handle, kind: &str, items: &str, show_item: fn(&Head<'_>) -> String) {
    let asked = object(kind).finish();
    let answer = handle.request(named(kind), asked.as_bytes()).await;
    let payload = answer.map(|answer| answer.payload).unwrap_or_default();
    let Ok(head) = Head::of(&payload) else {
        return;
    };
    let text = head.object.get(items).map_or("[]", |items| items.text());
    let parsed: Vec<serde_json::Value> = serde_json::from_str(text).unwrap_or_default();
    for item in parsed {
        // As an object of its own, so that it is read like all others.
        let mut item = item;
        item["message_type"] = kind.into();
        if let Ok(head) = Head::of(item.to_string().as_bytes()) {
            show(format_args!("  {}", show_item(&head)));
        }
    }
}

/// Does what was typed; false at the end.
async fn typed(screen: &Screen, handle: &Handle, line: &str) -> bool {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    match word {
        "" => {}
        "/quit" => return false,
        "/room" if !rest.is_empty() => {
            *lock(&screen.0.room) = rest.to_owned();
            screen.0.heard.store(0, Ordering::SeqCst);
            enter(handle, rest, 0).await;
        }
        "/rooms" => {
            let room =
                |it: &Head<'_>| format!("{} ({})", field(it, "chat_name"), field(it, "users"));
            list(handle, "list_chats_request", "chats", room).await;
        }
        "/who" => {
            list(handle, "list_users_request", "users", |it| field(it, "username")).await;
        }
        "/files" => {
            let file =
                |it: &Head<'_>| format!("{}: {}", field(it, "file_id"), field(it, "filename"));
            list(handle, "file_list_request", "files", file).await;
        }
        "/send" if !rest.is_empty() => send_file(handle, Path::new(rest).to_owned()).await,
        "/get" if rest.parse::<i64>().is_ok() => {
            let folder = screen.0.save.clone().unwrap_or_else(|| PathBuf::from("."));
            fetch(handle, rest.parse().unwrap_or(0), folder).await;
        }
        word if word.starts_with('/') => show(HELP),
        _ => {
            let said = object("chat_message").string("content", line).finish();
            if let Err(error) = handle.send(named("chat_message"), said.as_bytes()).await {
                show(format_args!("({error})"));
                return false;
            }
        }
    }
    true
}

impl Program for Join {
    async fn run<N: Net>(self, net: N) -> Result<(), Failure> {
        let mut lines = Typed::here();
        let password = match self.password.clone() {
            Some(password) => password,
            None => {
                print!("password: ");
                std::io::stdout().flush()?;
                lines.secret().await.ok_or("a password is needed")?
            }
        };
        if self.new {
            register(&net, &self, &password).await?;
        }
        let spawn = Spawn::on(&net);
        let (room, heard) = (Mutex::new(self.room.clone()), AtomicI64::new(0));
        let save = self.save.clone();
        let screen = Screen(Arc::new(Inside { spawn, save, room, heard }));
        let config = Config { max_message: LONGEST, ..Config::CLIENT };
        let backoff_cap = self.patience * 1_000;
        let usual = DialerConfig::default();
        let policy = DialerConfig {
            backoff_base: usual.backoff_base.min(backoff_cap),
            backoff_cap,
            ..usual
        };
        let (handle, runner) = Client::on(net.clone())
            .address(&self.server)
            .config(config)
            .reconnect(policy)
            .credentials(Password::new(&self.name[..], password)?.allow_plaintext())
            .connect(routes(&screen)?.session())?;
        keep(&net, runner);
        let typing = async {
            while let Some(line) = lines.line().await {
                if !typed(&screen, &handle, &line).await {
                    break;
                }
            }
            handle.finish();
            handle.closed().await
        };
        // Whoever is not let in need not type anything to hear of it.
        let closed: Closed = smol::future::or(typing, refused(&handle)).await;
        if closed.complete { Ok(()) } else { Err(explain(&closed).into()) }
    }
}

/// The end that this client did not choose.
async fn refused(handle: &Handle) -> Closed {
    let mut states = handle.states();
    while states.changed().await.is_some_and(|state| state.name() != "closed") {}
    handle.closed().await
}

fn explain(closed: &Closed) -> String {
    use outlast_service::core::CloseCode;
    if closed.code == CloseCode::AUTH_FAILED {
        return "wrong name or password; --new makes an account".to_owned();
    }
    closed.to_string()
}

/// Makes an account, over a connection of lines.
async fn register<N: Net>(net: &N, join: &Join, password: &str) -> Result<(), Failure> {
    let (answered, answer) = smol::channel::bounded(1);
    let handler = move |_: &mut PlainPeer<'_>, event: PlainEvent<'_>| {
        if let PlainEvent::Packet(packet) = event {
            let _ = answered.try_send(packet.payload.to_vec());
        }
    };
    let client = PlainClient::on(net.clone(), Ndjson::default()).address(&join.lines);
    let (handle, runner) = client.connect(handler)?;
    keep(net, runner);
    handle.connected().await;
    let asked = object("register_request")
        .string("username", &join.name)
        .string("password", password)
        .finish();
    handle.send(&Packet::plain(asked.as_bytes())).await?;
    let lost = async {
        handle.closed().await;
        Err(smol::channel::RecvError)
    };
    let answer = smol::future::or(answer.recv(), lost).await;
    handle.close();
    let answer = answer.map_err(|_| "the server does not answer")?;
    let head = Head::of(&answer)?;
    if field(&head, "success") != "true" {
        return Err(field(&head, "error_message").into());
    }
    let (name, number) = (safe_name(&join.name), field(&head, "user_id"));
    show(format_args!("(you are {name}, number {number}; /help lists what else can be typed)"));
    Ok(())
}
