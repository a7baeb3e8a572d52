//! Players on a board: `game`, and in other terminals `game play NAME` and `game bot NAME`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use outlast_apps::game::Serve;
use outlast_apps::game::player::{Bot, Play};
use outlast_apps::runtime::RuntimeName;

/// Players on a board: positions of which only the newest counts.
#[derive(Debug, Parser)]
#[command(name = "game", max_term_width = 100)]
struct Cli {
    /// Who runs the tasks
    #[arg(long, global = true, value_enum, default_value_t)]
    runtime: RuntimeName,
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Keep the board; what `game` does by itself
    Serve(Serve),
    /// Play from this terminal
    Play(Play),
    /// Walk about
    Bot(Bot),
}

fn main() -> ExitCode {
    let Cli { runtime, command, serve } = Cli::parse();
    match command {
        None => runtime.run(serve),
        Some(Command::Serve(serve)) => runtime.run(serve),
        Some(Command::Play(play)) => runtime.run(play),
        Some(Command::Bot(bot)) => runtime.run(bot),
    }
}
