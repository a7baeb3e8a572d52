//! The chat, as people use it: real programs, real sockets, cables that are pulled.

mod common;

use std::sync::mpsc::{Receiver, sync_channel};

use common::{LONG, Lines, RUNTIMES, Relay, Running, folder, noise};
use outlast_service::core::wire::Status;
use outlast_service::plain::formats::json::Json;
use outlast_service::router::named;
use outlast_service::{Handle, Incoming, Password, Peer};
use outlast_tokio::{Client, Config, ReconnectPolicy};

const PROGRAM: &str = env!("CARGO_BIN_EXE_chat");

/// A server at ports of the system's choice, and where they are.
struct Chat {
    server: Running,
    sessions: String,
    lines: String,
    runtime: &'static str,
}

impl Chat {
    fn start(runtime: &'static str, options: &[&str]) -> Self {
        let usual = ["--sessions", "127.0.0.1:0", "--lines", "127.0.0.1:0"];
        let quick = ["--iterations", "4096", "--runtime", runtime];
        let mut server = Running::start(PROGRAM, &[&usual[..], &quick, options].concat());
        let (sessions, lines) = (server.address("sessions on"), server.address("lines of JSON on"));
        Self { server, sessions, lines, runtime }
    }

    /// Somebody at a terminal, in the room.
    fn join(&self, name: &str, at: &str, options: &[&str]) -> Running {
        let usual = ["--runtime", self.runtime, "join", name, "--new", "--password", "passw0rd"];
        let there = ["--server", at, "--lines", &self.lines, "--patience", "20"];
        let mut joined = Running::start(PROGRAM, &[&usual[..], &there, options].concat());
        joined.wait_for("(in ");
        joined
    }

    /// Somebody with lines of JSON, who has an account and is in the room.
    fn log_in(&self, name: &str) -> Lines {
        let mut lines = Lines::dial(&self.lines);
        for kind in ["register", "login"] {
            lines.say(&request(kind, name, "passw0rd"));
            assert!(lines.hear_of("_response").contains("\"success\": true"));
        }
        lines.hear_of("chat_history_complete");
        lines
    }
}

fn request(kind: &str, name: &str, password: &str) -> String {
    format!(
        "{{\"message_type\": \"{kind}_request\", \"timestamp\": 1700000000.5, \"username\": \
         \"{name}\", \"password\": \"{password}\"}}"
    )
}

fn message(content: &str) -> String {
    format!("{{\"message_type\": \"chat_message\", \"content\": \"{content}\"}}")
}

fn field(line: &str, name: &str) -> String {
    let value = Json::new(line).expect("an object").get(name).expect("the field");
    value.as_str().map_or_else(|| value.text().to_owned(), |text| text.into_owned())
}

/// A program of one's own with a session: what it hears as name and content.
async fn session(chat: &Chat, at: &str, name: &str) -> (Handle, Receiver<(String, String)>) {
    let mut lines = Lines::dial(&chat.lines);
    lines.say(&request("register", name, "passw0rd"));
    assert!(lines.hear_of("register_response").contains("true"));
    let (told, heard) = sync_channel(100_000);
    let handler = move |_: &mut Peer<'_>, event: Incoming<'_>| {
        if let Incoming::Message { route, payload } = event
            && [named("chat_message"), named("chat_history")].contains(&route)
        {
            let line = String::from_utf8(payload.to_vec()).unwrap();
            told.send((field(&line, "sender_username"), field(&line, "content"))).unwrap();
        }
    };
    let quick = ReconnectPolicy { backoff_base: 1_000, backoff_cap: 20_000, ..Default::default() };
    let (handle, runner) = Client::builder()
        .address(at)
        .config(Config { max_message: 16 << 20, ..Config::CLIENT })
        .reconnect(quick)
        .credentials(Password::new(name, "passw0rd").unwrap().allow_plaintext())
        .connect(handler)
        .unwrap();
    tokio::spawn(runner);
    let asked = r#"{"message_type": "enter_chat_request", "chat_name": "public"}"#;
    let answer = handle.request(named("enter_chat_request"), asked.as_bytes()).await.unwrap();
    assert_eq!(answer.status, Status::OK);
    (handle, heard)
}

/// What the three say, one after the other and all at once.
fn everybody_hears(heard: &[(String, String)], rounds: usize) {
    for name in ["ann", "bob", "cid"] {
        let own = heard.iter().filter(|(who, _)| who == name).map(|(_, what)| what.clone());
        let said: Vec<String> = (0..rounds).map(|n| format!("{name} {n}")).collect();
        assert_eq!(own.collect::<Vec<_>>(), said, "{name}: each line once and in order");
    }
    assert_eq!(heard.len(), 3 * rounds);
}

