//! A receiver and whatever a sender may do to it.

use std::fs;
use std::path::{Path, PathBuf};

use outlast_tokio::{Route, Status};
use sha2::{Digest as _, Sha256};

use super::message::{Digest, Offer, ROUTE_DATA, ROUTE_DONE, ROUTE_OFFER, data_head, split_answer};
use super::{Folder, Receiver};

/// A folder of this test alone, with a receiver for it.
struct Case {
    root: PathBuf,
    receiver: Receiver<Folder>,
}

impl Case {
    fn new(name: &str) -> Self {
        let base = std::env::temp_dir().join(format!("outlast-{}-{name}", std::process::id()));
        let root = base.join("inbox");
        let _ = fs::remove_dir_all(&base);
        let folder = Folder::open(&root, false, 1_000).unwrap();
        let root = folder.root().to_path_buf();
        Self { root, receiver: Receiver::new(folder) }
    }

    fn beside(&self) -> &Path {
        self.root.parent().unwrap()
    }

    fn offer(&mut self, name: &str, content: &[u8]) -> (Status, Vec<u8>) {
        self.offer_as(name, content, content.len() as u64)
    }

    fn offer_as(&mut self, name: &str, content: &[u8], size: u64) -> (Status, Vec<u8>) {
        let digest = Digest(Sha256::digest(content).into());
        let offer = Offer { index: 0, size, digest, name: name.to_owned() };
        let (status, answer, _) = self.receiver.request(Route::new(ROUTE_OFFER), &offer.encode());
        (status, answer)
    }

    fn data(&mut self, offset: u64, data: &[u8]) {
        self.receiver.data(&[&data_head(0, offset)[..], data].concat());
    }

    fn done(&mut self) -> (Status, String) {
        let (status, answer, _) = self.receiver.request(Route::new(ROUTE_DONE), &[0; 4]);
        (status, String::from_utf8_lossy(&answer).into_owned())
    }

    /// All names below the folder.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.root).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Case {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.beside());
    }
}

#[test]
fn a_file_appears_when_it_is_whole() {
    let mut case = Case::new("whole");
    assert_eq!(case.offer("a.txt", b"hello world").0, Status::OK);
    case.data(0, b"hello ");
    assert!(!case.root.join("a.txt").exists());
    case.data(6, b"world");
    assert_eq!(case.done().0, Status::OK);
    assert_eq!(fs::read(case.root.join("a.txt")).unwrap(), b"hello world");
    assert_eq!(case.names(), ["a.txt"]);
}

#[test]
fn another_receiver_goes_on_where_the_first_one_stopped() {
    let mut case = Case::new("resumed");
    case.offer("a.txt", b"hello world");
    case.data(0, b"hello ");
    case.receiver = Receiver::new(Folder::open(&case.root, false, 1_000).unwrap());
    let (_, answer) = case.offer("a.txt", b"hello world");
    assert_eq!(split_answer(&answer), Some((6, false)));
    case.data(6, b"world");
    assert_eq!(case.done().0, Status::OK);
    let (_, answer) = case.offer("a.txt", b"hello world");
    assert_eq!(split_answer(&answer), Some((11, true)), "now it is there already");
}

#[test]
fn what_is_not_what_was_offered_does_not_stay() {
    let mut case = Case::new("wrong");
    case.offer("a.txt", b"hello world");
    case.data(0, b"hello_world");
    let (status, reason) = case.done();
    assert_eq!(status, Status::APP);
    assert!(reason.contains("SHA-256"), "{reason}");
    assert!(case.names().is_empty());
}

#[test]
fn data_that_does_not_fit_is_reported_at_the_end() {
    for (offset, data, words) in [
        (1, &b"x"[..], "came where 0 was next"),
        (0, b"hello world and more", "more data came"),
        (0, b"hello", "5 of 11 bytes came"),
        (u64::MAX, b"x", "came where 0 was next"),
    ] {
        let mut case = Case::new("misfit");
        case.offer("a.txt", b"hello world");
        case.data(offset, data);
        let (status, reason) = case.done();
        assert!(status == Status::APP && reason.contains(words), "{words}: {reason}");
        assert!(!case.root.join("a.txt").exists());
    }
}

#[test]
fn what_was_not_begun_cannot_be_completed() {
    let mut case = Case::new("unbegun");
    case.data(0, b"anything");
    assert_eq!(case.done().0, Status::REFUSED);
    let (status, _, _) = case.receiver.request(Route::new(ROUTE_OFFER), b"nonsense");
    assert_eq!(status, Status::APP);
    let (status, _, _) = case.receiver.request(Route::new(ROUTE_DATA), b"");
    assert_eq!(status, Status::NO_ROUTE);
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let mut case = Case::new("names");
    for name in ["../a", "/a", "b/../../a", "a\\b", ".outlast-x.part", ""] {
        assert_eq!(case.offer(name, b"x").0, Status::APP, "{name}");
    }
    assert!(case.names().is_empty());
    assert_eq!(fs::read_dir(case.beside()).unwrap().count(), 1);
}

#[cfg(unix)]
#[test]
fn links_inside_the_folder_lead_nowhere() {
    use std::os::unix::fs::symlink;
    let mut case = Case::new("links");
    let outside = case.beside().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("kept"), "kept").unwrap();
    symlink(&outside, case.root.join("link")).unwrap();
    symlink(outside.join("kept"), case.root.join("file")).unwrap();
    assert_eq!(case.offer("link/a", b"x").0, Status::APP);
    assert_eq!(case.offer("link/deeper/a", b"x").0, Status::APP);
    assert_eq!(case.offer("file", b"x").0, Status::APP);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    assert_eq!(fs::read(outside.join("kept")).unwrap(), b"kept");
    // Nor does one in the place of the unfinished file.
    let digest = Digest(Sha256::digest(b"hello").into());
    let part = case.root.join(format!(".outlast-{digest}-5.part"));
    symlink(outside.join("kept"), part).unwrap();
    assert_eq!(case.offer("a", b"hello").0, Status::APP);
    assert_eq!(fs::read(outside.join("kept")).unwrap(), b"kept");
}

#[test]
fn limits_hold() {
    let mut case = Case::new("limits");
    let (status, reason) = case.offer_as("a", b"x", 1_001);
    let reason = String::from_utf8(reason).unwrap();
    assert!(status == Status::APP && reason.contains("--max-size"), "{reason}");
    for index in 1..=16_u32 {
        let digest = Digest([index as u8; 32]);
        let offer = Offer { index, size: 1, digest, name: format!("f{index}") };
        let (status, _, _) = case.receiver.request(Route::new(ROUTE_OFFER), &offer.encode());
        assert_eq!(status, Status::OK, "{index}");
    }
    let (status, reason) = case.offer("one-more", b"x");
    let reason = String::from_utf8(reason).unwrap();
    assert!(status == Status::APP && reason.contains("begun already"), "{reason}");
}

#[test]
fn a_file_that_came_in_between_is_not_replaced() {
    let mut case = Case::new("between");
    case.offer("a", b"hello");
    case.data(0, b"hello");
    fs::write(case.root.join("a"), "somebody else").unwrap();
    let (status, reason) = case.done();
    assert!(status == Status::APP && reason.contains("into its place"), "{reason}");
    assert_eq!(fs::read(case.root.join("a")).unwrap(), b"somebody else");
}
