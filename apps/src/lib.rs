//! Applications over outlast, to run and to copy from.
//!
//! | program | what it shows |
//! |---|---|
//! | `chat` | rooms, history, log-in and files; sessions and lines of JSON in the same room |
//! | `tcp-gateway` | clients of zinx and Paguma behind the same handlers as sessions |
//! | `rocketmq-echo` | RocketMQ's remoting commands: requests, one-way commands, errors |
//! | `industrial` | frames of devices over a session that outlasts its uplink |
//! | `game` | positions of which only the newest counts, beside events that all count |
//!
//! Each is `cargo run --release -p outlast-apps --bin NAME`; `--help` says what else it does. All
//! of them are generic over [`Net`](outlast_service::net::Net): the same handlers run on tokio and
//! on smol, and `--runtime` chooses ([`runtime`]). The document `docs/examples.md` of the
//! repository says how each is used, and how it is made.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod chat;
pub mod game;
pub mod gateway;
pub mod industrial;
pub mod rocketmq;
pub mod runtime;
