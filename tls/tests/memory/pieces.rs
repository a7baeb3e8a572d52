//! However bytes come and go, what arrives is what was sent, or a beginning of it and an error.

use std::sync::{Arc, Mutex};

use outlast_service::Transport;
use outlast_tls::{ClientTls, ServerTls, TlsError};
use proptest::prelude::*;

use crate::common::{Authority, Signed, Valid};
use crate::ends::{converse, handshake, meet, pair, read_all, sample, tls, write_all};
use crate::executor::Sim;
use crate::link::Faults;

/// A client and a server whose handshake is short.
fn plain() -> (ClientTls, ServerTls) {
    crate::common::both()
}

/// Both ends send, end, and read what the other has sent, so many bytes at once.
fn exchange(
    seed: u64,
    faults: (Faults, Faults),
    ends: &(ClientTls, ServerTls),
    (up, down): (usize, usize),
    at_once: usize,
) -> Vec<(Vec<u8>, Result<(), TlsError>)> {
    let sim = Sim::new(seed);
    let (_link, client, server) = pair(&sim, (&ends.0, &ends.1), faults, seed);
    let results = Arc::new(Mutex::new(Vec::new()));
    let done = Arc::clone(&results);
    let main = {
        let sim = sim.clone();
        async move {
            for (number, (mut io, len)) in [(client, up), (server, down)].into_iter().enumerate() {
                let to = Arc::clone(&done);
                sim.aside(async move {
                    let bytes = sample(len, number as u8);
                    let (all, ended) = converse(&mut io, &bytes, at_once).await;
                    let ended = ended.map_err(|error| {
                        TlsError::of(&error).cloned().unwrap_or(TlsError::EndedInHandshake)
                    });
                    to.lock().unwrap().push((number, all, ended));
                });
            }
            while done.lock().unwrap().len() < 2 {
                sim_sleep(&sim).await;
            }
        }
    };
    sim.run(main);
    let mut results = std::mem::take(&mut *results.lock().unwrap());
    results.sort_by_key(|(number, ..)| *number);
    results.into_iter().map(|(_, all, ended)| (all, ended)).collect()
}

async fn sim_sleep(sim: &Sim) {
    sim.sleep(1_000).await;
}

fn pieces(read_max: usize, write_max: usize, capacity: usize) -> Faults {
    Faults { read_max, write_max, capacity, ..Faults::default() }
}

#[test]
fn one_byte_at_a_time_is_enough() {
    let faults = (pieces(1, 1, 64 << 10), pieces(1, 1, 64 << 10));
    let results = exchange(1, faults, &plain(), (3_000, 2_000), 1);
    assert_eq!(results[0], (sample(2_000, 1), Ok(())));
    assert_eq!(results[1], (sample(3_000, 0), Ok(())));
}

#[test]
fn megabytes_go_by_at_once() {
    let faults = || Faults { capacity: 1 << 20, ..Faults::default() };
    let results = exchange(1, (faults(), faults()), &plain(), (3 << 20, 1 << 20), 64 << 10);
    assert_eq!(results[0], (sample(1 << 20, 1), Ok(())));
    assert_eq!(results[1], (sample(3 << 20, 0), Ok(())));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Pieces of any size, in both directions at the same time.
    #[test]
    fn any_pieces_make_the_same_whole(
        seed in any::<u64>(),
        maxima in [1usize..20_000, 1usize..20_000, 1usize..20_000, 1usize..20_000],
        capacity in 16usize..100_000,
        sizes in (0usize..100_000, 0usize..100_000),
        at_once in 1usize..70_000,
    ) {
        let [a, b, c, d] = maxima;
        // Tiny pieces of long messages are many turns.
        let least = |x: usize, y: usize| x.min(y).min(capacity) * 500;
        let sizes = (sizes.0.min(least(a, b)), sizes.1.min(least(c, d)));
        let faults = (pieces(a, b, capacity), pieces(c, d, capacity));
        let results = exchange(seed, faults, &plain(), sizes, at_once);
        prop_assert!(results[0] == (sample(sizes.1, 1), Ok(())), "seed {seed}");
        prop_assert!(results[1] == (sample(sizes.0, 0), Ok(())), "seed {seed}");
    }
}

