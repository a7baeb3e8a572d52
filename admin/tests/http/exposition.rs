//! A strict reader of the text format of Prometheus: what it does not know it refuses.

use std::collections::BTreeMap;

#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// Names and labels of a series.
pub(crate) type Key = (String, Vec<(String, String)>);

/// One scrape.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    pub(crate) families: BTreeMap<String, Kind>,
    pub(crate) series: BTreeMap<Key, f64>,
}

fn is_name(name: &str, colons: bool) -> bool {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_' || (colons && c == ':');
    name.starts_with(first) && name.chars().all(|c| first(c) || c.is_ascii_digit())
}

impl Exposition {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut all = Self::default();
        // The family that series belong to, whether its type was said, and those that are complete.
        let mut family: Option<(String, Option<Kind>)> = None;
        if !text.ends_with('\n') {
            return Err("the last line has no end".to_owned());
        }
        for line in text.lines() {
            let wrong = |why: &str| Err(format!("{why}: {line}"));
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, help) = help.split_once(' ').ok_or("no help")?;
                if !is_name(name, true) || help.is_empty() || all.families.contains_key(name) {
                    return wrong("a bad head, or a second one");
                }
                family = Some((name.to_owned(), None));
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let kind = match (kind.split_once(' '), &family) {
                    (Some((name, kind)), Some((open, None))) if name == open => kind,
                    _ => return wrong("a type that stands elsewhere than behind its help"),
                };
                let kind = match kind {
                    "counter" => Kind::Counter,
                    "gauge" => Kind::Gauge,
                    "histogram" => Kind::Histogram,
                    _ => return wrong("an unknown type"),
                };
                if let Some((name, open)) = &mut family {
                    *open = Some(kind);
                    all.families.insert(name.clone(), kind);
                }
            } else {
                let Some((name, Some(kind))) = &family else {
                    return wrong("a series without a family");
                };
                let (key, value) = series(line)?;
                let own = match kind {
                    Kind::Histogram => {
                        let suffix = key.0.strip_prefix(name.as_str());
                        matches!(suffix, Some("_bucket" | "_sum" | "_count"))
                    }
                    Kind::Counter | Kind::Gauge => key.0 == *name,
                };
                if !own || (*kind != Kind::Gauge && value < 0.0) {
                    return wrong("not of this family");
                }
                if all.series.insert(key, value).is_some() {
                    return wrong("twice");
                }
            }
        }
        all.check_histograms()?;
        Ok(all)
    }

    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.series.get(&(name.to_owned(), labels.collect())).copied()
    }

    /// Buckets grow, the last one is infinite, and has as many as there are.
    fn check_histograms(&self) -> Result<(), String> {
        let histograms = self.families.iter().filter(|(_, kind)| **kind == Kind::Histogram);
        for (name, _) in histograms {
            let bucket = format!("{name}_bucket");
            let mut bounds = Vec::new();
            for ((of, labels), count) in &self.series {
                if *of == bucket {
                    let [(label, bound)] = labels.as_slice() else {
                        return Err(format!("{bucket} has other labels"));
                    };
                    let bound: f64 =
                        bound.replace("+Inf", "inf").parse().map_err(|_| "no bound")?;
                    if label != "le" {
                        return Err(format!("{bucket} has no le"));
                    }
                    bounds.push((bound, *count));
                }
            }
            bounds.sort_by(|a, b| a.0.total_cmp(&b.0));
            let grows =
                bounds.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1);
            let all = self.value(&format!("{name}_count"), &[]);
            let last = bounds.last().copied();
            if !grows || last != all.map(|all| (f64::INFINITY, all)) {
                return Err(format!("{name} does not add up"));
            }
            let sum = self.value(&format!("{name}_sum"), &[]).ok_or("no sum")?;
            if sum.is_nan() || (all == Some(0.0)) != (sum == 0.0) {
                return Err(format!("{name} has a sum of {sum}"));
            }
        }
        Ok(())
    }
}

fn series(line: &str) -> Result<(Key, f64), String> {
    let wrong = |why: &str| format!("{why}: {line}");
    let (head, value) = line.rsplit_once(' ').ok_or_else(|| wrong("no value"))?;
    let value: f64 = value.parse().map_err(|_| wrong("no number"))?;
    if !value.is_finite() {
        return Err(wrong("no finite number"));
    }
    let (name, labels) = match head.split_once('{') {
        None => (head, Vec::new()),
        Some((name, rest)) => {
            let inside = rest.strip_suffix('}').ok_or_else(|| wrong("no end of labels"))?;
            let mut labels = Vec::new();
            for pair in inside.split(',') {
                let (label, quoted) = pair.split_once('=').ok_or_else(|| wrong("no label"))?;
                let text = quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
                let text = text.ok_or_else(|| wrong("no quotes"))?;
                let plain = |c: char| c.is_ascii_graphic() && !"\\\"{},".contains(c);
                if !is_name(label, false) || text.is_empty() || !text.chars().all(plain) {
                    return Err(wrong("a bad label"));
                }
                labels.push((label.to_owned(), text.to_owned()));
            }
            (name, labels)
        }
    };
    if !is_name(name, true) {
        return Err(wrong("a bad name"));
    }
    Ok(((name.to_owned(), labels), value))
}

#[test]
fn what_is_wrong_is_refused() {
    let good = "# HELP a b\n# TYPE a counter\na{x=\"y\"} 1\n";
    assert_eq!(Exposition::parse(good).unwrap().value("a", &[("x", "y")]), Some(1.0));
    let histogram = "# HELP h b\n# TYPE h histogram\nh_bucket{le=\"0.5\"} 1\n\
        h_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n";
    assert!(Exposition::parse(histogram).is_ok());
    for (what, with) in [("1\nh_b", "3\nh_b"), ("+Inf", "9"), ("h_count 2", "h_count 3")] {
        assert!(Exposition::parse(&histogram.replace(what, with)).is_err(), "{with}");
    }
    for bad in [
        "a 1\n",
        "# HELP a b\n# TYPE a counter\na 1",
        "# HELP a b\n# TYPE a counter\nb 1\n",
        "# HELP a b\n# TYPE a counter\na -1\n",
        "# HELP a b\n# TYPE a counter\na NaN\n",
        "# HELP a b\n# TYPE a counter\na 1\na 1\n",
        "# HELP a b\n# TYPE a summary\na 1\n",
        "# TYPE a counter\na 1\n",
        "# HELP a b\n# TYPE a counter\na{x=y} 1\n",
        "# HELP a b\n# TYPE a counter\na{1=\"y\"} 1\n",
        "# HELP a b\n# TYPE a counter\n\n",
    ] {
        assert!(Exposition::parse(bad).is_err(), "{bad}");
    }
}
