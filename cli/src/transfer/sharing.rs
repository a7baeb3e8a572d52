//! Several sessions that send into one folder, some of them with bad intentions.

use std::fs;
use std::path::{Path, PathBuf};

use outlast_tokio::{Route, Status};
use sha2::{Digest as _, Sha256};

use super::message::{Digest, Offer, ROUTE_DONE, ROUTE_OFFER, data_head, split_answer};
use super::{Folder, Receiver};

struct Inbox {
    folder: Folder,
}

/// One session.
struct Sender(Receiver<Folder>);

impl Inbox {
    fn new(name: &str) -> Self {
        let root = std::env::temp_dir().join(format!("outlast-{}-s-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        Self { folder: Folder::open(&root, false, 1_000_000).unwrap() }
    }

    fn sender(&self) -> Sender {
        Sender(Receiver::new(self.folder.clone()))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.root().join(name)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// Files and folders below the folder.
    fn count(&self) -> usize {
        fn below(folder: &Path) -> usize {
            let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
            entries.map(|path| 1 + if path.is_dir() { below(&path) } else { 0 }).sum()
        }
        below(self.folder.root())
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.folder.root());
    }
}

impl Sender {
    fn offer(&mut self, index: u32, name: &str, content: &[u8]) -> (u64, bool) {
        let digest = Digest(Sha256::digest(content).into());
        let offer = Offer { index, size: content.len() as u64, digest, name: name.to_owned() };
        let (status, answer) = self.offer_as(&offer);
        assert_eq!(status, Status::OK, "{}", String::from_utf8_lossy(&answer));
        split_answer(&answer).unwrap()
    }

    fn offer_as(&mut self, offer: &Offer) -> (Status, Vec<u8>) {
        let (status, answer, _) = self.0.request(Route::new(ROUTE_OFFER), &offer.encode());
        (status, answer)
    }

    fn data(&mut self, index: u32, offset: u64, data: &[u8]) {
        self.0.data(&[&data_head(index, offset)[..], data].concat());
    }

    fn done(&mut self, index: u32) -> Status {
        self.0.request(Route::new(ROUTE_DONE), &index.to_le_bytes()).0
    }
}

const GOOD: &[u8] = b"what an honest sender has";

#[test]
fn a_finished_file_is_not_written_to_by_whoever_offered_the_same() {
    let inbox = Inbox::new("finished");
    let (mut evil, mut honest) = (inbox.sender(), inbox.sender());
    evil.offer(0, "other", GOOD);
    evil.data(0, 0, b"E");
    assert_eq!(honest.offer(0, "report", GOOD), (0, false), "a file of its own");
    honest.data(0, 0, GOOD);
    assert_eq!(honest.done(0), Status::OK);
    evil.data(0, 1, b"VIL");
    honest.data(0, 0, b"EVIL");
    assert_eq!(inbox.read("report"), GOOD);
    assert_eq!(honest.done(0), Status::REFUSED, "it is over");
    assert_eq!(evil.done(0), Status::APP);
    assert_eq!(inbox.read("report"), GOOD);
}

#[test]
fn what_is_under_way_is_neither_written_nor_cut_by_another() {
    let inbox = Inbox::new("under-way");
    let (mut evil, mut honest) = (inbox.sender(), inbox.sender());
    honest.offer(0, "report", GOOD);
    honest.data(0, 0, &GOOD[..10]);
    assert_eq!(evil.offer(0, "zz", GOOD), (0, false));
    evil.data(0, 0, b"EVIL");
    let digest = Digest(Sha256::digest(GOOD).into());
    let cut = Offer { index: 1, size: 1, digest, name: "q".to_owned() };
    assert_eq!(evil.offer_as(&cut).0, Status::OK);
    evil.data(1, 0, b"E");
    assert_eq!(evil.done(1), Status::APP);
    honest.data(0, 10, &GOOD[10..]);
    assert_eq!(honest.done(0), Status::OK);
    assert_eq!(inbox.read("report"), GOOD);
}

#[test]
fn what_is_on_the_disk_decides() {
    let inbox = Inbox::new("disk");
    let mut honest = inbox.sender();
    honest.offer(0, "report", GOOD);
    honest.data(0, 0, GOOD);
    let digest = Digest(Sha256::digest(GOOD).into());
    // A disk that does not keep what it was given.
    fs::write(inbox.path(&format!(".outlast-{digest}-{}.part", GOOD.len())), b"rot").unwrap();
    assert_eq!(honest.done(0), Status::APP);
    assert_eq!(inbox.count(), 0);
    assert_eq!(honest.offer(0, "report", GOOD), (0, false), "and so it is sent again");
}

#[test]
fn two_senders_of_the_same_content_both_succeed() {
    let inbox = Inbox::new("equal");
    for (first, second) in [("n1", "n2"), ("same", "same"), ("a/b/1", "a/b/2")] {
        let (mut one, mut two) = (inbox.sender(), inbox.sender());
        one.offer(0, first, GOOD);
        two.offer(0, second, GOOD);
        one.data(0, 0, GOOD);
        two.data(0, 0, GOOD);
        assert_eq!((one.done(0), two.done(0)), (Status::OK, Status::OK), "{first} {second}");
        assert_eq!((inbox.read(first).as_slice(), inbox.read(second).as_slice()), (GOOD, GOOD));
    }
    assert_eq!(inbox.count(), 7, "nothing else is left");
}

#[test]
fn the_file_of_an_absent_sender_is_taken_over_and_the_absent_one_begins_anew() {
    let inbox = Inbox::new("absent");
    let (mut cut, mut next) = (inbox.sender(), inbox.sender());
    cut.offer(0, "report", GOOD);
    cut.data(0, 0, &GOOD[..10]);
    cut.0.set_away(true);
    assert_eq!(next.offer(0, "report", GOOD), (10, false), "it goes on there");
    cut.0.set_away(false);
    cut.data(0, 10, b"late");
    next.data(0, 10, &GOOD[10..]);
    assert_eq!(next.done(0), Status::OK);
    assert_eq!(inbox.read("report"), GOOD);
    assert_eq!(cut.done(0), Status::REFUSED, "so that it is offered again");
    assert_eq!(cut.offer(0, "report", GOOD), (GOOD.len() as u64, true));
    assert_eq!(inbox.count(), 1);
}

#[test]
fn the_sender_that_comes_back_goes_on_with_its_own_file() {
    let inbox = Inbox::new("back");
    let (mut cut, mut next) = (inbox.sender(), inbox.sender());
    cut.offer(0, "report", GOOD);
    cut.data(0, 0, &GOOD[..10]);
    cut.0.set_away(true);
    cut.0.set_away(false);
    assert_eq!(next.offer(0, "report", GOOD), (0, false));
    cut.data(0, 10, &GOOD[10..]);
    assert_eq!(cut.done(0), Status::OK);
    drop(next);
    assert_eq!(inbox.count(), 1);
}

#[test]
fn offers_without_data_leave_nothing() {
    let inbox = Inbox::new("offers");
    let mut evil = inbox.sender();
    for index in 0..200_u8 {
        let digest = Digest([index; 32]);
        let folders: Vec<String> = (0..31).map(|depth| format!("d{index}-{depth}")).collect();
        let offer = Offer { index: 9, size: 1, digest, name: folders.join("/") + "/x" };
        assert_eq!(evil.offer_as(&offer).0, Status::OK);
    }
    assert_eq!(inbox.count(), 0);
    // Data that is not what was offered takes the folders with it that were made for it.
    evil.data(9, 0, b"?");
    assert_eq!(inbox.count(), 32);
    assert_eq!(evil.done(9), Status::APP);
    assert_eq!(inbox.count(), 0);
    drop(evil);
    assert_eq!(inbox.count(), 0);
}

#[test]
fn beginnings_of_one_session_are_limited() {
    let inbox = Inbox::new("limited");
    let mut evil = inbox.sender();
    let mut taken = 0_u8;
    let reason = loop {
        let digest = Digest([taken; 32]);
        let offer = Offer { index: 9, size: 2, digest, name: format!("{taken}") };
        let (status, reason) = evil.offer_as(&offer);
        if status != Status::OK {
            break String::from_utf8(reason).unwrap();
        }
        evil.data(9, 0, b"?");
        taken += 1;
    };
    assert!(reason.contains("gave up"), "{reason}");
    assert_eq!((taken, inbox.count()), (64, 64));
}

#[test]
fn a_repeated_offer_goes_on_and_an_empty_file_arrives() {
    let inbox = Inbox::new("repeated");
    let mut honest = inbox.sender();
    honest.offer(0, "report", GOOD);
    honest.data(0, 0, &GOOD[..10]);
    assert_eq!(honest.offer(0, "report", GOOD), (10, false));
    honest.data(0, 10, &GOOD[10..]);
    assert_eq!(honest.done(0), Status::OK);
    assert_eq!(honest.offer(1, "a/empty", b""), (0, false));
    assert_eq!(honest.done(1), Status::OK);
    assert!(inbox.read("a/empty").is_empty());
    drop(honest);
    assert_eq!(inbox.count(), 3);
}
