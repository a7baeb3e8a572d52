//! The servers under test, each run as a child process of this binary: `bench serve KIND MODE`.
//!
//! A server pins itself to [`SERVER_CORE`], prints `ready PORT` and serves until its standard
//! input closes, so that none outlives the benchmark.

mod async_io;
mod epoll_raw;
mod framed;
mod msgtrans;
mod outlast;
mod outlast_std;
mod routed;
mod std_raw;
mod tarpc;
mod tokio_lp;
mod tokio_raw;

pub(crate) use epoll_raw::write_or_keep;
pub(crate) use tarpc::{EchoClient, FRAME_LIMIT};

use core::future::Future;
use core::net::{Ipv4Addr, SocketAddr};
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::sync::OnceLock;

use crate::generator::Dialect;
use crate::sys;

/// Bytes that a session of the fan-out server keeps until they are acknowledged.
pub(crate) const FAN_OUT_BUFFER: usize = 64 << 10;

/// Every server runs on this core only.
pub(crate) const SERVER_CORE: usize = 0;
/// What the byte servers and the thin one read at once.
pub(crate) const READ_BUFFER: usize = 64 * 1024;
/// Connections that may wait for `accept`.
const BACKLOG: i32 = 4096;

/// A server that can be measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// The limit: one thread, epoll, bytes without framing.
    EpollRaw,
    /// Bytes without framing over tokio.
    TokioRaw,
    /// Hand-written length prefix over tokio, parsed in place, one write per read.
    TokioLp,
    /// `tokio_util::codec::LengthDelimitedCodec`.
    TokioUtil,
    /// The crate msgtrans over TCP.
    Msgtrans,
    /// The crate tarpc over TCP with bincode (own client only).
    Tarpc,
    /// This project.
    Outlast,
    /// This project, every message through a router with two hooks.
    OutlastRouted,
    /// This project, without statistics.
    OutlastUncounted,
    /// This project, with a subscriber of `tracing` at `info`.
    OutlastTraced,
    /// Bytes without framing over smol.
    SmolRaw,
    /// This project over smol.
    OutlastSmol,
    /// Bytes without framing over async-std.
    AsyncStdRaw,
    /// This project over async-std.
    OutlastAsyncStd,
    /// Bytes without framing, a thread for each connection.
    StdRaw,
    /// This project, a thread for each connection.
    OutlastStd,
}

impl Kind {
    pub(crate) const ALL: [Self; 14] = [
        Self::EpollRaw,
        Self::TokioRaw,
        Self::TokioLp,
        Self::TokioUtil,
        Self::Msgtrans,
        Self::Tarpc,
        Self::Outlast,
        Self::OutlastRouted,
        Self::SmolRaw,
        Self::OutlastSmol,
        Self::AsyncStdRaw,
        Self::OutlastAsyncStd,
        Self::StdRaw,
        Self::OutlastStd,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::EpollRaw => "epoll-raw",
            Self::TokioRaw => "tokio-raw",
            Self::TokioLp => "tokio-lp",
            Self::TokioUtil => "tokio-util",
            Self::Msgtrans => "msgtrans",
            Self::Tarpc => "tarpc",
            Self::Outlast => "outlast",
            Self::OutlastRouted => "outlast-routed",
            Self::OutlastUncounted => "outlast-uncounted",
            Self::OutlastTraced => "outlast-traced",
            Self::SmolRaw => "smol-raw",
            Self::OutlastSmol => "outlast-smol",
            Self::AsyncStdRaw => "async-std-raw",
            Self::OutlastAsyncStd => "outlast-async-std",
            Self::StdRaw => "std-raw",
            Self::OutlastStd => "outlast-std",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        let watched = [Self::OutlastUncounted, Self::OutlastTraced];
        Self::ALL.into_iter().chain(watched).find(|kind| kind.name() == name)
    }

