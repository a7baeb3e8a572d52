//! What threads do while there is nothing to do, and that they end. The process's threads are
//! counted as a whole, so the tests take turns.
#![cfg(target_os = "linux")]

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use outlast_std::net::socket2::{Domain, Socket, Type};
use outlast_std::{
    Client, CloseCode, Handle, Incoming, Peer, ReconnectPolicy, Runtime, Server, SessionInfo,
    Status, Std, Why, block_on, block_on_timeout,
};

static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

const LONG: Duration = Duration::from_secs(60);

/// What the system knows of one of our threads.
struct Thread {
    /// How often it went to sleep.
    sleeps: u64,
    /// Nanoseconds on a processor.
    worked: u64,
}

/// The threads of this process that the crate has started.
fn ours() -> Vec<Thread> {
    let all = std::fs::read_dir("/proc/self/task").unwrap();
    let read = |thread: std::io::Result<std::fs::DirEntry>| {
        let path = thread.ok()?.path();
        let text = |file: &str| std::fs::read_to_string(path.join(file)).ok();
        if !text("comm")?.starts_with("outlast") {
            return None;
        }
        let status = text("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        let sleeps = line?.trim().parse().ok()?;
        let worked = text("schedstat")?.split(' ').next()?.parse().ok()?;
        Some(Thread { sleeps, worked })
    };
    all.filter_map(read).collect()
}

/// Lets so much time pass.
fn pass(time: Duration) {
    let nobody = mpsc::sync_channel::<()>(1);
    assert!(nobody.1.recv_timeout(time).is_err());
}

/// Waits until there are `count` threads of ours.
fn await_threads(count: usize) {
    let start = Instant::now();
    while ours().len() != count {
        assert!(start.elapsed() < LONG, "{} threads instead of {count}", ours().len());
        pass(Duration::from_millis(1));
    }
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn nothing(_: &mut Peer<'_>, _: Incoming<'_>) {}

#[test]
fn idle_connection_sleeps() {
    let _turn = turn();
    let server = Server::builder().bind("127.0.0.1:0").unwrap();
    let echo = |peer: &mut Peer<'_>, event: Incoming<'_>| {
        if let Incoming::Request { id, payload, .. } = event {
            peer.respond(id, Status::OK, payload).unwrap();
        }
    };
    let server = server.start(move |_: &SessionInfo| echo).unwrap();
    let address = server.local_addr().to_string();
    let clients: Vec<Handle> =
        (0..4).map(|_| Client::builder().address(&address).connect(nothing).unwrap()).collect();
    for client in &clients {
        assert_eq!(client.request(1u8, b"x").unwrap().status, Status::OK);
    }
    // Four clients, four connections, and the one that accepts and keeps house.
    await_threads(9);
    // What memory can be given back is given back two seconds after the last traffic.
    pass(Duration::from_millis(2_500));
    let sums = || {
        let threads = ours();
        assert_eq!(threads.len(), 9);
        threads.iter().fold((0, 0), |(s, w), thread| (s + thread.sleeps, w + thread.worked))
    };
    // Wake-ups, and nanoseconds of work.
    let a_second = |_| {
        let before = sums();
        pass(Duration::from_secs(1));
        let after = sums();
        (after.0 - before.0, after.1 - before.1)
    };
    // The house is looked after once in a second; nothing else is due. Whoever does not sleep does
    // so in no second; one that the machine makes longer, or that has heartbeats in it, is not the
    // last.
    let mut seconds = (0..60).map(a_second);
    let calm = seconds.find(|(wake_ups, worked)| *wake_ups <= 8 && *worked < 20_000_000);
    assert!(calm.is_some(), "in a minute of nothing there was no second of rest");

    // One descriptor each for the sockets, and one each for their threads.
    let open = descriptors();
    for client in &clients {
        client.end(CloseCode::GOING_AWAY);
        let _ = client.closed();
    }
    await_threads(1);
    assert_eq!(open - descriptors(), 16);
    server.shutdown(Duration::ZERO);
    await_threads(0);
}

/// An address that answers nothing: its backlog is full, and what comes is dropped.
fn black_hole() -> (TcpListener, Vec<TcpStream>, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(1).unwrap();
    let listener = TcpListener::from(socket);
    let address = listener.local_addr().unwrap();
    let mut taken = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
        taken.push(stream);
        assert!(taken.len() < 16, "the backlog has no effect");
    }
    (listener, taken, address)
}

#[test]
fn dialling_is_cancelled_at_once() {
    let _turn = turn();
    let (_listener, _taken, address) = black_hole();
    let open = descriptors();
    // The attempt itself ends long after the test has given up.
    let policy = ReconnectPolicy { connect_limit: 600_000_000, ..ReconnectPolicy::default() };
    let client = Client::builder().address(address.to_string()).reconnect(policy);
    let handle = client.connect(nothing).unwrap();
    await_threads(1);
    // It dials: its socket and its bell are there.
    let start = Instant::now();
    while descriptors() < open + 2 {
        assert!(start.elapsed() < LONG, "it does not dial");
        pass(Duration::from_millis(1));
    }
    handle.end(CloseCode::GOING_AWAY);
    let closed = handle.closed_timeout(LONG).expect("it does not wait for the attempt");
    assert!(matches!(closed.why, Why::Stopped), "{closed:?}");
    await_threads(0);
    assert_eq!(descriptors(), open, "a descriptor was left behind");
}

#[test]
fn thousands_of_tasks_leave_no_thread_behind() {
    let _turn = turn();
    await_threads(0);
    let open = descriptors();
    let (tell, told) = mpsc::sync_channel(16);
    for number in 0..3_000u32 {
        let tell = tell.clone();
        Std::new().spawn(async move {
            // What a task starts runs, whether or not the task itself is over by then.
            let (on, other) = (Std::new(), tell.clone());
            on.spawn(async move { other.send(number).unwrap() });
            on.spawn(async move { tell.send(number).unwrap() });
        });
        if number % 100 == 99 {
            for _ in 0..200 {
                told.recv_timeout(LONG).unwrap();
            }
        }
    }
    await_threads(0);
    assert_eq!(descriptors(), open);
}

#[test]
fn limits_are_kept_and_nobody_wakes_early() {
    // Its thread has a descriptor to be woken by, which others would count.
    let _turn = turn();
    let start = Instant::now();
    let limit = Duration::from_micros(20_300);
    let mut polls = 0;
    let never = std::future::poll_fn(|_| {
        polls += 1;
        std::task::Poll::<()>::Pending
    });
    assert_eq!(block_on_timeout(never, limit), None);
    assert!(start.elapsed() >= limit);
    assert!(polls <= 4, "{polls} polls of what waits for time alone");
    assert_eq!(block_on(async { 7 }), 7);
}
