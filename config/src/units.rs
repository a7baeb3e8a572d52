//! Sizes, times and rates as people write them. Exact: nothing is rounded, and what cannot be said
//! in whole bytes or nanoseconds is refused.

use outlast_core::admission::Rate;

const MICROSECOND: u64 = 1_000;
pub(crate) const MILLISECOND: u64 = 1_000_000;
pub(crate) const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
pub(crate) const DAY: u64 = 24 * HOUR;

/// Largest first, so that the first that divides a value is the one to show it in.
const TIMES: [(&str, u64); 7] = [
    ("d", DAY),
    ("h", HOUR),
    ("min", MINUTE),
    ("s", SECOND),
    ("ms", MILLISECOND),
    ("us", MICROSECOND),
    ("ns", 1),
];

/// The same for sizes; those of powers of ten are read and never shown.
const SIZES: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
];

/// Bytes: a whole number of them, or a number with a unit.
pub(crate) fn size(text: &str) -> Option<u64> {
    measure(text, &SIZES, 1)
}

/// Nanoseconds: a whole number of milliseconds, or a number with a unit.
pub(crate) fn time(text: &str) -> Option<u64> {
    measure(text, &TIMES, MILLISECOND)
}

/// A number without sign and exponent, times its unit.
fn measure(text: &str, units: &[(&str, u64)], bare: u64) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && !"._".contains(c)).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim_start();
    let number: String = number.chars().filter(|c| *c != '_').collect();
    let (whole, part) = number.split_once('.').unwrap_or((&number, ""));
    let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_number(part) || number.ends_with('.') {
        return None;
    }
    let factor = if unit.is_empty() {
        // 1.5 of nothing in particular is a mistake.
        if !part.is_empty() {
            return None;
        }
        bare
    } else {
        let unit = unit.replace('µ', "u");
        units.iter().find(|(name, _)| *name == unit)?.1
    };
    let part = part.trim_end_matches('0');
    let scale = 10_u128.checked_pow(u32::try_from(part.len()).ok()?)?;
    let digits: u128 = format!("{whole}{part}").parse().ok()?;
    let product = digits.checked_mul(factor.into())?;
    (product % scale == 0).then_some(product / scale)?.try_into().ok()
}

/// A time in the largest unit that it is a whole number of.
pub(crate) fn show_time(nanos: u64) -> String {
    let whole = |(_, unit): &&(&str, u64)| nanos > 0 && nanos.is_multiple_of(*unit);
    match TIMES.iter().find(whole) {
        Some((name, unit)) => format!("{} {name}", nanos / unit),
        None => "0 ms".to_owned(),
    }
}

/// A size in the largest unit that it is a whole number of.
pub(crate) fn show_size(bytes: u64) -> String {
    let whole = |(_, unit): &&(&str, u64)| bytes > 0 && bytes.is_multiple_of(*unit);
    match SIZES.iter().find(whole) {
        Some((name, unit)) if *unit > 1 => format!("{} {name}", bytes / unit),
        _ => bytes.to_string(),
    }
}

/// `64/s`, `100/1 min burst 20`: so many in a period, of which so many may come at once, as many
/// as in a period if it is not said.
pub(crate) fn rate(text: &str) -> Option<Rate> {
    let (main, burst) = match text.split_once("burst") {
        Some((main, burst)) => (main, Some(burst.trim().parse().ok()?)),
        None => (text, None),
    };
    let (events, period) = main.split_once('/')?;
    let events: u32 = events.trim().parse().ok()?;
    let period = period.trim();
    let period = match TIMES.iter().find(|(name, _)| *name == period) {
        Some((_, unit)) => *unit,
        None => time(period)?,
    };
    let burst = burst.unwrap_or(events).max(1);
    let exact = period > 0 && period.is_multiple_of(MICROSECOND);
    let rate = exact.then(|| Rate::new(events, period / MICROSECOND, burst));
    // More than one in a microsecond would be no limit at all.
    rate.filter(|rate| rate.interval() > 0)
}

/// The same rate as a text, or nothing if it has no limit.
pub(crate) fn show_rate(rate: &Rate) -> Option<String> {
    if *rate == Rate::UNLIMITED {
        return None;
    }
    let (interval, burst) = (rate.interval(), rate.burst());
    for (name, unit) in [("s", SECOND), ("min", MINUTE), ("h", HOUR)] {
        let period = unit / MICROSECOND;
        let events = period.checked_div(interval).unwrap_or(0);
        if events > 0 && u32::try_from(events).is_ok() && period / events == interval {
            let events = roundest(period / (interval + 1) + 1, events);
            return Some(format!("{events}/{name} burst {burst}"));
        }
    }
    if interval == u64::MAX {
        return Some(format!("0/s burst {burst}"));
    }
    let period = show_time(interval.saturating_mul(MICROSECOND));
    Some(format!("1/{period} burst {burst}"))
}

