//! One connection through the proxy, both directions in one task.

use std::future::pending;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::{Instant, sleep, sleep_until};

use super::plan::{Lane, Step};
use super::{Cut, Happening, Plan, Shared, Way};
use crate::tap::Wire;

/// Read at once; small enough that a cut finds bytes in every place.
const BUFFER: usize = 16 << 10;

/// What both directions of a connection know.
struct Fate {
    shared: Arc<Shared>,
    index: u64,
    cut: Cut,
    /// What is read in this direction goes nowhere.
    dark: [AtomicBool; 2],
    /// The client's connection, in a capture.
    wire: Mutex<Wire>,
}

/// How a direction ended.
enum Outcome {
    /// Its sender closed.
    Ended,
    /// A socket failed.
    Failed,
    /// The plan says so.
    Cut { at: u64 },
}

/// Passes bytes both ways until the plan or the ends themselves stop it.
pub(super) async fn run(
    shared: &Arc<Shared>,
    index: u64,
    plan: Plan,
    mut client: TcpStream,
    mut server: TcpStream,
    wire: Wire,
) {
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let fate = Fate {
        shared: Arc::clone(shared),
        index,
        cut: plan.cut,
        dark: [AtomicBool::new(false), AtomicBool::new(false)],
        wire: Mutex::new(wire),
    };
    let how = carry(&fate, plan, &mut client, &mut server).await;
    // Dropping a socket closes it, and what it still holds is sent, unless lingering is off.
    if how.is_none_or(|how| how != Cut::Close) {
        let _ = (client.set_zero_linger(), server.set_zero_linger());
        fate.wire().cut();
    }
}

/// Returns how to cut, or `None` if the ends are done.
async fn carry(
    fate: &Fate,
    plan: Plan,
    client: &mut TcpStream,
    server: &mut TcpStream,
) -> Option<Cut> {
    let (client_read, client_write) = client.split();
    let (server_read, server_write) = server.split();
    let mut up = pin!(pump(fate, Way::Up, plan.up, client_read, server_write));
    let mut down = pin!(pump(fate, Way::Down, plan.down, server_read, client_write));
    let (mut up_done, mut down_done) = (false, false);
    let mut clock = pin!(clock(plan.after));
    let mut hold: Option<Instant> = None;
    loop {
        let (way, outcome) = tokio::select! {
            outcome = &mut up, if !up_done => (Way::Up, outcome),
            outcome = &mut down, if !down_done => (Way::Down, outcome),
            () = sleep_until(hold.unwrap_or_else(Instant::now)), if hold.is_some() => {
                return Some(Cut::Reset);
            }
            () = &mut clock, if hold.is_none() => {
                fate.tell_cut(None, 0, fate.cut);
                match fate.go_dark(None) {
                    Some(time) => hold = Some(Instant::now() + time),
                    None => return Some(fate.cut),
                }
                continue;
            }
        };
        match way {
            Way::Up => up_done = true,
            Way::Down => down_done = true,
        }
        match outcome {
            Outcome::Cut { at } => {
                fate.tell_cut(Some(way), at, fate.cut);
                match fate.go_dark(Some(way)) {
                    Some(time) => hold = Some(Instant::now() + time),
                    None => return Some(fate.cut),
                }
            }
            Outcome::Failed => {
                fate.shared.tell(fate.index, Happening::Ended);
                return None;
            }
            Outcome::Ended => {}
        }
        // A dead path does not report that its other end has gone: the time decides.
        if up_done && down_done && hold.is_none() {
            fate.shared.tell(fate.index, Happening::Ended);
            return Some(Cut::Close);
        }
    }
}

/// Resolves when the plan's time is over, if it has one.
async fn clock(after: Option<Duration>) {
    match after {
        Some(after) => sleep(after).await,
        None => pending().await,
    }
}

async fn pump(
    fate: &Fate,
    way: Way,
    mut lane: Lane,
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
) -> Outcome {
    let mut buffer = vec![0; BUFFER];
    loop {
        let len = match from.read(&mut buffer).await {
            Ok(0) => break,
            Ok(len) => len,
            Err(_) if fate.is_dark(way) => return Outcome::Ended,
            Err(_) => return Outcome::Failed,
        };
        if way == Way::Up {
            fate.wire().received(&buffer[..len]);
        }
        let mut rest = &buffer[..len];
        while !rest.is_empty() && !fate.is_dark(way) {
            let at = lane.passed;
            let (pass, later) = match lane.step(rest.len()) {
                Step::Pass(pass) => rest.split_at(pass),
                Step::Stall(time) => {
                    fate.shared.stalls.fetch_add(1, Ordering::Relaxed);
                    fate.shared.tell(fate.index, Happening::Stalled { way, at, time });
                    sleep(time).await;
                    continue;
                }
                Step::Cut => return Outcome::Cut { at },
            };
            rest = later;
            if to.write_all(pass).await.is_err() {
                return Outcome::Failed;
            }
            if way == Way::Down {
                fate.wire().sent(pass);
            }
            fate.shared.bytes.fetch_add(pass.len() as u64, Ordering::Relaxed);
            match lane.pace(pass.len()) {
                Some(time) => sleep(time).await,
                // Pieces of their own want segments of their own.
                None if lane.piece.is_some() => tokio::task::yield_now().await,
                None => {}
            }
        }
    }
    match way {
        Way::Up => fate.wire().ended(),
        Way::Down if !fate.is_dark(way) => fate.wire().finished(),
        Way::Down => {}
    }
    if !fate.is_dark(way) {
        let _ = to.shutdown().await;
    }
    Outcome::Ended
}

impl Fate {
    fn wire(&self) -> MutexGuard<'_, Wire> {
        self.wire.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_dark(&self, way: Way) -> bool {
        self.dark[way as usize].load(Ordering::Relaxed)
    }

    /// Half-open cuts only: swallows everything from now on, for the time returned. `None` is no
    /// direction in particular, which means both.
    fn go_dark(&self, way: Option<Way>) -> Option<Duration> {
        let Cut::HalfOpen { both, hold } = self.cut else {
            return None;
        };
        for each in [Way::Up, Way::Down] {
            if both || way.is_none_or(|way| way == each) {
                self.dark[each as usize].store(true, Ordering::Relaxed);
            }
        }
        Some(hold)
    }

    fn tell_cut(&self, way: Option<Way>, at: u64, how: Cut) {
        self.shared.cuts.fetch_add(1, Ordering::Relaxed);
        if matches!(how, Cut::HalfOpen { .. }) {
            self.shared.half_open.fetch_add(1, Ordering::Relaxed);
        }
        self.shared.tell(self.index, Happening::Cut { way, at, how });
    }
}
