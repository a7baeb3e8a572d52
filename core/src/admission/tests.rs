extern crate alloc;
extern crate std;

use alloc::vec::Vec;
use std::collections::HashMap;

use core::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

fn at(ms: u64) -> Instant {
    Instant::from_micros(ms * 1000)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn v4(n: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(n))
}

fn config() -> GateConfig {
    GateConfig {
        max_connections: 6,
        reserve_share: 3,
        max_handshakes: 2,
        max_per_source: 3,
        source_rate: Rate::UNLIMITED,
        total_rate: Rate::UNLIMITED,
        v6_prefix: 64,
        free_failures: 0,
        lockout_base: 100_000,
        lockout_cap: 1_000_000,
    }
}

fn gate(config: GateConfig) -> Gate<[SourceEntry; 4]> {
    Gate::new(config, 0x6A7E, [const { SourceEntry::EMPTY }; 4])
}

//= test REG-13
#[test]
fn sources_are_canonical() {
    let of = |text| Source::new(ip(text), 64);
    assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    assert_ne!(of("::192.0.2.1"), of("192.0.2.1"), "only mapped addresses are IPv4");
    assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:1:ffff::"));
    assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
    let cut = |text, prefix| Source::new(ip(text), prefix);
    assert_eq!(cut("2001:db8:0:1::1", 48), cut("2001:db8:0:2::1", 48));
    assert_ne!(cut("2001:db8:0:1::1", 48), cut("2001:db8:1:1::1", 48));
    assert_eq!(cut("8000::", 0), cut("ffff::", 1), "one bit at least");
    assert_eq!(cut("2001:db8::1", 128), of("2001:db8::2"), "64 bits at most");
}

#[test]
fn a_rate_lets_bursts_through_and_then_its_even_pace() {
    let rate = Rate::per_second(10, 3);
    let mut meter = Meter::NEW;
    for _ in 0..3 {
        assert_eq!(meter.take(at(1000), &rate), Ok(()));
    }
    assert_eq!(meter.take(at(1000), &rate), Err(100_000));
    assert_eq!(meter.take(at(1099), &rate), Err(1000));
    assert_eq!(meter.take(at(1100), &rate), Ok(()));
    assert!(!meter.is_idle(at(1399)));
    assert!(meter.is_idle(at(1400)));
    for _ in 0..3 {
        assert_eq!(meter.take(at(1400), &rate), Ok(()));
    }
    assert!(meter.take(at(1400), &rate).is_err());
    let never = Rate::new(0, 1, 1);
    let mut meter = Meter::NEW;
    assert_eq!(meter.take(at(0), &never), Ok(()));
    assert!(meter.take(at(1 << 40), &never).is_err());
}

#[test]
fn further_handshakes_wait() {
    let mut gate = gate(config());
    let mut tickets: Vec<_> = (0..4).map(|n| gate.handle_connect(at(0), v4(n)).unwrap()).collect();
    let began: Vec<_> = tickets.iter_mut().map(|t| gate.poll_handshake(t)).collect();
    assert_eq!(began, [true, true, false, false]);
    assert!(gate.poll_handshake(&mut tickets[0]), "asking again costs nothing");
    assert_eq!((gate.stats().handshakes, gate.stats().waiting), (2, 2));
    gate.handle_open(&mut tickets[0], true);
    assert!(gate.poll_handshake(&mut tickets[2]));
    assert!(tickets[3].is_waiting());
    gate.handle_disconnect(tickets.remove(1));
    assert!(gate.poll_handshake(&mut tickets[2]));
    for ticket in tickets {
        gate.handle_disconnect(ticket);
    }
    let stats = gate.stats();
    assert_eq!((stats.connections, stats.handshakes, stats.waiting), (0, 0, 0));
}

#[test]
fn connections_are_limited_in_total_and_by_source() {
    let mut gate = gate(config());
    let mut tickets: Vec<_> = (0..3).map(|_| gate.handle_connect(at(0), v4(1)).unwrap()).collect();
    let mapped = IpAddr::V6(Ipv4Addr::from_bits(1).to_ipv6_mapped());
    assert_eq!(gate.handle_connect(at(0), mapped), Err(Turned::SourceFull));
    for n in 2..5 {
        tickets.push(gate.handle_connect(at(0), v4(n)).unwrap());
    }
    assert_eq!(gate.handle_connect(at(0), v4(2)), Err(Turned::MakeRoom));
    tickets.iter_mut().for_each(|ticket| gate.handle_open(ticket, true));
    assert_eq!(gate.handle_connect(at(0), v4(2)), Err(Turned::Full));
    gate.handle_disconnect(tickets.remove(0));
    assert_eq!(gate.connections_of(v4(1)), 2);
    assert_eq!(gate.handle_connect(at(0), v4(9)), Err(Turned::TableFull));
    assert!(gate.handle_connect(at(0), v4(1)).is_ok());
    assert_eq!((gate.stats().admitted, gate.stats().turned), (7, 4));
}

