//! The protocol explained, frame by frame, from hex text or from a capture.

mod explain;
mod hex;
mod pcap;
mod show;
mod tcp;
mod track;

use std::time::Duration;

pub(crate) use pcap::is_capture;
pub(crate) use show::{Options, escape, readable};

/// Who sent something.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) enum Sender {
    Client,
    Server,
    /// The input does not say.
    Unknown,
}

impl Sender {
    /// What stands in front of a line.
    const fn mark(self) -> char {
        match self {
            Self::Client => '>',
            Self::Server => '<',
            Self::Unknown => '-',
        }
    }
}

/// Bytes that one end sent at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) sender: Sender,
    /// Time since the conversation began, if known.
    pub(crate) at: Option<Duration>,
    pub(crate) bytes: Vec<u8>,
}

/// One connection.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Conversation {
    /// Who talks to whom, if known.
    pub(crate) title: String,
    /// In the order in which they were sent.
    pub(crate) pieces: Vec<Piece>,
    /// What the reader should know about the input.
    pub(crate) remarks: Vec<String>,
}

/// Explains `input`, whatever it is: a capture, hex text, or the bytes themselves.
///
/// # Errors
///
/// A sentence that says what is wrong with the input and how to mend it.
pub(crate) fn explain(input: &[u8], options: &Options) -> Result<String, String> {
    let conversations = read(input, options)?;
    if conversations.iter().all(|conversation| conversation.pieces.is_empty()) {
        return Err("there is nothing to explain: the input holds no bytes".to_owned());
    }
    let mut text = String::new();
    for conversation in &conversations {
        if !text.is_empty() {
            text.push('\n');
        }
        track::explain(conversation, options, &mut text);
    }
    Ok(text)
}

fn read(input: &[u8], options: &Options) -> Result<Vec<Conversation>, String> {
    if is_capture(input) {
        let packets = pcap::packets(input)?;
        return tcp::conversations(&packets, options.port, options.all);
    }
    match str::from_utf8(input) {
        Ok(text) if !text.contains('\0') => Ok(vec![hex::parse(text)?]),
        Ok(_) | Err(_) => {
            let piece = Piece { sender: Sender::Unknown, at: None, bytes: input.to_vec() };
            Ok(vec![Conversation { pieces: vec![piece], ..Conversation::default() }])
        }
    }
}

/// The same for text that is certainly hex, as from the command line.
pub(crate) fn explain_hex(text: &str, options: &Options) -> Result<String, String> {
    explain(text.as_bytes(), options)
}
