//! The tables of the documentation, made of the items themselves.

use crate::client::ClientSettings;
use crate::item::{Item, When};
use crate::layers::variable;
use crate::listener::Listener;
use crate::preset::Preset;
use crate::server::ServerSettings;
use crate::settings::{LIST, Settings};
use crate::value::Value;

/// Every key of servers, listeners and clients, and every preset, in Markdown.
#[must_use]
pub fn tables() -> String {
    let mut out = String::new();
    out.push_str("## Listeners\n\nEach `[[listen]]` of a server, counted from 0.\n\n");
    out.push_str(&table(Listener::items(), &Listener::default(), &format!("{LIST}.N.")));
    out.push_str("\n## Servers\n\n");
    out.push_str(&table(ServerSettings::items(), &ServerSettings::default(), ""));
    out.push_str("\n## Clients\n\n");
    out.push_str(&table(ClientSettings::items(), &ClientSettings::default(), ""));
    out.push_str("\n## Presets\n");
    for preset in Preset::ALL {
        out.push_str(&format!("\n### `{}`\n\n{}\n", preset.name, preset.about));
        for (whom, values) in [("servers", preset.server), ("clients", preset.client)] {
            if values.is_empty() {
                continue;
            }
            let head = format!("\n| for {whom} | value | because |\n|---|---|---|\n");
            out.push_str(&head);
            for (key, value, reason) in values {
                out.push_str(&format!("| `{key}` | `{value}` | {reason} |\n"));
            }
        }
    }
    out
}

fn table<S>(items: &[Item<S>], default: &S, prefix: &str) -> String {
    let mut out = String::from(
        "| key | what it is | values | default | field | variable | takes effect |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for item in items {
        let key = format!("{prefix}{}", item.key);
        let words = item.none.map_or_else(String::new, |word| format!(", or `{word}`"));
        let value = match item.value(default) {
            Some(Value::Text(text)) => format!("`{text}`"),
            Some(Value::List(list)) if list.is_empty() => "none".to_owned(),
            Some(value) => format!("`{}`", value.to_string().replace('"', "")),
            None => "none".to_owned(),
        };
        let when = match item.when {
            When::AtOnce => "at once",
            When::Restart => "restart",
        };
        let (range, name, field) = (item.kind.range(), variable(&key), item.field.join("."));
        out.push_str(&format!(
            "| `{key}` | {} | {range}{words} | {value} | `{field}` | `{name}` | {when} |\n",
            item.doc
        ));
    }
    out
}