//= test REG-14
#[test]
fn the_unauthenticated_make_room_and_resumes_have_a_reserve() {
    let mut gate = gate(config());
    let mut tickets: Vec<_> =
        (0..6).map(|n| gate.handle_connect(at(0), v4(n % 3)).unwrap()).collect();
    assert!(gate.has_room(false));
    for ticket in &mut tickets[..4] {
        gate.poll_handshake(ticket);
        gate.handle_open(ticket, true);
    }
    assert!(!gate.has_room(false) && gate.has_room(true));
    gate.poll_handshake(&mut tickets[4]);
    assert_eq!(gate.handle_connect(at(0), v4(3)), Err(Turned::MakeRoom));
    gate.handle_disconnect(tickets.remove(4));
    let mut next = gate.handle_connect(at(0), v4(3)).unwrap();
    gate.handle_open(&mut next, true);
    gate.handle_open(&mut tickets[4], true);
    assert!(!gate.has_room(true));
    assert_eq!(gate.handle_connect(at(0), v4(3)), Err(Turned::Full));
}

#[test]
fn rates_are_kept_by_source_and_in_total() {
    let source_rate = Rate::per_second(1, 2);
    let total_rate = Rate::per_second(1, 3);
    let mut gate = gate(GateConfig { source_rate, total_rate, ..config() });
    let mut come = |ms, n| match gate.handle_connect(at(ms), v4(n)) {
        Ok(ticket) => {
            gate.handle_disconnect(ticket);
            None
        }
        Err(turned) => Some(turned),
    };
    assert_eq!((come(0, 1), come(0, 1)), (None, None));
    for _ in 0..9 {
        assert_eq!(come(0, 1), Some(Turned::SourceRate(1_000_000)));
    }
    assert_eq!(come(0, 2), None, "the noisy source used up nobody else's share");
    assert_eq!(come(0, 3), Some(Turned::TotalRate(1_000_000)));
    assert_eq!(come(1000, 3), None);
}

//= test REG-12
#[test]
fn failures_lock_a_source_out_for_longer_and_longer() {
    let mut gate = gate(config());
    let mut now = at(0);
    for wait in [100, 200, 400, 800, 1000, 1000] {
        let ticket = gate.handle_connect(now, v4(1)).unwrap();
        gate.handle_failure(now, &ticket);
        gate.handle_disconnect(ticket);
        assert_eq!(gate.handle_connect(now, v4(1)), Err(Turned::LockedOut(wait * 1000)));
        let other = gate.handle_connect(now, v4(2)).unwrap();
        gate.handle_disconnect(other);
        now = now.after(wait * 1000);
    }
    let mut ticket = gate.handle_connect(now, v4(1)).unwrap();
    gate.handle_open(&mut ticket, false);
    gate.handle_failure(now, &ticket);
    assert_eq!(gate.handle_connect(now, v4(1)), Err(Turned::LockedOut(1_000_000)));
    gate.handle_open(&mut ticket, true);
    now = now.after(1_000_000);
    gate.handle_failure(now, &ticket);
    assert_eq!(gate.handle_connect(now, v4(1)), Err(Turned::LockedOut(100_000)));
}

//= test REG-12
#[test]
fn old_failures_are_forgotten_one_by_one() {
    let mut gate = gate(GateConfig { free_failures: 1, ..config() });
    let mut fail = |ms: u64| {
        let ticket = gate.handle_connect(at(ms), v4(1)).unwrap();
        gate.handle_failure(at(ms), &ticket);
        gate.handle_disconnect(ticket);
        match gate.handle_connect(at(ms), v4(1)) {
            Ok(ticket) => {
                gate.handle_disconnect(ticket);
                0
            }
            Err(turned) => turned.wait().unwrap() / 1000,
        }
    };
    assert_eq!([fail(0), fail(1), fail(101), fail(301)], [0, 100, 200, 400]);
    // Just less than the longest lock-out, and then as long: one is forgotten, one is new.
    assert_eq!([fail(1_300), fail(2_300)], [800, 800]);
    // Three times as long takes three back, and long enough takes all.
    assert_eq!(fail(5_300), 200);
    assert_eq!([fail(100_000), fail(100_001)], [0, 100]);
}

