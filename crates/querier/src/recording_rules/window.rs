//! Windows of time: which comes next, and what came out of one.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Time after `start_ms` up to and including `end_ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start_ms: i64,
    pub(super) end_ms: i64,
}

impl Span {
    pub(super) fn seconds(self) -> f64 {
        (self.end_ms - self.start_ms) as f64 / 1000.0
    }
}

/// What came out, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Window {
    pub(super) start_ms: i64,
    pub(super) end_ms: i64,
    pub(super) rules: Vec<Outcome>,
}

/// Of one rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Outcome {
    pub(super) id: String,
    pub(super) generation: i64,
    pub(super) series: Vec<Series>,
    /// Why there is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) failed: Option<String>,
}

/// One sample.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Series {
    /// With the metric's name, in the order of the names.
    pub(super) labels: BTreeMap<String, String>,
    pub(super) value: i64,
}

/// When windows end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    pub(super) interval_ms: i64,
    pub(super) delay_ms: i64,
    pub(super) catch_up_ms: i64,
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// This window; so many milliseconds before it are skipped.
    Due { span: Span, skipped_ms: i64 },
    /// Nothing before this Unix time.
    At { ms: i64, end_ms: i64 },
}

impl Schedule {
    pub(super) fn new(interval: Duration, delay: Duration, catch_up: Duration) -> Self {
        let ms = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4);
        Self { interval_ms: ms(interval).max(1), delay_ms: ms(delay), catch_up_ms: ms(catch_up) }
    }

    /// The window after the one that ended at `last_end_ms`, for rules of which the first was created at `created_at_ms`.
    pub(super) fn next(&self, last_end_ms: Option<i64>, created_at_ms: i64, now_ms: i64) -> Next {
        let first = self.floor(created_at_ms);
        let wanted = last_end_ms.unwrap_or(first).max(first);
        let horizon = now_ms.saturating_sub(self.delay_ms);
        let oldest = self.floor(horizon.saturating_sub(self.catch_up_ms));
        let start_ms = wanted.max(oldest);
        let end_ms = self.floor(start_ms).saturating_add(self.interval_ms);
        if end_ms > horizon {
            return Next::At { ms: end_ms.saturating_add(self.delay_ms), end_ms };
        }
        Next::Due { span: Span { start_ms, end_ms }, skipped_ms: start_ms - wanted }
    }

    /// Is a window that ended then still of use?
    pub(super) fn is_kept(&self, end_ms: i64, now_ms: i64) -> bool {
        end_ms >= self.floor(now_ms.saturating_sub(self.delay_ms).saturating_sub(self.catch_up_ms))
    }

    fn floor(&self, ms: i64) -> i64 {
        ms.saturating_sub(ms.rem_euclid(self.interval_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;

    fn schedule() -> Schedule {
        Schedule::new(Duration::from_secs(60), Duration::from_secs(30), Duration::from_secs(600))
    }

    fn due(start: i64, end: i64, skipped: i64) -> Next {
        let span = Span { start_ms: start * MINUTE, end_ms: end * MINUTE };
        Next::Due { span, skipped_ms: skipped * MINUTE }
    }

    #[test]
    fn windows_follow_each_other_after_their_delay() {
        let next =
            |last: Option<i64>, now_ms| schedule().next(last.map(|minute| minute * MINUTE), 100 * MINUTE + 5, now_ms);
        let wait = |end: i64| Next::At { ms: end * MINUTE + 30_000, end_ms: end * MINUTE };
        assert_eq!(next(None, 100 * MINUTE + 6), wait(101));
        assert_eq!(next(None, 101 * MINUTE + 29_999), wait(101));
        assert_eq!(next(None, 101 * MINUTE + 30_000), due(100, 101, 0));
        assert_eq!(next(Some(101), 101 * MINUTE + 30_000), wait(102));
        assert_eq!(next(Some(101), 110 * MINUTE), due(101, 102, 0));
        // After a time without rules: from the first of the new ones on.
        assert_eq!(next(Some(3), 101 * MINUTE + 30_000), due(100, 101, 0));
    }

    #[test]
    fn what_lies_too_far_back_is_skipped() {
        let next = |last: i64, now: i64| schedule().next(Some(last * MINUTE), 0, now * MINUTE + 30_000);
        assert_eq!(next(100, 110), due(100, 101, 0));
        assert_eq!(next(100, 115), due(105, 106, 5));
        assert!(schedule().is_kept(100 * MINUTE, 110 * MINUTE + 30_000));
        assert!(!schedule().is_kept(99 * MINUTE, 110 * MINUTE + 30_000));
    }

    #[test]
    fn another_interval_neither_overlaps_nor_leaves_a_gap() {
        let two = Schedule { interval_ms: 2 * MINUTE, ..schedule() };
        assert_eq!(two.next(Some(101 * MINUTE), 0, 110 * MINUTE), due(101, 102, 0));
        assert_eq!(two.next(Some(102 * MINUTE), 0, 110 * MINUTE), due(102, 104, 0));
    }
}
