//! The range check (contract `query.md` section 2, the table, in its order).

use std::fmt;
use std::time::Duration;

use flamelake_model::{StatusError, TimeRange, TimestampMs};

use crate::limits::QueryLimits;

/// The moment that a request is checked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now(pub(crate) TimestampMs);

impl Now {
    /// Start and end of the hour before now, in milliseconds.
    pub(crate) fn last_hour(self) -> (i64, i64) {
        (self.0.0.saturating_sub(3_600_000), self.0.0)
    }

    /// All time that a retention leaves; 0 leaves all.
    pub(crate) fn kept(self, retention: Duration) -> TimeRange {
        TimeRange::since(if retention.is_zero() { TimestampMs(i64::MIN) } else { self.before(retention) })
    }

    /// So long ago.
    pub(crate) fn before(self, ago: Duration) -> TimestampMs {
        TimestampMs(self.0.0.saturating_sub(i64::try_from(ago.as_millis()).unwrap_or(i64::MAX)))
    }
}

/// The range to read; `None` when it lies wholly before the look-back.
pub(crate) fn check(
    start: TimestampMs,
    end: TimestampMs,
    now: Now,
    limits: &QueryLimits,
) -> Result<Option<TimeRange>, StatusError> {
    if start.0 == 0 || end.0 == 0 {
        return Err(StatusError::invalid_argument("missing time range in the query"));
    }
    let asked = TimeRange::new(start, end).map_err(|error| StatusError::from_coded(&error))?;
    let Some(range) = clamp(asked, now, limits.lookback) else { return Ok(None) };
    check_length(range, limits.length)?;
    Ok(Some(range))
}

fn clamp(range: TimeRange, now: Now, lookback: Duration) -> Option<TimeRange> {
    if lookback.is_zero() {
        return Some(range);
    }
    let oldest = now.before(lookback);
    TimeRange::new(range.start().max(oldest), range.end()).ok()
}

fn check_length(range: TimeRange, limit: Duration) -> Result<(), StatusError> {
    let length = Duration::from_millis(range.end().0.abs_diff(range.start().0));
    if limit.is_zero() || length <= limit {
        return Ok(());
    }
    Err(StatusError::invalid_argument(format!(
        "the query time range exceeds the limit (max_query_length, actual: {}, limit: {}): shorten the range",
        Hours(length),
        Hours(limit)
    )))
}

/// `25h0m1s`.
struct Hours(Duration);

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        write!(f, "{}h{}m{}", seconds / 3600, seconds / 60 % 60, seconds % 60)?;
        match self.0.subsec_millis() {
            0 => f.write_str("s"),
            millis => write!(f, ".{millis:03}s"),
        }
    }
}
