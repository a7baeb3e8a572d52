//! A server of RocketMQ's remoting commands that gives back what it gets: `rocketmq-echo`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use outlast_apps::rocketmq::{Send, Serve};
use outlast_apps::runtime::RuntimeName;

/// RocketMQ's remoting commands: what is asked comes back.
#[derive(Debug, Parser)]
#[command(name = "rocketmq-echo", max_term_width = 100)]
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
    /// Serve; what `rocketmq-echo` does by itself
    Serve(Serve),
    /// Send commands, and show their answers
    Send(Send),
}

fn main() -> ExitCode {
    let Cli { runtime, command, serve } = Cli::parse();
    match command {
        None => runtime.run(serve),
        Some(Command::Serve(serve)) => runtime.run(serve),
        Some(Command::Send(send)) => runtime.run(send),
    }
}
