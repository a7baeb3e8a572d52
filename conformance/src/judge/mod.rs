//! Judges any server or client by what it says on the wire, without anything else of it.
//!
//! A suite over a [`Driver`](crate::driver::Driver) commands its subject; a judge only opens or
//! accepts connections and knows the specification. Its cases need what every end does by
//! protocol, and those named `echo_…` an application besides that gives back what it gets. A case
//! that fails says which byte was the first that differs, and what was said before.
//!
//! ```no_run
//! # #[cfg(feature = "net")] {
//! use outlast_conformance::judge::{Options, Role, judge, reach::Dial};
//!
//! let mut server = Dial::new("127.0.0.1:7411".parse().unwrap());
//! for verdict in judge(&mut server, Role::Server, &Options::default()) {
//!     println!("{verdict}");
//! }
//! # }
//! ```

mod claims;
mod client;
mod echo;
mod far;
mod greeting;
mod link;
mod open;
mod play;
pub mod reach;
mod table;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::driver::Stream;
pub(crate) use far::{Far, Match, close};
pub use table::wire_cases;

/// How the judge comes to connections, and how time passes.
pub trait Reach {
    /// A new connection to a server; the next connection of a client.
    ///
    /// # Errors
    ///
    /// Why there is none, in words.
    fn connect(&mut self) -> Result<Box<dyn Stream>, String>;
    /// A connection of a client that is there already.
    fn waiting(&mut self) -> Option<Box<dyn Stream>> {
        None
    }
    /// Microseconds since some moment in the past.
    fn now(&self) -> u64;
    /// Lets so many microseconds pass, or fewer if something happened.
    fn pause(&mut self, micros: u64);
}

/// Which end is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A server; the judge dials.
    Server,
    /// A client; the judge listens.
    Client,
}

/// What the judge may rely on.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The application gives back every message and request as it came.
    pub echo: bool,
    /// Cases that wait for limits of many seconds are run as well.
    pub slow: bool,
    /// The credentials that the server asks for, of method 1.
    pub token: Option<Vec<u8>>,
    /// Only the cases with this in their names.
    pub only: Option<String>,
}

/// One case.
#[derive(Debug, Clone, Copy)]
pub struct WireCase {
    /// Its name, which never changes.
    pub name: &'static str,
    /// Whom it judges.
    pub role: Role,
    /// The sentences of the specification it is about.
    pub sentences: &'static str,
    /// What must happen.
    pub what: &'static str,
    /// Whether it needs an application that gives back what it gets.
    pub echo: bool,
    /// Whether it waits for many seconds.
    pub slow: bool,
    run: fn(&mut Judge<'_>) -> Done,
}

/// How a case ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// As the specification says.
    Passed,
    /// Otherwise.
    Failed(Box<Failure>),
    /// It was not run, for this reason.
    NotRun(&'static str),
}

/// A case and how it ended.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// The case.
    pub case: WireCase,
    /// How it ended.
    pub outcome: Outcome,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let WireCase { name, sentences, what, .. } = self.case;
        match &self.outcome {
            Outcome::Passed => write!(f, "ok      {name} ({sentences})"),
            Outcome::NotRun(why) => write!(f, "not run {name} ({sentences}): {why}"),
            Outcome::Failed(failure) => {
                write!(f, "FAILED  {name} ({sentences}): {what}; {failure}")
            }
        }
    }
}

/// What was wrong.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Failure {
    /// In words.
    pub what: String,
    /// The first byte that differs, if it is about bytes.
    pub difference: Option<Difference>,
    /// What was said on the last connection of the case, in order.
    pub said: Vec<Said>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        self.difference.iter().try_for_each(|difference| write!(f, "; {difference}"))
    }
}

/// The first byte that differs from what the specification says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Bytes that the judged end sent on this connection before it.
    pub offset: usize,
    /// Its place in its frame.
    pub in_frame: usize,
    /// What it must be.
    pub expected: u8,
    /// What it is; nothing if the stream ended, or the time was over.
    pub got: Option<u8>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offset, in_frame, expected, got } = self;
        write!(f, "byte {offset} (byte {in_frame} of its frame) must be {expected:02x}, ")?;
        match got {
            Some(got) => write!(f, "and is {got:02x}"),
            None => f.write_str("and did not come"),
        }
    }
}

/// Some bytes that were said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// By the judge, or by the end that is judged.
    pub by_judge: bool,
    /// What was said.
    pub bytes: Vec<u8>,
}

/// Why a case did not come to its end.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The end asks to come again after so many milliseconds.
    Busy(u32),
    /// The end did something wrong.
    Wrong(String, Option<Difference>),
}

pub(crate) type Done<T = ()> = Result<T, Fault>;

/// What must hold.
pub(crate) fn ensure(holds: bool, what: impl FnOnce() -> String) -> Done {
    if holds { Ok(()) } else { Err(Fault::Wrong(what(), None)) }
}

/// One run of a case.
pub(crate) struct Judge<'r> {
    reach: &'r mut dyn Reach,
    options: &'r Options,
    said: Vec<Said>,
}

/// How often an end may ask to come again before that is what is wrong with it.
const MOST_BUSY: u32 = 200;

/// Runs all cases for this role that the options allow, in the order of their table. The last one
/// for clients tells the client to stop.
pub fn judge<'a>(
    reach: &'a mut dyn Reach,
    role: Role,
    options: &'a Options,
) -> impl Iterator<Item = Verdict> + 'a {
    let wanted = move |case: &WireCase| {
        let named = options.only.as_ref().is_none_or(|only| case.name.contains(only.as_str()));
        case.role == role && named
    };
    wire_cases().into_iter().filter(wanted).map(move |case| {
        let outcome = match () {
            () if case.echo && !options.echo => Outcome::NotRun("needs --echo"),
            () if case.slow && !options.slow => Outcome::NotRun("needs --slow"),
            () => run(reach, options, &case),
        };
        Verdict { case, outcome }
    })
}

fn run(reach: &mut dyn Reach, options: &Options, case: &WireCase) -> Outcome {
    let mut busy = 0;
    loop {
        let mut judge = Judge { reach, options, said: Vec::new() };
        let failure = match (case.run)(&mut judge) {
            Ok(()) => return Outcome::Passed,
            Err(Fault::Busy(millis)) if busy < MOST_BUSY => {
                busy += 1;
                judge.pass(u64::from(millis.clamp(20, 2_000)) * 1_000);
                continue;
            }
            Err(Fault::Busy(_)) => ("it is always BUSY".to_owned(), None),
            Err(Fault::Wrong(what, difference)) => (what, difference),
        };
        let (what, difference) = failure;
        return Outcome::Failed(Box::new(Failure { what, difference, said: judge.said }));
    }
}
