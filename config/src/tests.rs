//! What holds of all settings, whatever their values: random ones, and random bytes for files.

use std::collections::BTreeMap;

use outlast_core::admission::Rate;
use outlast_core::backoff::Jitter;
use proptest::prelude::*;

use crate::item::Item;
use crate::kind::{Datum, Kind};
use crate::layers::variable;
use crate::listener::Listener;
use crate::settings::{LIST, Settings};
use crate::{ClientSettings, FileKind, Preset, ServerSettings, Sources, Value, tables};

/// A value that an item of this kind may have.
fn datum(kind: Kind, none: Option<&str>, random: &mut Jitter) -> Datum {
    if none.is_some() && random.up_to(3) == 0 {
        return Datum::None;
    }
    let mut among = |min: u64, max: u64| match random.up_to(3) {
        0 => min,
        1 => max,
        2 => min.saturating_add(random.up_to(100)).min(max),
        _ => min + random.up_to(max - min),
    };
    match kind {
        Kind::Flag => Datum::Flag(among(0, 1) == 1),
        Kind::Count(min, max) | Kind::Size(min, max) => Datum::Number(among(min, max)),
        Kind::Time(min, max, step) => Datum::Number(among(min / step, max / step) * step),
        Kind::Rate => {
            let (events, period) = (among(1, 100_000), among(1_000_000, 4_000_000_000));
            let short = |number: u64| u32::try_from(number).unwrap();
            Datum::Rate(Rate::new(short(events), period, short(among(1, 9))))
        }
        Kind::Choice(words) => {
            let last = words.len() as u64 - 1;
            Datum::Text(words[usize::try_from(among(0, last)).unwrap()].to_owned())
        }
        Kind::Path | Kind::Text => {
            let texts = ["a", "/etc/x y.pem", "ä\"\\'#\u{1}", "- b", "C:\\dir", "true", "1"];
            Datum::Text(texts[usize::try_from(among(0, 6)).unwrap()].to_owned())
        }
        Kind::Address(_) => Datum::Text(format!("[::1]:{}", among(0, 65_535))),
        Kind::Addresses => Datum::List(vec![format!("a.example:{}", among(1, 65_535))]),
        Kind::Networks => Datum::List(vec![format!("10.0.0.0/{}", among(0, 32))]),
        Kind::Options => {
            let max = ("max".to_owned(), among(64, 65_536).to_string());
            Datum::Pairs([max].into_iter().collect())
        }
    }
}

/// Settings with random values for random keys, all of which are valid.
fn random<S: Settings>(seed: u64) -> S {
    let mut random = Jitter::new(seed);
    let mut settings = S::default();
    for item in S::items() {
        if random.up_to(2) == 0 {
            let mut other = settings.clone();
            let fits = (item.set)(&mut other, &datum(item.kind, item.none, &mut random));
            assert!(fits, "{} has a range that its field has not", item.key);
            if other.validate().is_ok() {
                settings = other;
            }
        }
    }
    let mut other = settings.clone();
    if let Some(listeners) = other.listeners_mut() {
        let format = |name: &str| Listener { format: name.to_owned(), ..Listener::default() };
        for kind in ["native", "ltv", "ndjson"].iter().take(random.up_to(3).try_into().unwrap()) {
            let mut listener = format(kind);
            for item in Listener::items().iter().filter(|item| item.key != "format") {
                (item.set)(&mut listener, &datum(item.kind, item.none, &mut random));
            }
            if listener.check().is_ok() {
                listeners.push(listener);
            }
        }
        settings = other;
    }
    settings.validate().unwrap();
    settings
}

