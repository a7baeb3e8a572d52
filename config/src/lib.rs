//! Settings of outlast servers and clients, each declared once: its key, its range, its unit, what
//! it is. Files in TOML, JSON and YAML, the environment, the command line, maps, `serde`, printing
//! and the documentation are all made of that.
//!
//! [`ServerSettings`] and [`ClientSettings`] are plain values with public fields of the types that
//! builders take. [`Sources`] reads them in layers: defaults, a [`Preset`], a file, the
//! environment, the command line, each over those before.
//!
//! # A server with a file
//!
//! ```
//! use outlast_config::{FileKind, ServerSettings, Sources};
//!
//! let file = r#"
//!     preset = "low-latency"
//!
//!     [session]
//!     retention = "1 h"
//!     max_message = "4 MiB"
//!
//!     [access]
//!     default = "deny"
//!     allow = ["10.0.0.0/8"]
//!
//!     [[listen]]
//!     address = "[::]:7411"
//! "#;
//! // Mostly `.file("server.toml")`, and the environment of the process.
//! let effective = Sources::new()
//!     .text("server.toml", FileKind::Toml, file)
//!     .environment([("OUTLAST_SESSION_RETENTION", "2 h")])
//!     .load::<ServerSettings>()?;
//! assert_eq!(effective.settings.session.retention_s, 7_200);
//! assert_eq!(effective.settings.session.idle_timeout_ms, 5_000);
//! println!("{}", effective.print());
//! # Ok::<(), outlast_config::Error>(())
//! ```
//!
//! `effective.settings.apply(Server::builder())` of any runtime then gives the builder its limits,
//! queues and socket options; `effective.settings.listen` says where to bind. Certificates, tokens
//! and logs are the program's to open: the settings have their paths alone, so that nothing secret
//! is printed with them.
//!
//! # What is wrong is said exactly
//!
//! ```
//! use outlast_config::{FileKind, ServerSettings, Sources};
//!
//! let said = |text: &str| {
//!     let sources = Sources::new().text("server.toml", FileKind::Toml, text);
//!     sources.load::<ServerSettings>().unwrap_err().to_string()
//! };
//! assert_eq!(
//!     said("[session]\nwindow = 12"),
//!     "server.toml:2: session.window is 12: it must be from 16387 to 1073741824",
//! );
//! assert_eq!(
//!     said("[session]\nwindwo = 12"),
//!     "server.toml:2: session.windwo is no setting: do you mean session.window?",
//! );
//! ```
//!
//! # Reading again
//!
//! A [`Reloader`] reads everything again while the program runs. All of it is checked before
//! anything is changed, by the program itself, too; a mistake changes nothing.
//!
//! ```
//! use outlast_config::{Reloader, ServerSettings, Sources};
//!
//! let mut reloader = Reloader::new(Sources::new(), ServerSettings::default())?;
//! let reloaded = reloader.reload(|settings| {
//!     // `server.set_limits(&settings.limits())`, and certificates.
//!     let _ = settings.limits();
//!     Ok(())
//! })?;
//! assert!(reloaded.at_once.is_empty() && reloaded.restart.is_empty());
//! # Ok::<(), outlast_config::Error>(())
//! ```
//!
//! # By key
//!
//! [`Settings`] has what goes by key: `get`, `with`, `to_map`, `from_map`. Both types are
//! [`serde`] values, too, as tables inside of tables:
//!
//! ```
//! use outlast_config::{ClientSettings, Settings};
//!
//! let settings = ClientSettings::default().with("dial.backoff_cap", "30 s")?;
//! let json = serde_json::to_string(&settings).unwrap();
//! assert!(json.contains(r#""backoff_cap":"30 s""#));
//! assert_eq!(serde_json::from_str::<ClientSettings>(&json).unwrap(), settings);
//! # Ok::<(), outlast_config::Error>(())
//! ```
//!
//! # What is where
//!
//! | you want | take |
//! |---|---|
//! | settings out of a file, the environment, options | [`Sources`], then `load` |
//! | to know who set a value, or to print all | [`Effective::origin`], [`Effective::print`] |
//! | values that go together | a [`Preset`]: `default`, `low-latency` and others |
//! | to read them again while the program runs | [`Reloader`] |
//! | a host and a port that a person typed | [`Address`] |
//! | a table of all keys | [`tables`] |
//!
//! # What is promised, and what is not
//!
//! * A key that does not exist, a value out of range and two values that do not fit each other are
//!   errors, whoever set them; nothing is ignored, and nothing is corrected silently. Variables of
//!   the environment that only look like settings are told of in [`Effective`], since a process
//!   does not choose its environment.
//! * Every key has an effect that a test of the repository shows.
//! * What [`Effective::print`] prints is a file in TOML that gives the same settings when read.
//! * Files are read when they are asked for and not watched: a signal, or whatever the program
//!   likes, calls [`Reloader::reload`].
//!
//! # Limits
//!
//! Sizes and times are written with their units (`"4 MiB"`, `"1 h"`, `"200 ms"`), or as plain
//! numbers of bytes and milliseconds; what each key may be is in the table of keys. An [`Error`]
//! has the line of the file, the key, the value and the range that would do, or the nearest key
//! there is.
//!
//! # Features
//!
//! There are none. It brings `toml`, `serde_json` and `saphyr-parser` for the three kinds of files,
//! `serde`, and `outlast-service` with its features `net` and `formats`, whose types the settings
//! are. Rust 1.91 or newer.
//!
//! All keys, with ranges, defaults, and what shows the effect of each, are in the
//! repository's `docs/configuration.md`; [`tables`] makes them.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod address;
mod assign;
mod client;
mod error;
mod file;
mod item;
mod kind;
mod layers;
mod listener;
mod nested;
mod node;
mod preset;
mod reload;
mod sections;
mod server;
mod settings;
mod table;
mod units;
mod value;

pub use address::Address;
pub use client::ClientSettings;
pub use error::{Error, Origin};
pub use file::FileKind;
pub use item::When;
pub use layers::{Effective, Sources};
pub use listener::Listener;
pub use preset::Preset;
pub use reload::{Reloaded, Reloader};
pub use server::{AccessSettings, LogLevel, ServerSettings, SnapshotSettings};
pub use settings::Settings;
pub use table::tables;
pub use value::Value;

#[cfg(test)]
mod tests;
