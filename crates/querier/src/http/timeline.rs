//! The strip of bars above a legacy flame graph: a step that suits the range, and a number for each step.

use std::collections::BTreeMap;

use flamelake_api::types::v1;
use flamelake_model::{StatusError, TimestampMs};
use serde::Serialize;

/// Bars that the step of a timeline aims at.
pub(super) const BARS: i64 = 1500;
/// Shortest step, seconds.
const STEP_MIN: i64 = 15;
/// Most bars of all timelines of one answer.
const BARS_MAX: usize = 1_000_000;
/// What groups without the label are called.
const NO_VALUE: &str = "*";

/// Seconds per bar up to which the step of the second column is taken; beyond the last, a year.
const STEPS: [(f64, i64); 19] = [
    (12.5, 10),
    (17.5, 15),
    (25.0, 20),
    (45.0, 30),
    (90.0, 60),
    (210.0, 120),
    (450.0, 300),
    (750.0, 600),
    (1_050.0, 900),
    (1_500.0, 1_200),
    (2_700.0, 1_800),
    (5_400.0, 3_600),
    (9_000.0, 7_200),
    (16_200.0, 10_800),
    (32_400.0, 21_600),
    (86_400.0, 43_200),
    (604_800.0, 86_400),
    (1_814_400.0, 604_800),
    (3_628_800.0, 2_592_000),
];
/// A year.
const STEP_MAX: i64 = 31_536_000;

/// Seconds between the bars of a range, which shall be about so many.
pub(super) fn step_seconds(from: TimestampMs, until: TimestampMs, bars: i64) -> i64 {
    let per_bar = until.0.saturating_sub(from.0) as f64 / 1_000.0 / bars as f64;
    let step = STEPS.iter().find(|(most, _)| per_bar <= *most).map_or(STEP_MAX, |(_, step)| *step);
    step.max(STEP_MIN)
}

/// As clients read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Timeline {
    start_time: i64,
    samples: Vec<u64>,
    duration_delta: i64,
    /// Always `null`.
    watermarks: Option<()>,
}

/// Where the bars of one answer lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    start: i64,
    bars: usize,
    step: i64,
}

impl Axis {
    /// Both ends go down to a whole step.
    pub(super) fn new(from: TimestampMs, until: TimestampMs, step: i64) -> Self {
        let start = from.0.div_euclid(1_000).div_euclid(step);
        let end = until.0.div_euclid(1_000).div_euclid(step);
        Self { start: start * step, bars: usize::try_from(end - start).unwrap_or(0), step }
    }

    /// The strip of an answer of one series; of any other number of them, zeros.
    pub(super) fn timeline(self, series: &[v1::Series]) -> Result<Timeline, StatusError> {
        self.check(1)?;
        let mut timeline = self.empty();
        if let [one] = series {
            self.fill(&mut timeline, one);
        }
        Ok(timeline)
    }

    /// A strip for each value of a label.
    pub(super) fn groups(self, label: &str, series: &[v1::Series]) -> Result<BTreeMap<String, Timeline>, StatusError> {
        self.check(series.len() + 1)?;
        let mut groups = BTreeMap::new();
        for one in series {
            let value = one.labels.iter().find(|pair| pair.name == label).map_or(NO_VALUE, |pair| &pair.value);
            self.fill(groups.entry(value.to_owned()).or_insert_with(|| self.empty()), one);
        }
        Ok(groups)
    }

    fn check(self, timelines: usize) -> Result<(), StatusError> {
        if self.bars.saturating_mul(timelines) <= BARS_MAX {
            return Ok(());
        }
        Err(StatusError::resource_exhausted(format!(
            "the answer has more than {BARS_MAX} bars: shorten the range or group by a label with fewer values"
        )))
    }

    fn empty(self) -> Timeline {
        Timeline { start_time: self.start, samples: vec![0; self.bars], duration_delta: self.step, watermarks: None }
    }

    /// Adds a series' points. One at the very end has no bar.
    fn fill(self, timeline: &mut Timeline, series: &v1::Series) {
        for point in &series.points {
            let after_start = point.timestamp.saturating_sub(self.start.saturating_mul(1_000));
            let bar = usize::try_from(after_start.div_euclid(self.step.saturating_mul(1_000)));
            if let Some(bar) = bar.ok().and_then(|bar| timeline.samples.get_mut(bar)) {
                *bar = bar.saturating_add(point.value as u64);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(pod: &str, points: &[(i64, f64)]) -> v1::Series {
        let point = |&(timestamp, value): &(i64, f64)| v1::Point { timestamp, value, ..v1::Point::default() };
        let pods = [pod].into_iter().filter(|pod| !pod.is_empty());
        v1::Series {
            labels: pods.map(|pod| v1::LabelPair { name: "pod".to_owned(), value: pod.to_owned() }).collect(),
            points: points.iter().map(point).collect(),
        }
    }

    #[test]
    fn steps_suit_the_range() {
        let hour = 3_600;
        for (range, step) in [
            (0, 15),
            (hour, 15),
            (6 * hour, 15),
            (12 * hour, 30),
            (24 * hour, 60),
            (7 * 24 * hour, 300),
            (30 * 24 * hour, 1_800),
            (365 * 24 * hour, 21_600),
            (i64::MAX / 1_000, STEP_MAX),
        ] {
            assert_eq!(step_seconds(TimestampMs(0), TimestampMs(range * 1_000), BARS), step, "{range}");
        }
    }

    #[test]
    fn points_fall_into_bars() {
        let axis = Axis::new(TimestampMs(104_000), TimestampMs(151_000), 15);
        let one = [series("p", &[(104_000, 1.0), (119_999, 2.0), (134_000, 4.0), (150_000, 8.0)])];
        let timeline = axis.timeline(&one).unwrap();
        assert_eq!((timeline.start_time, timeline.duration_delta), (90, 15));
        assert_eq!(timeline.samples, [1, 2, 4, 0], "a point at the end has no bar");
        let two = [series("p", &[(105_000, 1.0)]), series("q", &[(105_000, 1.0)])];
        assert_eq!(axis.timeline(&two).unwrap().samples, [0; 4], "only one series fills it");
        let json = serde_json::to_string(&Axis::new(TimestampMs(0), TimestampMs(15_000), 15).empty()).unwrap();
        assert_eq!(json, r#"{"startTime":0,"samples":[0],"durationDelta":15,"watermarks":null}"#);
    }

    #[test]
    fn groups_are_named_by_the_label() {
        let axis = Axis::new(TimestampMs(0), TimestampMs(30_000), 15);
        let all = [series("p", &[(0, 1.0)]), series("", &[(15_000, 2.0)]), series("p", &[(0, 4.0)])];
        let groups = axis.groups("pod", &all).unwrap();
        let samples: Vec<(&str, &[u64])> = groups.iter().map(|(name, line)| (name.as_str(), &*line.samples)).collect();
        assert_eq!(samples, [("*", &[0, 2][..]), ("p", &[5, 0][..])]);
    }

    #[test]
    fn bars_are_bounded() {
        let axis = Axis::new(TimestampMs(0), TimestampMs(i64::MAX), 15);
        assert!(axis.timeline(&[]).is_err());
        assert!(Axis::new(TimestampMs(9), TimestampMs(1), 15).timeline(&[]).unwrap().samples.is_empty());
    }
}
