//! `outlast conformance`: judges a server or a client by what it says on the wire.

use std::fmt::Write;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;

use outlast_conformance::judge::reach::{Dial, Listen};
use outlast_conformance::judge::{Failure, Options, Outcome, Reach, Role, Verdict, judge};

use super::common::Access;
use super::{Outcome as Ended, print};
use crate::inspect;
use crate::tap::{Overheard, Tap};
use outlast_config::Address;

/// Judge any server, or any client, by what it says on the wire
///
/// Nothing is asked of the server but that it speaks the protocol: each case opens connections of
/// its own and says what a peer may say, or may not. With --echo it is relied upon that messages
/// and requests come back as they were. A client that is judged has to dial again whenever it may;
/// the last case tells it to stop.
///
/// The exit code is 0 if no case failed.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The server, host:port
    #[arg(value_name = "ADDR", required_unless_present_any = ["listen", "list"])]
    address: Option<Address>,
    /// Listen here for the client that is judged
    #[arg(long, value_name = "ADDR", conflicts_with = "address")]
    listen: Option<Address>,
    /// The application gives messages and requests back, as `outlast serve --echo` does
    #[arg(long)]
    echo: bool,
    /// Run the cases as well that wait for limits of many seconds
    #[arg(long)]
    slow: bool,
    /// Run only cases with this in their names
    #[arg(long, value_name = "NAME")]
    case: Option<String>,
    /// Print a line of JSON for each case
    #[arg(long)]
    json: bool,
    /// List all cases and do nothing
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    tap: Tap,
}

const EXAMPLES: &str = "\
Examples:
  outlast serve --echo & outlast conformance --echo 127.0.0.1:7411
  outlast conformance server.example:7411 --case claims_
  outlast conformance --listen 127.0.0.1:7000 --json   # then start the client";

/// How long a client may take to dial again.
const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) fn run(args: &Args) -> Ended {
    if args.list {
        print(&list());
        return Ok(ExitCode::SUCCESS);
    }
    let options = Options {
        echo: args.echo,
        slow: args.slow,
        token: args.access.token()?.map(|token| token.to_vec()),
        only: args.case.clone(),
    };
    let (reach, role): (Box<dyn Reach>, _) = match (&args.listen, &args.address) {
        (Some(address), _) => (Box::new(listen(address, args.json)?), Role::Client),
        (None, Some(address)) => (Box::new(Dial::new(look_up(address)?)), Role::Server),
        (None, None) => return Err("a server's address, or --listen, is needed".to_owned()),
    };
    let mut reach = Overheard::new(reach, args.tap.layer()?, role == Role::Server);
    let (mut passed, mut failed, mut not_run) = (0, 0, 0);
    for verdict in judge(&mut reach, role, &options) {
        match &verdict.outcome {
            Outcome::Passed => passed += 1,
            Outcome::Failed(_) => failed += 1,
            Outcome::NotRun(_) => not_run += 1,
        }
        print(&if args.json { json(&verdict) } else { text(&verdict) });
    }
    if passed + failed + not_run == 0 {
        return Err("there is no such case: --list names them all".to_owned());
    }
    if !args.json {
        print(&format!("{passed} passed, {failed} failed, {not_run} not run\n"));
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn look_up(address: &Address) -> Result<SocketAddr, String> {
    let found = address.to_string().to_socket_addrs();
    let found = found.map_err(|error| format!("cannot look {address} up: {error}"))?.next();
    found.ok_or_else(|| format!("{address} has no address"))
}

fn listen(address: &Address, is_quiet: bool) -> Result<Listen, String> {
    let listener = TcpListener::bind(address.to_string());
    let listener = listener.map_err(|error| super::serve::cannot_listen(address, &error))?;
    let local = listener.local_addr().map_err(|error| error.to_string())?;
    if !is_quiet {
        eprintln!("waiting for a client on {local}");
    }
    Listen::new(listener, PATIENCE).map_err(|error| error.to_string())
}

fn list() -> String {
    let mut out = String::new();
    for case in outlast_conformance::judge::wire_cases() {
        let needs = match (case.echo, case.slow) {
            (true, _) => " [--echo]",
            (false, true) => " [--slow]",
            (false, false) => "",
        };
        // Writing to a string does not fail.
        let _ = writeln!(out, "{:34} {} ({}){needs}", case.name, case.what, case.sentences);
    }
    out
}

fn text(verdict: &Verdict) -> String {
    let mut out = format!("{verdict}\n");
    if let Outcome::Failed(failure) = &verdict.outcome {
        for line in explained(failure).lines() {
            let _ = writeln!(out, "        {line}");
        }
    }
    out
}

/// What was said on the last connection of the case, in words.
fn explained(failure: &Failure) -> String {
    let mut hex = String::new();
    for said in &failure.said {
        // Whoever dials is the client, and the judge may be either.
        hex.push(if said.by_judge == is_dialled(failure) { '>' } else { '<' });
        for byte in &said.bytes {
            let _ = write!(hex, " {byte:02x}");
        }
        hex.push('\n');
    }
    if hex.is_empty() {
        return String::new();
    }
    let options = inspect::Options { payload: 32, secrets: false, port: None, all: true };
    inspect::explain_hex(&hex, &options).unwrap_or_else(|error| format!("{hex}({error})\n"))
}

/// Whether the judge spoke first, as a client does.
fn is_dialled(failure: &Failure) -> bool {
    failure.said.first().is_none_or(|said| said.by_judge)
}

fn json(verdict: &Verdict) -> String {
    let mut fields = vec![
        ("case", quoted(verdict.case.name)),
        ("sentences", quoted(verdict.case.sentences)),
        ("what", quoted(verdict.case.what)),
    ];
    match &verdict.outcome {
        Outcome::Passed => fields.push(("verdict", quoted("passed"))),
        Outcome::NotRun(why) => {
            fields.push(("verdict", quoted("not run")));
            fields.push(("why", quoted(why)));
        }
        Outcome::Failed(failure) => {
            fields.push(("verdict", quoted("failed")));
            fields.push(("why", quoted(&failure.what)));
            if let Some(difference) = &failure.difference {
                let got = difference.got.map_or_else(|| "null".into(), |got| got.to_string());
                fields.push(("offset", difference.offset.to_string()));
                fields.push(("offset_in_frame", difference.in_frame.to_string()));
                fields.push(("expected", difference.expected.to_string()));
                fields.push(("got", got));
            }
            fields.push(("explained", quoted(&explained(failure))));
        }
    }
    let fields: Vec<_> = fields.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
    format!("{{{}}}\n", fields.join(","))
}

/// A string of JSON.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_of_json_are_escaped() {
        assert_eq!(quoted("a\"b\\c\nd\u{1b}"), "\"a\\\"b\\\\c\\nd\\u001b\"");
    }

    #[test]
    fn every_case_is_listed() {
        let count = outlast_conformance::judge::wire_cases().len();
        assert_eq!(list().lines().count(), count);
    }
}
