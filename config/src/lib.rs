//! x
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
pub use server::{AccessSettings, ServerSettings};
pub use settings::Settings;
pub use table::tables;
pub use value::Value;

#[cfg(test)]
mod tests;
