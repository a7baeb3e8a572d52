//! Memory that all sessions of a server share: what is shed when it runs short, and what is not.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use outlast_core::{CloseCode, Config};
use outlast_service::inbox::{Inbox, InboxConfig};
use outlast_service::{
    Handle, Incoming, Limits, MemoryLimits, Peer, Runtime, SendError, Server, ServerConfig,
    SessionInfo,
};

use crate::executor::{Sim, Wanted};
use crate::link::Link;
use crate::world::{Net, Notes, client, deaf, eager, served};

const SECOND: u64 = 1_000_000;
const MIB: usize = 1 << 20;

type Deaf = fn(&mut Peer<'_>, Incoming<'_>);

/// A server with these limits, and its place.
fn house(sim: &Sim, memory: MemoryLimits) -> (Server<Sim, Deaf>, Net) {
    let limits = Limits { memory, ..Limits::one_source() };
    let config = ServerConfig { limits, ..served(Config::SERVER) };
    let server = Server::new(sim.clone(), config, |_: &SessionInfo| deaf as Deaf).unwrap();
    let keeper = server.clone();
    sim.spawn(async move { keeper.keep_house().await });
    let net = Net::serving(sim, &server);
    (server, net)
}

/// A client that counts bytes of messages and notes how connections end.
async fn listener(sim: &Sim, net: &Net, seed: u64) -> (Handle, Link, Arc<AtomicUsize>, Notes) {
    let (heard, notes) = (Arc::new(AtomicUsize::new(0)), Notes::default());
    let (counter, noted) = (Arc::clone(&heard), notes.clone());
    let handler = move |_: &mut Peer<'_>, event: Incoming<'_>| match event {
        Incoming::Message { payload, .. } => {
            counter.fetch_add(payload.len(), Ordering::Relaxed);
        }
        Incoming::Disconnected { code, .. } => noted.add(format!("gone {code}")),
        Incoming::Lost { code, .. } => noted.add(format!("lost {code}")),
        _ => {}
    };
    let (handle, runner) = client(sim, net, eager(seed), handler);
    sim.aside(runner);
    while handle.id().is_none() {
        sim.sleep(100).await;
    }
    (handle, net.last(), heard, notes)
}

#[test]
fn slow_peers_together_hold_no_more_than_they_may_and_nobody_is_cut() {
    let sim = Sim::new(1);
    let limits = MemoryLimits { low: 4 * MIB, high: 6 * MIB };
    let (server, net) = house(&sim, limits);
    let world = sim.clone();
    sim.run(async move {
        let handle = server.handle();
        let mut listeners = Vec::new();
        for seed in 0..20 {
            listeners.push(listener(&world, &net, seed).await);
        }
        // Nobody reads; each session alone might hold 4 MiB and more.
        for (_, link, ..) in &listeners {
            link.change(false, |faults| faults.stalled = true);
        }
        let (mut sent, mut refused, mut most) = (0, 0, 0);
        for _ in 0..2_000 {
            let report = handle.broadcast(1u8, &[7; 1_000]);
            sent += report.sent;
            refused += report.failed.len();
            assert!(report.failed.iter().all(|(_, error)| matches!(error, SendError::Full)));
            most = most.max(handle.stats().memory);
            world.sleep(1_000).await;
        }
        assert!(refused > 10_000, "{refused}");
        // Memory grows in steps, and those of all sessions may come at once.
        assert!((6 * MIB..=12 * MIB).contains(&most), "{most}");
        assert_eq!(handle.stats().times_full, 1);
        // Whoever waits is woken when there is memory again, and everything that was taken arrives.
        let waiting = handle.get(listeners[0].0.id().unwrap()).unwrap();
        world.aside(async move { waiting.send(2u8, &[7; 1_000]).await.unwrap() });
        for (_, link, ..) in &listeners {
            link.change(false, |faults| faults.stalled = false);
        }
        world.sleep(5 * SECOND).await;
        let heard: usize = listeners.iter().map(|all| all.2.load(Ordering::Relaxed)).sum();
        assert_eq!(heard, (sent + 1) * 1_000);
        for (.., notes) in &listeners {
            assert!(notes.all().is_empty(), "{:?}", notes.all());
        }
        world.sleep(5 * SECOND).await;
        assert!(handle.stats().memory < MIB, "{}", handle.stats().memory);
    });
}

