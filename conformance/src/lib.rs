//! One suite that judges every outlast runtime and peer.
//!
//! What outlast promises is the same everywhere: each message once, in order, over any number of
//! connections, or a true report of what did not arrive. This crate checks it in four ways, from
//! small to large, all over the real core and none over a second description of it.
//!
//! | module | holds |
//! |---|---|
//! | [`cases`], [`driver`], [`mod@bench`] | named cases, written once, run on every runtime |
//! | [`memory`], [`raw`] | a driver in memory and virtual time; a peer made of bytes |
//! | `net` | drivers of runtimes with sockets, real time; behind the feature of that name |
//! | `sockets` | limits, deadlines and policies over real sockets; feature of that name |
//! | [`judge`] | servers and clients judged on the wire, without anything else of them |
//! | [`explore`] | every order of events within small bounds |
//! | [`sim`] | long histories from one number |
//! | [`world`], [`link`], [`model`] | two ends, the stream between them, and a judge that knows |
//! | [`heap`] | an allocator that counts, for cases that look at memory |
//! | [`mutation`] | rules taken out of the code, to see that it is noticed |
//!
//! Beside it, `vectors/` holds frames byte by byte as text files, for implementations in any
//! language.
//!
//! # Is it this crate that you want?
//!
//! If you write a runtime, a transport or a peer in another language, or change the core. To judge
//! a program that runs somewhere, the command does without a line of Rust:
//! `outlast conformance --echo ADDR`. Applications need none of it.
//!
//! # Judging a runtime
//!
//! Implement [`driver::Driver`] for it and make a test of every case with one line in a file of
//! your `tests/` folder. This one runs the two cores in memory:
//!
//! ```no_run
//! use outlast_conformance::memory::Memory;
//! outlast_conformance::suite! { Memory::default() }
//! ```
//!
//! A driver starts servers and clients, gives the far end of their transports to the case, and
//! lets time pass, virtual or real. Every driver runs every case. [`cases::rows`] says which known
//! failures have none, or one that shows only a part, and which other tests show the rest.
//! [`cases::table`] lists them all, with the sentences of the specification they are about. A case
//! can be run by its name:
//!
//! ```
//! use outlast_conformance::{cases, memory::Memory};
//!
//! let ran = cases::run(&mut Memory::default(), "f02_positions_wrap");
//! assert!(ran.expect("the core keeps the rules"));
//! ```
//!
//! # Long histories
//!
//! One number draws everything: both configurations, what is said, how often what goes wrong, where
//! positions start. In the first phase connections are cut, stalled, abandoned, taken over; then
//! everything heals, and all of it must have arrived within bounded virtual time.
//!
//! ```
//! let report = outlast_conformance::sim::run(7).expect("a failure says its seed");
//! assert!(report.dials > 0);
//! assert_eq!(report.digest, outlast_conformance::sim::run(7).unwrap().digest);
//! ```
//!
//! A failure prints its seed and the last actions. `OUTLAST_SEED=7 cargo test` replays that one,
//! `OUTLAST_SEEDS=100000 cargo test` tries more.
//!
//! # Every order of events
//!
//! A [`explore::Search`] bounds how many messages and faults there are and then tries them in every
//! order, breadth first, so that the first violation found is a shortest one. It also finds states
//! from which the work could never be completed.
//!
//! ```no_run
//! for search in outlast_conformance::explore::Search::all() {
//!     println!("{}: {}", search.name, search.run());
//! }
//! ```
//!
//! `cargo run -p outlast-conformance --bin mutants` takes rules out of a copy of the core, one
//! after the other, and reports which of them the searches notice.
//!
//! # Judging what only speaks
//!
//! [`judge`](judge::judge) knows nothing of its subject but what it says. This is the server of
//! this crate in memory, judged as one at an address would be:
//!
//! ```
//! use outlast_conformance::driver::Driver;
//! use outlast_conformance::judge::{Options, Outcome, Role, judge, reach::Within};
//! use outlast_conformance::memory::Memory;
//! use outlast_core::Config;
//!
//! let mut memory = Memory::default();
//! let server = memory.server(Config::SERVER);
//! let mut reach = Within::new(&mut memory, server, false);
//! let options = Options { only: Some("greeting_wrong_magic".into()), ..Options::default() };
//! let verdicts: Vec<_> = judge(&mut reach, Role::Server, &options).collect();
//! // A failure says which byte was the first that differs, and what was said before.
//! assert!(matches!(verdicts[0].outcome, Outcome::Passed), "{}", verdicts[0]);
//! assert_eq!(verdicts.len(), 1);
//! ```
//!
//! # What it finds, and what it does not
//!
//! * A case that passes shows what its sentence of `docs/spec.md` says, under its conditions. A
//!   [`mutation`] that no search notices would be a rule that nothing here checks.
//! * [`explore`] is complete within its bounds and says nothing beyond them; [`sim`] goes far
//!   beyond them and is not complete.
//! * Drivers with sockets run in real time: their cases wait for what must happen, up to generous
//!   limits, and never rely on how long something takes.
//! * How fast anything is, is not its business.
//!
//! # Features
//!
//! | feature | what for | what it adds |
//! |---|---|---|
//! | `strategies` (default) | histories as strategies of proptest | `proptest` |
//! | `net` | runtimes with sockets, and the judge over TCP | `socket2` |
//! | `service` | runtimes made with `outlast-service` | `outlast-service` |
//! | `plain` | connections in other systems' formats | `outlast-formats` |
//! | `sockets` | limits, deadlines and policies over real sockets | code alone |
//!
//! Rust 1.91 or newer. `docs/conformance.md` of the repository has the table of cases and how to
//! add one, `docs/porting.md` a runtime step by step.

#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod bench;
mod bystander;
pub mod cases;
pub mod driver;
pub mod explore;
pub mod heap;
pub mod judge;
pub mod link;
pub mod memory;
pub mod model;
pub mod mutation;
#[cfg(feature = "net")]
pub mod net;
#[cfg(feature = "plain")]
pub mod plain;
pub mod raw;
pub mod rng;
pub mod sim;
#[cfg(feature = "sockets")]
pub mod sockets;
#[cfg(feature = "strategies")]
pub mod strategies;
pub mod vectors;
pub mod world;
