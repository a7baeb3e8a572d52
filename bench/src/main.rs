//! outlast against the machine's limit and against its peers: one run, ratios from neighbouring
//! rounds. See `--help`.
#![deny(unsafe_code)]

mod clients;
mod gate;
mod generator;
mod groups;
mod measure;
mod options;
mod report;
mod servers;
mod sys;
mod syscalls;

use std::process::ExitCode;
use std::time::Instant;

use options::Options;
use report::Report;

#[global_allocator]
static ALLOCATOR: sys::Counting = sys::Counting;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match args.split_first().map(|(word, rest)| (word.as_str(), rest)) {
        Some(("serve", rest)) => servers::main(rest),
        Some(("client", rest)) => clients::main(rest),
        Some(("exact", rest)) => groups::core_main(rest),
        Some(("--help" | "-h", _)) => {
            print!("{}", options::HELP);
            Ok(())
        }
        _ => return benchmark(&args),
    };
    if let Err(error) = done {
        eprintln!("bench: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn benchmark(args: &[String]) -> ExitCode {
    let options = match Options::parse(args) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("bench: {error}\n\n{}", options::HELP);
            return ExitCode::FAILURE;
        }
    };
    let begin = Instant::now();
    let mut report = Report::default();
    if let Err(error) = groups::run(&options, &mut report) {
        eprintln!("bench: {error}");
        return ExitCode::FAILURE;
    }
    report.print_ratios();
    if let Some(path) = &options.json
        && let Err(error) = report.write_json(path)
    {
        eprintln!("bench: cannot write {}: {error}", path.display());
        return ExitCode::FAILURE;
    }
    println!("\nmeasured in {:.0} s", begin.elapsed().as_secs_f64());
    let ran: Vec<&str> = options.groups.iter().map(|group| group.name()).collect();
    match options.gate {
        Some(level) if !gate::check(&report, &ran, level) => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}
