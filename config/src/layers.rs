//! Layers of values: default, preset, file, environment, command line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::assign::{Assigning, Origins, order};
use crate::client::ClientSettings;
use crate::error::{Error, Origin};
use crate::file::{self, FileKind};
use crate::listener::Listener;
use crate::node::{Node, What};
use crate::preset::Preset;
use crate::server::ServerSettings;
use crate::settings::{Fault, LIST, Settings, find_fault};

/// What every variable of the environment begins with.
const PREFIX: &str = "OUTLAST_";
/// Variables that are for something else.
const OTHERS: &[&str] = &["OUTLAST_TOKEN", "OUTLAST_BLESS", "OUTLAST_PRESET"];

/// Where values are taken from. What comes later goes over what comes first: the defaults, a
/// preset, a file, the environment, the command line.
///
/// ```
/// use outlast_config::{Origin, ServerSettings, Sources};
///
/// let sources = Sources::new()
///     .preset("low-latency")
///     .environment([("OUTLAST_SESSION_WINDOW", "2 MiB")])
///     .set("session.retention", "1 h", "--keep");
/// let effective = sources.load::<ServerSettings>()?;
/// assert_eq!(effective.settings.session.window, 2 << 20);
/// assert_eq!(effective.settings.session.idle_timeout_ms, 5_000);
/// assert_eq!(effective.origin("session.retention").to_string(), "command line --keep");
/// assert_eq!(effective.origin("session.idle_timeout"), Origin::Preset("low-latency"));
/// # Ok::<(), outlast_config::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Sources {
    preset: Option<String>,
    file: Option<PathBuf>,
    text: Option<(String, FileKind, String)>,
    environment: Vec<(String, String)>,
    overrides: Vec<(String, String, String)>,
}

/// Settings, and where each of them comes from.
#[derive(Debug, Clone)]
pub struct Effective<S> {
    /// What holds.
    pub settings: S,
    /// The preset that it is made from.
    pub preset: &'static str,
    /// What is probably a mistake, though nothing is wrong with it: variables of the environment
    /// that look like settings and are none.
    pub warnings: Vec<String>,
    pub(crate) origins: Origins,
}

impl Sources {
    /// Nothing but the defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins with a [`Preset`]. It goes before one that the environment or the file names.
    #[must_use]
    pub fn preset(mut self, name: impl Into<String>) -> Self {
        self.preset = Some(name.into());
        self
    }

