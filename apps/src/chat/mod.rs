//! A chat with rooms: sessions and lines of JSON in the same room.
//!
//! | part | where |
//! |---|---|
//! | what goes over the wire | [`messages`] |
//! | what clients may ask for: the same functions for both kinds of clients | [`routes`] |
//! | rooms, and how everybody hears everything at his own pace | [`hall`] |
//! | what was said: so many lines, for so long | [`log`] |
//! | names and passwords | [`accounts`] |
//! | files, and names that are safe | [`files`] |
//! | the client for a terminal | [`client`] |
//!
//! ```
//! use clap::Parser;
//! use outlast_apps::chat::Serve;
//! use outlast_tokio::Tokio;
//!
//! /// The same as the program does, in a program of one's own.
//! #[derive(Parser)]
//! struct Cli {
//!     #[command(flatten)]
//!     serve: Serve,
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), outlast_apps::runtime::Failure> {
//! let args = ["chat", "--sessions", "127.0.0.1:0", "--lines", "127.0.0.1:0"];
//! let chat = Cli::parse_from(args).serve.start(&Tokio).await?;
//! println!("sessions on {}", chat.sessions.local_addr());
//! chat.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! A client with a session misses nothing while it is cut off, and its words arrive once. A client
//! of lines can be written in ten minutes in any language: one object on each line, as
//! [`messages`] has them. It dials again by itself, logs in, and says in `enter_chat_request` with
//! `after` which line it heard last.

pub mod accounts;
pub mod client;
pub mod files;
pub mod hall;
pub mod log;
pub mod messages;
pub mod routes;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use outlast_service::core::Config;
use outlast_service::net::{Net, Running, Server};
use outlast_service::plain::PlainServerHandle;
use outlast_service::plain::formats::Ndjson;

use crate::runtime::{Failure, Program, Spawn, asked_to_end, at};
use accounts::Accounts;
use files::FileLimits;
use hall::Hall;
use log::HistoryLimits;

/// Where sessions are, unless it is said otherwise.
pub const SESSIONS: &str = "127.0.0.1:7420";

/// Where lines of JSON are, unless it is said otherwise.
pub const LINES: &str = "127.0.0.1:7421";

/// What a server can be told.
#[derive(Debug, Clone, Args)]
pub struct Serve {
    /// Where clients with sessions come
    #[arg(long, value_name = "ADDR", default_value = SESSIONS)]
    pub sessions: String,
    /// Where clients come that speak lines of JSON
    #[arg(long, value_name = "ADDR", default_value = LINES)]
    pub lines: String,
    /// Keep accounts in this file, and not in memory alone
    #[arg(long, value_name = "FILE")]
    pub accounts: Option<PathBuf>,
    /// Nobody may make an account by himself
    #[arg(long)]
    pub closed: bool,
    /// What a guess at a password costs
    #[arg(long, value_name = "COUNT", default_value_t = 100_000,
          value_parser = clap::value_parser!(u32).range(4_096..=10_000_000))]
    pub iterations: u32,
    /// Lines that are kept of each room
    #[arg(long, value_name = "COUNT", default_value_t = 10_000)]
    pub history_kept: usize,
    /// Seconds for which a line is kept
    #[arg(long, value_name = "SECONDS", default_value_t = 3_600)]
    pub history_age: u64,
    /// Lines that are told to who comes in
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    pub history_told: usize,
    /// Longest file, in KiB
    #[arg(long, value_name = "KIB", default_value_t = 8 << 10,
          value_parser = clap::value_parser!(u32).range(1..=512 << 10))]
    pub max_file: u32,
}

/// A server of the chat.
#[derive(Debug)]
#[must_use = "dropped, it goes on and cannot be shut down"]
pub struct Chat {
    /// The listener of sessions.
    pub sessions: Running,
    /// The listener of lines.
    pub lines: Running<PlainServerHandle>,
}

impl Serve {
    /// Starts a server in tasks of a runtime.
    ///
    /// # Errors
    ///
    /// If an address cannot be had, or the file of accounts cannot be read.
    pub async fn start<N: Net>(&self, net: &N) -> Result<Chat, Failure> {
        let history = HistoryLimits {
            kept: self.history_kept,
            age: Duration::from_secs(self.history_age),
            told: self.history_told,
        };
        let max_file = (self.max_file as usize) << 10;
        let files = FileLimits { file: max_file, kept: max_file * 8, ..FileLimits::default() };
        let accounts = match &self.accounts {
            Some(file) => Accounts::in_file(file.clone(), self.iterations)?,
            None => Accounts::in_memory(self.iterations),
        };
        let hall = Hall::new(history, files, accounts, Spawn::on(net));
        let routes = routes::routes(&hall, !self.closed)?;
        // A file comes as one message, with the object that says what it is.
        let config = Config { max_message: self.longest_message(), ..Config::SERVER };
        let sessions = Server::on(net.clone())
            .config(config)
            .authenticator(hall.accounts().authenticator()?)
            .groups(hall.groups())
            .bind(&self.sessions)
            .await
            .map_err(|error| at(&self.sessions, error))?;
        let lines = Server::on(net.clone())
            .format(Ndjson::default())
            .groups(hall.groups())
            .bind(&self.lines)
            .await
            .map_err(|error| at(&self.lines, error))?;
        Ok(Chat {
            sessions: sessions.start(routes.factory())?,
            lines: lines.start(routes.plain_factory())?,
        })
    }

    const fn longest_message(&self) -> u32 {
        (self.max_file << 10) + (16 << 10)
    }
}

impl Chat {
    /// Ends it: clients are told, and have a second for what is under way.
    pub async fn shutdown(self) {
        self.sessions.shutdown(Duration::from_secs(1)).await;
        self.lines.shutdown(Duration::from_secs(1)).await;
    }
}

impl Program for Serve {
    async fn run<N: Net>(self, net: N) -> Result<(), Failure> {
        let chat = self.start(&net).await?;
        println!("sessions on {}", chat.sessions.local_addr());
        println!("lines of JSON on {}", chat.lines.local_addr());
        asked_to_end().await?;
        chat.shutdown().await;
        Ok(())
    }
}
