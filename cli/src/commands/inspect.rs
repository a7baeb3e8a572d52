//! `outlast inspect`: bytes of the protocol in words.

use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::Path;
use std::process::ExitCode;

use super::{Outcome, print};
use crate::inspect::{Options, explain, explain_hex};

/// Captures beyond this do not fit the memory of every machine.
const INPUT_MAX: u64 = 1 << 30;

/// Explain bytes of the protocol, frame by frame
///
/// INPUT is hex text, or a file with hex text, a capture (pcap, pcapng) or the bytes themselves.
/// Without INPUT, standard input is read. Captures are put together to TCP streams; in hex text a
/// line may begin with `>` (client) or `<` (server), and `#` starts a remark.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Hex text or a file; `-` is standard input
    input: Vec<String>,
    /// How many bytes of each payload are shown
    #[arg(long, value_name = "BYTES", default_value_t = 32)]
    payload: usize,
    /// Show keys, proofs and credentials, which are left out otherwise
    #[arg(long)]
    secrets: bool,
    /// In a capture, explain the streams of this port only
    #[arg(long)]
    port: Option<u16>,
    /// In a capture, explain every TCP stream, whatever it looks like
    #[arg(long)]
    all: bool,
}

const EXAMPLES: &str = "\
Examples:
  outlast inspect 81 09 06 00 01 00 70 69 6e 67
  outlast inspect 'capture.pcapng'
  tcpdump -i lo -s 0 -w - port 7411 | outlast inspect
  xxd frame.bin | outlast inspect

What a line says:
  > MSG         20 B  1200..1220       route 7, 16 B \"0123456789abcdef\"
  who sent it, what it is, its size, the positions it takes in the session, what it means";

pub(crate) fn run(args: &Args) -> Outcome {
    let options =
        Options { payload: args.payload, secrets: args.secrets, port: args.port, all: args.all };
    let text = match args.input.as_slice() {
        [] if std::io::stdin().is_terminal() => {
            return Err("nothing to explain: give hex or a file, or pipe something in".to_owned());
        }
        [] => explain(&read(std::io::stdin().lock(), "standard input")?, &options)?,
        [dash] if dash == "-" => {
            explain(&read(std::io::stdin().lock(), "standard input")?, &options)?
        }
        [one] if Path::new(one).exists() => {
            let file = File::open(one).map_err(|error| format!("cannot open {one}: {error}"))?;
            explain(&read(file, one)?, &options).map_err(|error| format!("{one}: {error}"))?
        }
        words => {
            let hex = words.join(" ");
            explain_hex(&hex, &options).map_err(|error| match words {
                [one] => format!("there is no file `{one}`, and as hex: {error}"),
                _ => error,
            })?
        }
    };
    print(&text);
    Ok(ExitCode::SUCCESS)
}

fn read(source: impl Read, name: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    source
        .take(INPUT_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("cannot read {name}: {error}"))?;
    if bytes.len() as u64 > INPUT_MAX {
        return Err(format!("{name} has more than {INPUT_MAX} bytes: cut out the part you need"));
    }
    Ok(bytes)
}