    /// Reads a file: TOML, JSON or YAML, as its name says.
    #[must_use]
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Some(path.into());
        self
    }

    /// Takes this text for a file of that name.
    #[must_use]
    pub fn text(
        mut self,
        name: impl Into<String>,
        kind: FileKind,
        text: impl Into<String>,
    ) -> Self {
        self.text = Some((name.into(), kind, text.into()));
        self
    }

    /// Takes variables of the environment: `OUTLAST_SESSION_WINDOW` is `session.window`, and
    /// `OUTLAST_LISTEN_0_ADDRESS` is `listen.0.address`. Others, and empty ones, do not count.
    #[must_use]
    pub fn environment<K: Into<String>, V: Into<String>>(
        mut self,
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let pairs = variables.into_iter().map(|(name, value)| (name.into(), value.into()));
        self.environment.extend(pairs);
        self
    }

    /// The same, with the environment of this process.
    #[must_use]
    pub fn process_environment(self) -> Self {
        let lossy = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        let all = std::env::vars_os().map(|(name, value)| (lossy(name), lossy(value)));
        self.environment(all.filter(|(name, _)| name.starts_with(PREFIX)))
    }

    /// Sets one key, as the option `option` of the command line says.
    #[must_use]
    pub fn set(
        mut self,
        key: impl Into<String>,
        value: impl Into<String>,
        option: impl Into<String>,
    ) -> Self {
        self.overrides.push((key.into(), value.into(), option.into()));
        self
    }

    /// Sets one key from `key=value`, the argument of `--set`.
    ///
    /// # Errors
    ///
    /// If it is no such text.
    pub fn set_pair(self, pair: &str) -> Result<Self, Error> {
        let Some((key, value)) = pair.split_once('=') else {
            let shown = crate::node::shorten(pair);
            let text = format!("`{shown}` is no KEY=VALUE, such as session.window=1MiB");
            return Err(Error::new(Origin::CommandLine("--set".to_owned()), None, text));
        };
        Ok(self.set(key.trim(), value.trim(), "--set"))
    }

    /// The file, if there is one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Reads everything, over the defaults of `S`.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, and where it stands.
    pub fn load<S: Settings>(&self) -> Result<Effective<S>, Error> {
        self.load_over(&S::default())
    }

    /// Reads everything, over the defaults of a program.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn load_over<S: Settings>(&self, base: &S) -> Result<Effective<S>, Error> {
        let (mut settings, mut origins) = (base.clone(), Origins::new());
        let mut file = self.read_file()?;
        let preset = self.find_preset(file.as_mut().map(|(_, node)| node))?;
        let mut layer = Assigning::new(&mut settings, &mut origins);
        for (key, value, _) in S::preset(preset) {
            layer.assign(key, &Node::text(*value), &|_| Origin::Preset(preset.name))?;
        }
        if let Some((name, node)) = &file {
            let mut layer = Assigning::new(&mut settings, &mut origins);
            layer.assign("", node, &|line| Origin::File(name.clone(), line))?;
        }
        let (variables, warnings) = self.variables::<S>();
        let mut layer = Assigning::new(&mut settings, &mut origins);
        for (key, name, value) in variables {
            let origin = |_| Origin::Environment(name.clone());
            layer.assign(&key, &Node::text(value), &origin)?;
        }
        let mut layer = Assigning::new(&mut settings, &mut origins);
        for (key, value, option) in &self.overrides {
            let origin = |_| Origin::CommandLine(option.clone());
            layer.assign(key, &Node::text(value), &origin)?;
        }
        if let Some(fault) = find_fault(&settings) {
            return Err(blame(&fault, &origins));
        }
        Ok(Effective { settings, preset: preset.name, warnings, origins })
    }

    fn read_file(&self) -> Result<Option<(String, Node)>, Error> {
        if let Some((name, kind, text)) = &self.text {
            let node = file::parse(name, *kind, text.as_bytes())?;
            return Ok(Some((name.clone(), node)));
        }
        let Some(path) = &self.file else {
            return Ok(None);
        };
        Ok(Some((path.display().to_string(), file::read(path)?)))
    }

    fn find_preset(&self, file: Option<&mut Node>) -> Result<&'static Preset, Error> {
        let in_file = file.and_then(file::take_preset);
        let variable =
            |(name, value): &&(String, String)| name == "OUTLAST_PRESET" && !value.is_empty();
        if let Some(name) = &self.preset {
            return Preset::named(name, Origin::CommandLine("--preset".to_owned()));
        }
        if let Some((variable, name)) = self.environment.iter().find(variable) {
            return Preset::named(name, Origin::Environment(variable.clone()));
        }
        let Some(entry) = in_file else {
            return Preset::named("default", Origin::Default);
        };
        let name = self.path().map_or_else(String::new, |path| path.display().to_string());
        let name = self.text.as_ref().map_or(name, |(name, _, _)| name.clone());
        let origin = Origin::File(name, entry.line);
        match &entry.value.what {
            What::Text(name) => Preset::named(name, origin),
            What::List(_) | What::Map(_) => {
                let text = format!("preset is {}: it must be a name", entry.value.show());
                Err(Error::new(origin, Some("preset"), text))
            }
        }
    }

    /// The variables that are settings, as key, name and value, listeners in their order; and what
    /// to say of the others.
    fn variables<S: Settings>(&self) -> (Vec<(String, String, String)>, Vec<String>) {
        let (mut known, mut warnings) = (Vec::new(), Vec::new());
        for (name, value) in &self.environment {
            if value.is_empty() || OTHERS.contains(&name.as_str()) || !name.starts_with(PREFIX) {
                continue;
            }
            if let Some(key) = key_of::<S>(name) {
                known.push((key, name.clone(), value.clone()));
            } else if key_of::<ServerSettings>(name).is_none()
                && key_of::<ClientSettings>(name).is_none()
            {
                let key = name.trim_start_matches(PREFIX).to_lowercase().replacen('_', ".", 1);
                let near = crate::assign::nearest::<S>(&key);
                let near = near.map(|near| format!(": do you mean {}?", variable(&near)));
                let name = crate::node::shorten(name);
                warnings.push(format!("{name} is no setting{}", near.unwrap_or_default()));
            }
        }
        known.sort_by(|one, other| order(&one.0).cmp(&order(&other.0)));
        (known, warnings)
    }
}