/// Every way out and in again.
fn comes_back<S>(settings: &S)
where
    S: Settings + serde::Serialize + for<'de> serde::Deserialize<'de>,
{
    assert_eq!(S::from_map(&settings.to_map()).as_ref(), Ok(settings));
    let json = serde_json::to_string(settings).unwrap();
    assert_eq!(serde_json::from_str::<S>(&json).unwrap(), *settings);
    let effective = Sources::new().load_over(settings).unwrap();
    let printed = effective.print();
    for (kind, text) in [
        (FileKind::Toml, &printed),
        (FileKind::Json, &json),
        // JSON is YAML.
        (FileKind::Yaml, &json),
    ] {
        let read = Sources::new().text("it", kind, text).load::<S>();
        let read = read.unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!(read.settings, *settings, "{kind:?}\n{text}");
    }
    // The same through variables and through options.
    let map = settings.to_map();
    let text = |value: &Value| match value {
        Value::Text(text) => text.clone(),
        Value::List(list) => {
            let words = list.iter().map(|word| word.to_string().replace('"', ""));
            words.collect::<Vec<_>>().join(",")
        }
        Value::Map(map) => {
            let pair = |(key, value): (&String, &Value)| {
                format!("{key}={}", value.to_string().replace('"', ""))
            };
            map.iter().map(pair).collect::<Vec<_>>().join(",")
        }
        other => other.to_string(),
    };
    let filled = map.iter().filter(|(_, value)| !text(value).is_empty());
    let pairs = filled.map(|(key, value)| (variable(key), text(value)));
    let read = Sources::new().environment(pairs).load::<S>().unwrap();
    assert_eq!((read.settings, read.warnings), (settings.clone(), vec![]));
    let set = |sources: Sources, (key, value): (&String, &Value)| {
        sources.set_pair(&format!("{key}={}", text(value))).unwrap()
    };
    let read = map.iter().fold(Sources::new(), set).load::<S>().unwrap();
    assert_eq!(read.settings, *settings);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn settings_of_servers_come_back(seed: u64) {
        comes_back(&random::<ServerSettings>(seed));
    }

    #[test]
    fn settings_of_clients_come_back(seed: u64) {
        comes_back(&random::<ClientSettings>(seed));
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn no_bytes_make_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        read_all(&bytes);
    }

    #[test]
    fn no_text_makes_a_panic(
        parts in prop::collection::vec(0..PARTS.len(), 0..40),
    ) {
        let text: String = parts.iter().map(|at| PARTS[*at]).collect();
        read_all(text.as_bytes());
    }

    #[test]
    fn no_value_makes_a_panic(key in 0..200_usize, text in ".{0,30}") {
        let server = ServerSettings::items().iter().map(|item| item.key.to_owned());
        let listed = Listener::items().iter().map(|item| format!("{LIST}.0.{}", item.key));
        let keys: Vec<String> = server.chain(listed).collect();
        let key = &keys[key % keys.len()];
        let _ = Sources::new().set(key, &text, "--set").load::<ServerSettings>();
        let _ = Sources::new().set(key, &text, "--set").load::<ClientSettings>();
        let _ = Sources::new().set(&text, "1", "--set").load::<ServerSettings>();
        let _ = ServerSettings::default().get(&text);
    }
}

/// What files of settings are made of, and what might confuse who reads them.
const PARTS: &[&str] = &[
    "session",
    "window",
    "listen",
    "session.window",
    "address",
    "options",
    "preset",
    ".",
    "=",
    ":",
    ": ",
    " = ",
    "\n",
    "\n\n",
    " ",
    "  ",
    "\t",
    "{",
    "}",
    "[",
    "]",
    "[[",
    "]]",
    ",",
    "\"",
    "'",
    "\\",
    "\\u0041",
    "\\ud800",
    "#",
    "-",
    "- ",
    "1",
    "12",
    "-1",
    "1.5",
    "1e9",
    "0x10",
    "true",
    "null",
    "~",
    "&a ",
    "*a",
    "!!str ",
    "|",
    ">",
    "---",
    "...",
    "? ",
    "64 KiB",
    "\"1.5 s\"",
    "1979-05-27",
    "\u{feff}",
    "\r\n",
    "\u{85}",
    "inf",
    "nan",
    "<<",
    "\"\"\"",
    "'''",
    "%YAML 1.2",
    "[session]\nwindow = 65536\n",
    "session:\n  window: 65536\n",
    "{\"session\":{\"window\":65536}}",
];

fn read_all(bytes: &[u8]) {
    for kind in FileKind::ALL {
        let Ok(mut node) = crate::file::parse("it", *kind, bytes) else {
            continue;
        };
        crate::file::take_preset(&mut node);
        let text = String::from_utf8_lossy(bytes);
        let sources = Sources::new().text("it", *kind, text);
        let _ = sources.load::<ServerSettings>();
        let _ = sources.load::<ClientSettings>();
    }
}

