//! As much of a Cargo manifest as the checks need: which keys stand in which section.

/// The `[section]`, key and value of every assignment; a list may go over several lines.
pub(crate) fn assignments(text: &str) -> Vec<(String, String, String)> {
    let mut section = String::new();
    let mut found = Vec::new();
    let mut lines = text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.trim_matches(['[', ']']).to_owned();
        } else if let Some((key, value)) = line.split_once('=')
            && !line.starts_with('#')
        {
            let mut value = value.trim().to_owned();
            while value.matches('[').count() > value.matches(']').count() {
                let Some(more) = lines.next() else { break };
                value.push_str(more);
            }
            let value = value.trim_matches('"').to_owned();
            found.push((section.clone(), key.trim().to_owned(), value));
        }
    }
    found
}

/// The value of `key` in `section`; `key.workspace = true` counts as the value `workspace`.
pub(crate) fn value(text: &str, section: &str, key: &str) -> Option<String> {
    let inherited = format!("{key}.workspace");
    assignments(text).into_iter().filter(|(at, ..)| at == section).find_map(|(_, name, value)| {
        if name == inherited {
            Some("workspace".to_owned())
        } else {
            (name == key).then_some(value)
        }
    })
}

/// The names under `[features]`, without `default`.
pub(crate) fn features(text: &str) -> Vec<String> {
    let all = assignments(text).into_iter();
    all.filter(|(section, key, _)| section == "features" && key != "default")
        .map(|(_, key, _)| key)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "[package]\nname = \"a\"\nversion.workspace = true\n# license = \"X\"\n\
        [features]\ndefault = [\"x\"]\nx = []\ny = []\n[[bin]]\nname = \"b\"\n";

    #[test]
    fn values_are_found_in_their_section() {
        assert_eq!(value(SAMPLE, "package", "name").as_deref(), Some("a"));
        assert_eq!(value(SAMPLE, "bin", "name").as_deref(), Some("b"));
        assert_eq!(value(SAMPLE, "package", "version").as_deref(), Some("workspace"));
        assert_eq!(value(SAMPLE, "package", "license"), None);
    }

    #[test]
    fn lists_may_take_several_lines() {
        let text = "[workspace]\nmembers = [\n    \"a\",\n    \"b\",\n]\nresolver = \"3\"\n";
        assert_eq!(value(text, "workspace", "members").as_deref(), Some("[\"a\",\"b\",]"));
        assert_eq!(value(text, "workspace", "resolver").as_deref(), Some("3"));
    }

    #[test]
    fn features_without_default() {
        assert_eq!(features(SAMPLE), ["x", "y"]);
    }
}
