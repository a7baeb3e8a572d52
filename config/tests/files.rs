//! Files, environment and command line: what they mean, and what is said of what is wrong.

use outlast_config::{ClientSettings, FileKind, ServerSettings, Settings, Sources};

const KINDS: [(FileKind, &str); 3] =
    [(FileKind::Toml, "s.toml"), (FileKind::Json, "s.json"), (FileKind::Yaml, "s.yaml")];

fn load(kind: FileKind, name: &str, text: &str) -> Result<ServerSettings, String> {
    let loaded = Sources::new().text(name, kind, text).load::<ServerSettings>();
    loaded.map(|effective| effective.settings).map_err(|error| error.to_string())
}

const SAME: [&str; 3] = [
    r#"
preset = "low-latency"
[session]
window = 65536
retention = "1.5 h"
max_body = 0x1000
[connections]
source_rate = "100/min burst 20"
[access]
default = "deny"
allow = ["10.0.0.0/8", "2001:db8::/32"]
[socket]
nodelay = false
keepalive = "none"
[[listen]]
address = "0.0.0.0:9000"
[[listen]]
address = ":9001"
format = "ltv"
options.max = 65536
options.heartbeats = false
"#,
    r#"{
  "preset": "low-latency",
  "session": { "window": 65536, "retention": "1.5 h", "max_body": 4096 },
  "connections.source_rate": "100/min burst 20",
  "access": { "default": "deny", "allow": ["10.0.0.0/8", "2001:db8::/32"] },
  "socket": { "nodelay": false, "keepalive": null },
  "listen": [
    { "address": "0.0.0.0:9000" },
    { "address": "127.0.0.1:9001", "format": "\u006ctv",
      "options": { "max": 65536, "heartbeats": false } }
  ]
}"#,
    r#"
preset: low-latency # with a remark
session:
  window: 65536
  retention: 1.5 h
  max_body: 4096
connections: {source_rate: 100/min burst 20}
access:
  default: deny
  allow:
    - 10.0.0.0/8
    - "2001:db8::/32"
socket:
  nodelay: false
  keepalive: ~
listen:
  - address: 0.0.0.0:9000
  - address: 127.0.0.1:9001
    format: ltv
    options:
      max: 65536
      heartbeats: false
"#,
];

#[test]
fn three_kinds_of_files_say_the_same() {
    let mut read = KINDS.iter().zip(SAME).map(|((kind, name), text)| load(*kind, name, text));
    let first = read.next().unwrap().unwrap();
    assert_eq!(first.session.window, 65_536);
    assert_eq!(first.session.retention_s, 5_400);
    assert_eq!(first.session.idle_timeout_ms, 5_000, "of the preset");
    assert_eq!(first.session.max_body, 4_096);
    assert!(!first.socket.nodelay);
    assert_eq!(first.listen.len(), 2);
    assert_eq!(first.listen[1].address.to_string(), "127.0.0.1:9001");
    assert!(first.listen[1].format().unwrap().is_some());
    let list = first.access.list().unwrap();
    assert!(list.admits("10.1.2.3".parse().unwrap()));
    assert!(!list.admits("192.0.2.1".parse().unwrap()));
    for other in read {
        assert_eq!(other.unwrap(), first);
    }
}