/// However early the stream is cut, nobody hangs, spins, or takes a part for the whole.
#[test]
fn a_cut_at_any_byte_is_an_error_or_comes_behind_the_end() {
    let ends = plain();
    let sizes = (700, 300);
    for to_server in [true, false] {
        // Signatures differ in length by a few bytes, so the last cuts may cut nothing.
        let mut whole = 0;
        for cut in 0.. {
            let sim_seed = cut ^ u64::from(to_server) << 40;
            let mut faults = (Faults::default(), Faults::default());
            let one = if to_server { &mut faults.0 } else { &mut faults.1 };
            one.cut_after = Some(cut);
            let results = exchange(sim_seed, faults, &ends, sizes, 1 << 10);
            let sent = [sample(sizes.1, 1), sample(sizes.0, 0)];
            for ((got, ended), sent) in results.iter().zip(&sent) {
                assert!(sent.starts_with(got), "cut at {cut}: other bytes");
                assert!(ended.is_err() || got == sent, "cut at {cut}: a part passed for the whole");
            }
            whole += u32::from(results.iter().all(|(_, ended)| ended.is_ok()));
            if whole == 3 {
                assert!(cut > 300, "too little went by");
                break;
            }
            assert!(cut < 20_000, "nothing is ever whole");
        }
    }
}

#[test]
fn an_end_without_the_end_of_tls_is_told_apart() {
    let (client, server) = plain();
    let sim = Sim::new(1);
    let faults = (Faults::default(), Faults::default());
    let (link, mut near, mut far) = pair(&sim, (&client, &server), faults, 1);
    let main = async move {
        meet(&mut near, &mut far).await.unwrap();
        write_all(&mut near, b"all of it").await.unwrap();
        let mut buf = [0; 100];
        let read = std::future::poll_fn(|cx| far.poll_read(cx, &mut buf)).await;
        assert_eq!(&buf[..read.unwrap()], b"all of it");
        // The client's end goes without a word.
        drop(near);
        let (rest, ended) = read_all(&mut far, 100).await;
        assert!(rest.is_empty());
        assert_eq!(tls(&ended.unwrap_err()), TlsError::Truncated);
        assert_eq!(server.stats().truncated, 1);
        drop(link);
    };
    sim.run(main);
}

/// A reader that takes little at a time costs the same little, whoever writes.
#[test]
fn who_does_not_read_is_not_sent_more() {
    let (client, server) = plain();
    let sim = Sim::new(3);
    let narrow = || Faults { capacity: 8 << 10, ..Faults::default() };
    let (link, mut near, mut far) = pair(&sim, (&client, &server), (narrow(), narrow()), 3);
    let taken = Arc::new(Mutex::new(0));
    let sum = Arc::clone(&taken);
    let world = sim.clone();
    sim.run(async move {
        let chunk = sample(100_000, 7);
        world.aside(async move {
            loop {
                let slices = [std::io::IoSlice::new(&chunk)];
                let wrote = std::future::poll_fn(|cx| near.poll_write(cx, &slices)).await;
                *sum.lock().unwrap() += wrote.unwrap();
            }
        });
        handshake(&mut far).await.unwrap();
        world.sleep(1_000_000).await;
        let before = *taken.lock().unwrap();
        // 64 KiB in TLS, 8 KiB under way.
        assert!(before <= (64 << 10) + (9 << 10), "{before} bytes were taken");
        // The reader reads a little at a time, and no more is read for it than that and a piece.
        let mut buf = [0; 100];
        let reads = link.up().reads;
        for _ in 0..30 {
            let read = std::future::poll_fn(|cx| far.poll_read(cx, &mut buf)).await.unwrap();
            assert_eq!(read, 100);
        }
        assert!(link.up().reads - reads <= 6, "{} reads", link.up().reads - reads);
        world.sleep(1_000_000).await;
        let more = *taken.lock().unwrap() - before;
        assert!(more <= 40 << 10, "{more} bytes more were taken for 3000 that were read");
    });
}

/// Certificates longer than one read, and a chain of them.
#[test]
fn a_long_certificate_comes_through() {
    let authority = Authority::new("authority");
    let names: Vec<String> = (0..400).map(|n| format!("host-{n}.example.net")).collect();
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.push("localhost");
    let Signed { chain, key } = authority.sign("many", &names, Valid::Now);
    let server = ServerTls::pem(chain + &authority.pem(), key).build().unwrap();
    let client = crate::common::client_of(&authority).build().unwrap();
    let faults = (pieces(700, 90, 1 << 10), pieces(333, 777, 1 << 10));
    let results = exchange(5, faults, &(client, server), (10, 10), 1 << 10);
    assert!(results.iter().all(|(_, ended)| ended.is_ok()), "{results:?}");
}