#[test]
fn a_few_failures_in_a_row_are_free() {
    let mut gate = gate(GateConfig { free_failures: 2, ..config() });
    for failure in [None, None, Some(100_000), Some(200_000)] {
        let now = at(500 * gate.stats().failures);
        let ticket = gate.handle_connect(now, v4(1)).unwrap();
        gate.handle_failure(now, &ticket);
        gate.handle_disconnect(ticket);
        match gate.handle_connect(now, v4(1)) {
            Ok(ticket) => {
                assert_eq!(failure, None);
                gate.handle_disconnect(ticket);
            }
            Err(turned) => assert_eq!(Some(turned), failure.map(Turned::LockedOut)),
        }
    }
}

#[test]
fn memory_of_absent_sources_is_reused_oldest_first() {
    let mut gate = gate(config());
    for n in 0..4 {
        let ticket = gate.handle_connect(at(0), v4(n)).unwrap();
        gate.handle_failure(at(0), &ticket);
        gate.handle_disconnect(ticket);
    }
    assert!(gate.handle_connect(at(1), v4(0)).is_err(), "asking makes it recently used");
    let ticket = gate.handle_connect(at(1), v4(9)).unwrap();
    assert_eq!(gate.stats().sources, 4);
    assert!(gate.handle_connect(at(1), v4(0)).is_err());
    assert!(gate.handle_connect(at(1), v4(2)).is_err());
    assert!(gate.handle_connect(at(1), v4(1)).is_ok(), "the longest unused was forgotten");
    gate.handle_disconnect(ticket);
    let mut none = Gate::new(config(), 1, &mut [][..]);
    assert_eq!(none.handle_connect(at(0), v4(1)), Err(Turned::TableFull));
}

#[cfg(feature = "alloc")]
#[test]
fn growing_memory_loses_nothing() {
    let limits = GateConfig { max_connections: 300, max_per_source: 301, ..config() };
    let mut gate = Gate::new(limits, 1, Vec::new());
    let tickets: Vec<_> = (0..300).map(|n| gate.handle_connect(at(0), v4(n)).unwrap()).collect();
    assert_eq!(gate.handle_connect(at(0), v4(0)), Err(Turned::MakeRoom));
    assert!((0..300).all(|n| gate.connections_of(v4(n)) == 1));
    tickets.into_iter().for_each(|ticket| gate.handle_disconnect(ticket));
    assert!((0..300).all(|n| gate.connections_of(v4(n)) == 0));
    for n in 0..2000 {
        let ticket = gate.handle_connect(at(0), v4(n)).unwrap();
        gate.handle_disconnect(ticket);
    }
    assert_eq!(gate.stats().sources, 600);
}

#[test]
fn the_longest_prefix_decides() {
    let rule = |text, prefix, access| Rule::new(ip(text), prefix, access).unwrap();
    let rules = [
        rule("0.0.0.0", 0, Access::Deny),
        rule("10.0.0.0", 8, Access::Allow),
        rule("10.1.0.0", 16, Access::Deny),
        rule("10.1.2.3", 32, Access::Allow),
        rule("10.9.9.9", 32, Access::Allow),
        rule("10.9.9.9", 32, Access::Deny),
        rule("::ffff:172.16.0.0", 108, Access::Allow),
        rule("2001:db8::", 32, Access::Deny),
    ];
    let cases = [
        ("192.0.2.1", Access::Deny),
        ("10.200.0.1", Access::Allow),
        ("10.1.200.1", Access::Deny),
        ("10.1.2.3", Access::Allow),
        ("::ffff:10.1.2.3", Access::Allow),
        ("10.9.9.9", Access::Deny),
        ("172.31.255.255", Access::Allow),
        ("172.32.0.0", Access::Deny),
        ("2001:db8:1::1", Access::Deny),
        ("2001:db9::1", Access::Allow),
        ("::1", Access::Allow),
    ];
    for (text, expected) in cases {
        assert_eq!(access(&rules, Access::Allow, ip(text)), expected, "{text}");
        let mut reversed = rules;
        reversed.reverse();
        assert_eq!(access(&reversed, Access::Allow, ip(text)), expected, "{text}, reversed");
    }
    assert_eq!(access(&[], Access::Allow, ip("::1")), Access::Allow);
    assert_eq!(access(&[], Access::Deny, ip("::1")), Access::Deny);
    assert_eq!(Rule::new(ip("10.0.0.0"), 33, Access::Deny), None);
    assert_eq!(Rule::new(ip("::"), 129, Access::Deny), None);
    assert_eq!(Rule::new(ip("::ffff:10.0.0.0"), 129, Access::Deny), None);
}

