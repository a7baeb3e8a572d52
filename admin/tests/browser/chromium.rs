//! Chromium over its own protocol, as JSON with a zero behind each message, through two pipes.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use serde_json::{Value, json};

use super::{DEADLINE, pictures};

/// Names under which it is installed.
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// A browser without a window.
pub(crate) struct Chromium {
    child: Child,
    profile: PathBuf,
    input: Option<ChildStdin>,
    output: Option<Receiver<Value>>,
}

impl Drop for Chromium {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}

impl Chromium {
    /// Starts it; says so if there is none.
    pub(crate) fn start() -> Option<Self> {
        let demanded = std::env::var("OUTLAST_BROWSER").ok();
        let answers = |name: &&str| {
            let version = Command::new(name).arg("--version").output();
            version.is_ok_and(|output| output.status.success())
        };
        let name = match &demanded {
            Some(name) => Some(name.as_str()),
            None => NAMES.into_iter().find(answers),
        };
        let Some(name) = name else {
            println!("NOT RUN: the page was looked at by nobody, there is no chromium");
            return None;
        };
        let profile = std::env::temp_dir().join(format!("outlast-page-{}", std::process::id()));
        // Another process had this number before, and no time to tidy up.
        let _ = std::fs::remove_dir_all(&profile);
        // The protocol goes through descriptors 3 and 4; the shell puts our pipes there.
        let script = "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1";
        let mut child = Command::new("sh")
            .args(["-c", script, name])
            .args(["--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu"])
            .args(["--disable-dev-shm-usage", "--no-first-run", "--disable-extensions"])
            .args(["--disable-background-networking", "--disable-component-update"])
            .args(["--hide-scrollbars", "--force-color-profile=srgb"])
            .arg(format!("--user-data-dir={}", profile.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let input = child.stdin.take();
        let stdout = child.stdout.take().unwrap();
        let (sender, output) = channel();
        std::thread::spawn(move || {
            for message in BufReader::new(stdout).split(0).map_while(Result::ok) {
                let message = serde_json::from_slice(&message).unwrap_or(Value::Null);
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        Some(Self { child, profile, input, output: Some(output) })
    }

    /// Opens a page.
    pub(crate) fn open(mut self, url: &str) -> Tab {
        let (input, output) = (self.input.take().unwrap(), self.output.take().unwrap());
        let mut tab = Tab {
            input,
            output,
            session: None,
            asked: 0,
            told: VecDeque::new(),
            complaints: Vec::new(),
            requests: Vec::new(),
            _browser: self,
        };
        let target = tab.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = tab.call("Target.attachToTarget", attach);
        tab.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            tab.call(&format!("{domain}.enable"), json!({}));
        }
        tab.resize(1280, 900);
        tab.prefer("light");
        tab.call("Page.navigate", json!({ "url": url }));
        tab
    }
}

/// A page that is open.
pub(crate) struct Tab {
    input: ChildStdin,
    output: Receiver<Value>,
    session: Option<String>,
    asked: u64,
    /// Names of what happened and was not waited for yet.
    told: VecDeque<String>,
    complaints: Vec<String>,
    requests: Vec<String>,
    _browser: Chromium,
}

impl Tab {
    fn call(&mut self, method: &str, params: Value) -> Value {
        self.asked += 1;
        let id = self.asked;
        let mut message = json!({ "id": id, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.input.write_all(format!("{message}\0").as_bytes()).expect("the browser reads");
        loop {
            let answer = self.hear();
            if answer["id"] == id {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].clone();
            }
        }
    }

    /// The next message; what it tells is noted.
    fn hear(&mut self) -> Value {
        let message = self.output.recv_timeout(DEADLINE).expect("the browser says something");
        let params = &message["params"];
        match message["method"].as_str() {
            Some("Runtime.exceptionThrown") => self.complaints.push(params.to_string()),
            Some("Runtime.consoleAPICalled") if params["type"] != "log" => {
                self.complaints.push(params["args"].to_string());
            }
            Some("Log.entryAdded") if params["entry"]["level"] != "info" => {
                self.complaints.push(params["entry"]["text"].to_string());
            }
            Some("Network.requestWillBeSent") => {
                let url = params["request"]["url"].as_str().unwrap_or_default();
                self.requests.push(url.to_owned());
            }
            _ => {}
        }
        if let Some(method) = message["method"].as_str() {
            self.told.push_back(method.to_owned());
            self.told.truncate(10_000);
        }
        message
    }

    /// What an expression comes to, in the page's own script.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let expression = format!("{{ const text = (id) => at(id).textContent; {expression} }}");
        let params = json!({ "expression": expression, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", params);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Waits until the page is so.
    pub(crate) fn wait(&mut self, condition: &str) {
        let until = Instant::now() + DEADLINE;
        let whole = format!("document.readyState === 'complete' && {condition}");
        loop {
            // Before the script ran there is nothing to ask.
            let expression = format!("try {{ {whole} }} catch {{ false }}");
            if self.value(&expression) == true {
                return;
            }
            if Instant::now() > until {
                let body = self.value("document.body.innerText");
                panic!("never: {condition}\n{body}\n{:?}", self.complaints);
            }
        }
    }

    /// Waits until the server has told the page something more.
    pub(crate) fn next_event(&mut self) {
        self.told.clear();
        while !self.told.iter().any(|method| method == "Network.eventSourceMessageReceived") {
            self.hear();
        }
    }

    pub(crate) fn resize(&mut self, width: u32, height: u32) {
        let mobile = width < 500;
        let metrics =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile });
        self.call("Emulation.setDeviceMetricsOverride", metrics);
    }

    /// Day or night.
    pub(crate) fn prefer(&mut self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    /// What was said on the console but for notes.
    pub(crate) fn complaints(&self) -> &[String] {
        &self.complaints
    }

    pub(crate) fn requests(&self) -> &[String] {
        &self.requests
    }

    /// Takes a picture, and keeps it if pictures are to be taken anew.
    pub(crate) fn save_picture(&mut self, name: &str) {
        let picture = self.call("Page.captureScreenshot", json!({ "format": "png" }));
        let picture = decode(picture["data"].as_str().unwrap());
        assert!(picture.starts_with(b"\x89PNG") && picture.len() > 5_000);
        if std::env::var_os("OUTLAST_BLESS").is_some() {
            std::fs::create_dir_all(pictures()).unwrap();
            std::fs::write(pictures().join(name), picture).unwrap();
        }
    }
}

/// Base64, without what no browser writes.
fn decode(text: &str) -> Vec<u8> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let letters: Vec<u8> = text.bytes().filter(|byte| *byte != b'=').map(value).collect();
    let mut bytes = Vec::with_capacity(letters.len() * 3 / 4);
    for chunk in letters.chunks(4) {
        let word = chunk.iter().fold(0u32, |word, six| word << 6 | u32::from(*six));
        let word = word << (6 * (4 - chunk.len()));
        bytes.extend_from_slice(&word.to_be_bytes()[1..chunk.len()]);
    }
    bytes
}
