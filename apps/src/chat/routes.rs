//! What clients may ask for. Each function serves sessions and lines of JSON alike.
//!
//! All of them are async, so that what one client asks for is done in the order in which it asks:
//! who logs in and speaks in one breath is known by the time he is heard.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use outlast_service::Bytes;
use outlast_service::core::admission::Rate;
use outlast_service::core::wire::Status;
use outlast_service::plain::formats::json::{Json as Text, quote};
use outlast_service::router::{
    BuildError, Context, Extract, Json, Link, QueueLimits, Rejection, Router, Routes, State,
    hooked, named, rate_limit,
};

use super::accounts::Accounts;
use super::files::{Shared, Upload};
use super::hall::{Hall, Member, PUBLIC, complain};
use super::log::Said;
use super::messages::{self, PIECE, code, cut, maybe, object};

/// Wrong names and wrong passwords look alike.
const WRONG: &str = "wrong name or password";

/// A member is who has logged in; without one a handler does not run.
impl Extract for Member {
    fn extract(cx: &Context<'_>) -> Result<Self, Rejection> {
        cx.link().get().ok_or_else(|| Rejection::new(Status::DENIED, ""))
    }
}

/// Whether new accounts may be made by whoever asks.
#[derive(Debug, Copy, Clone)]
pub struct Open(pub bool);

/// Every route of the chat.
///
/// # Errors
///
/// If two routes had one number.
pub fn routes(
    hall: &Hall,
    open: bool,
) -> Result<Routes<impl outlast_service::router::Hook + use<>>, BuildError> {
    let (comes, goes) = (hall.clone(), hall.clone());
    // A password takes some hundredths of a second to check: nobody has all of them.
    let guesses = || rate_limit(Rate::new(1, 1_000_000, 5));
    let bytes = hall.files().limits().file + (64 << 10);
    Router::new()
        .state(hall.clone())
        .state(Open(open))
        .queue(QueueLimits { bytes, ..QueueLimits::default() })
        .on_open(move |link| recognize(&comes, link))
        .on_close(move |link, _| goes.leave(link))
        .route("register_request", hooked(guesses(), register))
        .route("login_request", hooked(guesses(), login))
        .route("logout_request", logout)
        .route("create_chat_request", create)
        .route("join_chat_request", enter)
        .route("enter_chat_request", enter)
        .route("chat_message", say)
        .route("list_users_request", users)
        .route("list_chats_request", chats)
        .route("file_list_request", files)
        .route("file_upload_request", upload)
        .route("file_chunk", chunk)
        .route("file_download_request", download)
        .build()
}

/// A session has proved who it is before it exists.
fn recognize(hall: &Hall, link: &Link) {
    if let Some(id) = link.principal()
        && let Some(name) = hall.accounts().name(id)
    {
        link.set(Member { id: number(id), name });
    }
}

fn number(id: u64) -> i64 {
    i64::try_from(id).unwrap_or(i64::MAX)
}

/// The answer to what is followed by messages. On lines it goes ahead of them; with a session,
/// where an answer finds its question by itself, it comes when all of them have been sent.
async fn ahead(link: &Link, kind: &str, answer: String) -> String {
    if link.session().is_some() {
        return answer;
    }
    // Who is gone need not be told.
    let _ = link.send(named(kind), answer.as_bytes()).await;
    String::new()
}

async fn register(
    State(hall): State<Hall>,
    State(Open(open)): State<Open>,
    Json(asked): Json<messages::Login>,
) -> String {
    let made = if open {
        let register = move |it: &Accounts| it.register(&asked.username, &asked.password);
        let made = hall.accounts().aside(register).await;
        made.map_err(|why| why.text())
    } else {
        Err("accounts are made by whoever runs this server")
    };
    let answer = object("register_response").boolean("success", made.is_ok());
    let answer = match made {
        Ok(id) => answer.number("user_id", number(id)),
        Err(_) => answer.null("user_id"),
    };
    maybe(answer, "error_message", made.err()).finish()
}

async fn login(State(hall): State<Hall>, Json(asked): Json<messages::Login>, link: Link) -> String {
    let known = match link.get::<Member>().filter(|_| link.session().is_some()) {
        Some(member) => Some(member),
        None => check(&hall, asked).await,
    };
    let Some(member) = known else {
        return object("login_response")
            .boolean("success", false)
            .null("user_id")
            .null("username")
            .string("error_message", WRONG)
            .null("current_chat_group")
            .finish();
    };
    let room = hall.make(PUBLIC).expect("it is made first");
    let mut place = format!("{{\"id\": {}, \"name\": ", room.id);
    quote(&room.name, &mut place);
    place.push('}');
    let answer = object("login_response")
        .boolean("success", true)
        .number("user_id", member.id)
        .string("username", &member.name)
        .null("error_message")
        .json("current_chat_group", Text::new(&place).expect("it is an object"))
        .finish();
    link.set(member.clone());
    let answer = ahead(&link, "login_response", answer).await;
    // An error means that nobody is there any more.
    let _ = hall.enter(&link, &member, &room, None).await;
    answer
}

