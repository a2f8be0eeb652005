//! Durations as Go and Prometheus write them: `1h30m`, `7d`, `1.5h`, `0`.

use std::time::Duration;

use crate::byte_size::decimal_times;

/// Largest first, as they are written. `w` and `y` are only read.
const UNITS: [(&str, u64); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Reads a duration up to 292 years; `None` = it is not one. A number without unit is not one, but for 0.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut nanos = 0_u64;
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit() && c != '.')?);
        let (unit, after) = after.split_at(after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len()));
        nanos = nanos.checked_add(decimal_times(number, unit_nanos(unit)?)?)?;
        rest = after;
    }
    (nanos <= i64::MAX as u64).then(|| Duration::from_nanos(nanos))
}

fn unit_nanos(unit: &str) -> Option<u64> {
    match unit {
        "w" => Some(7 * UNITS[0].1),
        "y" => Some(365 * UNITS[0].1),
        "µs" | "μs" => Some(1_000),
        _ => UNITS.iter().find(|(name, _)| *name == unit).map(|(_, nanos)| *nanos),
    }
}

/// Writes a duration so that [`parse_duration`] reads the same: `1h30m`, `30d`, `0`.
pub fn format_duration(duration: Duration) -> String {
    let mut nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    if nanos == 0 {
        return "0".to_owned();
    }
    let mut text = String::new();
    for (name, unit) in UNITS {
        if nanos >= unit {
            text.push_str(&format!("{}{name}", nanos / unit));
            nanos %= unit;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        for (text, seconds) in [
            ("0", 0.0),
            ("0s", 0.0),
            ("1h30m", 5400.0),
            ("7d", 604_800.0),
            ("1.5h", 5400.0),
            ("250ms", 0.25),
            ("1w", 604_800.0),
        ] {
            assert_eq!(parse_duration(text).map(|d| d.as_secs_f64()), Some(seconds), "{text}");
        }
        for bad in ["", "5", "h", "-1h", "1h30", "1 h", "1.2.3h", "400y", "1x"] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn durations_are_written_short() {
        let text = |seconds| format_duration(Duration::from_secs(seconds));
        assert_eq!([text(0), text(90), text(30 * 86_400), text(5_400)], ["0", "1m30s", "30d", "1h30m"]);
    }

    proptest::proptest! {
        #[test]
        fn written_durations_read_the_same(nanos in 0..i64::MAX as u64) {
            let duration = Duration::from_nanos(nanos);
            proptest::prop_assert_eq!(parse_duration(&format_duration(duration)), Some(duration));
        }
    }
}
