//! A client whose server is hostile, absent or mad, and whose clock is: it neither spins nor dials
//! more often than its back-off says, and is well once an honest server is there.

use outlast_core::CloseCode;
use outlast_core::client::{DialerConfig, StopReason};
use outlast_embedded::smoltcp::ClientConfig;
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::IpEndpoint;

use crate::hosts::{Host, Pair};
use crate::peer::{Far, PORT, World, welcome};

/// Ten minutes, in milliseconds.
const LONG: u64 = 600_000;
/// Attempts that the back-off from half a second to a minute allows in that time: ten while it
/// grows, and then one in half a minute on average.
const ATTEMPTS: u32 = 45;

fn world() -> World {
    World::new(|config| config, (512, 256))
}

/// One that dials again at once, for attacks that need many connections.
fn eager() -> World {
    let dialer =
        DialerConfig { backoff_base: 1_000, backoff_cap: 10_000, ..DialerConfig::default() };
    World::new(|config| ClientConfig { dialer, ..config }, (512, 256))
}

fn fill(socket: &mut tcp::Socket<'static>, byte: u8) {
    if socket.can_send() {
        let _ = socket.send(|room| {
            room.fill(byte);
            (room.len(), ())
        });
    }
}

/// Ten minutes with this far end; each attempt may cost so many polls.
fn endures(name: &str, mut far: Far, polls: u32) {
    let mut world = world();
    world.run(&mut far, LONG);
    let (failures, attempts) = (world.client.failures(), world.connections);
    assert!((8..=ATTEMPTS).contains(&failures), "{name}: {failures} failures");
    assert!(attempts <= failures + 1, "{name}: {attempts} connections, {failures} failures");
    assert!(world.polls <= polls * (failures + 1), "{name}: {} polls", world.polls);
    assert_eq!((world.opened, world.heard), (0, 0), "{name}");
    assert_eq!(world.client.stopped(), None, "{name}");
    world.is_well_with_an_honest_server();
}

#[test]
fn a_server_that_says_nonsense() {
    for byte in [0x00, 0x01, 0x55, 0xFF] {
        endures("nonsense", Far::hostile(move |socket, _, _| fill(socket, byte)), 30);
    }
    endures(
        "HTTP",
        Far::hostile(|socket, since, _| {
            if since == 0 {
                let _ = socket.send_slice(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
                socket.close();
            }
        }),
        30,
    );
}

#[test]
fn a_server_that_says_nothing_or_is_not_there() {
    endures("silence", Far::hostile(|_, _, _| {}), 30);
    endures("dead", Far::Dead, 30);
    endures("refuses", Far::Closed, 30);
    endures("closes", Far::hostile(|socket, _, _| socket.close()), 30);
    endures("resets", Far::hostile(|socket, _, _| socket.abort()), 30);
}

/// The longest frame there is, of each kind of a handshake and of a message, and then nothing or a
/// byte now and then.
#[test]
fn a_server_that_announces_more_than_it_says() {
    for kind in [0x02, 0x03, 0x0D, 0x41, 0x80] {
        let head = (u32::from(kind as u8) | 0x3FFF << 16).to_le_bytes();
        let announce = move |socket: &mut tcp::Socket<'static>, since, _| {
            if since == 0 {
                let _ = socket.send_slice(&head);
            }
        };
        endures("announces", Far::hostile(announce), 30);
        let mut last = 0;
        let drip = move |socket: &mut tcp::Socket<'static>, since: i64, _| {
            if since == 0 {
                let _ = socket.send_slice(&head);
            } else if since >= last + 100 || since < last {
                last = since;
                let _ = socket.send_slice(&[0]);
            }
        };
        // Ten seconds of a byte each tenth of one.
        endures("drips", Far::hostile(drip), 400);
    }
}

/// Instead of WELCOME, and behind it, with the shortest body, a short and too long a one.
#[test]
fn a_server_that_sends_all_kinds_of_frames() {
    for is_welcome in [false, true] {
        for body in [0_usize, 8, 300] {
            let mut world = eager();
            let mut welcomed = 0;
            let act = move |socket: &mut tcp::Socket<'static>, since: i64, number: u32| {
                let bytes = match is_welcome {
                    true if welcomed == number => None,
                    false if since == 0 => Some(Vec::new()),
                    false => None,
                    true => welcome(Instant::from_millis(since), socket),
                };
                if let Some(mut bytes) = bytes {
                    welcomed = number;
                    let head = (number - 1) & 0xFF | (body as u32) << 16;
                    bytes.extend(head.to_le_bytes());
                    bytes.resize(bytes.len() + body, 0);
                    let _ = socket.send_slice(&bytes);
                } else if since > 500 {
                    socket.close();
                }
            };
            let mut far = Far::hostile(act);
            while world.connections < 257 {
                let before = world.connections;
                world.run(&mut far, 60_000);
                if world.client.stopped() == Some(StopReason::Refused(CloseCode::OK)) {
                    // A whole CLOSE that says so: the only frame after which there is no other try.
                    assert_eq!(((world.connections - 1) & 0xFF, body), (0x0D, 8));
                    let connections = world.connections;
                    world = eager();
                    world.connections = connections;
                    continue;
                }
                assert!(world.connections > before, "after {before} connections it dials no more");
            }
            assert!(world.polls < 60 * world.connections, "{} polls", world.polls);
            assert_eq!(world.opened > 0, is_welcome);
            world.is_well_with_an_honest_server();
        }
    }
}

#[test]
fn a_clock_that_jumps() {
    let mut world = world();
    let mut far = Far::serving();
    world.run(&mut far, 1_000);
    assert_eq!(world.opened, 1);
    const HOUR: i64 = 3_600_000_000;
    for skew in [1_000_000, 20_000_000, -20_000_000, HOUR, 0, 24 * HOUR, 23 * HOUR, 24 * HOUR, -1] {
        world.skew = skew;
        let polls = world.polls;
        world.poll();
        // Whatever the client made of it, it is connected again a little later.
        world.run(&mut far, 200_000);
        assert!(world.polls - polls < 2_000, "skew {skew}: {} polls", world.polls - polls);
    }
    // Going back costs what it went back by, at most; time that goes on is what it needs.
    world.run(&mut far, 25 * 3_600_000);
    world.says_and_hears(&mut far);
}

#[test]
fn other_servers_are_dialled_once_they_are_named() {
    let right = IpEndpoint::new(Host::address(Pair::FAR), PORT);
    let wrong = IpEndpoint::new(Host::address(Pair::FAR), PORT + 1);
    let mut world =
        World::new(|config| ClientConfig { remotes: Vec::leak(vec![wrong]), ..config }, (512, 256));
    let mut far = Far::serving();
    world.run(&mut far, LONG);
    let failures = world.client.failures();
    assert!((8..=ATTEMPTS).contains(&failures), "{failures} failures");
    // None at all are as good as none that answer.
    world.client.set_remotes(&[]);
    world.run(&mut far, LONG);
    let more = world.client.failures() - failures;
    assert!((5..=ATTEMPTS).contains(&more), "{more} failures without an address");
    world.client.set_remotes(Vec::leak(vec![right, wrong]));
    world.run(&mut far, 200_000);
    assert_eq!(world.opened, 1);
    world.says_and_hears(&mut far);
}
