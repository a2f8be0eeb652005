//! Points in time and ranges. Stored profiles have nanoseconds; requests and answers have milliseconds (contract `query.md` section 2).

use std::fmt;

use crate::{Coded, ErrorCode};

/// Nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TimestampNs(pub i64);

/// Milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TimestampMs(pub i64);

impl TimestampNs {
    /// The millisecond this instant lies in (rounded down).
    pub fn to_ms(self) -> TimestampMs {
        TimestampMs(self.0.div_euclid(1_000_000))
    }
}

impl TimestampMs {
    /// The first nanosecond of this millisecond; saturates at the ends of the range.
    pub fn to_ns(self) -> TimestampNs {
        TimestampNs(self.0.saturating_mul(1_000_000))
    }
}

impl fmt::Display for TimestampMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A range of milliseconds, both ends inclusive at the nanosecond level: a profile at `t` ns lies in it when
/// `start*1e6 <= t <= end*1e6`. Invariant: `start <= end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimeRange {
    start: TimestampMs,
    end: TimestampMs,
}

impl TimeRange {
    /// A range from milliseconds.
    pub fn new(start: TimestampMs, end: TimestampMs) -> Result<Self, TimeRangeError> {
        if start > end { Err(TimeRangeError { start, end }) } else { Ok(Self { start, end }) }
    }

    /// From an instant on, without end.
    pub fn since(start: TimestampMs) -> Self {
        Self { start, end: TimestampMs(i64::MAX) }
    }

    /// First millisecond.
    pub fn start(self) -> TimestampMs {
        self.start
    }

    /// Last millisecond.
    pub fn end(self) -> TimestampMs {
        self.end
    }

    /// First nanosecond that lies in the range.
    pub fn start_ns(self) -> TimestampNs {
        self.start.to_ns()
    }

    /// Last nanosecond that lies in the range.
    pub fn end_ns(self) -> TimestampNs {
        self.end.to_ns()
    }

    /// Does a profile at this instant lie in the range?
    pub fn contains(self, at: TimestampNs) -> bool {
        self.start_ns() <= at && at <= self.end_ns()
    }

    /// Does the stored span `[min, max]` touch the range?
    pub fn overlaps(self, min: TimestampNs, max: TimestampNs) -> bool {
        self.start_ns() <= max && min <= self.end_ns()
    }
}

/// A range that ends before it starts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("query start time is after end time")]
pub struct TimeRangeError {
    /// The given start.
    pub start: TimestampMs,
    /// The given end.
    pub end: TimestampMs,
}

impl Coded for TimeRangeError {
    fn code(&self) -> ErrorCode {
        ErrorCode::InvalidArgument
    }
}