async fn three_in_a_room(runtime: &'static str) {
    const ROUNDS: usize = 120;
    let chat = Chat::start(runtime, &[]);
    let (wire, cable) = (Relay::to(&chat.sessions), Relay::to(&chat.sessions));
    let mut ann = chat.join("ann", &wire.address(), &[]);
    let (bob, bob_hears) = session_after(&chat, &cable).await;
    let mut cid = chat.log_in("cid");
    for n in 0..ROUNDS {
        ann.type_line(&format!("ann {n}"));
        cid.say(&message(&format!("cid {n}")));
        bob.send(named("chat_message"), message(&format!("bob {n}")).as_bytes()).await.unwrap();
        match n % 40 {
            10 => wire.cut(),
            20 => cable.cut(),
            // Away while others speak, and while he does.
            25 => cable.shut(),
            35 => cable.open(),
            _ => {}
        }
    }
    let heard: Vec<_> = (0..3 * ROUNDS).map(|_| bob_hears.recv_timeout(LONG).unwrap()).collect();
    everybody_hears(&heard, ROUNDS);
    let cid_heard: Vec<_> = (0..3 * ROUNDS)
        .map(|_| cid.hear_of("\"chat_message\""))
        .map(|line| (field(&line, "sender_username"), field(&line, "content")))
        .collect();
    let shown: Vec<_> = (0..3 * ROUNDS)
        .map(|_| ann.wait_for("[public] "))
        .map(|line| line.strip_prefix("[public] ").unwrap().to_owned())
        .map(|line| line.split_once(": ").map(|(who, what)| (who.into(), what.into())).unwrap())
        .collect();
    assert_eq!(cid_heard, heard, "the same order for everybody");
    assert_eq!(shown, heard);
    assert!(wire.carried() > 1 && cable.carried() > 1, "the cables were pulled");
    assert!(
        ann.seen().iter().any(|line| line == "(back, and nothing is lost)"),
        "{:?}",
        ann.seen()
    );
    ann.type_line("/quit");
    let (status, all) = ann.finish();
    assert!(status.success());
    assert_eq!(all.matches("[public] ").count(), 3 * ROUNDS, "and nothing after that");
    assert!(cid.hear_of("offline").contains("\"username\": \"ann\""));
    bob.finish();
    assert!(bob.closed().await.complete);
}

/// He is the first who has a session and is no terminal.
async fn session_after(chat: &Chat, cable: &Relay) -> (Handle, Receiver<(String, String)>) {
    session(chat, &cable.address(), "bob").await
}

