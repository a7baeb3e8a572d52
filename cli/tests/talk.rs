//! `outlast serve` and `outlast connect`.

mod common;

use common::{Running, run};

#[test]
fn lines_come_back_from_an_echo() {
    let mut server = Running::start(&["serve", "--echo", "127.0.0.1:0"]);
    let address = server.address();
    let mut client = Running::start(&["connect", &address]);
    for line in ["one", "two", "grüße \u{1b}[2J"] {
        client.type_line(line);
    }
    let long = "x".repeat(50_000);
    client.type_line(&long);
    client.end_input();
    let (status, said) = client.finish();
    assert!(status.success(), "{said}");
    let back: Vec<&str> = said.lines().filter(|line| !line.starts_with('*')).collect();
    assert_eq!(back, ["one", "two", "grüße \\u{1b}[2J", &long]);
    server.wait_for("] two");
    server.wait_for("ended; everything arrived");
}

#[test]
fn requests_are_answered_with_what_was_asked() {
    let mut server = Running::start(&["serve", "--quiet", "127.0.0.1:0"]);
    let address = server.address();
    let mut client = Running::start(&["connect", "--request", "--quiet", &address]);
    client.type_line("ping");
    client.wait_for("ping");
    client.type_line("pong");
    client.end_input();
    let (status, said) = client.finish();
    assert!(status.success(), "{said}");
    assert!(said.ends_with("pong"), "{said}");
}

#[test]
fn a_relay_passes_lines_on_to_the_others() {
    let mut server = Running::start(&["serve", "--relay", "127.0.0.1:0"]);
    let address = server.address();
    let mut here = Running::start(&["connect", &address]);
    here.wait_for("connected to");
    let mut there = Running::start(&["connect", &address]);
    there.wait_for("connected to");
    here.type_line("is anybody there?");
    there.wait_for(": is anybody there?");
    there.type_line("yes");
    here.wait_for(": yes");
}

#[test]
fn lines_survive_connections_that_are_cut_all_the_time() {
    let mut server = Running::start(&["serve", "--echo", "127.0.0.1:0"]);
    let target = server.address();
    let chaos = ["proxy", "--seed", "5", "--cut-bytes", "200..6000", "127.0.0.1:0", &target];
    let mut proxy = Running::start(&chaos);
    let mut client = Running::start(&["connect", &proxy.address()]);
    let lines: Vec<String> = (0..300).map(|number| format!("line {number}")).collect();
    for line in &lines {
        client.type_line(line);
    }
    client.end_input();
    let (status, said) = client.finish();
    assert!(status.success(), "{said}");
    let back: Vec<&str> = said.lines().filter(|line| !line.starts_with('*')).collect();
    assert_eq!(back, lines);
}

#[test]
fn a_restarted_server_gets_what_it_lost() {
    let mut server = Running::start(&["serve", "127.0.0.1:0"]);
    let address = server.address();
    let mut client = Running::start(&["connect", &address]);
    client.type_line("before");
    server.wait_for("before");
    server.kill();
    client.wait_for("connection lost");
    // Never transmitted, so certainly not delivered.
    client.type_line("meanwhile 1");
    client.type_line("meanwhile 2");
    let mut server = Running::start(&["serve", &address]);
    client.wait_for("the session is lost: the server no longer knows the session");
    server.wait_for("meanwhile 1");
    server.wait_for("meanwhile 2");
    client.type_line("after");
    server.wait_for("after");
    let heard = server.seen();
    assert!(!heard.contains("before"), "nothing delivered is sent again:\n{heard}");
    client.end_input();
    let (status, said) = client.finish();
    assert!(status.success(), "{said}");
}

#[test]
fn input_that_ends_while_the_server_is_away_is_not_lost() {
    let mut server = Running::start(&["serve", "127.0.0.1:0"]);
    let address = server.address();
    let mut client = Running::start(&["connect", &address]);
    client.wait_for("connected to");
    server.kill();
    client.wait_for("connection lost");
    client.type_line("last words");
    client.end_input();
    let mut server = Running::start(&["serve", &address]);
    server.wait_for("last words");
    let (status, said) = client.finish();
    assert!(status.success(), "{said}");
}

#[test]
fn a_port_that_is_taken_is_explained() {
    let mut server = Running::start(&["serve", "127.0.0.1:0"]);
    let (status, said) = run(&["serve", &server.address()]);
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("another program has it"), "{said}");
}

#[test]
fn help_is_there_for_everybody() {
    let (status, said) = run(&["--help"]);
    assert!(status.success());
    for command in ["demo", "serve", "connect", "send", "receive", "proxy", "inspect", "bench"] {
        assert!(said.contains(command), "{command} is missing:\n{said}");
        let (status, said) = run(&[command, "--help"]);
        assert!(status.success() && said.contains("Examples:"), "{command}:\n{said}");
    }
}

#[test]
fn a_short_measurement_gives_numbers() {
    let (status, said) = run(&["bench", "--seconds", "0.05", "--json", "--callers", "4"]);
    assert!(status.success(), "{said}");
    for key in ["\"one_way\"", "\"p99.9_ns\"", "\"own_server\": true", "\"request_many\""] {
        assert!(said.contains(key), "{key} is missing:\n{said}");
    }
    let (status, said) = run(&["bench", "--seconds", "0.05", "--connections", "2"]);
    assert!(status.success() && said.contains("one-way messages"), "{said}");
}
