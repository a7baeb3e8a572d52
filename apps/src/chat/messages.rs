//! The objects that go over the wire: the same ones in sessions and on lines.
//!
//! They are those of Chat-Room, with its names and its order of fields. What a request does not say
//! has a default, what it says too much is an error.

use std::time::SystemTime;

use outlast_service::plain::formats::ndjson::Envelope;
use serde::Deserialize;

use super::log::{Line, Said};

/// Errors by the numbers that Chat-Room has for them.
pub mod code {
    /// Nobody has logged in here, or not with this name and password.
    pub const LOGIN: i64 = 1001;
    /// There is no such room, or this is not the place to be in one.
    pub const NO_ROOM: i64 = 1004;
    /// There is no such file.
    pub const NO_FILE: i64 = 1006;
    /// The file is too long, or there are too many.
    pub const TOO_LARGE: i64 = 1007;
    /// The object is not what it should be.
    pub const MALFORMED: i64 = 1008;
}

/// Longest message in characters; what is longer is cut, and ends with three dots.
pub const CONTENT: usize = 1_000;

/// Bytes of a file in one piece: a line of base64 that every reader of lines takes.
pub const PIECE: usize = 48 << 10;

macro_rules! requests {
    ($($(#[$about:meta])* $name:ident { $($(#[$say:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$about])*
        #[derive(Debug, Clone, Default, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            /// Which object it is.
            pub message_type: String,
            /// When it was written, in seconds since 1970.
            pub timestamp: Option<f64>,
            $($(#[$say])* pub $field: $type,)*
        }
    )*};
}

requests! {
    /// `login_request`, `register_request`.
    Login {
        /// Who.
        username: String,
        /// His password.
        password: String,
    }
    /// `logout_request`, `list_chats_request`, and others that ask for nothing in particular.
    Plain {}
    /// `create_chat_request`, `join_chat_request`, `enter_chat_request`.
    Enter {
        /// The room.
        chat_name: String,
        /// The last line of it that is known already, by its `message_id`: what came behind is
        /// told. Without it the usual part of the history is.
        after: Option<i64>,
        /// For whom it is made; everybody may come in.
        member_usernames: Vec<String>,
    }
    /// `chat_message`. Who sends one need only say `content`; the rest is filled in.
    Message {
        /// Who said it.
        sender_id: Option<i64>,
        /// His name.
        sender_username: Option<String>,
        /// Where.
        chat_group_id: Option<i64>,
        /// What that is called.
        chat_group_name: Option<String>,
        /// What.
        content: String,
        /// The number of the line in its room.
        message_id: Option<i64>,
    }
    /// `list_users_request`, `file_list_request`.
    List {
        /// The room; the one that one is in, whatever this says.
        chat_group_id: Option<i64>,
    }
    /// `file_upload_request`.
    Upload {
        /// What it is called.
        filename: String,
        /// Bytes.
        file_size: usize,
        /// The room; the one that one is in, whatever this says.
        chat_group_id: Option<i64>,
    }
    /// `file_chunk`: the next piece of a file.
    Chunk {
        /// The file, where it has a number.
        file_id: Option<i64>,
        /// Where in the file it begins.
        offset: Option<u64>,
        /// Base64.
        data: String,
    }
    /// `file_download_request`.
    Download {
        /// The file.
        file_id: i64,
    }
}

/// Seconds since 1970.
#[must_use]
pub fn unix() -> f64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs_f64()
}

/// Begins an object that is written now.
#[must_use]
pub fn object(message_type: &str) -> Envelope {
    Envelope::new(message_type, unix())
}

/// A field that is text, or null.
#[must_use]
pub fn maybe(object: Envelope, name: &str, text: Option<&str>) -> Envelope {
    match text {
        Some(text) => object.string(name, text),
        None => object.null(name),
    }
}

/// What may be said: at most [`CONTENT`] characters.
#[must_use]
pub fn cut(content: &str) -> String {
    match content.char_indices().nth(CONTENT) {
        Some((end, _)) => format!("{}...", &content[..end]),
        None => content.to_owned(),
    }
}

/// What a line of a room is sent as: name and object. A line of the history has a name of its own.
#[must_use]
pub fn line(line: &Line, room: (i64, &str), history: bool) -> (&'static str, String) {
    let (sender, name) = (&line.sender.0, &line.sender.1);
    match &line.said {
        Said::Words(words) => {
            let kind = if history { "chat_history" } else { "chat_message" };
            let object = Envelope::new(kind, line.unix)
                .number("sender_id", *sender)
                .string("sender_username", name)
                .number("chat_group_id", room.0)
                .string("chat_group_name", room.1)
                .string("content", words)
                .number("message_id", line.id);
            (kind, object.finish())
        }
        Said::File { file, name: filename, size } => {
            let object = Envelope::new("file_notification", line.unix)
                .number("sender_id", *sender)
                .string("sender_username", name)
                .number("chat_group_id", room.0)
                .string("chat_group_name", room.1)
                .number("file_id", *file)
                .string("filename", filename)
                .number("file_size", i64::try_from(*size).unwrap_or(i64::MAX))
                .number("message_id", line.id);
            ("file_notification", object.finish())
        }
    }
}

/// `error_message`.
#[must_use]
pub fn error(code: i64, text: &str) -> String {
    object("error_message").number("error_code", code).string("error_message", text).finish()
}

/// `system_message`.
#[must_use]
pub fn system(text: &str) -> String {
    object("system_message").string("content", text).string("level", "info").finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_those_of_chat_room() {
        let said = Line {
            id: 7,
            unix: 1_700_000_000.5,
            sender: (2, "alice".into()),
            said: Said::Words("你好".into()),
        };
        let expected = concat!(
            r#"{"message_type": "chat_message", "timestamp": 1700000000.5, "sender_id": 2, "#,
            r#""sender_username": "alice", "chat_group_id": 1, "chat_group_name": "public", "#,
            r#""content": "你好", "message_id": 7}"#
        );
        assert_eq!(line(&said, (1, "public"), false), ("chat_message", expected.to_owned()));
        let old = expected.replace("chat_message", "chat_history");
        assert_eq!(line(&said, (1, "public"), true), ("chat_history", old));
        let login = concat!(
            r#"{"message_type": "login_request", "timestamp": 1700000000.5, "#,
            r#""username": "alice", "password": "passw0rd"}"#
        );
        let login: Login = serde_json::from_str(login).unwrap();
        assert_eq!((&login.username[..], &login.password[..]), ("alice", "passw0rd"));
        let unsaid: Login = serde_json::from_str(r#"{"message_type": "login_request"}"#).unwrap();
        assert_eq!(unsaid.username, "", "what is missing has a default");
        assert!(serde_json::from_str::<Login>(r#"{"user": "alice"}"#).is_err());
    }

    #[test]
    fn long_words_are_cut() {
        assert_eq!(cut(&"é".repeat(1_000)).chars().count(), 1_000);
        let long = cut(&"é".repeat(1_001));
        assert!(long.ends_with("é...") && long.chars().count() == 1_003);
    }
}
