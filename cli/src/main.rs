//! The `outlast` command: sessions that outlast their connections, from the command line.
#![forbid(unsafe_code)]

mod commands;
mod demo;
mod health;
mod histogram;
mod inspect;
mod progress;
mod proxy;
mod rng;
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
