//! Fetching: one request each, read to its end, with a limit on time and size.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use serde_json::Value;

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// A hundred sessions take some 30 KiB.
const LONGEST: u64 = 4 << 20;

/// What a server shows of itself at one moment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shown {
    pub(crate) stats: Value,
    pub(crate) sessions: Vec<Value>,
}

impl Shown {
    /// Asks for it now.
    pub(crate) fn fetch(address: &str) -> Result<Self, String> {
        let wrong = |why: String| format!("{address} does not show a server: {why}");
        let stats = get(address, "/api/stats").map_err(wrong)?;
        let sessions = get(address, "/api/sessions?limit=100").map_err(wrong)?;
        match (stats, sessions) {
            (stats @ Value::Object(_), Value::Array(sessions)) => Ok(Self { stats, sessions }),
            _ => Err(wrong("the answer is another one than expected".to_owned())),
        }
    }
}

/// What is shown every so often, fetched by a thread of its own.
#[derive(Debug)]
pub(crate) struct Feed(Receiver<Result<Shown, String>>);

impl Feed {
    pub(crate) fn start(address: String, every: Duration) -> Self {
        let (sender, receiver) = sync_channel(1);
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(every);
                if sender.send(Shown::fetch(&address)).is_err() {
                    return;
                }
            }
        });
        Self(receiver)
    }

    /// What came last, if something did.
    pub(crate) fn next(&self) -> Option<Result<Shown, String>> {
        self.0.try_recv().ok()
    }
}

fn get(address: &str, path: &str) -> Result<Value, String> {
    let text = |error: std::io::Error| error.to_string();
    let at = address.to_socket_addrs().map_err(text)?.next().ok_or("the name has no address")?;
    let mut tcp = TcpStream::connect_timeout(&at, PATIENCE).map_err(text)?;
    tcp.set_read_timeout(Some(PATIENCE)).map_err(text)?;
    tcp.set_write_timeout(Some(PATIENCE)).map_err(text)?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    tcp.write_all(request.as_bytes()).map_err(text)?;
    let mut answer = Vec::new();
    tcp.take(LONGEST).read_to_end(&mut answer).map_err(text)?;
    parse(&answer)
}

/// The JSON in an answer that is whole.
fn parse(answer: &[u8]) -> Result<Value, String> {
    let answer = String::from_utf8_lossy(answer);
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("this is no HTTP")?;
    let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
    match status {
        Some("200") => serde_json::from_str(body).map_err(|error| error.to_string()),
        Some(status) => Err(format!("it answers {status}")),
        None => Err("this is no HTTP".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_answers_are_taken() {
        let ok = "HTTP/1.1 200 OK\r\nx: y\r\n\r\n{\"a\":1}";
        assert_eq!(parse(ok.as_bytes()).unwrap()["a"], 1);
        for (bad, why) in [
            ("HTTP/1.1 421 Misdirected Request\r\n\r\n{}", "421"),
            ("HTTP/1.1 200 OK\r\n\r\n{\"a\":", "EOF"),
            ("220 mail", "no HTTP"),
            ("", "no HTTP"),
        ] {
            assert!(parse(bad.as_bytes()).unwrap_err().contains(why), "{bad}");
        }
    }
}