    /// How the neutral load generator talks to it; `None` if only its own client can.
    pub(crate) const fn dialect(self) -> Option<Dialect> {
        match self {
            Self::EpollRaw
            | Self::TokioRaw
            | Self::TokioLp
            | Self::TokioUtil
            | Self::SmolRaw
            | Self::AsyncStdRaw
            | Self::StdRaw => Some(Dialect::Prefix),
            Self::Msgtrans => Some(Dialect::Msgtrans),
            Self::Tarpc => None,
            Self::Outlast
            | Self::OutlastRouted
            | Self::OutlastUncounted
            | Self::OutlastTraced
            | Self::OutlastSmol
            | Self::OutlastAsyncStd
            | Self::OutlastStd => Some(Dialect::Outlast),
        }
    }

    /// What the same runtime does with bytes alone, in the same mode.
    pub(crate) const fn raw(self) -> Option<Self> {
        match self {
            Self::Outlast | Self::OutlastRouted | Self::OutlastUncounted | Self::OutlastTraced => {
                Some(Self::TokioRaw)
            }
            Self::OutlastSmol => Some(Self::SmolRaw),
            Self::OutlastAsyncStd => Some(Self::AsyncStdRaw),
            Self::OutlastStd => Some(Self::StdRaw),
            Self::EpollRaw
            | Self::TokioRaw
            | Self::TokioLp
            | Self::TokioUtil
            | Self::Msgtrans
            | Self::Tarpc
            | Self::SmolRaw
            | Self::AsyncStdRaw
            | Self::StdRaw => None,
        }
    }

    /// Whether the server does this at all.
    pub(crate) const fn supports(self, mode: Mode) -> bool {
        match self {
            Self::EpollRaw | Self::TokioLp | Self::TokioUtil | Self::Msgtrans => {
                !matches!(mode, Mode::Chunks)
            }
            Self::TokioRaw => matches!(mode, Mode::Sink | Mode::Echo),
            Self::Tarpc
            | Self::SmolRaw
            | Self::OutlastSmol
            | Self::AsyncStdRaw
            | Self::OutlastAsyncStd
            | Self::StdRaw
            | Self::OutlastStd => matches!(mode, Mode::Echo),
            Self::Outlast => outlast::AVAILABLE,
            Self::OutlastRouted | Self::OutlastUncounted | Self::OutlastTraced => {
                matches!(mode, Mode::Sink)
            }
        }
    }
}

/// What a server does with what it gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    /// Looks at every message and drops it; closes when the client has ended its direction.
    Sink,
    /// As `Sink`, but a long message may be taken in pieces as they come (outlast only).
    Chunks,
    /// Sends every message back; answers every request with its payload.
    Echo,
    /// Sends every message to every connection.
    FanOut,
}

impl Mode {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Sink => "sink",
            Self::Chunks => "chunks",
            Self::Echo => "echo",
            Self::FanOut => "fanout",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Sink, Self::Chunks, Self::Echo, Self::FanOut]
            .into_iter()
            .find(|mode| mode.name() == name)
    }
}

/// The child's `main`: `args` are the words behind `serve`.
pub(crate) fn main(args: &[String]) -> io::Result<()> {
    let usage = || io::Error::other("usage: bench serve KIND sink|chunks|echo|fanout");
    let (Some(kind), Some(mode)) = (args.first(), args.get(1)) else {
        return Err(usage());
    };
    let kind = Kind::from_name(kind).ok_or_else(usage)?;
    let mode = Mode::from_name(mode).ok_or_else(usage)?;
    if !kind.supports(mode) {
        return Err(io::Error::other(format!("{} has no mode {}", kind.name(), mode.name())));
    }
    sys::raise_open_file_limit()?;
    sys::pin_to_core(SERVER_CORE)?;
    leave_with_parent()?;
    match kind {
        Kind::EpollRaw => epoll_raw::run(mode),
        Kind::TokioRaw => run(tokio_raw::serve(mode)),
        Kind::TokioLp => run(tokio_lp::serve(mode)),
        Kind::TokioUtil => run(framed::serve(mode)),
        Kind::Msgtrans => run(msgtrans::serve(mode)),
        Kind::Tarpc => run(tarpc::serve()),
        Kind::Outlast => run(outlast::serve(mode)),
        Kind::OutlastRouted => run(routed::serve()),
        Kind::OutlastUncounted => run(outlast::uncounted()),
        Kind::OutlastTraced => run(outlast::traced()),
        Kind::SmolRaw => async_io::smol_raw(),
        Kind::OutlastSmol => async_io::over_smol(),
        Kind::AsyncStdRaw => async_io::async_std_raw(),
        Kind::OutlastAsyncStd => async_io::over_async_std(),
        Kind::StdRaw => std_raw::serve(),
        Kind::OutlastStd => outlast_std::serve(),
    }
}

