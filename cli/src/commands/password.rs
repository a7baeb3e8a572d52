//! `outlast password`: what a server stores of a password.

use std::io::BufRead;
use std::process::ExitCode;

use outlast_tokio::StoredPassword;

use super::{Outcome, print};

/// Print what a server needs to know of a password: a line for its file of users
///
/// The password is the first line of standard input. It cannot be had back from what is printed,
/// but weak ones can be guessed: keep the file to yourself.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The user's name
    #[arg(value_name = "NAME")]
    name: String,
}

const EXAMPLES: &str = "\
Examples:
  outlast password ada < secret >> users
  outlast serve --tls-cert server.pem --tls-key server.key --set auth.passwords_file=users
  outlast connect --tls-ca ca.pem --set auth.user=ada --set auth.password_file=secret";

pub(crate) fn run(args: &Args) -> Outcome {
    let name = args.name.as_str();
    let fits = !name.is_empty() && name == name.trim() && !name.starts_with('#');
    if !fits || name.len() > 255 || name.contains(|c: char| c == ':' || c.is_control()) {
        return Err(
            "a name has 1 to 255 bytes, no colon and no control character, no space at its \
                    ends, and does not begin with #"
                .to_owned(),
        );
    }
    let mut line = Vec::new();
    let read = std::io::stdin().lock().read_until(b'\n', &mut line);
    read.map_err(|error| format!("cannot read the password: {error}"))?;
    let stored = StoredPassword::new(line.trim_ascii_end()).map_err(|error| error.to_string())?;
    print(&format!("{name}:{}\n", stored.to_text()));
    Ok(ExitCode::SUCCESS)
}