async fn check(hall: &Hall, asked: messages::Login) -> Option<Member> {
    let check = move |it: &Accounts| it.check(&asked.username, &asked.password);
    let id = hall.accounts().aside(check).await?;
    Some(Member { id: number(id), name: hall.accounts().name(id)? })
}

async fn logout(
    State(hall): State<Hall>,
    _: Member,
    Json(_): Json<messages::Plain>,
    link: Link,
) -> String {
    hall.leave(&link);
    if link.session().is_none() {
        link.remove::<Member>();
    }
    object("logout_response").boolean("success", true).finish()
}

async fn create(State(hall): State<Hall>, _: Member, Json(asked): Json<messages::Enter>) -> String {
    let room = hall.make(&asked.chat_name);
    let answer = object("create_chat_response").boolean("success", room.is_some());
    let answer = match &room {
        Some(room) => answer.number("chat_group_id", room.id),
        None => answer.null("chat_group_id"),
    };
    let wrong = room.is_none().then_some("there can be no such room");
    maybe(answer.string("chat_name", &asked.chat_name), "error_message", wrong).finish()
}

async fn enter(
    State(hall): State<Hall>,
    member: Member,
    Json(asked): Json<messages::Enter>,
    link: Link,
) -> String {
    let kind = match &asked.message_type[..] {
        "join_chat_request" => "join_chat_response",
        _ => "enter_chat_response",
    };
    let Some(room) = hall.make(&asked.chat_name) else {
        return object(kind)
            .boolean("success", false)
            .null("chat_group_id")
            .string("chat_name", &asked.chat_name)
            .string("error_message", "there can be no such room")
            .finish();
    };
    let answer = object(kind)
        .boolean("success", true)
        .number("chat_group_id", room.id)
        .string("chat_name", &room.name)
        .null("error_message")
        .finish();
    let answer = ahead(&link, kind, answer).await;
    // An error means that nobody is there any more.
    let _ = hall.enter(&link, &member, &room, asked.after).await;
    answer
}

/// Everybody in the room hears it, the sender too: what he hears of himself is what there is.
async fn say(
    State(hall): State<Hall>,
    member: Member,
    Json(said): Json<messages::Message>,
    link: Link,
) {
    match hall.place(&link) {
        Some(room) => {
            hall.say(&room, &member, Said::Words(cut(&said.content).into()));
        }
        None => complain(&link, code::NO_ROOM, "enter a room first").await,
    }
}

