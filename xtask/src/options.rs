//! What the command line asks for.

use crate::firmware::Options as FirmwareOptions;
use crate::fuzz::{Engine, Options as FuzzOptions};
use crate::steps;

/// One invocation of the tool.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Help,
    List,
    /// Run these steps; none named means all.
    Test(Vec<String>),
    Fuzz(FuzzOptions),
    /// Run the firmware so often.
    Firmware(FirmwareOptions),
    /// Rewrite the recorded instruction counts.
    Bless,
    /// Rewrite the table of docs/embedded.md.
    BlessFootprint,
    /// Print the bound on the stack of each call of the core.
    Stack,
    /// Measure clients of other protocols.
    Peers,
}

/// Reads the arguments behind the program's name.
pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Command, String> {
    let arguments: Vec<String> = arguments.collect();
    let Some((first, rest)) = arguments.split_first() else {
        return Ok(Command::Help);
    };
    match first.as_str() {
        "help" | "--help" | "-h" => Ok(Command::Help),
        "list" => Ok(Command::List),
        "test" => steps_named(rest).map(Command::Test),
        "fuzz" => fuzz(rest).map(Command::Fuzz),
        "stack" if rest.is_empty() => Ok(Command::Stack),
        "firmware" if !rest.is_empty() => firmware(rest),
        "footprint" if rest == ["--peers", "yes"] => Ok(Command::Peers),
        "footprint" if rest == ["--bless"] => Ok(Command::BlessFootprint),
        "instructions" if rest == ["--bless"] => Ok(Command::Bless),
        _ => steps_named(&arguments).map(Command::Test),
    }
}

fn steps_named(names: &[String]) -> Result<Vec<String>, String> {
    match names.iter().find(|name| !steps::exists(name)) {
        Some(unknown) => Err(format!("no step or command is called `{unknown}`")),
        None => Ok(names.to_vec()),
    }
}

fn firmware(arguments: &[String]) -> Result<Command, String> {
    let mut options = FirmwareOptions::default();
    let mut rest = arguments.iter();
    while let Some(flag) = rest.next() {
        let value = rest.next().ok_or_else(|| format!("`{flag}` wants a value"))?;
        match (flag.as_str(), value.as_str()) {
            ("--runs", number) => {
                let wrong = |_| format!("`{flag}` wants a number, not `{number}`");
                options.runs = number.parse().map_err(wrong)?;
            }
            ("--serve", "yes") => options.serve = true,
            ("--serve", "no") => options.serve = false,
            ("--loaded", "yes") => options.loaded = true,
            ("--loaded", "no") => options.loaded = false,
            _ => return Err(format!("firmware has no option `{flag} {value}`")),
        }
    }
    Ok(Command::Firmware(options))
}

fn fuzz(arguments: &[String]) -> Result<FuzzOptions, String> {
    let mut options = FuzzOptions::default();
    let mut rest = arguments.iter();
    while let Some(flag) = rest.next() {
        let value = rest.next().ok_or_else(|| format!("`{flag}` wants a value"))?;
        let number =
            || value.parse::<u64>().map_err(|_| format!("`{flag}` wants a number, not `{value}`"));
        match flag.as_str() {
            "--seconds" => options.seconds = number()?,
            "--seed" => options.seed = Some(number()?),
            "--target" => options.target = Some(value.clone()),
            "--engine" => options.engine = Some(engine(value)?),
            _ => return Err(format!("fuzz has no option `{flag}`")),
        }
    }
    Ok(options)
}

fn engine(name: &str) -> Result<Engine, String> {
    match name {
        "libfuzzer" => Ok(Engine::LibFuzzer),
        "random" => Ok(Engine::Random),
        _ => Err(format!("`{name}` is no engine; there are libfuzzer and random")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Result<Command, String> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn a_step_can_be_named_with_or_without_test() {
        let wanted = Ok(Command::Test(vec!["fmt".to_owned()]));
        assert_eq!(of("test fmt"), wanted);
        assert_eq!(of("fmt"), wanted);
        assert_eq!(of("test"), Ok(Command::Test(vec![])));
        assert_eq!(of("stack"), Ok(Command::Stack));
    }

    #[test]
    fn unknown_names_are_refused() {
        assert!(of("test fnt").is_err());
        assert!(of("fuzz --speed 3").is_err());
        assert!(of("fuzz --seconds").is_err());
        assert!(of("fuzz --engine perpetual").is_err());
    }

    #[test]
    fn options_of_firmware() {
        let wanted = FirmwareOptions { runs: 20, loaded: true, serve: false };
        assert_eq!(of("firmware --runs 20 --loaded yes"), Ok(Command::Firmware(wanted)));
        let wanted = FirmwareOptions { serve: true, ..FirmwareOptions::default() };
        assert_eq!(of("firmware --serve yes"), Ok(Command::Firmware(wanted)));
        assert_eq!(of("firmware"), Ok(Command::Test(vec!["firmware".to_owned()])));
        assert_eq!(of("footprint --peers yes"), Ok(Command::Peers));
        assert_eq!(of("footprint --bless"), Ok(Command::BlessFootprint));
        assert!(of("firmware --runs many").is_err());
        assert!(of("firmware --loaded maybe").is_err());
    }

    #[test]
    fn options_of_fuzz() {
        let wanted = FuzzOptions {
            seconds: 60,
            target: Some("decoder".to_owned()),
            seed: Some(7),
            engine: Some(Engine::Random),
        };
        let line = "fuzz --seconds 60 --target decoder --seed 7 --engine random";
        assert_eq!(of(line), Ok(Command::Fuzz(wanted)));
    }

    #[test]
    fn bless_is_spelled_out() {
        assert_eq!(of("instructions --bless"), Ok(Command::Bless));
        assert!(of("instructions --please").is_err());
    }
}
