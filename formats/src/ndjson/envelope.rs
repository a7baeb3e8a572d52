//! What all objects of Chat-Room have, written and read.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use core::fmt::Write as _;

use crate::error::FormatError;
use crate::json::{Json, object, quote};

/// One object, written as Python's `json.dumps` does without escaping letters: `message_type`,
/// `timestamp`, then the fields in the order of the calls.
///
/// ```
/// use outlast_formats::ndjson::Envelope;
///
/// let line = Envelope::new("chat_message", 1_700_000_000.5)
///     .number("sender_id", 2)
///     .string("content", "你好")
///     .null("message_id")
///     .finish();
/// let start = r#"{"message_type": "chat_message", "timestamp": 1700000000.5, "#;
/// let end = r#""sender_id": 2, "content": "你好", "message_id": null}"#;
/// assert_eq!(line, [start, end].concat());
/// ```
#[derive(Debug, Clone)]
pub struct Envelope {
    text: String,
}

impl Envelope {
    /// Begins an object; `timestamp` is in seconds since 1970.
    #[must_use]
    pub fn new(message_type: &str, timestamp: f64) -> Self {
        let mut text = String::from("{\"message_type\": ");
        quote(message_type, &mut text);
        Self { text }.float("timestamp", timestamp)
    }

    /// A field that is text.
    #[must_use]
    pub fn string(mut self, name: &str, value: &str) -> Self {
        self.name(name);
        quote(value, &mut self.text);
        self
    }

    /// A field that is a whole number.
    #[must_use]
    pub fn number(self, name: &str, value: i64) -> Self {
        self.plain(name, &format!("{value}"))
    }

    /// A field that is a number.
    #[must_use]
    pub fn float(self, name: &str, value: f64) -> Self {
        let text = match value {
            value if value.is_nan() => String::from("NaN"),
            value if value.is_infinite() && value > 0.0 => String::from("Infinity"),
            value if value.is_infinite() => String::from("-Infinity"),
            value => format!("{value:?}"),
        };
        self.plain(name, &text)
    }

    /// A field that is true or false.
    #[must_use]
    pub fn boolean(self, name: &str, value: bool) -> Self {
        self.plain(name, if value { "true" } else { "false" })
    }

    /// A field without a value.
    #[must_use]
    pub fn null(self, name: &str) -> Self {
        self.plain(name, "null")
    }

    /// A field that is JSON. A newline in it is written as a space, which means the same.
    #[must_use]
    pub fn json(self, name: &str, value: Json<'_>) -> Self {
        self.plain(name, &value.text().replace(['\n', '\r'], " "))
    }

    /// The object, without the newline that [`Ndjson`](super::Ndjson) writes behind it.
    #[must_use]
    pub fn finish(mut self) -> String {
        self.text.push('}');
        self.text
    }

    fn plain(mut self, name: &str, value: &str) -> Self {
        self.name(name);
        self.text.push_str(value);
        self
    }

    fn name(&mut self, name: &str) {
        self.text.push_str(", ");
        quote(name, &mut self.text);
        // Writing to a string does not fail.
        let _ = self.text.write_str(": ");
    }
}

/// What all objects have.
#[derive(Debug, Clone, PartialEq)]
pub struct Head<'b> {
    /// What the object is.
    pub message_type: Cow<'b, str>,
    /// When it was written, in seconds since 1970, if it says so.
    pub timestamp: Option<f64>,
    /// The whole object, for its other fields.
    pub object: Json<'b>,
}

impl<'b> Head<'b> {
    /// Of a line.
    ///
    /// # Errors
    ///
    /// Why it is no object with a `message_type`.
    pub fn of(line: &'b [u8]) -> Result<Self, FormatError> {
        let text = core::str::from_utf8(line).map_err(|_| FormatError::BadUtf8)?;
        object(text, |_, _| {})?;
        let object = Json::new(text)?;
        let message_type = object.get("message_type").and_then(Json::as_str);
        let message_type = message_type.ok_or(FormatError::NoName)?;
        let timestamp = object.get("timestamp").and_then(Json::as_f64);
        Ok(Self { message_type, timestamp, object })
    }
}