/// An array of objects, of which each says what it holds.
fn array(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

fn quoted(text: &str) -> String {
    let mut out = String::new();
    quote(text, &mut out);
    out
}

fn listed(kind: &str, room: Option<i64>, name: &str, items: &str) -> String {
    let answer = object(kind);
    let answer = match room {
        Some(room) => answer.number("chat_group_id", room),
        None => answer,
    };
    answer.json(name, Text::new(items).expect("it is an array")).finish()
}

async fn users(
    State(hall): State<Hall>,
    _: Member,
    Json(_): Json<messages::List>,
    link: Link,
) -> String {
    let room = hall.place(&link);
    let users = room.as_ref().map_or_else(Vec::new, |room| room.users());
    let user =
        |it: Member| format!("{{\"user_id\": {}, \"username\": {}}}", it.id, quoted(&it.name));
    let items = array(users.into_iter().map(user));
    listed("list_users_response", room.map(|room| room.id), "users", &items)
}

async fn chats(State(hall): State<Hall>, _: Member, Json(_): Json<messages::Plain>) -> String {
    let items = array(hall.list().into_iter().map(|(room, count)| {
        let name = quoted(&room.name);
        format!("{{\"chat_group_id\": {}, \"chat_name\": {name}, \"users\": {count}}}", room.id)
    }));
    listed("list_chats_response", None, "chats", &items)
}

async fn files(
    State(hall): State<Hall>,
    _: Member,
    Json(_): Json<messages::List>,
    link: Link,
) -> String {
    let room = hall.place(&link).map(|room| room.id);
    let files = room.map_or_else(Vec::new, |room| hall.files().list(room));
    let file = |it: Shared| {
        let (name, size) = (quoted(&it.name), it.bytes.len());
        format!("{{\"file_id\": {}, \"filename\": {name}, \"file_size\": {size}}}", it.id)
    };
    let items = array(files.into_iter().map(file));
    listed("file_list_response", room, "files", &items)
}

fn uploaded(success: bool, message: &str, file: Option<i64>) -> String {
    let answer = object("file_upload_response").boolean("success", success);
    let answer = answer.string("message", message);
    match file {
        Some(file) => answer.number("file_id", file).finish(),
        None => answer.null("file_id").finish(),
    }
}

/// With a session the whole file comes as one long message: the object, a newline, the bytes. On
/// lines the object comes alone, and the file in pieces behind it.
async fn upload(State(hall): State<Hall>, member: Member, came: Bytes, link: Link) -> String {
    let end = came.iter().position(|byte| *byte == b'\n').unwrap_or(came.len());
    let Ok(asked) = serde_json::from_slice::<messages::Upload>(&came[..end]) else {
        return uploaded(false, "this is no file_upload_request", None);
    };
    let Some(room) = hall.place(&link) else {
        return uploaded(false, "enter a room first", None);
    };
    const NO_ROOM: &str = "the file is too long, or too many are on their way";
    if link.session().is_some() {
        let bytes = came.slice((end + 1).min(came.len())..);
        if bytes.len() != asked.file_size {
            return uploaded(false, "the file has another length than its request says", None);
        }
        let file = hall.give(&room, &member, &asked.filename, bytes);
        let message = if file.is_some() { "everybody can have it" } else { NO_ROOM };
        return uploaded(file.is_some(), message, file.map(|file| file.id));
    }
    match hall.files().begin(&asked.filename, asked.file_size) {
        Some(upload) => {
            let done = upload.is_complete();
            link.set(upload);
            if done {
                finish_upload(&hall, &member, &link);
            }
            uploaded(true, "now its pieces", None)
        }
        None => uploaded(false, NO_ROOM, None),
    }
}

/// A piece of a file; the last one gives it to the room, and its sender hears of that as everybody
/// else does.
async fn chunk(
    State(hall): State<Hall>,
    member: Member,
    Json(piece): Json<messages::Chunk>,
    link: Link,
) {
    let Ok(bytes) = BASE64.decode(&piece.data) else {
        return complain(&link, code::MALFORMED, "data is no base64").await;
    };
    let taken = link.with(|upload: Option<&mut Upload>| upload.map(|it| it.take(&bytes)));
    match taken {
        Some(Some(false)) => {}
        Some(Some(true)) => finish_upload(&hall, &member, &link),
        Some(None) => {
            link.remove::<Upload>();
            complain(&link, code::TOO_LARGE, "more than file_size").await;
        }
        None => complain(&link, code::NO_FILE, "no file is on its way").await,
    }
}

fn finish_upload(hall: &Hall, member: &Member, link: &Link) {
    if let Some(upload) = link.remove::<Upload>()
        && let Some(room) = hall.place(link)
    {
        let name = upload.name.clone();
        hall.give(&room, member, &name, upload.into_bytes());
    }
}

/// With a session the answer is the object, a newline, and the file. On lines the file comes in
/// pieces, and then the answer.
async fn download(
    State(hall): State<Hall>,
    _: Member,
    Json(asked): Json<messages::Download>,
    link: Link,
) -> Vec<u8> {
    let room = hall.place(&link);
    let Some(file) = room.and_then(|room| hall.files().get(room.id, asked.file_id)) else {
        return downloaded(false, "there is no such file", "", 0).into_bytes();
    };
    let answer = downloaded(true, "", &file.name, file.bytes.len());
    if link.session().is_some() {
        return [answer.as_bytes(), b"\n", &file.bytes].concat();
    }
    for (number, piece) in file.bytes.chunks(PIECE).enumerate() {
        let object = object("file_chunk")
            .number("file_id", file.id)
            .number("offset", i64::try_from(number * PIECE).unwrap_or(i64::MAX))
            .string("data", &BASE64.encode(piece))
            .finish();
        if link.send(named("file_chunk"), object.as_bytes()).await.is_err() {
            break;
        }
    }
    answer.into_bytes()
}

fn downloaded(success: bool, message: &str, name: &str, size: usize) -> String {
    object("file_download_response")
        .boolean("success", success)
        .string("message", message)
        .string("filename", name)
        .number("file_size", i64::try_from(size).unwrap_or(i64::MAX))
        .finish()
}