/// One character of the network's and the address's bits at a time.
fn naive_access(rules: &[(IpAddr, u8, bool)], otherwise: bool, address: IpAddr) -> bool {
    let bits = |address: IpAddr| -> Vec<bool> {
        let octets = match address {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        octets.iter().flat_map(|o| (0..8).map(move |n| o >> (7 - n) & 1 == 1)).collect()
    };
    let address = bits(address.to_canonical());
    let mut best: Option<(u8, bool)> = None;
    for (network, prefix, allow) in rules {
        let network = bits(*network);
        let len = usize::from(*prefix);
        if network.len() != address.len() || network[..len] != address[..len] {
            continue;
        }
        best = match best {
            Some((longest, _)) if longest > *prefix => best,
            Some((longest, allowed)) if longest == *prefix => Some((longest, allowed && *allow)),
            Some(_) | None => Some((*prefix, *allow)),
        };
    }
    best.map_or(otherwise, |(_, allow)| allow)
}

fn near_v4() -> impl Strategy<Value = IpAddr> {
    any::<u32>().prop_map(|n| v4(n & 0x8080_8181))
}

#[derive(Debug, Clone)]
enum Op {
    Pass(u32),
    Connect(u32),
    Poll(usize),
    Open(usize, bool),
    Fail(usize),
    Disconnect(usize),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        2 => (0..2_000_000u32).prop_map(Op::Pass),
        6 => (0..7u32).prop_map(Op::Connect),
        4 => any::<usize>().prop_map(Op::Poll),
        2 => (any::<usize>(), any::<bool>()).prop_map(|(pick, auth)| Op::Open(pick, auth)),
        1 => any::<usize>().prop_map(Op::Fail),
        2 => any::<usize>().prop_map(Op::Disconnect),
    ];
    proptest::collection::vec(op, 1..200)
}

proptest! {
    #[test]
    fn rules_agree_with_a_naive_reading(
        rules in proptest::collection::vec((near_v4(), 0..=32u8, any::<bool>()), 0..12),
        address in near_v4(),
        otherwise in any::<bool>(),
    ) {
        let of = |allow| if allow { Access::Allow } else { Access::Deny };
        let list: Vec<_> =
            rules.iter().map(|(ip, p, allow)| Rule::new(*ip, *p, of(*allow)).unwrap()).collect();
        let expected = of(naive_access(&rules, otherwise, address));
        prop_assert_eq!(access(&list, of(otherwise), address), expected);
    }

    #[test]
    fn no_limit_is_ever_exceeded(ops in ops()) {
        let source_rate = Rate::per_second(2, 3);
        let limits = GateConfig { source_rate, total_rate: Rate::per_second(4, 6), ..config() };
        let mut gate = Gate::new(limits, 7, [const { SourceEntry::EMPTY }; 5]);
        let mut now = at(0);
        let mut tickets: Vec<(u32, Ticket)> = Vec::new();
        let mut admitted: Vec<Instant> = Vec::new();
        for op in ops {
            let count = tickets.len().max(1);
            match op {
                Op::Pass(us) => now = now.after(u64::from(us)),
                Op::Connect(n) => {
                    let address = IpAddr::V6(Ipv6Addr::from_bits(u128::from(n) << 64 | 1 << 125));
                    if let Ok(ticket) = gate.handle_connect(now, address) {
                        tickets.push((n, ticket));
                        admitted.push(now);
                    }
                }
                Op::Poll(pick) => {
                    if let Some((_, ticket)) = tickets.get_mut(pick % count) {
                        gate.poll_handshake(ticket);
                    }
                }
                Op::Open(pick, auth) => {
                    if let Some((_, ticket)) = tickets.get_mut(pick % count) {
                        gate.handle_open(ticket, auth);
                    }
                }
                Op::Fail(pick) => {
                    if let Some((_, ticket)) = tickets.get(pick % count) {
                        gate.handle_failure(now, ticket);
                    }
                }
                Op::Disconnect(pick) => {
                    if !tickets.is_empty() {
                        gate.handle_disconnect(tickets.swap_remove(pick % count).1);
                    }
                }
            }
            let mut by_source: HashMap<u32, u32> = HashMap::new();
            tickets.iter().for_each(|(n, _)| *by_source.entry(*n).or_default() += 1);
            prop_assert!(by_source.values().all(|n| *n <= 3));
            let total = u32::try_from(tickets.len()).unwrap();
            let stage = |s| u32::try_from(tickets.iter().filter(|t| t.1.stage == s).count());
            prop_assert!(total <= 6);
            prop_assert_eq!(gate.stats().connections, total);
            prop_assert_eq!(gate.stats().waiting, stage(Stage::Waiting).unwrap());
            prop_assert_eq!(gate.stats().handshakes, stage(Stage::Handshake).unwrap());
            prop_assert!(gate.stats().handshakes <= 2);
            let recent = admitted.iter().filter(|t| now.micros_since(**t) < 1_000_000).count();
            prop_assert!(recent <= 6 + 4, "{recent} in a second");
        }
    }
}