/// Tells the parent where to connect.
pub(crate) fn announce(port: u16) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "ready {port}")?;
    out.flush()
}

/// A non-blocking listener on a free loopback port with the backlog every server gets.
pub(crate) fn listener() -> io::Result<TcpListener> {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// The same listener for tokio; must be called inside the runtime.
pub(crate) fn tokio_listener() -> io::Result<tokio::net::TcpListener> {
    tokio::net::TcpListener::from_std(listener()?)
}

/// Name of the environment variable that carries `--runtime` to the children.
const RUNTIME: &str = "OUTLAST_BENCH_RUNTIME";

static CHOSEN: OnceLock<&str> = OnceLock::new();

/// Decides which runtime the children take; only the first call counts.
pub(crate) fn choose_runtime(name: &'static str) {
    let _ = CHOSEN.set(name);
}

static PROFILER: OnceLock<Vec<String>> = OnceLock::new();

/// Decides what the servers are run under: a command with its arguments.
pub(crate) fn choose_profiler(words: &str) {
    let _ = PROFILER.set(words.split_whitespace().map(str::to_owned).collect());
}

/// Whether servers are run under something that wants to see them end.
pub(crate) fn is_profiled() -> bool {
    PROFILER.get().is_some()
}

/// This program again, as a server.
pub(crate) fn server_child() -> io::Result<Command> {
    let mut command = match PROFILER.get().map(Vec::as_slice) {
        Some([profiler, words @ ..]) => {
            let mut command = Command::new(profiler);
            command.args(words).arg(std::env::current_exe()?);
            command
        }
        Some([]) | None => Command::new(std::env::current_exe()?),
    };
    surround(&mut command);
    Ok(command)
}

/// This program again, as a client.
pub(crate) fn child() -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    surround(&mut command);
    Ok(command)
}

/// What all children find around them.
fn surround(command: &mut Command) {
    if let Some(name) = CHOSEN.get() {
        command.env(RUNTIME, name);
    }
    // As many threads for tasks as the others have; for smol that is what it takes by itself.
    command.env("ASYNC_STD_THREAD_COUNT", "1");
}

/// The runtime of every server and client over tokio, the same for everybody.
///
/// What `#[tokio::main]` gives on one core, a scheduler with one worker, is what nearly all
/// programs have; `--runtime current` takes the leaner single-threaded one instead.
pub(crate) fn run(task: impl Future<Output = io::Result<()>> + Send + 'static) -> io::Result<()> {
    let current = std::env::var_os(RUNTIME).is_some_and(|name| name == "current");
    let mut builder = if current {
        tokio::runtime::Builder::new_current_thread()
    } else {
        tokio::runtime::Builder::new_multi_thread()
    };
    let runtime = builder.worker_threads(1).enable_all().build()?;
    runtime.block_on(async move { tokio::spawn(task).await? })
}

fn leave_with_parent() -> io::Result<()> {
    std::thread::Builder::new().stack_size(64 * 1024).spawn(|| {
        let mut byte = [0];
        while matches!(io::stdin().read(&mut byte), Ok(n) if n > 0) {}
        std::process::exit(0);
    })?;
    Ok(())
}
