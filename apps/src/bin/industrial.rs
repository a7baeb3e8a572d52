//! Devices, a gateway and a plant: `industrial` runs all three, its commands one each.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use outlast_apps::industrial::{All, device, gateway, plant};
use outlast_apps::runtime::RuntimeName;

/// Frames of devices over a session that outlasts its uplink.
///
/// Without a command: a plant, a gateway and some devices in one process.
#[derive(Debug, Parser)]
#[command(name = "industrial", max_term_width = 100)]
struct Cli {
    /// Who runs the tasks
    #[arg(long, global = true, value_enum, default_value_t)]
    runtime: RuntimeName,
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    all: All,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Take readings from gateways, and show them
    Plant(plant::Serve),
    /// Forward what devices say
    Gateway(gateway::Serve),
    /// Be a device
    Device(device::Device),
}

fn main() -> ExitCode {
    let Cli { runtime, command, all } = Cli::parse();
    match command {
        None => runtime.run(all),
        Some(Command::Plant(plant)) => runtime.run(plant),
        Some(Command::Gateway(gateway)) => runtime.run(gateway),
        Some(Command::Device(device)) => runtime.run(device),
    }
}
