//! `outlast proxy` in front of something that knows nothing of it: a plain echo server.

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use common::{Running, noise};
use outlast_conformance::net::Unserved;

/// Echoes every connection to its end; returns where it listens.
fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it is bound").to_string();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut writer = stream.try_clone().expect("a handle");
                let mut reader = stream;
                let _ = std::io::copy(&mut reader, &mut writer);
                let _ = writer.shutdown(Shutdown::Write);
            });
        }
    });
    address
}

fn proxy(options: &[&str]) -> (Running, String) {
    let target = echo();
    let args = [&["proxy", "--seed", "7"], options, &["127.0.0.1:0", &target]].concat();
    let mut proxy = Running::start(&args);
    let address = proxy.address();
    (proxy, address)
}

/// Sends `bytes`, and returns what came back before the connection ended.
fn through(address: &str, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).expect("the proxy listens");
    let mut writer = stream.try_clone().expect("a handle");
    let bytes = bytes.to_vec();
    let sender = thread::spawn(move || {
        // The proxy may well cut it.
        let _ = writer.write_all(&bytes);
        let _ = writer.shutdown(Shutdown::Write);
    });
    let mut back = Vec::new();
    let _ = stream.read_to_end(&mut back);
    sender.join().expect("it ended");
    back
}

#[test]
fn without_trouble_everything_passes() {
    let (_proxy, address) = proxy(&[]);
    let bytes = noise(1, 300_000);
    assert!(through(&address, &bytes) == bytes);
}

#[test]
fn pieces_and_stalls_change_nothing_but_the_time() {
    let (mut proxy, address) = proxy(&["--split", "100", "--stall", "100", "--stall-ms", "5..20"]);
    let bytes = noise(2, 20_000);
    for _ in 0..4 {
        assert!(through(&address, &bytes) == bytes);
    }
    proxy.wait_for("stalls for");
}

#[test]
fn a_slow_line_is_slow_and_complete() {
    let options = ["--throttle", "100", "--throttle-rate", "100000"];
    let (_proxy, address) = proxy(&options);
    let bytes = noise(3, 20_000);
    let start = std::time::Instant::now();
    assert!(through(&address, &bytes) == bytes);
    // 0.2 s at the rate given; a machine can only be slower than that.
    assert!(start.elapsed().as_millis() >= 190, "{:?}", start.elapsed());
}

#[test]
fn a_cut_comes_after_the_bytes_it_was_planned_for() {
    let (mut proxy, address) = proxy(&["--cut-bytes", "1000..1000"]);
    let bytes = noise(4, 100_000);
    for _ in 0..6 {
        let back = through(&address, &bytes);
        assert!(back.len() <= 1_000, "{}", back.len());
        assert!(bytes.starts_with(&back));
        let line = proxy.wait_for("cut with");
        assert!(line.contains("1000 bytes"), "{line}");
    }
}

#[test]
fn a_half_open_connection_is_deaf_until_its_time_is_over() {
    let options = ["--cut-bytes", "500..500", "--half-open", "100", "--half-open-ms", "300..300"];
    let (mut proxy, address) = proxy(&options);
    let back = through(&address, &noise(5, 10_000));
    assert!(back.len() <= 500, "{}", back.len());
    proxy.wait_for("half-open");
}

#[test]
fn the_same_seed_is_the_same_fate() {
    let fates = [(), ()].map(|()| {
        let (mut proxy, address) = proxy(&["--chaos"]);
        (0..5)
            .map(|_| {
                drop(TcpStream::connect(&address).expect("the proxy listens"));
                let line = proxy.wait_for("opened: ");
                line.split_once('#').expect("a number").1.to_owned()
            })
            .collect::<Vec<_>>()
    });
    assert_eq!(fates[0], fates[1]);
    assert!(fates[0].iter().all(|fate| fate.contains("cut at byte")), "{fates:?}");
}

#[test]
fn a_target_that_is_not_there_is_reported() {
    let nobody = Unserved::new();
    let mut proxy = Running::start(&["proxy", "127.0.0.1:0", &nobody.address().to_string()]);
    let address = proxy.address();
    assert!(through(&address, b"anybody?").is_empty());
    proxy.wait_for("cannot be reached");
}
