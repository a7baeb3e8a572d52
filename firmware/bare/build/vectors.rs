//! Reads the golden vectors and writes them as Rust: a list, and a function that makes each frame.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// One block of a file.
struct Vector {
    name: String,
    fields: BTreeMap<String, String>,
    /// A field nobody asked for is a typing error in the file, and fails the build.
    used: RefCell<BTreeSet<String>>,
}

impl Vector {
    fn parse(block: &str) -> Option<Self> {
        let mut fields = BTreeMap::new();
        for line in block.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (field, value) = line.split_once(':').expect("field: value");
            fields.insert(field.to_owned(), value.trim().to_owned());
        }
        let name = fields.remove("name")?;
        Some(Self { name, fields, used: RefCell::default() })
    }

    fn text(&self, field: &str) -> Option<&str> {
        self.used.borrow_mut().insert(field.to_owned());
        self.fields.get(field).map(String::as_str)
    }

    /// A field that must be there, as it stands: a number is one in Rust as well.
    fn need(&self, field: &str) -> &str {
        self.text(field).unwrap_or_else(|| panic!("{}: no {field}", self.name))
    }

    fn yes(&self, field: &str) -> bool {
        match self.need(field) {
            "yes" => true,
            "no" => false,
            other => panic!("{}: {field}: {other}", self.name),
        }
    }

    /// Bytes in hexadecimal as an array.
    fn array(&self, field: &str) -> String {
        let bytes: Vec<String> =
            self.need(field).split_whitespace().map(|byte| format!("0x{byte}")).collect();
        format!("[{}]", bytes.join(", "))
    }

    fn bytes(&self, field: &str) -> String {
        format!("&{}", self.array(field))
    }

    fn optional(&self, field: &str) -> String {
        self.text(field).map_or("None".to_owned(), |_| format!("Some({})", self.bytes(field)))
    }

    /// `Some(...)` of what `make` writes if the field is there.
    fn if_there(&self, field: &str, make: impl FnOnce() -> String) -> String {
        self.text(field).map_or("None".to_owned(), |_| format!("Some({})", make()))
    }
}

/// `name: value` for each field, a number as the file has it.
fn numbers(v: &Vector, fields: &[&str]) -> String {
    fields.iter().map(|field| format!("{field}: {}, ", v.need(field))).collect()
}

fn terms(v: &Vector) -> String {
    let fields = [
        "max_body",
        "max_requests",
        "idle_ms",
        "heartbeat_ms",
        "window",
        "max_msg",
        "ttl_s",
        "send_buffer",
    ];
    format!("Terms {{ {} }}", numbers(v, &fields))
}

fn hello(v: &Vector) -> String {
    let resume = v.if_there("sid", || {
        let fields = ["sid", "attach", "key_id", "proof_kind", "rx_next", "tx_first"];
        format!("Resume {{ {} proof: {} }}", numbers(v, &fields), v.array("proof"))
    });
    let auth = v.if_there("auth_method", || {
        format!("AuthData {{ method: {}, data: {} }}", v.need("auth_method"), v.bytes("auth_data"))
    });
    format!(
        "Frame::Hello(Hello {{ {} wants_session: {}, terms: {}, resume: {resume}, auth: {auth}, \
         agent: {}, client_id: {} }})",
        numbers(v, &["version_min", "version_max", "caps"]),
        v.yes("wants_session"),
        terms(v),
        v.optional("agent"),
        v.optional("client_id"),
    )
}

fn welcome(v: &Vector) -> String {
    let session = v.if_there("sid", || {
        format!("Grant {{ {} key: {} }}", numbers(v, &["sid", "epoch", "key_id"]), v.array("key"))
    });
    let resumed = v.if_there("rx_next", || {
        format!("Resumed {{ {} }}", numbers(v, &["rx_next", "tx_first", "epoch"]))
    });
    format!(
        "Frame::Welcome(Welcome {{ {} has_session: {}, terms: {}, session: {session}, \
         resumed: {resumed}, address: {} }})",
        numbers(v, &["version", "caps"]),
        v.yes("has_session"),
        terms(v),
        v.optional("address"),
    )
}

fn close(v: &Vector) -> String {
    // What a code is called and how a client retries is for the tests on the host.
    for field in ["code_name", "scope", "retry"] {
        v.need(field);
    }
    let versions = v.if_there("version_min", || {
        format!("({}, {})", v.need("version_min"), v.need("version_max"))
    });
    format!(
        "Frame::Close(Close {{ code: CloseCode::new({}), flags: CloseFlags({}), {} rx_next: {}, \
         last_attach: {}, versions: {versions}, reason: {:?} }})",
        v.need("code"),
        v.need("flags"),
        numbers(v, &["retry_ms"]),
        v.if_there("rx_next", || v.need("rx_next").to_owned()),
        v.if_there("last_attach", || v.need("last_attach").to_owned()),
        v.text("reason").unwrap_or_default(),
    )
}

