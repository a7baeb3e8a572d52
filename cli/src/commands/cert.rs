//! `outlast cert`: certificates for development and closed networks.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};
use sha2::{Digest, Sha256};

use super::{Outcome, print};

/// Names of a server that nobody named.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
const DAY: u64 = 86_400;

/// Make a certificate authority, and certificates for a server and a client
///
/// For development, tests and closed networks: whoever has ca.key can make certificates that are
/// trusted wherever ca.pem is. Nothing that is there already is replaced.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Folder for the files; made if it does not exist
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// A name or address of the server; may be given several times
    ///
    /// Without it: localhost, 127.0.0.1 and ::1.
    #[arg(long = "name", value_name = "HOST")]
    names: Vec<String>,
    /// The name of the client
    #[arg(long, value_name = "NAME", default_value = "client")]
    client: String,
    /// Days until they expire
    #[arg(long, value_name = "NUMBER", default_value_t = 90,
          value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,
}

const EXAMPLES: &str = "\
Examples:
  outlast cert pki
  outlast serve --tls-cert pki/server.pem --tls-key pki/server.key
  outlast connect --tls-ca pki/ca.pem

  outlast cert --name chat.example.org --days 365 pki
  outlast serve --tls-cert pki/server.pem --tls-key pki/server.key --tls-client-ca pki/ca.pem
  outlast connect --tls-ca pki/ca.pem --tls-cert pki/client.pem --tls-key pki/client.key";

pub(crate) fn run(args: &Args) -> Outcome {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let made = make(args, now / DAY).map_err(|error| format!("no certificates: {error}"))?;
    let dir = &args.dir;
    fs::create_dir_all(dir).map_err(|error| format!("cannot make {}: {error}", dir.display()))?;
    // Either all of them are new or none is written.
    if let Some((name, ..)) = made.iter().find(|(name, ..)| dir.join(name).exists()) {
        return Err(format!(
            "{} is there already: choose another folder",
            dir.join(name).display()
        ));
    }
    for (name, text, secret) in &made {
        let path = dir.join(name);
        write(&path, text, *secret).map_err(|error| format!("{}: {error}", path.display()))?;
        print(&format!("{}\n", path.display()));
    }
    Ok(ExitCode::SUCCESS)
}

/// Names of files, what they hold, and whether that is secret.
type Files = Vec<(&'static str, String, bool)>;

fn make(args: &Args, today: u64) -> Result<Files, rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    // No two are taken for each other.
    let number = Sha256::digest(key.public_key_pem());
    let number: String = number.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let name = format!("outlast development authority {number}");
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    limit(&mut params, today, args.days);
    let authority = CertifiedIssuer::self_signed(params, key)?;
    let names = match args.names.as_slice() {
        [] => NAMES.map(str::to_owned).to_vec(),
        given => given.to_vec(),
    };
    let common_name = names.first().cloned().unwrap_or_default();
    let mut server = CertificateParams::new(names)?;
    server.distinguished_name.push(DnType::CommonName, common_name);
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let mut client = CertificateParams::default();
    client.distinguished_name.push(DnType::CommonName, args.client.as_str());
    client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let mut files =
        vec![("ca.pem", authority.pem(), false), ("ca.key", authority.key().serialize_pem(), true)];
    let both = [(server, ["server.pem", "server.key"]), (client, ["client.pem", "client.key"])];
    for (mut params, [cert, secret]) in both {
        limit(&mut params, today, args.days);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate()?;
        files.push((cert, params.signed_by(&key, &authority)?.pem(), false));
        files.push((secret, key.serialize_pem(), true));
    }
    Ok(files)
}

/// From yesterday, since clocks differ, for so many days.
fn limit(params: &mut CertificateParams, today: u64, days: u32) {
    let date = |day: u64| {
        let (year, month, day) = civil(day);
        date_time_ymd(year, month, day)
    };
    params.not_before = date(today.saturating_sub(1));
    // The last day counts.
    params.not_after = date(today + u64::from(days) + 1);
}

/// The date that is so many days after the first of 1970.
fn civil(days: u64) -> (i32, u8, u8) {
    // Years are counted from March of the year 0, so that the odd day is the last one.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let leap = day_of_era / 1_460 + day_of_era / 146_096;
    let year_of_era = (day_of_era + day_of_era / 36_524 - leap) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year as i32, month as u8, day as u8)
}

/// Writes a file that was not there; a secret one is readable for its owner alone.
fn write(path: &Path, text: &str, secret: bool) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if secret {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let _ = secret;
    options.open(path)?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_dates() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(59), (1970, 3, 1));
        assert_eq!(civil(11_016), (2000, 2, 29));
        assert_eq!(civil(20_778), (2026, 11, 21));
        assert_eq!(civil(47_540), (2100, 2, 28));
        assert_eq!(civil(47_541), (2100, 3, 1));
    }
}
