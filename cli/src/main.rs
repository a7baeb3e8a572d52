//! The `outlast` command: sessions that outlast their connections, from the command line.
//!
//! It is three things: a demonstration (`outlast demo`), tools that are of use by themselves (files
//! that survive a cut, a proxy that makes trouble, a server with metrics), and what one develops
//! with (explaining bytes, captures, judging other implementations, measuring). It is a program and
//! no library: programs of your own take `outlast-tokio`, `outlast-async-std` or `outlast-std`.
//!
//! # Two minutes
//!
//! ```text
//! outlast demo                          # a hundred cut connections, and nothing is lost
//!
//! outlast serve --echo                  # terminal 1, on port 7411 of this machine
//! outlast proxy --chaos :7412 :7411     # terminal 2: cuts, stalls, splits, goes deaf
//! outlast connect :7412                 # terminal 3: type, every line comes back once
//! ```
//!
//! An address is `host:port`; either part may be left out.
//!
//! # The first program of your own
//!
//! `outlast serve --echo` answers it. It is `examples/hello.rs` of this crate:
//!
//! ```no_run
//! use outlast_tokio::{Client, Closed, Incoming, Peer};
//!
//! /// Asks and tells a server at `address`, and says how the session ended.
//! async fn talk(address: &str) -> Result<Closed, Box<dyn std::error::Error>> {
//!     // Called with everything that happens to the session, over all of its connections.
//!     let hear = |peer: &mut Peer<'_>, event: Incoming<'_>| match event {
//!         Incoming::Message { payload, .. } => println!("{}", String::from_utf8_lossy(payload)),
//!         Incoming::Disconnected { code, .. } => eprintln!("{code}; it comes back by itself"),
//!         Incoming::Finished => peer.finish(),
//!         _ => {}
//!     };
//!     let (handle, runner) = Client::builder().address(address).connect(hear)?;
//!     let client = tokio::spawn(runner);
//!
//!     // A request has one answer, whatever becomes of connections meanwhile.
//!     let answer = handle.request(1u8, b"what was asked").await?;
//!     println!("{}: {}", answer.status.is_ok(), String::from_utf8_lossy(&answer.payload));
//!
//!     // A message arrives once; with --echo it comes back, and `hear` prints it.
//!     handle.send(1u8, b"hello").await?;
//!     handle.finish();
//!     Ok(client.await?)
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     println!("{}", talk("127.0.0.1:7411").await?);
//!     Ok(())
//! }
//! ```
//!
//! # The commands
//!
//! | command | what it does |
//! |---|---|
//! | `demo` | server, clients and a proxy that makes trouble in one program; compares everything |
//! | `serve`, `connect` | a server that prints, answers and relays; lines from a terminal |
//! | `receive`, `send` | files, resumed after a cut, compared by SHA-256 |
//! | `proxy` | trouble of a chosen kind in front of anything that speaks TCP |
//! | `inspect` | bytes, hex text and captures, frame by frame |
//! | `bench` | latency and throughput, here or against a server |
//! | `conformance` | judges any server or client by what it says on the wire |
//! | `top` | a server's figures in a terminal; `serve --admin ADDR` has them |
//! | `cert`, `password` | certificates to try TLS with; lines for a server's file of users |
//!
//! `outlast COMMAND --help` explains each with examples. `serve` and `connect` also speak formats
//! of other systems (`--format NAME`), and take their settings from files, the environment and
//! options (`--config`, `--set`, `--print-config`).
//!
//! # Captures
//!
//! `--pcap FILE` writes what goes by as a capture for Wireshark and for `outlast inspect`. Every
//! command that opens connections of the protocol has it: `serve`, `connect`, `send`, `receive`,
//! `bench`, `conformance`, `demo` (the clients' side, behind the proxy) and `proxy` (its clients'
//! side). `top` speaks HTTP, and the others speak to nobody. What is kept is what the protocol
//! sees: over TLS it is readable, except at a proxy, which sees TLS alone. So tokens, keys and
//! payloads are in it, and on Unix nobody but its owner may read it. It ends at `--pcap-limit`
//! bytes (1 GiB) or when the disk is full, which is said, and the command goes on.
//!
//! # What goes in and out
//!
//! * What was asked for goes to standard output, everything about it to standard error. Control
//!   characters of the other end are shown and not obeyed.
//! * Exit code 0: done. 1: not, and a sentence that begins with `outlast:` says why, or the report
//!   of the command itself. 2: the arguments make no sense. 128 and a signal's number: `serve` was
//!   told a second time to end.
//! * `OUTLAST_TOKEN` is the token that a server asks for and a client shows, unless `--token-file`
//!   names a file. Other variables that begin with `OUTLAST_` are settings of `serve` and
//!   `connect`.
//! * Nothing is written but the files that an option, an argument or a setting names.
//!
//! # What is promised, and what is not
//!
//! * Every message once and in order over any number of connections, or a sentence that says what
//!   was lost. A file appears under its name when all of it has come and its SHA-256 is right.
//! * `serve` keeps sessions in memory; with `--snapshots DIR` they outlast it.
//! * `serve` and `receive` let everybody in who can reach them, until they are told of a token,
//!   users or client certificates; by default only this machine can.
//! * Nothing is encrypted, unless the server has a certificate (`--tls-cert`) and the client is
//!   told whom to trust (`--tls-ca`).
//!
//! It needs Rust 1.91 or newer to build; there are no features to choose. The guide
//! (`docs/guide.md`) explains the library, `docs/operations.md` a server in use,
//! `docs/configuration.md` every setting.
#![forbid(unsafe_code)]

mod commands;
mod demo;
mod health;
mod histogram;
mod inspect;
mod life;
mod progress;
mod proxy;
mod rng;
mod secret;
mod tap;
mod text;
mod top;
mod transfer;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Sessions that outlast their connections.
///
/// A session delivers every message exactly once and in order, through any number of broken
/// connections, or says exactly what did not arrive.
#[derive(Debug, Parser)]
#[command(
    name = "outlast",
    version,
    arg_required_else_help = true,
    after_help = "New here? `outlast demo` shows in some seconds what this is for. Then, in two \
                  terminals:\n\n  outlast serve\n  outlast connect\n\nCut the network as you \
                  like while you type.",
    max_term_width = 100
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(commands::demo::Args),
    Serve(commands::serve::Args),
    Connect(commands::connect::Args),
    Send(commands::send::Args),
    Receive(commands::receive::Args),
    Proxy(commands::proxy::Args),
    Inspect(commands::inspect::Args),
    Bench(commands::bench::Args),
    Cert(commands::cert::Args),
    Password(commands::password::Args),
    Conformance(commands::conformance::Args),
    Top(commands::top::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Demo(args) => commands::demo::run(&args),
        Command::Serve(args) => commands::serve::run(&args),
        Command::Connect(args) => commands::connect::run(&args),
        Command::Send(args) => commands::send::run(&args),
        Command::Receive(args) => commands::receive::run(&args),
        Command::Proxy(args) => commands::proxy::run(&args),
        Command::Inspect(args) => commands::inspect::run(&args),
        Command::Bench(args) => commands::bench::run(&args),
        Command::Cert(args) => commands::cert::run(&args),
        Command::Password(args) => commands::password::run(&args),
        Command::Conformance(args) => commands::conformance::run(&args),
        Command::Top(args) => commands::top::run(&args),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("outlast: {error}");
            ExitCode::FAILURE
        }
    }
}
