//! What guide and specification say of settings and codes is what the code has.
//!
//! `OUTLAST_BLESS=1 cargo test -p outlast-core --test documents` corrects the tables.
#![expect(clippy::unwrap_used, clippy::panic, reason = "whatever is wrong fails the test")]

extern crate alloc;

use alloc::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use outlast_core::{CloseCode, Config, Release, Retry, Scope};

/// Correcting is done by one test at a time.
static WRITING: Mutex<()> = Mutex::new(());

fn is_blessed() -> bool {
    std::env::var_os("OUTLAST_BLESS").is_some_and(|value| value == "1")
}

/// A document whose tables are compared, or corrected if that is wanted.
struct Document {
    path: PathBuf,
    lines: Vec<String>,
}

impl Document {
    fn open(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
        let text = fs::read_to_string(&path).unwrap().replace("\r\n", "\n");
        Self { path, lines: text.lines().map(str::to_owned).collect() }
    }

    /// The row whose first cell is `key` must have `cells` behind the first `skip`.
    fn check(&mut self, key: &str, skip: usize, cells: &[String]) {
        let path = self.path.display();
        let mut rows = self.lines.iter_mut().filter(|line| {
            line.strip_prefix("| ")
                .and_then(|rest| rest.split_once(" |"))
                .is_some_and(|row| row.0 == key)
        });
        let row = rows.next().unwrap_or_else(|| panic!("{path} has no row {key}"));
        let parts = row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned());
        let mut wanted: Vec<String> = parts.collect();
        wanted.splice(skip..(skip + cells.len()).min(wanted.len()), cells.iter().cloned());
        let wanted = format!("| {} |", wanted.join(" | "));
        if is_blessed() {
            *row = wanted;
        } else {
            assert_eq!(*row, wanted, "{path} is old: run this test with OUTLAST_BLESS=1");
        }
    }

    fn close(self) {
        if is_blessed() {
            fs::write(&self.path, self.lines.join("\n") + "\n").unwrap();
        }
    }
}

const SETS: [Config; 3] = [Config::SERVER, Config::CLIENT, Config::CONSTRAINED];

fn bytes(count: u32) -> String {
    if count >= 1 << 20 && count.is_multiple_of(1 << 20) {
        format!("{} MiB", count >> 20)
    } else {
        count.to_string()
    }
}

fn time(ms: u32) -> String {
    if ms >= 1_000 { format!("{} s", ms / 1_000) } else { format!("{ms} ms") }
}

fn of_all(shown: impl Fn(&Config) -> String) -> Vec<String> {
    SETS.iter().map(shown).collect()
}

#[test]
fn the_guide_shows_the_settings_that_run() {
    let _one = WRITING.lock();
    let mut guide = Document::open("guide.md");
    let mut check = |key: &str, shown: &dyn Fn(&Config) -> String| {
        guide.check(&format!("`{key}`"), 2, &of_all(shown));
    };
    check("max_body", &|c| c.max_body.to_string());
    check("max_message", &|c| bytes(c.max_message));
    check("window", &|c| bytes(c.window));
    check("window_max", &|c| bytes(c.window_max));
    check("send_buffer", &|c| bytes(c.send_buffer));
    check("max_requests", &|c| c.max_requests.to_string());
    check("max_requests_out", &|c| c.max_requests_out.to_string());
    check("idle_timeout_ms", &|c| c.idle_timeout_ms.to_string());
    check("heartbeat_min_ms", &|c| c.heartbeat_min_ms.to_string());
    check("retention_s", &|c| c.retention_s.to_string());
    check("handshake_timeout_ms", &|c| c.handshake_timeout_ms.to_string());
    check("frame_timeout_ms", &|c| c.frame_timeout_ms.to_string());
    check("ack_delay_ms", &|c| c.ack_delay_ms.to_string());
    check("linger_ms", &|c| c.linger_ms.to_string());
    check("release", &|c| match c.release {
        Release::Automatic => "`Automatic`".to_owned(),
        Release::Manual => "`Manual`".to_owned(),
    });
    guide.close();
}

#[test]
fn the_specification_shows_the_settings_that_run() {
    let _one = WRITING.lock();
    let mut spec = Document::open("spec.md");
    let mut check = |key: &str, shown: &dyn Fn(&Config) -> String| {
        spec.check(key, 1, &of_all(shown));
    };
    check("max_body", &|c| c.max_body.to_string());
    check("max_msg", &|c| bytes(c.max_message));
    check("window, largest window", &|c| format!("{}, {}", bytes(c.window), bytes(c.window_max)));
    check("send_buf", &|c| bytes(c.send_buffer));
    check("max_reqs", &|c| c.max_requests.to_string());
    check("silence borne (idle_ms)", &|c| time(c.idle_timeout_ms));
    check("retention (ttl_s)", &|c| time(c.retention_s * 1_000));
    check("handshake, frame, linger", &|c| {
        [c.handshake_timeout_ms, c.frame_timeout_ms, c.linger_ms].map(time).join(", ")
    });
    check("acknowledgement delay", &|c| time(c.ack_delay_ms));
    spec.close();
}

const fn class(retry: Retry) -> &'static str {
    match retry {
        Retry::Now => "now",
        Retry::Later => "later",
        Retry::NewSession => "new",
        Retry::Never => "never",
    }
}

//= test COD-2, COD-3
#[test]
fn the_specification_shows_the_codes_that_run() {
    let _one = WRITING.lock();
    let mut spec = Document::open("spec.md");
    for code in CloseCode::ALL {
        let key = format!("<a id=\"{}\"></a>`{:04X}`", code.name().to_lowercase(), code.get());
        let scope = match code.scope() {
            Scope::Normal => "normal",
            Scope::Connection => "connection",
            Scope::Handshake => "handshake",
            Scope::Session => "session",
            Scope::Application | Scope::Reserved => "none",
        };
        let cells = [code.name(), scope, class(code.retry()), code.explain()];
        spec.check(&key, 1, &cells.map(str::to_owned));
    }
    spec.close();
}

#[test]
fn the_guide_lists_each_code_under_what_the_client_does() {
    let guide = Document::open("guide.md");
    for retry in [Retry::Now, Retry::Later, Retry::NewSession, Retry::Never] {
        let name = if retry == Retry::NewSession { "new session" } else { class(retry) };
        let row = guide.lines.iter().find(|line| line.starts_with(&format!("| {name} |"))).unwrap();
        let links = row.split("(spec.md#").skip(1).filter_map(|rest| rest.split(')').next());
        let listed: BTreeSet<String> = links.map(str::to_uppercase).collect();
        let codes = CloseCode::ALL.iter().filter(|code| code.retry() == retry);
        let known: BTreeSet<String> = codes.map(|code| code.name().to_owned()).collect();
        assert_eq!(listed, known, "{name}");
    }
}

#[test]
fn the_guide_shows_a_code_as_it_prints() {
    let guide = fs::read_to_string(Document::open("guide.md").path).unwrap().replace('\n', " ");
    assert!(guide.contains(&format!("`{}`", CloseCode::TOO_LARGE)));
}