#[test]
fn what_is_new_is_shed_first_and_who_resumes_is_not() {
    let sim = Sim::new(1);
    let limits = MemoryLimits { low: MIB / 8, high: 64 * MIB };
    let (server, net) = house(&sim, limits);
    let world = sim.clone();
    sim.run(async move {
        let handle = server.handle();
        let (old, link, heard, _) = listener(&world, &net, 1).await;
        link.change(false, |faults| faults.stalled = true);
        while handle.stats().memory < MIB / 4 {
            handle.broadcast(1u8, &[7; 1_000]).failed.clear();
            world.sleep(100).await;
        }
        let notes = Notes::default();
        let noted = notes.clone();
        let handler = move |_: &mut Peer<'_>, event: Incoming<'_>| {
            if let Incoming::DialFailed { error, .. } = event {
                noted.add(error.to_string());
            }
        };
        let (new, runner) = client(&world, &net, eager(2), handler);
        world.aside(runner);
        world.sleep(SECOND).await;
        assert!(new.id().is_none() && notes.count("") > 0);
        let busy = CloseCode::BUSY.to_string();
        assert!(notes.all().iter().all(|note| note.contains(&busy)), "{:?}", notes.all());
        // The old one comes again, takes what is there, and so makes room for the new one.
        link.cut(false);
        while new.id().is_none() {
            world.sleep(1_000).await;
        }
        assert!(old.is_connected() && heard.load(Ordering::Relaxed) > 100_000);
        assert_eq!((handle.stats().resumed, handle.stats().created), (1, 2));
    });
}

#[test]
fn peers_get_no_credit_while_there_is_no_memory() {
    let sim = Sim::new(1);
    let (server, net) = house(&sim, MemoryLimits::UNLIMITED);
    let world = sim.clone();
    sim.run(async move {
        let handle = server.handle();
        let (one, link, ..) = listener(&world, &net, 1).await;
        let (other, .., notes) = listener(&world, &net, 2).await;
        link.change(false, |faults| faults.stalled = true);
        let to_one = handle.get(one.id().unwrap()).unwrap();
        for _ in 0..100 {
            to_one.try_send(1u8, &[7; 1_000]).unwrap();
            world.sleep(100).await;
        }
        let mut limits = Limits::one_source();
        limits.memory = MemoryLimits { low: 10_000, high: 20_000 };
        handle.set_limits(&limits).unwrap();
        // A window at most, and the connection lives.
        let sender = other.clone();
        world.aside(async move {
            for _ in 0..3_000 {
                sender.send(1u8, &[7; 1_000]).await.unwrap();
            }
        });
        world.sleep(10 * SECOND).await;
        assert!(other.is_connected() && notes.all().is_empty(), "{:?}", notes.all());
        let flushed = other.clone();
        let done = Notes::default();
        let noted = done.clone();
        world.aside(async move {
            flushed.flushed().await.unwrap();
            noted.add("done");
        });
        world.sleep(SECOND).await;
        assert_eq!(done.count("done"), 0, "nothing is taken for taken");
        link.change(false, |faults| faults.stalled = false);
        done.wait(&world, "done").await;
        limits.memory.high = 9_999;
        assert_eq!(handle.set_limits(&limits).unwrap_err().key(), "memory.high");
    });
}

/// A newest value waits for memory as everything does, and without keeping anybody busy.
#[test]
fn newest_values_wait_until_there_is_memory() {
    let sim = Sim::new(1);
    let (server, net) = house(&sim, MemoryLimits { low: MIB / 8, high: MIB / 4 });
    let world = sim.clone();
    sim.run(async move {
        let handle = server.handle();
        let (slow, link, ..) = listener(&world, &net, 1).await;
        let (quick, _, heard, _) = listener(&world, &net, 2).await;
        link.change(false, |faults| faults.stalled = true);
        let slow = handle.get(slow.id().unwrap()).unwrap();
        let quick = handle.get(quick.id().unwrap()).unwrap();
        while slow.try_send(1u8, &[7; 10_000]).is_ok() {
            world.sleep(10).await;
        }
        assert_eq!(handle.stats().times_full, 1);
        quick.send_latest(2u8, &[7; 2_000]).unwrap();
        world.sleep(SECOND).await;
        let before = world.turned();
        world.sleep(SECOND).await;
        assert!(world.turned() < before + 200, "{}", world.turned() - before);
        link.change(false, |faults| faults.stalled = false);
        world.sleep(5 * SECOND).await;
        assert!(handle.stats().memory < MIB / 8);
        assert_eq!(heard.load(Ordering::Relaxed), 2_000);
    });
}

/// What is put up for everybody takes memory as everything does.
#[test]
fn messages_to_everybody_find_no_room_when_there_is_no_memory() {
    let sim = Sim::new(1);
    let (server, net) = house(&sim, MemoryLimits { low: MIB / 2, high: MIB });
    let world = sim.clone();
    sim.run(async move {
        let (handle, mut kept) = (server.handle(), Vec::new());
        for seed in 0..40 {
            // They are there, and take nothing.
            let (inbox, receiver) = Inbox::new(&world, InboxConfig::default());
            let (client, runner) = client(&world, &net, eager(seed), inbox);
            world.aside(runner);
            while client.id().is_none() {
                world.sleep(100).await;
            }
            kept.push((client, receiver));
        }
        assert_eq!(handle.broadcast(1u8, b"begin").sent, 40);
        world.sleep(10_000).await;
        let (mut most, mut refused) = (0, 0);
        for _ in 0..400 {
            refused += handle.broadcast(1u8, &[7; 1_000]).failed.len();
            world.sleep(1_000).await;
            most = most.max(handle.stats().memory);
        }
        assert!(refused > 0);
        assert!((MIB..=2 * MIB).contains(&most), "{most}");
    });
}

