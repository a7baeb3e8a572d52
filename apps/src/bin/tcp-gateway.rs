//! A gateway for clients of zinx, of Paguma, and with sessions: `tcp-gateway`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use outlast_apps::gateway::{Call, Serve};
use outlast_apps::runtime::RuntimeName;

/// Clients of zinx and Paguma behind the same handlers as sessions.
#[derive(Debug, Parser)]
#[command(name = "tcp-gateway", max_term_width = 100)]
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
    /// Serve; what `tcp-gateway` does by itself
    Serve(Serve),
    /// Send one message, and show what comes back
    Call(Call),
}

fn main() -> ExitCode {
    let Cli { runtime, command, serve } = Cli::parse();
    match command {
        None => runtime.run(serve),
        Some(Command::Serve(serve)) => runtime.run(serve),
        Some(Command::Call(call)) => runtime.run(call),
    }
}