#[tokio::test(flavor = "multi_thread")]
async fn native_json_and_terminal_share_a_room_on_tokio() {
    three_in_a_room("tokio").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn native_json_and_terminal_share_a_room_on_smol() {
    three_in_a_room("smol").await;
}

#[test]
fn a_client_in_another_language_needs_nothing_of_this() {
    let client = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/chat.py");
    for runtime in RUNTIMES {
        let chat = Chat::start(runtime, &[]);
        let mut ann = chat.join("ann", &chat.sessions, &[]);
        ann.type_line("before");
        ann.wait_for("before");
        let mut bob = Running::start("python3", &[client, "bob", "hunter2x", &chat.lines]);
        bob.wait_for("ann: before");
        bob.type_line("from Python: 你好");
        assert_eq!(ann.wait_for("Python"), "[public] bob: from Python: 你好");
        bob.wait_for("bob: from Python");
        ann.type_line("to Python");
        bob.wait_for("ann: to Python");
        bob.type_line("the last word");
        bob.end_input();
        ann.wait_for("[public] bob: the last word");
        ann.wait_for("(bob is offline)");
        assert!(bob.finish().0.success());
        let mut again = Running::start("python3", &[client, "bob", "wrongpass1", &chat.lines]);
        again.end_input();
        let (_, said) = again.finish();
        assert_eq!(said, "(this name is taken)\n(wrong name or password)");
    }
}

#[test]
fn who_comes_in_is_told_the_last_fifty_lines() {
    for runtime in RUNTIMES {
        let chat = Chat::start(runtime, &[]);
        let mut ann = chat.log_in("ann");
        for n in 0..70 {
            ann.say(&message(&format!("line {n}")));
        }
        ann.hear_of("line 69");
        let mut bob = Lines::dial(&chat.lines);
        bob.say(&request("register", "bob", "passw0rd"));
        bob.say(&request("login", "bob", "passw0rd"));
        bob.hear_of("login_response");
        for n in 20..70 {
            let line = bob.hear().unwrap();
            assert_eq!(field(&line, "message_type"), "chat_history");
            assert_eq!(field(&line, "content"), format!("line {n}"));
            assert_eq!(field(&line, "message_id"), (n + 1).to_string());
        }
        let end = bob.hear().unwrap();
        assert_eq!(field(&end, "message_type"), "chat_history_complete");
        assert_eq!(field(&end, "message_count"), "50");
        // Who says what he has heard is told what came behind, and not what he knows.
        let again = r#"{"message_type": "enter_chat_request", "chat_name": "public", "after": 67}"#;
        bob.say(again);
        bob.hear_of("enter_chat_response");
        let told =
            ["line 67", "line 68", "line 69"].map(|_| field(&bob.hear().unwrap(), "content"));
        assert_eq!(told, ["line 67", "line 68", "line 69"]);
        assert_eq!(field(&bob.hear().unwrap(), "message_type"), "chat_history_complete");
        // A terminal is told the same.
        let cid = chat.join("cid", &chat.sessions, &[]);
        let shown: Vec<_> = cid.seen().iter().filter(|line| line.starts_with("[public]")).collect();
        assert_eq!((shown.len(), &shown[0][..]), (50, "[public] ann: line 20"));
    }
}

#[test]
fn limits_of_the_history_are_set_from_outside() {
    let chat = Chat::start("tokio", &["--history-kept", "5", "--history-told", "2"]);
    let mut ann = chat.log_in("ann");
    for n in 1..=9 {
        ann.say(&message(&format!("line {n}")));
    }
    ann.hear_of("line 9");
    let mut enter = |after: &str| {
        let asked = "{\"message_type\": \"enter_chat_request\", \"chat_name\": \"public\"";
        ann.say(&format!("{asked}{after}}}"));
        ann.hear_of("enter_chat_response");
        let mut told = Vec::new();
        loop {
            let line = ann.hear().unwrap();
            match &field(&line, "message_type")[..] {
                "chat_history_complete" => return told,
                "user_status_update" => {}
                _ => told.push(field(&line, "content")),
            }
        }
    };
    assert_eq!(enter(""), ["line 8", "line 9"]);
    let gone = "3 lines of public are not kept any more";
    assert_eq!(enter(", \"after\": 1"), [gone, "line 5", "line 6", "line 7", "line 8", "line 9"]);
    let chat = Chat::start("tokio", &["--history-age", "0"]);
    let mut ann = chat.log_in("ann");
    ann.say(&message("gone at once"));
    ann.hear_of("gone at once");
    let mut bob = chat.log_in("bob");
    bob.say(&message("hello"));
    assert_eq!(field(&bob.hear_of("\"content\""), "content"), "hello");
}

#[test]
fn errors_have_codes_and_reveal_nothing() {
    for runtime in RUNTIMES {
        let chat = Chat::start(runtime, &[]);
        let mut ann = Lines::dial(&chat.lines);
        let code = |lines: &mut Lines, said: &str| {
            lines.say(said);
            let answer = lines.hear().unwrap();
            assert_eq!(field(&answer, "message_type"), "error_message", "{answer}");
            field(&answer, "error_code")
        };
        assert_eq!(code(&mut ann, &message("who am I?")), "1001", "not logged in");
        assert_eq!(code(&mut ann, r#"{"message_type": "dance_request"}"#), "1008");
        assert_eq!(code(&mut ann, r#"{"message_type": "login_request", "user": 1}"#), "1008");
        assert_eq!(code(&mut ann, "{\"message_type\""), "1008");
        assert_eq!(code(&mut ann, "{}"), "1008");
        assert_eq!(code(&mut ann, "[1, 2]"), "1009");
        ann.say(r#"{"message_type": "heartbeat"}"#);
        assert_eq!(field(&ann.hear().unwrap(), "message_type"), "heartbeat");
        ann.say(&request("register", "ann", "passw0rd"));
        assert_eq!(field(&ann.hear().unwrap(), "user_id"), "1");
        ann.say(&request("register", "ann", "0therpass"));
        assert!(ann.hear().unwrap().contains("taken"));
        // A wrong password and a name that nobody has are told apart by nothing.
        let mut refused = ["ann", "eve"].map(|name| {
            ann.say(&request("login", name, "wr0ngpass"));
            let answer = ann.hear().unwrap();
            let stamp = format!("\"timestamp\": {}, ", field(&answer, "timestamp"));
            answer.replace(&stamp, "")
        });
        assert_eq!(refused[0], refused[1]);
        assert!(refused[0].contains("wrong name or password"));
        refused.fill(String::new());
        // Over a session neither, and the password is not even shown.
        for (name, password) in [("ann", "wr0ngpass"), ("eve", "passw0rd")] {
            let args = ["join", name, "--password", password, "--server", &chat.sessions];
            let (status, said) = Running::start(PROGRAM, &args).finish();
            assert_eq!(
                (status.code(), &said[..]),
                (Some(1), "error: wrong name or password; --new makes an account")
            );
        }
    }
}

#[test]
fn the_login_is_that_of_chat_room() {
    let chat = Chat::start("tokio", &[]);
    let mut lines = Lines::dial(&chat.lines);
    lines.say(&request("register", "alice", "passw0rd"));
    lines.hear_of("register_response");
    // The bytes of its own encoder.
    let login = concat!(
        r#"{"message_type": "login_request", "timestamp": 1700000000.5, "#,
        r#""username": "alice", "password": "passw0rd"}"#
    );
    assert_eq!(login.len() + 1, 106);
    lines.say(login);
    let answer = lines.hear().unwrap();
    let stamp = field(&answer, "timestamp");
    let expected = concat!(
        r#"{"message_type": "login_response", "timestamp": 1700000000.5, "success": true, "#,
        r#""user_id": 1, "username": "alice", "error_message": null, "#,
        r#""current_chat_group": {"id": 1, "name": "public"}}"#
    );
    assert_eq!(answer.replace(&stamp, "1700000000.5"), expected);
    lines.hear_of("chat_history_complete");
    lines.say(&message("你好"));
    let said = lines.hear_of("chat_message");
    let stamp = field(&said, "timestamp");
    let expected = concat!(
        r#"{"message_type": "chat_message", "timestamp": 1700000000.5, "sender_id": 1, "#,
        r#""sender_username": "alice", "chat_group_id": 1, "chat_group_name": "public", "#,
        r#""content": "你好", "message_id": 1}"#
    );
    assert_eq!(said.replace(&stamp, "1700000000.5"), expected);
}

#[test]
fn files_go_to_everybody_and_stay_in_their_folder() {
    for runtime in RUNTIMES {
        let chat = Chat::start(runtime, &["--max-file", "1024"]);
        let here = folder(&format!("files-{runtime}"));
        let (inbox, photo) = (here.join("inbox"), here.join("photo.bin"));
        let bytes = noise(1, 700_000);
        std::fs::write(&photo, &bytes).unwrap();
        let mut ann = chat.join("ann", &chat.sessions, &[]);
        let mut bob = chat.join("bob", &chat.sessions, &["--save", inbox.to_str().unwrap()]);
        let mut cid = chat.log_in("cid");
        // From a session, in one long message.
        ann.type_line(&format!("/send {}", photo.display()));
        ann.wait_for("everybody can have it");
        bob.wait_for("(saved ");
        assert!(std::fs::read(inbox.join("photo.bin")).unwrap() == bytes);
        let told = cid.hear_of("file_notification");
        assert_eq!(
            (&field(&told, "filename")[..], &field(&told, "file_size")[..]),
            ("photo.bin", "700000")
        );
        // To lines, in pieces of base64.
        cid.say(&format!(
            "{{\"message_type\": \"file_download_request\", \"file_id\": {}}}",
            field(&told, "file_id")
        ));
        assert!(download(&mut cid) == bytes);
        // From lines, with a name that wants to be elsewhere.
        let upload = concat!(
            r#"{"message_type": "file_upload_request", "#,
            r#""filename": "../../../etc/x", "file_size": 5}"#
        );
        cid.say(upload);
        assert!(cid.hear_of("file_upload_response").contains("\"success\": true"));
        for piece in ["aGU=", "bGxv"] {
            cid.say(&format!("{{\"message_type\": \"file_chunk\", \"data\": \"{piece}\"}}"));
        }
        let saved = bob.wait_for("(saved ");
        assert_eq!(saved, format!("(saved {})", inbox.join("x").display()));
        assert_eq!(std::fs::read(inbox.join("x")).unwrap(), b"hello");
        // What is too long is not taken, from either.
        std::fs::write(&photo, noise(2, (1 << 20) + 1)).unwrap();
        ann.type_line(&format!("/send {}", photo.display()));
        ann.wait_for("too long");
        cid.say(&upload.replace("5}", "1048577}"));
        assert!(cid.hear_of("file_upload_response").contains("\"success\": false"));
        cid.say("{\"message_type\": \"file_chunk\", \"data\": \"aGU=\"}");
        assert_eq!(field(&cid.hear_of("error_message"), "error_code"), "1006");
        assert_eq!(std::fs::read_dir(&inbox).unwrap().count(), 2);
    }
}

/// A file that comes in pieces.
fn download(lines: &mut Lines) -> Vec<u8> {
    use base64::Engine;
    let mut bytes = Vec::new();
    loop {
        let line = lines.hear().unwrap();
        match &field(&line, "message_type")[..] {
            "file_chunk" => {
                assert_eq!(field(&line, "offset"), bytes.len().to_string());
                let piece = base64::engine::general_purpose::STANDARD.decode(field(&line, "data"));
                bytes.extend(piece.unwrap());
            }
            "file_download_response" => {
                assert_eq!(field(&line, "file_size"), bytes.len().to_string());
                return bytes;
            }
            other => assert_eq!(other, "user_status_update"),
        }
    }
}

#[test]
fn who_reads_slowly_misses_nothing_and_holds_up_nobody() {
    let chat = Chat::start("tokio", &[]);
    let mut slow = chat.log_in("sloth");
    let mut ann = chat.log_in("ann");
    // More than queues and sockets hold: the rest is told from the log.
    let words = "x".repeat(900);
    const COUNT: usize = 7_000;
    for n in 0..COUNT {
        ann.say(&message(&format!("{n} {words}")));
        let heard = ann.hear_of("\"chat_message\"");
        assert!(field(&heard, "content").starts_with(&format!("{n} ")));
    }
    for n in 0..COUNT {
        let heard = slow.hear_of("\"chat_message\"");
        assert_eq!(field(&heard, "message_id"), (n + 1).to_string());
    }
}

#[cfg(unix)]
#[test]
fn a_server_that_starts_anew_is_entered_again() {
    let accounts = folder("anew").join("accounts");
    let accounts = ["--accounts", accounts.to_str().unwrap()];
    for runtime in RUNTIMES {
        let chat = Chat::start(runtime, &accounts);
        let (wire, name) = (Relay::to(&chat.sessions), format!("ann_{runtime}"));
        let mut ann = chat.join(&name, &wire.address(), &[]);
        for n in 0..3 {
            ann.type_line(&format!("line {n}"));
            ann.wait_for(&format!("{name}: line {n}"));
        }
        let (sessions, lines) = (chat.sessions.clone(), chat.lines.clone());
        chat.server.terminate();
        assert!(chat.server.finish().0.success());
        let there = ["--sessions", &sessions, "--lines", &lines, "--runtime", runtime];
        let _again = Running::start(PROGRAM, &[&there[..], &accounts].concat());
        ann.wait_for("(in public)");
        // The numbers of its lines begin again, and are heard all the same.
        ann.type_line("anew");
        ann.wait_for(&format!("[public] {name}: anew"));
        ann.type_line("/quit");
        let (status, all) = ann.finish();
        assert!(status.success(), "{all}");
        assert_eq!(all.matches("[public] ").count(), 4, "{all}");
    }
}

#[test]
fn rooms_are_apart_and_accounts_outlast_the_server() {
    let accounts = folder("accounts").join("accounts");
    let accounts = ["--accounts", accounts.to_str().unwrap()];
    let chat = Chat::start("tokio", &accounts);
    let mut ann = chat.join("ann", &chat.sessions, &[]);
    let mut bob = chat.join("bob", &chat.sessions, &["--room", "garden"]);
    ann.type_line("/room garden");
    ann.wait_for("(in garden)");
    bob.wait_for("(ann is online)");
    bob.type_line("psst");
    assert_eq!(ann.wait_for("psst"), "[garden] bob: psst");
    ann.type_line("/room public");
    ann.wait_for("(in public)");
    bob.wait_for("(ann is offline)");
    bob.type_line("alone");
    bob.wait_for("[garden] bob: alone");
    ann.type_line("/rooms");
    ann.wait_for("  public (1)");
    ann.wait_for("  garden (1)");
    ann.type_line("/who");
    ann.wait_for("  ann");
    assert!(!ann.seen().iter().any(|line| line.contains("alone")));
    #[cfg(unix)]
    {
        chat.server.terminate();
        let (status, _) = chat.server.finish();
        assert!(status.success(), "it ends when it is asked to");
    }
    // Names and passwords are still there, and nobody can make new ones.
    let chat = Chat::start("smol", &[&accounts[..], &["--closed"]].concat());
    let args = ["join", "ann", "--password", "passw0rd", "--server", &chat.sessions];
    Running::start(PROGRAM, &args).wait_for("(in public)");
    let mut lines = Lines::dial(&chat.lines);
    lines.say(&request("register", "eve", "passw0rd"));
    assert!(lines.hear().unwrap().contains("\"success\": false"));
}
