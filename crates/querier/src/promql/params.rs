//! Parameters as Prometheus' HTTP API takes them, in the query string or in a form.

use chrono::DateTime;
use flamelake_model::{StatusError, TimestampMs};

use super::parse::{SPAN_MS_MAX, parse_duration};
use super::values::Steps;

/// Most points of a series.
const POINTS_MAX: i64 = 11_000;

/// Names and values. Of parameters given twice the first counts, that of a form before that of the address.
#[derive(Debug)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    /// Of an address and a form.
    pub(crate) fn new(address: Option<&str>, form: &[u8]) -> Self {
        let read = |bytes| url::form_urlencoded::parse(bytes).into_owned();
        Self(read(form).chain(read(address.unwrap_or_default().as_bytes())).collect())
    }

    /// Empty if it is not given.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.all(name).next().unwrap_or_default()
    }

    pub(crate) fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// An instant, `default` if it is not given.
    pub(crate) fn time(&self, name: &str, default: TimestampMs) -> Result<i64, StatusError> {
        match self.get(name) {
            "" => Ok(default.0),
            text => time(text).ok_or_else(|| invalid(name, &format!("cannot parse {text:?} to a valid timestamp"))),
        }
    }

    /// Milliseconds of a positive duration; `None` if it is not given.
    pub(crate) fn duration(&self, name: &str) -> Result<Option<i64>, StatusError> {
        let text = self.get(name);
        if text.is_empty() {
            return Ok(None);
        }
        let ms = duration(text).ok_or_else(|| invalid(name, &format!("cannot parse {text:?} to a valid duration")))?;
        Ok(Some(ms))
    }

    /// Most entries of an answer; 0 or not given is any number.
    pub(crate) fn limit(&self) -> Result<usize, StatusError> {
        match self.get("limit") {
            "" | "0" => Ok(usize::MAX),
            text => text.parse().map_err(|_| invalid("limit", "limit must be a positive number")),
        }
    }

    /// The moments of a range query.
    pub(crate) fn steps(&self) -> Result<Steps, StatusError> {
        let wanted = |name: &str| match self.get(name) {
            "" => Err(invalid(name, "cannot parse \"\" to a valid timestamp")),
            _ => self.time(name, TimestampMs(0)),
        };
        let (start, end) = (wanted("start")?, wanted("end")?);
        if end < start {
            return Err(invalid("end", "end timestamp must not be before start time"));
        }
        let step = self.duration("step")?.unwrap_or_default();
        if step <= 0 {
            let why = "zero or negative query resolution step widths are not accepted. Try a positive integer";
            return Err(invalid("step", why));
        }
        if (end - start) / step > POINTS_MAX {
            return Err(StatusError::invalid_argument(
                "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
            ));
        }
        Ok(Steps::new(start, end, step))
    }
}

/// As Prometheus words it.
pub(crate) fn invalid(name: &str, why: &str) -> StatusError {
    StatusError::invalid_argument(format!("invalid parameter {name:?}: {why}"))
}

/// Seconds since the epoch, or RFC 3339.
fn time(text: &str) -> Option<i64> {
    match text.parse::<f64>() {
        Ok(seconds) => milliseconds(seconds),
        Err(_) => DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_millis()),
    }
}

/// Seconds, or `1h30m`.
fn duration(text: &str) -> Option<i64> {
    match text.parse::<f64>() {
        Ok(seconds) => milliseconds(seconds),
        Err(_) => parse_duration(text),
    }
}

fn milliseconds(seconds: f64) -> Option<i64> {
    let ms = (seconds * 1000.0).round();
    (ms.abs() <= SPAN_MS_MAX as f64).then_some(ms as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(form: &str) -> Params {
        Params::new(Some("start=9&extra=1"), form.as_bytes())
    }

    #[test]
    fn times_and_durations_in_all_their_forms() {
        assert_eq!(time("1795359540.123"), Some(1_795_359_540_123));
        assert_eq!(time("-1e3"), Some(-1_000_000));
        assert_eq!(time("2026-11-22T15:00:00.5Z"), Some(1_795_359_600_500));
        assert_eq!(time("2026-11-22T16:00:00+01:00"), Some(1_795_359_600_000));
        assert_eq!((time("NaN"), time("1e300"), time("yesterday")), (None, None, None));
        assert_eq!(
            (duration("15"), duration("0.5"), duration("1m30s"), duration("1x")),
            (Some(15_000), Some(500), Some(90_000), None)
        );
    }

    #[test]
    fn forms_come_before_addresses() {
        let params = params("start=1&match%5B%5D=a&match[]=b");
        assert_eq!((params.get("start"), params.get("extra"), params.get("none")), ("1", "1", ""));
        assert_eq!(params.all("match[]").collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn ranges_are_checked() {
        let steps = |form: &str| params(form).steps().map_err(|error| error.message);
        assert_eq!(steps("start=0&end=60&step=15s").unwrap(), Steps::new(0, 60_000, 15_000));
        assert!(steps("end=1&step=1").unwrap_err().contains("end timestamp must not be before start time"));
        assert!(steps("start=1&end=2&step=0").unwrap_err().contains("zero or negative"));
        assert!(steps("start=0&end=11001&step=1").unwrap_err().contains("11,000"));
        assert!(steps("start=0&end=11000&step=1").is_ok());
        assert!(steps("start=x&end=2&step=1").unwrap_err().starts_with("invalid parameter \"start\""));
    }
}