/// Whoever keeps the handle of a session that is over keeps nothing of what it queued.
#[test]
fn a_session_whose_task_is_gone_holds_no_memory() {
    let sim = Sim::new(1);
    let config = ServerConfig { limits: Limits::one_source(), ..served(Config::SERVER) };
    let server = Server::new(sim.clone(), config, |_: &SessionInfo| {
        |peer: &mut Peer<'_>, event: Incoming<'_>| {
            if let Incoming::Message { .. } = event {
                for _ in 0..10 {
                    peer.handle().try_send(1u8, &[7; 10_000]).unwrap();
                }
                std::panic::panic_any(Wanted);
            }
        }
    });
    let server = server.unwrap();
    let net = Net::serving(&sim, &server);
    let world = sim.clone();
    sim.run(async move {
        let (handle, ..) = listener(&world, &net, 1).await;
        let kept = server.handle().get(handle.id().unwrap()).unwrap();
        handle.send(1u8, b"panic").await.unwrap();
        kept.closed().await;
        world.sleep(SECOND).await;
        assert_eq!(server.handle().stats().memory, 0);
    });
}

/// What a waker does that an executor calls inline: it may run the task, which uses the session.
struct Inline {
    handle: Handle,
    woken: AtomicUsize,
    stuck: AtomicUsize,
}

impl Wake for Inline {
    fn wake(self: Arc<Self>) {
        let (handle, (tell, told)) = (self.handle.clone(), mpsc::sync_channel(1));
        // In another thread, so that this one can tell.
        let asking = std::thread::spawn(move || tell.send(handle.id()));
        match told.recv_timeout(Duration::from_secs(10)) {
            Ok(_) => asking.join().unwrap().unwrap(),
            Err(_) => drop(self.stuck.fetch_add(1, Ordering::Relaxed)),
        }
        self.woken.fetch_add(1, Ordering::Relaxed);
    }
}

/// Sends to this session until the server has no memory for more.
fn fill(server: &Server<Sim, Deaf>, to: &Handle) {
    let times = server.handle().stats().times_full;
    while server.handle().stats().times_full == times {
        to.try_send(1u8, &[7; 1_000]).unwrap();
    }
    assert!(matches!(to.try_send(1u8, &[7; 1_000]), Err(SendError::Full)));
}

#[test]
fn who_waits_for_memory_is_called_without_any_lock() {
    let sim = Sim::new(1);
    let (server, net) = house(&sim, MemoryLimits { low: MIB / 16, high: MIB / 8 });
    let world = sim.clone();
    sim.run(async move {
        let (one, ..) = listener(&world, &net, 1).await;
        let to = server.handle().get(one.id().unwrap()).unwrap();
        fill(&server, &to);
        let (woken, stuck) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let inline = Arc::new(Inline { handle: to.clone(), woken, stuck });
        let waker = Waker::from(Arc::clone(&inline));
        let mut sending = Box::pin(to.send(2u8, &[7; 1_000]));
        assert!(sending.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        // The session's task takes what is queued, which then is not counted any more.
        world.sleep(SECOND).await;
        assert!(inline.woken.load(Ordering::Relaxed) > 0);
        assert_eq!(inline.stuck.load(Ordering::Relaxed), 0, "called under the session's lock");
        sending.await.unwrap();
    });
}

/// Each of these has a task of its own, as those of a server have.
#[test]
fn who_no_longer_waits_leaves_nothing_behind() {
    let sim = Sim::new(1);
    let (server, net) = house(&sim, MemoryLimits { low: MIB / 16, high: MIB / 8 });
    let world = sim.clone();
    sim.run(async move {
        let (one, ..) = listener(&world, &net, 1).await;
        let to = server.handle().get(one.id().unwrap()).unwrap();
        fill(&server, &to);
        let tasks: Vec<Arc<Idle>> = (0..1_000).map(|_| Arc::new(Idle)).collect();
        for task in &tasks {
            let waker = Waker::from(Arc::clone(task));
            let mut cx = Context::from_waker(&waker);
            let mut sending = Box::pin(to.send(2u8, b"given up"));
            let mut asking = Box::pin(to.request(2u8, b"given up"));
            let mut ending = Box::pin(to.closed());
            for _ in 0..2 {
                assert!(sending.as_mut().poll(&mut cx).is_pending());
                assert!(asking.as_mut().poll(&mut cx).is_pending());
                assert!(ending.as_mut().poll(&mut cx).is_pending());
            }
        }
        let held = tasks.iter().filter(|task| Arc::strong_count(task) > 1).count();
        assert_eq!(held, 0, "tasks that are kept for wakers that nobody wants called");
        // And who still waits is called.
        to.send(3u8, b"still there").await.unwrap();
    });
}

struct Idle;

impl Wake for Idle {
    fn wake(self: Arc<Self>) {}
}
