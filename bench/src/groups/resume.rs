//! From a cut connection to the next answer.

use core::cell::RefCell;
use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::io;
use std::rc::Rc;
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, spawn_local};

use crate::clients::{self, CALL_SIZE};
use crate::measure::{Server, Spread};
use crate::options::Options;
use crate::report::{Report, Table, time};
use crate::servers::{Kind, Mode};

/// A link on loopback that can be cut: both sockets of every connection are reset.
pub(crate) struct Relay {
    address: SocketAddr,
    open: Rc<RefCell<Vec<AbortHandle>>>,
}

impl Relay {
    /// Starts to listen; must be called inside a local task set.
    async fn start(target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let open: Rc<RefCell<Vec<AbortHandle>>> = Rc::default();
        let relay = Self { address, open: Rc::clone(&open) };
        spawn_local(async move {
            while let Ok((near, _)) = listener.accept().await {
                let pumping = spawn_local(async move {
                    let mut far = TcpStream::connect(target).await?;
                    let mut near = near;
                    for socket in [&near, &far] {
                        socket.set_nodelay(true)?;
                        // Dropping the task then resets both sides at once, as a cut would.
                        socket2::SockRef::from(socket).set_linger(Some(Duration::ZERO))?;
                    }
                    copy_bidirectional(&mut near, &mut far).await
                });
                open.borrow_mut().push(pumping.abort_handle());
            }
        });
        Ok(relay)
    }

    /// Where a client has to connect.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts every connection that is open now; new ones are let through.
    pub(crate) fn cut(&self) {
        for connection in self.open.borrow_mut().drain(..) {
            connection.abort();
        }
    }
}

pub(super) fn run(options: &Options, report: &mut Report) -> io::Result<()> {
    let cuts = if options.quick { 20 } else { 100 };
    let mut table = Table::new(
        format!("from a cut to the next answer, {cuts} cuts"),
        &["", "median", "least", "most"],
    );
    let plain = measure(Kind::TokioLp, async |relay| plain_cut_times(relay, cuts).await)?;
    row(&mut table, report, "reconnect", &plain);
    if options.wants(Kind::Outlast) && Kind::Outlast.supports(Mode::Echo) {
        let ours =
            measure(Kind::Outlast, async |relay| clients::outlast::cut_times(relay, cuts).await);
        match ours {
            Ok(ours) => {
                row(&mut table, report, "outlast", &ours);
                let median = |all: &[Duration]| {
                    Spread::of(all.iter().map(Duration::as_secs_f64)).map_or(f64::NAN, |s| s.median)
                };
                report.ratio("resume.outlast.vs_reconnect", median(&ours) / median(&plain));
            }
            Err(error) => report.note(format!("resume: outlast: {error}")),
        }
    }
    report.table(table);
    Ok(())
}

fn row(table: &mut Table, report: &mut Report, name: &str, times: &[Duration]) {
    let nanos = times.iter().map(|time| time.as_secs_f64() * 1e9);
    let Some(spread) = Spread::of(nanos) else {
        return;
    };
    table.row(vec![name.to_owned(), time(spread.median), time(spread.min), time(spread.max)]);
    report.ratio(format!("resume.{name}.us"), spread.median / 1e3);
}

fn measure(
    kind: Kind,
    client: impl AsyncFnOnce(&Relay) -> io::Result<Vec<Duration>>,
) -> io::Result<Vec<Duration>> {
    let server = Server::start(kind, Mode::Echo)?;
    // Client and relay share one thread: nothing else runs on the load's core meanwhile.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let relay = Relay::start(server.address).await?;
        client(&relay).await
    })
}

/// What a program without sessions does: notice, connect anew, ask again. Nothing is resumed.
async fn plain_cut_times(relay: &Relay, cuts: usize) -> io::Result<Vec<Duration>> {
    let mut stream = TcpStream::connect(relay.address()).await?;
    ask(&mut stream).await?;
    let mut times = Vec::with_capacity(cuts);
    for _ in 0..cuts {
        relay.cut();
        let begin = Instant::now();
        while ask(&mut stream).await.is_err() {
            stream = TcpStream::connect(relay.address()).await?;
            stream.set_nodelay(true)?;
        }
        times.push(begin.elapsed());
    }
    Ok(times)
}

async fn ask(stream: &mut TcpStream) -> io::Result<()> {
    let mut frame = [b'a'; 4 + CALL_SIZE];
    frame[..4].copy_from_slice(&(CALL_SIZE as u32).to_be_bytes());
    stream.write_all(&frame).await?;
    stream.read_exact(&mut frame).await?;
    Ok(())
}