/// The variable for a key.
pub(crate) fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_uppercase().replace('.', "_"))
}

fn key_of<S: Settings>(name: &str) -> Option<String> {
    if let Some(item) = S::items().iter().find(|item| variable(item.key) == name) {
        return Some(item.key.to_owned());
    }
    S::default().listeners()?;
    let rest = name.strip_prefix(&variable(LIST))?.strip_prefix('_')?;
    let (index, field) = rest.split_once('_')?;
    let index: usize = index.parse().ok()?;
    let field = Listener::items().iter().find(|item| item.key.to_uppercase() == field)?;
    Some(format!("{LIST}.{index}.{}", field.key))
}

/// Whoever set the value that is wrong; or, of a default that does not fit what was set, whoever
/// set something beside it.
fn blame(fault: &Fault, origins: &Origins) -> Error {
    let text = format!("{} {}", fault.key, fault.text);
    let error = |origin| Error::new(origin, Some(&fault.key), text.clone());
    if let Some(origin) = origins.get(&fault.key) {
        return error(origin.clone());
    }
    let section = fault.key.rsplit_once('.').map_or("", |(section, _)| section);
    let near: Vec<&Origin> = origins
        .iter()
        .filter(|(key, _)| key.rsplit_once('.').is_some_and(|(other, _)| other == section))
        .map(|(_, origin)| origin)
        .collect();
    match near[..] {
        [one] => error(one.clone()),
        [Origin::File(name, _), ..] => error(Origin::File(name.clone(), 0)),
        [one, ..] => error(one.clone()),
        [] => error(Origin::Default),
    }
}

impl<S: Settings> Effective<S> {
    /// Where the value of a key comes from.
    #[must_use]
    pub fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or_default()
    }

    /// The keys that somebody set, and who.
    #[must_use]
    pub const fn origins(&self) -> &BTreeMap<String, Origin> {
        &self.origins
    }

    /// All settings as a file in TOML, with the origin of each value behind it. Read again, it
    /// gives the same settings.
    #[must_use]
    pub fn print(&self) -> String {
        let mut lines = Vec::new();
        for (index, listener) in self.settings.listeners().unwrap_or_default().iter().enumerate() {
            lines.push((format!("[[{LIST}]]"), None));
            for item in Listener::items() {
                if let Some(value) = item.value(listener) {
                    let origin = self.origin(&format!("{LIST}.{index}.{}", item.key));
                    lines.push((format!("{} = {value}", item.key), Some(origin)));
                }
            }
            lines.push((String::new(), None));
        }
        let mut sections: Vec<&str> = Vec::new();
        for item in S::items() {
            let section = item.key.split('.').next().unwrap_or_default();
            if !sections.contains(&section) {
                sections.push(section);
            }
        }
        for section in sections {
            lines.push((format!("[{section}]"), None));
            for item in S::items() {
                let field = item.key.strip_prefix(section).and_then(|it| it.strip_prefix('.'));
                if let (Some(field), Some(value)) = (field, item.value(&self.settings)) {
                    lines.push((format!("{field} = {value}"), Some(self.origin(item.key))));
                }
            }
            lines.push((String::new(), None));
        }
        let mut out = format!("preset = \"{}\"\n\n", self.preset);
        for (text, origin) in lines {
            match origin {
                Some(origin) => {
                    let origin: String = origin.to_string().escape_debug().collect();
                    out.push_str(&format!("{text:<40} # {origin}\n"));
                }
                None => out.push_str(&format!("{text}\n")),
            }
        }
        out.truncate(out.trim_end().len());
        out.push('\n');
        out
    }
}
