//! What a program needs of a runtime and no crate of this repository has: a way to start on either
//! one, the terminal, and the wish to end.
//!
//! Nothing here knows of sessions. The crates of the runtimes bring sockets, timers and tasks; what
//! is taken from smol beside them (threads for what blocks) works on any executor.

use std::fmt::Display;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use outlast_async_std::AsyncIo;
use outlast_async_std::smol::Smol;
use outlast_service::Timer;
use outlast_service::net::Net;
use outlast_tokio::Tokio;
use smol::io::{AsyncBufReadExt, BufReader};
use smol::stream::StreamExt;

/// An error of any kind, as programs end with.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Who runs the tasks.
#[derive(Debug, Copy, Clone, Default, PartialEq, Eq, ValueEnum)]
pub enum RuntimeName {
    /// tokio, on as many threads as there are cores.
    #[default]
    Tokio,
    /// smol, on one thread, or on as many as the variable `SMOL_THREADS` says.
    Smol,
}

/// What runs on a runtime, whichever it is.
pub trait Program {
    /// Runs to its end.
    fn run<N: Net>(self, net: N) -> impl Future<Output = Result<(), Failure>>;
}

impl RuntimeName {
    /// Runs a program, and says on standard error what it failed of.
    #[must_use]
    pub fn run(self, program: impl Program) -> ExitCode {
        let ended = match self {
            Self::Tokio => tokio::runtime::Runtime::new()
                .map_err(Failure::from)
                .and_then(|tokio| tokio.block_on(program.run(Tokio))),
            Self::Smol => smol::block_on(program.run(AsyncIo::<Smol>::default())),
        };
        match ended {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::FAILURE
            }
        }
    }
}

/// Starts tasks, without saying on which runtime.
#[derive(Clone)]
pub struct Spawn(Arc<dyn Fn(Task) + Send + Sync>);

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Spawn {
    /// On this one.
    #[must_use]
    pub fn on<N: Net>(net: &N) -> Self {
        let net = net.clone();
        Self(Arc::new(move |task| net.spawn(task)))
    }

    /// Runs a task to its end, beside everything else.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        (self.0)(Box::pin(task));
    }
}

impl std::fmt::Debug for Spawn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Spawn(..)")
    }
}

/// Runs a client in a task. How it ends is known by its handle.
pub(crate) fn keep<N: Net, T>(net: &N, runner: impl Future<Output = T> + Send + 'static) {
    net.spawn(async move {
        let _ = runner.await;
    });
}

/// Does what blocks in a thread for such.
pub async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    smol::unblock(work).await
}

/// Lets `time` pass on this runtime's clock.
pub async fn pause<N: Net>(net: &N, time: Duration) {
    let (mut timer, until) = (net.timer(), net.now() + time);
    poll_fn(|cx| timer.poll_until(cx, until)).await;
}

/// Waits until somebody wants the program to end: Ctrl-C, or SIGTERM.
///
/// # Errors
///
/// If the system has no signals to wait for.
pub async fn asked_to_end() -> Result<(), Failure> {
    // Whichever runtime the program is on: signals are waited for in a thread.
    aside(|| {
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        tokio.block_on(async {
            #[cfg(unix)]
            {
                use tokio::signal::unix::{SignalKind, signal};
                let mut term = signal(SignalKind::terminate())?;
                let term = async { term.recv().await.map_or(Ok(()), Ok) };
                smol::future::or(tokio::signal::ctrl_c(), term).await
            }
            #[cfg(not(unix))]
            tokio::signal::ctrl_c().await
        })?;
        Ok(())
    })
    .await
}

/// What is typed, line by line, until the end of the input.
pub struct Typed(smol::io::Lines<BufReader<smol::Unblock<std::io::Stdin>>>);

impl Typed {
    /// At standard input.
    #[must_use]
    pub fn here() -> Self {
        Self(BufReader::new(smol::Unblock::new(std::io::stdin())).lines())
    }

    /// The next line; none at the end.
    pub async fn line(&mut self) -> Option<String> {
        self.0.next().await?.ok()
    }
}

impl std::fmt::Debug for Typed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Typed(..)")
    }
}

impl Typed {
    /// The next line, of which a terminal shows nothing.
    pub async fn secret(&mut self) -> Option<String> {
        let _quiet = Quiet::here();
        self.line().await
    }
}

/// A terminal that shows nothing of what is typed, until this is dropped.
#[cfg(unix)]
struct Quiet(Option<rustix::termios::Termios>);

#[cfg(unix)]
impl Quiet {
    fn here() -> Self {
        use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
        // What is no terminal shows nothing anyway.
        let Ok(before) = tcgetattr(std::io::stdin()) else {
            return Self(None);
        };
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        let done = tcsetattr(std::io::stdin(), OptionalActions::Now, &quiet);
        Self(done.is_ok().then_some(before))
    }
}

#[cfg(unix)]
impl Drop for Quiet {
    fn drop(&mut self) {
        use rustix::termios::{OptionalActions, tcsetattr};
        if let Some(before) = &self.0 {
            // It was a terminal a moment ago.
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, before);
            println!();
        }
    }
}

#[cfg(not(unix))]
struct Quiet;

#[cfg(not(unix))]
impl Quiet {
    const fn here() -> Self {
        Self
    }
}

/// Shows a line. What others have written cannot do anything to the terminal: control characters
/// are shown as their escapes.
pub fn show(line: impl Display) {
    let line = line.to_string();
    let plain: String = line
        .chars()
        .flat_map(|letter| {
            let escaped = letter.is_control().then(|| letter.escape_default());
            let kept = escaped.is_none().then_some(letter);
            escaped.into_iter().flatten().chain(kept)
        })
        .collect();
    println!("{plain}");
}

/// A mutex whose holder may have panicked: what it guards is whole between any two statements.
pub(crate) fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// An error of the system's, and which address it is about.
pub(crate) fn at(address: &str, error: std::io::Error) -> std::io::Error {
    std::io::Error::new(error.kind(), format!("{address}: {error}"))
}
