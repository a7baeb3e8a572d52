//! What is measured, one module per group.

mod core_group;
mod core_pair;
mod deaf;
mod idle;
mod instructions;
mod loopback;
mod observe;
mod own;
mod resume;
mod tls;

pub(crate) use core_group::exact as core_main;
pub(crate) use resume::Relay;

use std::io;

use crate::generator::GENERATOR_CORE;
use crate::options::Options;
use crate::report::Report;
use crate::{servers, sys};

/// A part of the benchmark that can be selected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Group {
    Core,
    OneWay,
    Echo,
    FanOut,
    Own,
    Idle,
    Resume,
    Tls,
    Observe,
}

impl Group {
    pub(crate) const ALL: [Self; 9] = [
        Self::Core,
        Self::OneWay,
        Self::Echo,
        Self::FanOut,
        Self::Own,
        Self::Idle,
        Self::Resume,
        Self::Tls,
        Self::Observe,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::OneWay => "oneway",
            Self::Echo => "echo",
            Self::FanOut => "fanout",
            Self::Own => "own",
            Self::Idle => "idle",
            Self::Resume => "resume",
            Self::Tls => "tls",
            Self::Observe => "observe",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|group| group.name() == name)
    }
}

/// Measures every selected group.
pub(crate) fn run(options: &Options, report: &mut Report) -> io::Result<()> {
    servers::choose_runtime(options.runtime);
    options.under.iter().for_each(|under| servers::choose_profiler(under));
    let files = sys::raise_open_file_limit()?;
    let cores = std::thread::available_parallelism()?.get();
    println!("{cores} cores, {files} open files, load {}", load_average());
    if cores < 2 {
        report.note("one core only: server and load share it, so wall rates mean little");
    } else {
        sys::pin_to_core(GENERATOR_CORE)?;
    }
    for group in &options.groups {
        match group {
            Group::Core => core_group::run(options, report)?,
            Group::OneWay => loopback::one_way(options, report)?,
            Group::Echo => loopback::echo(options, report)?,
            Group::FanOut => {
                loopback::fan_out(options, report)?;
                deaf::run(options, report)?;
            }
            Group::Own => own::run(options, report)?,
            Group::Idle => idle::run(options, report)?,
            Group::Resume => resume::run(options, report)?,
            Group::Tls => tls::run(options, report)?,
            Group::Observe => observe::run(options, report)?,
        }
    }
    Ok(())
}

fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("unknown").to_owned()
}
