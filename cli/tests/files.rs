//! `outlast send` and `outlast receive`, over a path that breaks.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{Running, folder, noise, run};
use outlast_conformance::net::Unserved;

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// A folder with a tree of files in it, and the names of these.
fn tree(name: &str) -> (PathBuf, Vec<&'static str>) {
    let root = folder(name).join("tree");
    let names = vec!["empty", "small.txt", "a/b/c/deep.bin", "a/large.bin"];
    for (index, name) in names.iter().enumerate() {
        let path = root.join(name);
        fs::create_dir_all(path.parent().expect("it has one")).expect("it can be made");
        let len = [0, 11, 5_000, 3_000_000][index];
        fs::write(path, noise(index as u64, len)).expect("it can be written");
    }
    (root, names)
}

fn assert_same(from: &Path, to: &Path, names: &[&str]) {
    for name in names {
        let (sent, got) = (fs::read(from.join(name)), fs::read(to.join("tree").join(name)));
        assert!(sent.expect("it was made") == got.expect("it came"), "{name} differs");
    }
}

/// Nothing unfinished is left behind.
fn assert_tidy(folder: &Path) {
    for entry in fs::read_dir(folder).expect("it is there").map_while(Result::ok) {
        assert!(!entry.file_name().to_string_lossy().starts_with(".outlast-"), "{entry:?}");
        if entry.path().is_dir() {
            assert_tidy(&entry.path());
        }
    }
}

#[test]
fn a_tree_arrives_as_it_was_and_a_second_time_is_free() {
    let (root, names) = tree("tree-plain");
    let inbox = folder("inbox-plain");
    let mut receiver = Running::start(&["receive", &text(&inbox), "127.0.0.1:0"]);
    let address = receiver.address();
    let (status, said) = run(&["send", &text(&root), &address]);
    assert!(status.success(), "{said}");
    assert!(said.contains("4 files") && said.contains("every SHA-256 equal"), "{said}");
    assert_same(&root, &inbox, &names);
    assert_tidy(&inbox);
    let (status, said) = run(&["send", &text(&root), &address]);
    assert!(status.success(), "{said}");
    assert!(said.contains("(4 whole files)"), "{said}");
}

#[test]
fn what_is_there_already_is_not_replaced_unless_told_so() {
    let (root, _) = tree("tree-kept");
    let inbox = folder("inbox-kept");
    let file = text(&root.join("small.txt"));
    fs::write(inbox.join("small.txt"), "mine").expect("it can be written");
    let mut receiver = Running::start(&["receive", &text(&inbox), "127.0.0.1:0"]);
    let (status, said) = run(&["send", &file, &receiver.address()]);
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("there is another file of this name"), "{said}");
    assert_eq!(fs::read(inbox.join("small.txt")).expect("it is there"), b"mine");
    receiver.kill();
    let mut receiver = Running::start(&["receive", "--overwrite", &text(&inbox), "127.0.0.1:0"]);
    let (status, said) = run(&["send", &file, &receiver.address()]);
    assert!(status.success(), "{said}");
    assert_eq!(fs::read(inbox.join("small.txt")).expect("it is there").len(), 11);
}

#[test]
fn a_proxy_that_cuts_and_is_killed_and_comes_back_does_no_harm() {
    let (root, names) = tree("tree-cut");
    let inbox = folder("inbox-cut");
    let mut receiver = Running::start(&["receive", "--once", &text(&inbox), "127.0.0.1:0"]);
    let target = receiver.address();
    // Slow enough that a connection does not see the end of it.
    let cuts = ["proxy", "--seed", "3", "--cut-ms", "100..400"];
    let cuts = [&cuts[..], &["--throttle", "100", "--throttle-rate", "2000000"]].concat();
    let mut proxy = Running::start(&[&cuts[..], &["127.0.0.1:0", &target]].concat());
    let address = proxy.address();
    let mut sender = Running::start(&["send", &text(&root), &address]);
    sender.wait_for("connected again");
    proxy.kill();
    receiver.wait_for("connection lost");
    let _proxy = Running::start(&[&cuts[..], &[&address, &target]].concat());
    let (status, said) = sender.finish();
    assert!(status.success(), "{said}");
    assert!(said.contains("resumed"), "{said}");
    assert_same(&root, &inbox, &names);
    assert_tidy(&inbox);
    let (status, said) = receiver.finish();
    assert!(status.success(), "{said}");
}

#[test]
fn a_receiver_that_is_killed_goes_on_where_it_stopped() {
    let root = folder("tree-killed").join("tree");
    fs::create_dir_all(&root).expect("it can be made");
    fs::write(root.join("large.bin"), noise(9, 8_000_000)).expect("it can be written");
    let inbox = folder("inbox-killed");
    let mut receiver = Running::start(&["receive", &text(&inbox), "127.0.0.1:0"]);
    let target = receiver.address();
    // Slow enough that the receiver is killed in the middle of the file.
    let slow = ["proxy", "--throttle", "100", "--throttle-rate", "2000000"];
    let mut proxy = Running::start(&[&slow[..], &["127.0.0.1:0", &target]].concat());
    let mut sender = Running::start(&["send", &text(&root), &proxy.address()]);
    sender.wait_for("MiB of 7.6 MiB");
    receiver.kill();
    let mut receiver = Running::start(&["receive", &text(&inbox), &target]);
    sender.wait_for("the session is lost");
    let (status, said) = sender.finish();
    assert!(status.success(), "{said}");
    assert!(said.contains("were there already"), "{said}");
    receiver.wait_for("received tree/large.bin, 8000000 bytes");
    assert_same(&root, &inbox, &["large.bin"]);
    assert_tidy(&inbox);
}

#[test]
fn a_token_keeps_others_out() {
    let (root, _) = tree("tree-token");
    let inbox = folder("inbox-token");
    let token = text(&inbox.join("token"));
    let other = text(&inbox.join("other"));
    fs::write(&token, "open sesame\n").expect("it can be written");
    fs::write(&other, "open barley\n").expect("it can be written");
    let args = ["receive", "--token-file", &token, &text(&inbox), "127.0.0.1:0"];
    let mut receiver = Running::start(&args);
    let address = receiver.address();
    let file = text(&root.join("small.txt"));
    let (status, said) = run(&["send", &file, &address]);
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("the server wants a token"), "{said}");
    let (status, said) = run(&["send", "--token-file", &other, &file, &address]);
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("refuses the token"), "{said}");
    let (status, said) = run(&["send", "--token-file", &token, &file, &address]);
    assert!(status.success(), "{said}");
}

#[test]
fn nobody_there_is_said() {
    let (root, _) = tree("tree-nobody");
    let nobody = Unserved::new();
    let address = nobody.address().to_string();
    let file = text(&root.join("small.txt"));
    let (status, said) = run(&["send", "--attempts", "2", &file, &address]);
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("no connection came about"), "{said}");
}
