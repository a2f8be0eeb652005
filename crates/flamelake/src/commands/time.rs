//! Points in time as people type them: `now-1h`, `2026-11-22T15:00:00Z`, Unix seconds or milliseconds.

use flamelake_config::parse_duration;

const DAY_MS: i64 = 86_400_000;

/// Unix milliseconds of `text`.
pub(crate) fn parse(text: &str, now_ms: i64) -> Result<i64, String> {
    let text = text.trim();
    relative(text, now_ms)
        .or_else(|| unix(text))
        .or_else(|| rfc3339(text))
        .ok_or_else(|| format!("{text:?} is no time; write now-1h, 2026-11-22T15:00:00Z or Unix seconds"))
}

/// `now`, `now-1h30m`, `now+5m`.
fn relative(text: &str, now_ms: i64) -> Option<i64> {
    let offset = text.strip_prefix("now")?;
    if offset.is_empty() {
        return Some(now_ms);
    }
    let (sign, duration) =
        offset.strip_prefix('-').map(|rest| (-1, rest)).or(offset.strip_prefix('+').map(|rest| (1, rest)))?;
    let ms = i64::try_from(parse_duration(duration)?.as_millis()).ok()?;
    now_ms.checked_add(sign * ms)
}

/// 13 digits are milliseconds, 16 microseconds, 19 nanoseconds, other numbers seconds (contract `query.md` section 7).
fn unix(text: &str) -> Option<i64> {
    let number = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<i64>().ok())??;
    match text.len() {
        13 => Some(number),
        16 => Some(number / 1_000),
        19 => Some(number / 1_000_000),
        _ => number.checked_mul(1_000),
    }
}

/// A date, or a date and a time in UTC or with an offset.
fn rfc3339(text: &str) -> Option<i64> {
    let (date, time) = text.split_once(['T', ' ']).unwrap_or((text, "00:00:00Z"));
    let [year, month, day] = numbers(date, '-')?;
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || !(1970..=9999).contains(&year) {
        return None;
    }
    let (clock, offset_ms) = offset(time)?;
    let clock = clock.split('.').next().unwrap_or_default();
    let [hour, minute, second] =
        if clock.matches(':').count() == 1 { numbers(&format!("{clock}:0"), ':')? } else { numbers(clock, ':')? };
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    Some(days(year, month, day) * DAY_MS + (hour * 3600 + minute * 60 + second) * 1000 - offset_ms)
}

fn offset(time: &str) -> Option<(&str, i64)> {
    if let Some(clock) = time.strip_suffix('Z') {
        return Some((clock, 0));
    }
    let Some(at) = time.rfind(['+', '-']) else { return Some((time, 0)) };
    let (clock, offset) = time.split_at(at);
    let (hours, minutes) = offset.get(1..)?.split_once(':')?;
    let minutes = hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?;
    Some((clock, if offset.starts_with('-') { -minutes } else { minutes } * 60_000))
}

fn numbers(text: &str, separator: char) -> Option<[i64; 3]> {
    let numbers: Vec<i64> = text.split(separator).map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let [first, second, third] = numbers[..] else { return None };
    (first >= 0 && second >= 0 && third >= 0).then_some([first, second, third])
}

/// Days from 1970-01-01 of a date in the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years that begin in March have their leap day at the end, so that months need no exception.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1 - 719_468
}

/// `2026-11-22 15:00:00` of Unix milliseconds, in UTC.
pub(crate) fn show(ms: i64) -> String {
    let (days, rest) = (ms.div_euclid(DAY_MS), ms.rem_euclid(DAY_MS) / 1000);
    let (year, month, day) = date(days);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60)
}

/// The inverse of [`days`].
fn date(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        let now = 1_795_359_600_000;
        for (text, expected) in [
            ("now", now),
            ("now-1h", now - 3_600_000),
            ("now-1d12h", now - 129_600_000),
            ("now+5m", now + 300_000),
            ("1795359600", now),
            ("1795359600000", now),
            ("1795359600000000000", now),
            ("2026-11-22T15:00:00Z", now),
            ("2026-11-22 15:00", now),
            ("2026-11-22T16:00:00.5+01:00", now),
            ("2026-11-22", now - 15 * 3_600_000),
            ("2024-02-29T00:00:00Z", 1_709_164_800_000),
        ] {
            assert_eq!(parse(text, now), Ok(expected), "{text}");
        }
        for bad in ["", "yesterday", "now-", "now*2", "2026-13-01", "2026-1", "now-5"] {
            assert!(parse(bad, now).is_err(), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn shown_times_read_the_same(seconds in 0_i64..200_000_000_000) {
            proptest::prop_assert_eq!(parse(&show(seconds * 1000), 0), Ok(seconds * 1000));
        }
    }
}