#[test]
fn mistakes_name_file_line_key_value_and_range() {
    let toml = "\n[session]\n# a remark\nwindow = 12\n";
    let json = "{\n \"session\": {\n\n  \"window\": 12}}";
    let yaml = "\nsession:\n\n  window: 12\n";
    let must = "session.window is 12: it must be from 16387 to 1073741824";
    for ((kind, name), text) in KINDS.iter().zip([toml, json, yaml]) {
        assert_eq!(load(*kind, name, text).unwrap_err(), format!("{name}:4: {must}"));
    }
    for (text, expected) in [
        ("[session]\nwindow = \"big\"", "s.toml:2: session.window is big: it must be from 64 to"),
        ("session.window = [1]", "s.toml:1: session.window is a list: it must be from"),
        ("session.windows = 1", "s.toml:1: session.windows is no setting: do you mean session.win"),
        ("[sesion]\nwindow = 1", "s.toml:1: sesion is no setting"),
        ("window = 1", "s.toml:1: window is no setting: do you mean session.window?"),
        ("session = 5", "s.toml:1: session is a table of keys"),
        ("session.idle_timeout = 1.5", "s.toml:1: session.idle_timeout is 1.5: it must be from 0"),
        ("session.idle_timeout = \"1 us\"", "it must be a multiple of 1 ms"),
        ("session.idle_timeout = -5", "s.toml:1: session.idle_timeout is -5: it must be from 0 ms"),
        ("session.ack_delay = \"2 min\"", "s.toml:1: session.ack_delay is 2 min: it must be from "),
        ("session.max_body = 70000", "session.max_body is 70000: it must be from 60 to 16383"),
        ("socket.nodelay = 1", "s.toml:1: socket.nodelay is 1: it must be true or false"),
        ("traffic.bytes = \"fast\"", "s.toml:1: traffic.bytes is fast: it must be a rate"),
        ("traffic.when_exceeded = \"x\"", "is x: it must be wait or disconnect"),
        ("access.deny = [\"10.0.0.0/40\"]", "s.toml:1: access.deny is a list: `10.0.0.0/40` is no"),
        ("listen = 1", "s.toml:1: listen is 1: it must be a list of tables"),
        ("listen = []", "s.toml:1: listen is empty: a server listens somewhere"),
        ("[[listen]]\n\naddres = \"x\"", "s.toml:3: listen.0.addres is no setting: do you mean li"),
        ("[[listen]]\naddress = \"a:b\"", "s.toml:2: listen.0.address is a:b: `b` is no port"),
        ("[[listen]]\nformat = \"ndjsn\"", "s.toml:2: listen.0.format is ndjsn: "),
        (
            "[[listen]]\noptions.max = 1",
            "s.toml:2: listen.0.options cannot be used: `max` has no e",
        ),
        ("[[listen]]\nformat=\"raw\"\noptions.x = 1", "s.toml:3: listen.0.options is a table: "),
        ("[[listen]]\ntls_cert = \"x\"", "listen.0.tls_key is missing: tls_cert needs it"),
        ("memory.low = 9\nmemory.high = 8", "s.toml:2: memory.high is 8: it must be from 9 to"),
        (
            "session.window = \"8 MiB\"",
            "s.toml:1: session.window_max is 4194304: it must be from 8",
        ),
        (
            "preset = \"debgu\"",
            "s.toml:1: preset `debgu` is none of default, high-throughput, low-",
        ),
        ("preset = 1", "s.toml:1: preset `1` is none of"),
        ("outgoing.write_timeout = 0", "outgoing.write_timeout is 0 ms: it must be from 1 ms to"),
        ("connections.lockout_cap = \"1 us\"", "is 1 us: it must be from 100 ms to 365 d"),
        (
            "auth.token_file = \"a\"\nauth.passwords_file = \"b\"",
            "s.toml:2: auth.passwords_file is ",
        ),
        ("connections.max_per_source = 0", "is 0: it must be from 1 to 4294967295"),
        ("session.retention = \"100 ms\"", "it must be a multiple of 1 s"),
    ] {
        let error = load(FileKind::Toml, "s.toml", text).unwrap_err();
        assert!(error.contains(expected), "{text}\n  {error}\n  {expected}");
    }
}