#[test]
fn limits_that_let_nobody_in_are_named() {
    let key = |config: GateConfig| config.validate().map_err(|error| error.key());
    let config = GateConfig::default();
    assert_eq!(key(config), Ok(()));
    assert_eq!(key(GateConfig { reserve_share: 0, free_failures: u32::MAX, ..config }), Ok(()));
    let wrong = [
        (GateConfig { max_connections: 0, ..config }, "max_connections"),
        (GateConfig { reserve_share: 1, ..config }, "reserve_share"),
        (GateConfig { max_handshakes: 0, ..config }, "max_handshakes"),
        (GateConfig { max_per_source: 0, ..config }, "max_per_source"),
        (GateConfig { v6_prefix: 0, ..config }, "v6_prefix"),
        (GateConfig { v6_prefix: 65, ..config }, "v6_prefix"),
        (GateConfig { lockout_base: 2, lockout_cap: 1, ..config }, "lockout_cap"),
        (GateConfig { lockout_cap: u64::MAX, ..config }, "lockout_cap"),
    ];
    for (config, expected) in wrong {
        assert_eq!(key(config), Err(expected), "{config:?}");
    }
}

#[test]
fn other_limits_hold_at_once_and_nobody_has_to_leave() {
    let mut gate = gate(config());
    let mut inside: Vec<_> = (0..3).map(|n| gate.handle_connect(at(0), v4(n)).unwrap()).collect();
    gate.reconfigure(GateConfig { max_connections: 2, max_per_source: 1, ..config() });
    assert_eq!(gate.handle_connect(at(0), v4(3)), Err(Turned::MakeRoom));
    assert_eq!(gate.stats().connections, 3);
    gate.handle_disconnect(inside.pop().unwrap());
    gate.handle_disconnect(inside.pop().unwrap());
    assert_eq!(gate.handle_connect(at(0), v4(0)), Err(Turned::SourceFull));
    inside.push(gate.handle_connect(at(0), v4(4)).unwrap());
    gate.reconfigure(GateConfig { max_connections: 4, ..config() });
    inside.push(gate.handle_connect(at(0), v4(0)).unwrap());
    assert_eq!(gate.config().max_connections, 4);
    inside.into_iter().for_each(|ticket| gate.handle_disconnect(ticket));
    assert_eq!(gate.stats().connections, 0);
}

/// What is charged at once is waited for as if it had come one by one.
#[test]
fn a_rate_may_be_overdrawn_and_is_paid_back() {
    let rate = Rate::per_second(10, 5);
    let mut meter = Meter::NEW;
    let at = |ms: u64| Instant::from_micros(1_000_000 + ms * 1_000);
    assert_eq!(meter.room(at(0), &rate), 5);
    meter.charge(at(0), &rate, 3);
    assert_eq!((meter.room(at(0), &rate), meter.wait(at(0), &rate)), (2, 0));
    meter.charge(at(0), &rate, 12);
    assert_eq!((meter.room(at(0), &rate), meter.wait(at(0), &rate)), (0, 1_100_000));
    assert_eq!((meter.room(at(1_100), &rate), meter.room(at(1_500), &rate)), (1, 5));
    meter.charge(at(1_500), &rate, 0);
    assert_eq!(meter.room(at(9_000), &rate), 5, "a burst and no more");
    assert_eq!(meter.room(at(0), &Rate::UNLIMITED), u32::MAX);
}
