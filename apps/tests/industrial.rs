//! Devices behind cables that are pulled, in front of a gateway whose uplink is pulled as well.

mod common;

use std::io::Write;

use common::{RUNTIMES, Relay, Running, dial, expect};
use outlast_apps::industrial::frame::Frame;

const PROGRAM: &str = env!("CARGO_BIN_EXE_industrial");

fn plant(runtime: &str, listen: &str) -> (Running, String) {
    let mut plant = Running::start(PROGRAM, &["--runtime", runtime, "plant", "--listen", listen]);
    let at = plant.address("the plant is on");
    (plant, at)
}

fn gateway(runtime: &str, uplink: &str) -> (Running, String) {
    let args = ["--runtime", runtime, "gateway", "--devices", "127.0.0.1:0", "--patience", "20"];
    let mut gateway = Running::start(PROGRAM, &[&args[..], &["--uplink", uplink]].concat());
    let at = gateway.address("devices come to");
    (gateway, at)
}

fn device(runtime: &str, at: &str, number: &str, readings: &str) -> Running {
    let args = ["--runtime", runtime, "device", "--gateway", at, "--patience", "20"];
    Running::start(PROGRAM, &[&args[..], &["--number", number, "--readings", readings]].concat())
}

/// The number of a reading that the plant shows, and whose it is.
fn shown(line: &str) -> (u16, u32) {
    let words: Vec<&str> = line.split([' ', ':']).collect();
    (words[1].parse().unwrap(), words[3].parse().unwrap())
}

#[test]
fn nothing_that_was_accepted_is_lost_or_doubled_however_often_cables_are_pulled() {
    const READINGS: u32 = 3_000;
    for runtime in RUNTIMES {
        let (mut plant, at) = plant(runtime, "127.0.0.1:0");
        // A reading takes 17 bytes on its way here, and 16 from there on.
        let uplink = Relay::cutting(&at, 10_000);
        let (_gateway, at) = gateway(runtime, &uplink.address());
        let cables = [Relay::cutting(&at, 5_003), Relay::cutting(&at, 7_001)];
        let count = READINGS.to_string();
        let mut devices = [("7", &cables[0]), ("8", &cables[1])]
            .map(|(number, cable)| device(runtime, &cable.address(), number, &count));
        let mut next = [0, 0];
        for _ in 0..2 * READINGS {
            let line = plant.wait_for(" reading ");
            let (device, number) = shown(&line);
            let next = &mut next[usize::from(device) - 7];
            assert_eq!(number, *next, "{line}: each once and in order");
            *next += 1;
        }
        assert_eq!(next, [READINGS; 2]);
        for device in &mut devices {
            device.wait_for("are accepted");
        }
        let carried = [&uplink, &cables[0], &cables[1]].map(Relay::carried);
        assert!(carried[0] >= 9 && carried[1] >= 9 && carried[2] >= 6, "{carried:?}");
        assert!(!plant.seen().iter().any(|line| line.contains("missing")));
    }
}

#[cfg(unix)]
#[test]
fn what_a_gateway_has_accepted_arrives_although_nobody_is_there() {
    for runtime in RUNTIMES {
        let (mut plant, at) = plant(runtime, "127.0.0.1:0");
        let uplink = Relay::to(&at);
        let (mut gateway, at) = gateway(runtime, &uplink.address());
        device(runtime, &at, "1", "1").wait_for("are accepted");
        plant.wait_for("device 1 reading 0: 20.00");
        // The uplink is away, and the device goes when it has what it wants.
        uplink.shut();
        gateway.wait_for("the uplink is cut");
        let (status, said) = device(runtime, &at, "2", "500").finish();
        assert!(status.success() && said.contains("all 500 are accepted"), "{said}");
        uplink.open();
        for number in 0..500 {
            assert_eq!(shown(&plant.wait_for(" reading ")), (2, number));
        }
        gateway.terminate();
        let (status, said) = gateway.finish();
        assert!(status.success(), "{said}");
    }
}

#[test]
fn a_plant_that_starts_anew_gets_what_the_last_one_had_not_taken() {
    for runtime in RUNTIMES {
        let (mut old, address) = plant(runtime, "127.0.0.1:0");
        let uplink = Relay::to(&address);
        let (mut gateway, at) = gateway(runtime, &uplink.address());
        device(runtime, &at, "1", "100").wait_for("are accepted");
        old.wait_for("device 1 reading 99");
        uplink.shut();
        gateway.wait_for("the uplink is cut");
        device(runtime, &at, "2", "300").wait_for("are accepted");
        drop(old);
        let (mut new, _) = plant(runtime, &address);
        uplink.open();
        gateway.wait_for("the session is lost");
        // Other readings, which come at once, wait for those that were accepted before.
        let mut third = device(runtime, &at, "3", "50");
        let mut next = [0, 0];
        while next != [300, 50] {
            let line = new.wait_for(" reading ");
            if line.starts_with("device 1 ") {
                // The old plant had it, and nobody could tell the gateway any more.
                continue;
            }
            let (device, number) = shown(&line);
            let next = &mut next[usize::from(device) - 2];
            assert_eq!(number, *next, "{line}");
            *next += 1;
        }
        third.wait_for("are accepted");
    }
}

#[test]
fn damaged_frames_are_neither_forwarded_nor_acknowledged() {
    for runtime in RUNTIMES {
        let (mut plant, at) = plant(runtime, "127.0.0.1:0");
        let (mut gateway, at) = gateway(runtime, &at);
        let mut device = dial(&at);
        let frame = |number, data| Frame { device: 9, number, open: 0, data }.to_bytes();
        let mut damaged = frame(0, b"19.00");
        damaged[10] ^= 1;
        device.write_all(b"dirt \xa5 dirt").unwrap();
        device.write_all(&damaged).unwrap();
        gateway.wait_for("a frame is damaged");
        // The answer to the first good one is the first answer.
        device.write_all(&frame(0, b"20.00")).unwrap();
        expect(&mut device, &frame(0, b""));
        plant.wait_for("device 9 reading 0: 20.00");
        // What was accepted is acknowledged again; what comes too soon has to come again.
        for (number, acknowledged) in [(0, 0), (5, 0), (1, 1)] {
            device.write_all(&frame(number, b"21.00")).unwrap();
            expect(&mut device, &frame(acknowledged, b""));
        }
        assert_eq!(plant.wait_for(" reading "), "device 9 reading 1: 21.00");
        // One that comes for the first time begins with what it has no acknowledgement for.
        for (number, open) in [(7, 2), (6, 1), (5, 0)] {
            let data = b"22.00";
            device.write_all(&Frame { device: 3, number, open, data }.to_bytes()).unwrap();
            expect(&mut device, &{
                let number = if open == 0 { 5 } else { 4 };
                Frame { device: 3, number, open: 0, data: b"" }.to_bytes()
            });
        }
        assert_eq!(plant.wait_for(" reading "), "device 3 reading 5: 22.00");
    }
}

#[test]
fn one_command_shows_all_of_it() {
    for runtime in RUNTIMES {
        let args = ["--runtime", runtime, "--devices", "2", "--readings", "4"];
        let (status, said) = Running::start(PROGRAM, &args).finish();
        assert!(status.success(), "{said}");
        for device in [1, 2] {
            assert!(said.contains(&format!("device {device} reading 3: 20.15")), "{said}");
            assert!(said.contains(&format!("device {device}: 4 readings are with the plant")));
        }
    }
}
