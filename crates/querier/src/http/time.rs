//! Times as the legacy routes write them: digits, or an offset from now (contract `query.md` section 7).

use flamelake_model::TimestampMs;

const SECOND: i64 = 1_000;
const DAY: i64 = 86_400 * SECOND;

/// The instant that a text names; empty text is now.
pub(super) fn parse(text: &str, now: TimestampMs) -> TimestampMs {
    let text: String = text.chars().filter(|char| !matches!(char, ' ' | '_' | ',')).collect();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return TimestampMs(absolute(&text));
    }
    match text.find(['+', '-']) {
        None => now,
        Some(at) => TimestampMs(now.0.saturating_add(offset(&text[at..]))),
    }
}

/// The same, `None` for what is no time at all.
pub(super) fn parse_strictly(text: &str, now: TimestampMs) -> Option<TimestampMs> {
    let is_time = text.starts_with("now") || (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
    is_time.then(|| parse(text, now))
}

/// Digits by their number: a date, milliseconds, microseconds, nanoseconds, or else seconds.
fn absolute(digits: &str) -> i64 {
    let number: i64 = digits.parse().unwrap_or(i64::MAX);
    match digits.len() {
        8 => date(number).unwrap_or_else(|| number.saturating_mul(SECOND)),
        13 => number,
        16 => number / 1_000,
        19 => number / 1_000_000,
        _ => number.saturating_mul(SECOND),
    }
}

/// Midnight of `YYYYMMDD` in UTC.
fn date(number: i64) -> Option<i64> {
    let (year, month, day) = (number / 10_000, number / 100 % 100, number % 100);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    // Years begin in March here, so that a leap day is the last of its year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + (153 * month + 2) / 5;
    // 719 468 days lie between 1 March of the year 0 and 1970.
    Some((days + day - 1 - 719_468) * DAY)
}

/// `-1d12h`: the first character is the sign of all parts.
fn offset(text: &str) -> i64 {
    let (sign, mut rest) = (if text.starts_with('-') { -1 } else { 1 }, &text[1..]);
    let mut sum = 0_i64;
    while !rest.is_empty() {
        let digits = rest.find(|char: char| !char.is_ascii_digit()).unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|char: char| char.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let number: i64 = number.parse().unwrap_or(if number.is_empty() { 0 } else { i64::MAX });
        sum = sum.saturating_add(number.saturating_mul(unit_ms(unit)));
        rest = after;
    }
    sum.saturating_mul(sign)
}

/// Units are told by how they begin; an unknown one adds nothing.
fn unit_ms(unit: &str) -> i64 {
    let begins = |prefix| unit.starts_with(prefix);
    match () {
        () if begins("s") => SECOND,
        () if begins("mon") || begins("M") => 30 * DAY,
        () if begins("m") => 60 * SECOND,
        () if begins("h") => 3_600 * SECOND,
        () if begins("d") => DAY,
        () if begins("w") => 7 * DAY,
        () if begins("y") => 365 * DAY,
        () => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_to_milliseconds() {
        let now = 1_000_000_000_000;
        let hour = 3_600_000;
        for (text, expected) in [
            ("", now),
            ("now", now),
            ("nonsense", now),
            ("now-1h", now - hour),
            ("now - 1 h", now - hour),
            ("now-1d12h", now - 36 * hour),
            ("now+2min30s", now + 150_000),
            ("now-1mon", now - 720 * hour),
            ("now-1M", now - 720 * hour),
            ("-1w", now - 168 * hour),
            ("now-1y", now - 8760 * hour),
            ("now-5x", now),
            ("now-", now),
            ("now-99999999999999999999y", now - i64::MAX),
            ("1795359540", 1_795_359_540_000),
            ("1795359540123", 1_795_359_540_123),
            ("1795359540123456", 1_795_359_540_123),
            ("1795359540123456789", 1_795_359_540_123),
            ("1_795_359,540", 1_795_359_540_000),
            ("20261122", 1_795_305_600_000),
            ("20240229", 1_709_164_800_000),
            ("19700101", 0),
            ("20230229", 20_230_229_000),
            ("12", 12_000),
            ("99999999999999999999", i64::MAX),
        ] {
            assert_eq!(parse(text, TimestampMs(now)).0, expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_time_is_told() {
        let now = TimestampMs(1_000_000_000_000);
        let read = ["now", "now-1h", "1795359540", "yesterday", "", "-1h"].map(|text| parse_strictly(text, now));
        let read = read.map(|at| at.map(|at| at.0));
        assert_eq!(read, [Some(now.0), Some(now.0 - 3_600_000), Some(1_795_359_540_000), None, None, None]);
    }

    #[test]
    fn fuzz_any_text_is_a_time() {
        let corpus = ["now-1d12h", "1795359540123", "20261122", "now-\u{e9}1h"].map(|text| text.as_bytes().to_vec());
        flamelake_testkit::fuzz::run("legacy-time", &corpus, |bytes| {
            parse(&String::from_utf8_lossy(bytes), TimestampMs(1));
        });
    }
}