fn probe(v: &Vector) -> String {
    v.if_there("nonce", || format!("Probe {{ {} }}", numbers(v, &["nonce", "tx", "ack", "limit"])))
}

/// The frame as an expression.
fn frame(kind: &str, v: &Vector) -> String {
    let id = || format!("id: RequestId({}), ", v.need("id"));
    let route = || format!("route: Route::from({}_u32), ", v.need("route"));
    let payload = || format!("payload: {}, ", v.bytes("payload"));
    let more = || format!("more: {} ", v.yes("more"));
    let fields = match kind {
        "hello" => return hello(v),
        "welcome" => return welcome(v),
        "close" => return close(v),
        "ping" => return format!("Frame::Ping({})", probe(v)),
        "pong" => return format!("Frame::Pong({})", probe(v)),
        "drain" => {
            return format!(
                "Frame::Drain(Drain {{ code: CloseCode::new({}), {} address: {} }})",
                v.need("code"),
                numbers(v, &["grace_ms", "spread_ms"]),
                v.optional("address")
            );
        }
        "fin" => return "Frame::Fin".to_owned(),
        "abort" => return "Frame::Abort".to_owned(),
        "skip" => return "Frame::Skip".to_owned(),
        "auth" => format!("Auth {{ {} data: {}", numbers(v, &["step"]), v.bytes("data")),
        "ack" => format!("Ack {{ {}", numbers(v, &["ack", "limit"])),
        "note" => format!("Note {{ {}{}", route(), payload()),
        "message" => format!("Message {{ {}{}{}", route(), payload(), more()),
        "request" => format!("Request {{ {}{}{}{}", id(), route(), payload(), more()),
        "response" => {
            let status = format!("status: Status({}), ", v.need("status"));
            format!("Response {{ {}{status}{}{}", id(), payload(), more())
        }
        "cancel" => format!("Cancel {{ {}{}", id(), numbers(v, &["reason"])),
        "token" => format!("Token {{ {} key: {}", numbers(v, &["key_id"]), v.array("key")),
        "continue" => format!("Continue {{ {}{}", payload(), more()),
        "ignored" => format!("Ignored {{ sequenced: {}", v.yes("sequenced")),
        other => panic!("{}: no frame is called {other}", v.name),
    };
    format!("Frame::{fields} }}")
}

/// How a vector is to be refused, as an expression.
fn refusal(v: &Vector, code: &str) -> String {
    let stage = match v.need("stage") {
        "header" => "Header",
        "body" => "Body",
        "first" => "First",
        other => panic!("{}: stage: {other}", v.name),
    };
    format!("Want::Refused {{ code: CloseCode::{code}, stage: Stage::{stage} }}")
}

/// Every vector of the folder.
pub fn table(folder: &Path) -> String {
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("the vectors are part of the repository")
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "txt"))
        .collect();
    files.sort();
    let (mut list, mut frames, mut count) = (String::new(), String::new(), 0);
    for file in files {
        let text = fs::read_to_string(&file).expect("UTF-8").replace("\r\n", "\n");
        for v in text.split("\n\n").filter_map(Vector::parse) {
            let want = match (v.text("accept"), v.text("refuse")) {
                (Some(kind), None) => {
                    writeln!(frames, "{count} => {},", frame(kind, &v)).expect("memory");
                    let canonical = v.text("canonical").is_none() || v.yes("canonical");
                    format!("Want::Accepted {{ canonical: {canonical} }}")
                }
                (None, Some(code)) => refusal(&v, code),
                both => panic!("{}: {both:?}", v.name),
            };
            let max_body = v.text("our_max_body").unwrap_or("MAX_BODY");
            let bytes = v.bytes("bytes");
            writeln!(
                list,
                "Vector {{ name: {:?}, bytes: {bytes}, max_body: {max_body}, want: {want} }},",
                v.name
            )
            .expect("memory");
            let used = v.used.borrow();
            let unused = v.fields.keys().find(|field| !used.contains(*field));
            assert!(unused.is_none(), "{}: {unused:?} means nothing here", v.name);
            count += 1;
        }
    }
    assert!(count > 0, "no vector in {}", folder.display());
    format!(
        "static VECTORS: [Vector; {count}] = [\n{list}];\n\
         fn frame(index: usize) -> Option<Frame<'static>> {{\nSome(match index {{\n{frames}\
         _ => return None,\n}})\n}}\n"
    )
}