#[test]
fn tables_inside_of_each_other_end_somewhere() {
    for (kind, text) in [
        (FileKind::Json, format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000))),
        (FileKind::Json, format!("{}1{}", "{\"a\":".repeat(100), "}".repeat(100))),
        (FileKind::Toml, format!("a = {}1{}", "[".repeat(100_000), "]".repeat(100_000))),
        (FileKind::Toml, format!("{}a = 1", "a.".repeat(100_000))),
        (FileKind::Toml, format!("[{}a]", "a.".repeat(100_000))),
        (FileKind::Yaml, format!("a: {}1{}", "[".repeat(10_000), "]".repeat(10_000))),
        (FileKind::Yaml, "- ".repeat(10_000)),
        (FileKind::Yaml, (0..500).map(|n| format!("{}a:\n", " ".repeat(n))).collect()),
        (FileKind::Yaml, "? ".repeat(10_000)),
    ] {
        assert!(crate::file::parse("it", kind, text.as_bytes()).is_err(), "{kind:?}");
    }
    let long = vec![b'#'; (1 << 20) + 1];
    assert!(crate::file::parse("it", FileKind::Toml, &long).is_err());
}

#[test]
fn every_key_is_there_once_and_has_a_variable_of_its_own() {
    fn check<S: Settings>() {
        let mut seen = BTreeMap::new();
        for item in S::items() {
            assert!(seen.insert(variable(item.key), item.key).is_none(), "{}", item.key);
            assert!(item.doc.ends_with('.'), "{}", item.key);
            let datum = (item.get)(&S::default());
            assert!(datum != Datum::None || item.none.is_some(), "{}", item.key);
        }
    }
    check::<ServerSettings>();
    check::<ClientSettings>();
}

#[test]
fn every_preset_is_valid_and_differs_and_has_reasons() {
    fn check<S: Settings>(preset: &Preset) {
        let effective = Sources::new().preset(preset.name).load::<S>().unwrap();
        for (key, _, reason) in S::preset(preset) {
            assert_ne!(effective.settings.get(key), S::default().get(key), "{key}");
            assert!(reason.len() > 10, "{key}");
            let shown = effective.origin(key).to_string();
            assert_eq!(shown, format!("preset {}", preset.name));
        }
    }
    for preset in Preset::ALL {
        check::<ServerSettings>(preset);
        check::<ClientSettings>(preset);
    }
    let error = Sources::new().preset("low-latancy").load::<ServerSettings>().unwrap_err();
    assert!(error.to_string().ends_with("do you mean low-latency?"), "{error}");
}

/// No key is that of another one's field.
#[test]
fn keys_are_named_after_their_fields() {
    const OTHERS: &[(&str, &str)] = &[
        ("session.rotate_keys", "rotate_keys"),
        ("connections.patience", "patience"),
        ("access.default", "access.otherwise"),
        ("connect.", ""),
        ("auth.", ""),
        ("tls.", "tls_"),
        ("security.", "security_"),
        ("drain.", "drain_"),
        ("admin.", "admin_"),
        ("log.", "log_"),
        ("outgoing.batch_", "outgoing.batch"),
        ("plain.batch_", "plain.batch"),
    ];
    fn check<S>(items: &[Item<S>]) {
        for item in items {
            let field = item.field.join(".");
            let bare = ["_ms", "_s"].iter().find_map(|unit| field.strip_suffix(unit));
            let named = [Some(field.as_str()), bare].contains(&Some(item.key));
            let other = OTHERS.iter().any(|(key, start)| {
                let rest = item.key.strip_prefix(key);
                rest.is_some_and(|rest| {
                    let batch = start.ends_with("batch");
                    if batch { field == *start } else { field == format!("{start}{rest}") }
                })
            });
            assert!(named || other, "{} is {field}", item.key);
        }
    }
    check(ServerSettings::items());
    check(ClientSettings::items());
    check(Listener::items());
}

/// `OUTLAST_BLESS=1` writes the tables into the document.
#[test]
fn the_document_has_the_tables_of_the_items() {
    const MARKS: [&str; 2] = ["<!-- tables: begin -->\n", "<!-- tables: end -->\n"];
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (head, rest) = text.split_once(MARKS[0]).unwrap();
    let (written, tail) = rest.split_once(MARKS[1]).unwrap();
    let made = format!("\n{}\n", tables());
    if std::env::var_os("OUTLAST_BLESS").is_some() {
        std::fs::write(path, [head, MARKS[0], &made, MARKS[1], tail].concat()).unwrap();
    } else {
        assert!(written == made, "docs/configuration.md is stale: run this with OUTLAST_BLESS=1");
    }
}