/// The number from `low` to `high` that somebody most probably wrote: the multiple of the greatest
/// power of ten or two.
fn roundest(low: u64, high: u64) -> u64 {
    let powers = |base: u64| {
        let steps = (1..20).map_while(move |power| base.checked_pow(power));
        let multiples = steps.map(|step| (step, high / step * step));
        multiples.filter(|(_, multiple)| *multiple >= low && *multiple > 0).last()
    };
    powers(10).max(powers(2)).map_or(high, |(_, multiple)| multiple)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_units_are_exact() {
        for (text, bytes) in [
            ("65536", Some(65_536)),
            ("65_536", Some(65_536)),
            ("64 KiB", Some(65_536)),
            ("64KiB", Some(65_536)),
            ("1.5 MiB", Some(1_572_864)),
            ("0.3 B", None),
            ("1.5", None),
            ("2 kB", Some(2_000)),
            ("1 kb", None),
            ("KiB", None),
            ("1. KiB", None),
            ("-1", None),
            ("17179869184 GiB", None),
            ("17179869183 GiB", Some(18_446_744_072_635_809_792)),
            ("", None),
        ] {
            assert_eq!(size(text), bytes, "{text}");
        }
        for (text, nanos) in [
            ("5", Some(5 * MILLISECOND)),
            ("1.5 s", Some(1_500 * MILLISECOND)),
            ("2 min", Some(120 * SECOND)),
            ("0.5 µs", Some(500)),
            ("0.5 ns", None),
            ("1.50 h", Some(5_400 * SECOND)),
            ("1 d", Some(86_400 * SECOND)),
            ("1 s 5 ms", None),
            ("9999999999999999999999999999999999999999999999 s", None),
            ("0.00000000000000000000000000000000000000000000001 s", None),
        ] {
            assert_eq!(time(text), nanos, "{text}");
        }
    }

    #[test]
    fn what_is_shown_is_read_again() {
        for value in [0, 1, 999, 1_000, 1_024, 65_536, 1 << 30, u64::MAX, 86_400 * SECOND] {
            assert_eq!(size(&show_size(value)), Some(value));
            assert_eq!(time(&show_time(value)), Some(value));
        }
        assert_eq!(show_time(1_500 * MILLISECOND), "1500 ms");
        assert_eq!(show_size(1_572_864), "1536 KiB");
    }

    #[test]
    fn rates_have_a_period_and_a_burst() {
        for (text, expected) in [
            ("64/s burst 256", Some(Rate::per_second(64, 256))),
            ("64 / s", Some(Rate::per_second(64, 64))),
            ("100/1 min burst 20", Some(Rate::new(100, 60_000_000, 20))),
            ("100/60 s burst 20", Some(Rate::new(100, 60_000_000, 20))),
            ("3/s", Some(Rate::per_second(3, 3))),
            ("64", None),
            ("64/", None),
            ("64/0 s", None),
            ("-1/s", None),
            ("64/s burst", None),
            ("64/1 ns", None),
            ("2000000/s", None),
        ] {
            assert_eq!(rate(text), expected, "{text}");
        }
        let rates = [
            Rate::per_second(64, 256),
            Rate::per_second(3, 1),
            Rate::per_second(1_000_000, 7),
            Rate::new(100, 60_000_000, 20),
            Rate::new(7, 86_400_000_000, 2),
            Rate::new(0, 1, 1),
            Rate::new(0, 1, 9),
            Rate::new(1, 777_777, 1),
        ];
        for given in rates {
            let shown = show_rate(&given).unwrap();
            assert_eq!(rate(&shown), Some(given), "{shown}");
        }
        assert_eq!(show_rate(&Rate::per_second(64, 256)).unwrap(), "64/s burst 256");
        assert_eq!(show_rate(&Rate::UNLIMITED), None);
        // Many rates are the same in whole microseconds.
        for events in [8_192, 3_000, 7, 100_000, 65_536] {
            let shown = show_rate(&Rate::per_second(events, 1)).unwrap();
            assert_eq!(shown, format!("{events}/s burst 1"));
        }
    }
}