#[test]
fn what_is_there_twice_is_a_mistake() {
    for (kind, text, expected) in [
        (FileKind::Toml, "a.b = 1\n[session]\nwindow = 65536\nwindow = 65537", "s.toml:4: "),
        (
            FileKind::Json,
            "{\"session\": {\n\"window\": 65536,\n\"window\": 65537}}",
            "s.json:3: window is there twice: first in line 2",
        ),
        (
            FileKind::Json,
            "{\"session.window\": 65536,\n\"session\": {\"window\": 65536}}",
            "s.json:2: session.window is there twice: first in s.json:1",
        ),
        (
            FileKind::Yaml,
            "session:\n  window: 65536\nsession:\n  window: 65537\n",
            "s.yaml:3: session is there twice: first in line 1",
        ),
    ] {
        let name = KINDS.iter().find(|known| known.0 == kind).unwrap().1;
        let error = load(kind, name, text).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn what_is_no_file_of_settings_is_refused_with_its_line() {
    for (kind, text, expected) in [
        (FileKind::Toml, "[session]\nwindow = = 1", "s.toml:2: "),
        (FileKind::Toml, "\n\u{0}", "s.toml:2: "),
        (FileKind::Json, "{\"a\": 1,\n}", "s.json:2: "),
        (FileKind::Json, "[1]", "s.json:1: this is no table of settings"),
        (FileKind::Json, "", "s.json:1: EOF"),
        (FileKind::Yaml, "a: b: c\n", "s.yaml:1: "),
        (FileKind::Yaml, "just words", "s.yaml:1: this is no table"),
        (FileKind::Yaml, "session: &a\n  window: 65536\noutgoing: *a\n", "s.yaml:3: aliases"),
        (FileKind::Yaml, "{}\n---\n{}\n", "s.yaml:2: a file of settings is one document"),
        (FileKind::Yaml, "? [a]\n: 1\n", "s.yaml:1: a key is a word"),
    ] {
        let name = KINDS.iter().find(|known| known.0 == kind).unwrap().1;
        let error = load(kind, name, text).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
    // Nothing is something, too.
    for (kind, text) in
        [(FileKind::Toml, ""), (FileKind::Json, "{}"), (FileKind::Yaml, "# nothing\n")]
    {
        assert_eq!(load(kind, "s", text).unwrap(), ServerSettings::default());
    }
}

#[test]
fn files_are_told_apart_by_their_names() {
    let folder = std::env::temp_dir().join(format!("outlast-config-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = |name: &str| folder.join(name);
    let names = ["a.toml", "a.json", "a.yml"];
    for (name, text) in names.iter().zip(SAME) {
        std::fs::write(path(name), text).unwrap();
        let read = Sources::new().file(path(name)).load::<ServerSettings>().unwrap();
        assert_eq!(read.settings.session.window, 65_536);
        let origin = format!("{}:", path(name).display());
        assert!(read.origin("session.window").to_string().starts_with(&origin));
    }
    let error = |name: &str| {
        Sources::new().file(path(name)).load::<ServerSettings>().unwrap_err().to_string()
    };
    assert!(error("a.ini").ends_with("its name must end with .toml, .json, .yaml or .yml"));
    assert!(error("b.toml").contains("b.toml: cannot be read: "));
    std::fs::write(path("c.toml"), b"\n\n# \xff").unwrap();
    assert!(error("c.toml").ends_with("c.toml:3: this is no UTF-8"));
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("/dev/zero", path("endless.toml")).unwrap();
        assert!(error("endless.toml").ends_with("is longer than 1048576 bytes"));
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn each_layer_goes_over_those_below() {
    let text = "preset = \"debug\"\nsession.window = \"2 MiB\"\nsession.linger = 1\n";
    let layers = |sources: Sources| {
        let loaded = sources.text("s.toml", FileKind::Toml, text).load::<ServerSettings>();
        let loaded = loaded.unwrap();
        let keys =
            ["session.ack_delay", "session.idle_timeout", "session.window", "session.linger"];
        keys.map(|key| {
            let value = loaded.settings.get(key).unwrap();
            format!("{value} {}", loaded.origin(key))
        })
    };
    let sources = Sources::new();
    let of_file =
        ["\"25 ms\" default", "\"1 h\" preset debug", "\"2 MiB\" s.toml:2", "\"1 ms\" s.toml:3"];
    assert_eq!(layers(sources.clone()), of_file);
    let sources = sources.environment([
        ("OUTLAST_SESSION_IDLE_TIMEOUT", "7"),
        ("OUTLAST_SESSION_WINDOW", "3 MiB"),
        ("OUTLAST_SESSION_LINGER", ""),
        ("SESSION_WINDOW", "1"),
    ]);
    let of_environment = [
        "\"25 ms\" default",
        "\"7 ms\" environment OUTLAST_SESSION_IDLE_TIMEOUT",
        "\"3 MiB\" environment OUTLAST_SESSION_WINDOW",
        "\"1 ms\" s.toml:3",
    ];
    assert_eq!(layers(sources.clone()), of_environment);
    let sources = sources.set_pair("session.window = 4 MiB").unwrap().preset("low-latency");
    let of_options = [
        "\"5 ms\" preset low-latency",
        "\"7 ms\" environment OUTLAST_SESSION_IDLE_TIMEOUT",
        "\"4 MiB\" command line --set",
        "\"1 ms\" s.toml:3",
    ];
    assert_eq!(layers(sources), of_options);
    let error = Sources::new().set_pair("session.window").unwrap_err().to_string();
    assert!(error.starts_with("command line --set: `session.window` is no KEY=VALUE"), "{error}");
}

#[test]
fn listeners_are_a_list_of_which_each_can_be_changed() {
    let file = "[[listen]]\naddress = \":1\"\n[[listen]]\naddress = \":2\"\n";
    let loaded = Sources::new()
        .text("s.toml", FileKind::Toml, file)
        // In the order of their numbers, however they come.
        .environment([("OUTLAST_LISTEN_2_ADDRESS", ":3"), ("OUTLAST_LISTEN_1_ADDRESS", ":22")])
        .set("listen.3.address", ":4", "--set")
        .set("listen.0.format", "ltv", "--format")
        .set("listen.0.options", "max=64,heartbeats=false", "--set")
        .load::<ServerSettings>()
        .unwrap();
    let addresses: Vec<String> =
        loaded.settings.listen.iter().map(|it| it.address.to_string()).collect();
    assert_eq!(addresses, ["127.0.0.1:1", "127.0.0.1:22", "127.0.0.1:3", "127.0.0.1:4"]);
    assert_eq!(loaded.settings.listen[0].options.len(), 2);
    assert_eq!(loaded.origin("listen.0.address").to_string(), "s.toml:2");
    assert_eq!(loaded.origin("listen.0.format").to_string(), "command line --format");
    let gap = Sources::new().set("listen.2.address", ":4", "--set").load::<ServerSettings>();
    let gap = gap.unwrap_err().to_string();
    assert!(gap.contains("listen.2.address is about listener 2: they are counted"), "{gap}");
    let none = Sources::new().set("listen.0.address", ":4", "--set").load::<ClientSettings>();
    assert!(none.unwrap_err().to_string().contains("is no setting"));
}

#[test]
fn variables_that_look_like_settings_are_told_of() {
    let variables = [
        ("OUTLAST_SESION_WINDOW", "1"),
        ("OUTLAST_TOKEN", "secret"),
        ("OUTLAST_DIAL_ATTEMPTS", "5"),
        ("OUTLAST_LISTEN_X_ADDRESS", "5"),
    ];
    let loaded = Sources::new().environment(variables).load::<ServerSettings>().unwrap();
    assert_eq!(loaded.settings, ServerSettings::default());
    let [first, second] = &loaded.warnings[..] else {
        panic!("{:?}", loaded.warnings);
    };
    assert_eq!(first, "OUTLAST_SESION_WINDOW is no setting: do you mean OUTLAST_SESSION_WINDOW?");
    assert!(second.starts_with("OUTLAST_LISTEN_X_ADDRESS is no setting"), "{second}");
    let client = Sources::new().environment(variables).load::<ClientSettings>().unwrap();
    assert_eq!(client.origin("dial.attempts").to_string(), "environment OUTLAST_DIAL_ATTEMPTS");
}

#[test]
fn copies_differ_in_one_key() {
    let settings = ServerSettings::default();
    let copy = settings.with("memory.high", "1 GiB").unwrap();
    assert_eq!(copy.memory.high, 1 << 30);
    assert_eq!(copy.with("memory.high", "unlimited").unwrap(), settings);
    let copy = settings.with("outgoing.batch_delay", "5 ms").unwrap();
    assert_eq!(copy.outgoing.batch.map(|batch| batch.messages), Some(100));
    let copy = settings.with("listen.1.address", "[::]:5").unwrap();
    assert_eq!(copy.listen.len(), 2);
    let error = settings.with("session.windwo", 1_u64).unwrap_err();
    assert_eq!(error.to_string(), "session.windwo is no setting: do you mean session.window?");
    assert_eq!(error.key(), Some("session.windwo"));
}

#[test]
fn no_secret_is_in_what_is_printed() {
    let folder = std::env::temp_dir().join(format!("outlast-secret-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let token = folder.join("token");
    std::fs::write(&token, "s3cr3t").unwrap();
    let set = token.display().to_string();
    let sources = Sources::new().set("auth.token_file", &set, "--token-file");
    let sources = sources.environment([("OUTLAST_TOKEN", "s3cr3t")]);
    let loaded = sources.load::<ServerSettings>().unwrap();
    let shown = format!("{loaded:?} {}", loaded.print());
    assert!(shown.contains(&set) && !shown.contains("s3cr3t"));
    std::fs::remove_dir_all(&folder).unwrap();
}
