//! The query of `/ingest` (contract `ingest.md` sections 4.1 and 4.2).

use std::collections::HashMap;

use url::form_urlencoded;

use crate::decode::Source;
use crate::decode::app_name::AppName;

const RATE_DEFAULT: u32 = 100;

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Trie,
    Tree,
    Lines,
    Jfr,
    Pprof,
    PprofForm,
    Speedscope,
    Groups,
}

impl Format {
    /// The first that fits; what is unknown is text.
    fn of(format: &str, content_type: &str) -> Self {
        match (format, content_type) {
            ("trie", _) | (_, "binary/octet-stream+trie") => Self::Trie,
            ("tree", _) | (_, "binary/octet-stream+tree") => Self::Tree,
            ("lines", _) => Self::Lines,
            ("jfr", _) => Self::Jfr,
            ("pprof", _) => Self::Pprof,
            ("speedscope", _) => Self::Speedscope,
            (_, content_type) if content_type.contains("multipart/form-data") => Self::PprofForm,
            _ => Self::Groups,
        }
    }

    /// Refused profiles are answered 400 in formats of stacks alone, 422 in the others.
    pub(crate) fn is_text(self) -> bool {
        matches!(self, Self::Trie | Self::Tree | Self::Lines | Self::Groups)
    }
}

/// Reads a query; only the name can be wrong.
pub(crate) fn parse(query: &str, content_type: &str, now_ns: i64) -> Result<(Source, Format), String> {
    let mut values: HashMap<String, String> = HashMap::new();
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        values.entry(key.into_owned()).or_insert_with(|| value.into_owned());
    }
    let get = |key: &str| values.get(key).map_or("", String::as_str);
    let time = |key: &str| Some(get(key)).filter(|text| !text.is_empty()).map_or(now_ns, |text| time_ns(text, now_ns));
    let source = Source {
        app: AppName::parse(get("name"))?,
        from_ns: time("from"),
        until_ns: time("until"),
        sample_rate: get("sampleRate").parse().unwrap_or(RATE_DEFAULT),
        spy: Some(get("spyName")).filter(|spy| !spy.is_empty()).unwrap_or("unknown").to_owned(),
    };
    Ok((source, Format::of(get("format"), content_type)))
}

/// A moment in nanoseconds since the epoch: a date, a number of s, ms, µs or ns, or `now-1h`; else now.
fn time_ns(text: &str, now_ns: i64) -> i64 {
    let text: String = text.chars().filter(|c| !matches!(c, '_' | ',' | ' ')).collect();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return number_ns(&text).unwrap_or(now_ns);
    }
    relative_ns(&text).map_or(now_ns, |offset| now_ns.saturating_add(offset))
}

fn number_ns(digits: &str) -> Option<i64> {
    if let Some(date) = (digits.len() == 8).then(|| date_ns(digits)).flatten() {
        return Some(date);
    }
    let unit = match digits.len() {
        13 => 1_000_000,
        16 => 1000,
        19 => 1,
        _ => 1_000_000_000,
    };
    digits.parse::<i64>().ok()?.checked_mul(unit)
}

/// `YYYYMMDD`, UTC.
fn date_ns(digits: &str) -> Option<i64> {
    let (year, month, day) =
        (digits[..4].parse::<i64>().ok()?, digits[4..6].parse::<i64>().ok()?, digits[6..].parse::<i64>().ok()?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=days).contains(&day) {
        return None;
    }
    // Days since the epoch of a Gregorian date, years starting in March.
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let days = 365 * year + year / 4 - year / 100 + year / 400 + day_of_year - 719_468;
    days.checked_mul(86_400_000_000_000)
}

/// `<anything>[+-]<n><unit>…`.
fn relative_ns(text: &str) -> Option<i64> {
    let sign_at = text.find(['+', '-'])?;
    let sign = if text[sign_at..].starts_with('-') { -1 } else { 1 };
    let mut rest = &text[sign_at + 1..];
    let mut total = 0_i64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: i64 = rest[..digits].parse().ok()?;
        let unit_and_rest = &rest[digits..];
        let end = unit_and_rest.find(|c: char| c.is_ascii_digit()).unwrap_or(unit_and_rest.len());
        total = total.checked_add(number.checked_mul(unit_ns(&unit_and_rest[..end])?)?)?;
        rest = &unit_and_rest[end..];
    }
    total.checked_mul(sign)
}

fn unit_ns(unit: &str) -> Option<i64> {
    const SECOND: i64 = 1_000_000_000;
    const DAY: i64 = 86_400 * SECOND;
    Some(match unit {
        _ if unit.starts_with('s') => SECOND,
        _ if unit.starts_with("mon") || unit.starts_with('M') => 30 * DAY,
        _ if unit.starts_with('m') => 60 * SECOND,
        _ if unit.starts_with('h') => 3600 * SECOND,
        _ if unit.starts_with('d') => DAY,
        _ if unit.starts_with('w') => 7 * DAY,
        _ if unit.starts_with('y') => 365 * DAY,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        const NOW: i64 = 1_000_000_000_000_000_000;
        let s = |text: &str| time_ns(text, NOW) / 1_000_000_000;
        assert_eq!(s("1795359600"), 1_795_359_600);
        assert_eq!(s("1795359600000"), 1_795_359_600);
        assert_eq!(s("1795359600000000"), 1_795_359_600);
        assert_eq!(s("1795359600000000000"), 1_795_359_600);
        assert_eq!(s("20261122"), 1_795_305_600);
        assert_eq!(s("19700101"), 0);
        assert_eq!(s("99999999"), 99_999_999);
        assert_eq!(s("now-1h30min"), 1_000_000_000 - 5400);
        assert_eq!(s("now+1M"), 1_000_000_000 + 30 * 86_400);
        assert_eq!(s("garbage"), 1_000_000_000);
        assert_eq!(s("99999999999999999999999"), 1_000_000_000);
        assert_eq!(s("now-ö"), 1_000_000_000);
    }

    #[test]
    fn formats() {
        assert_eq!(Format::of("nope", ""), Format::Groups);
        assert_eq!(Format::of("", "binary/octet-stream+tree"), Format::Tree);
        assert_eq!(Format::of("pprof", "multipart/form-data; boundary=x"), Format::Pprof);
        assert_eq!(Format::of("", "multipart/form-data; boundary=x"), Format::PprofForm);
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let (source, format) = parse("name=a.b%7Bc=d%7D&sampleRate=-1&name=x", "", 7).unwrap();
        assert_eq!((source.from_ns, source.until_ns, source.sample_rate, format), (7, 7, 100, Format::Groups));
        assert_eq!(
            (source.spy.as_str(), source.app.app.as_str(), source.app.labels["c"].as_str()),
            ("unknown", "a.b", "d")
        );
    }

    #[test]
    fn fuzz_query() {
        let corpus = [b"name=a.cpu{b=c}&from=now-1h&until=1795359600&sampleRate=100&format=tree".to_vec()];
        flamelake_testkit::fuzz::run("query", &corpus, |input| {
            let text = String::from_utf8_lossy(input);
            let _ = parse(&text, &text, 7);
            time_ns(&text, 7);
        });
    }
}
