//! A chat: `chat serve`, and in other terminals `chat join NAME --new`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use outlast_apps::chat::Serve;
use outlast_apps::chat::client::Join;
use outlast_apps::runtime::RuntimeName;

/// A chat with rooms, for sessions and for lines of JSON.
#[derive(Debug, Parser)]
#[command(name = "chat", max_term_width = 100)]
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
    /// Keep the rooms; what `chat` does by itself
    Serve(Serve),
    /// Come in: what is typed is said
    Join(Join),
}

fn main() -> ExitCode {
    let Cli { runtime, command, serve } = Cli::parse();
    match command {
        None => runtime.run(serve),
        Some(Command::Serve(serve)) => runtime.run(serve),
        Some(Command::Join(join)) => runtime.run(join),
    }
}
