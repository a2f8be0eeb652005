//! Partial series of several parts to one: sums by group and point.

use std::collections::BTreeMap;

use crate::query::{PartialExemplar, PartialPoint, PartialTimeSeries};
use crate::{Label, TimestampMs};

/// Merges the series of all parts; sorted by group, points ascending. The order of the parts does not matter.
pub fn merge_time_series(parts: impl IntoIterator<Item = Vec<PartialTimeSeries>>) -> Vec<PartialTimeSeries> {
    let mut groups: BTreeMap<Vec<Option<String>>, BTreeMap<TimestampMs, PartialPoint>> = BTreeMap::new();
    for series in parts.into_iter().flatten() {
        let points = groups.entry(series.group).or_default();
        for point in series.points {
            match points.get_mut(&point.timestamp) {
                Some(known) => merge_point(known, point),
                None => drop(points.insert(point.timestamp, point)),
            }
        }
    }
    groups
        .into_iter()
        .map(|(group, points)| PartialTimeSeries { group, points: points.into_values().collect() })
        .collect()
}

fn merge_point(into: &mut PartialPoint, point: PartialPoint) {
    into.sum = into.sum.wrapping_add(point.sum);
    into.profiles += point.profiles;
    into.exemplars.extend(point.exemplars);
    // Both are sorted: a stable sort finds the runs and merges them.
    into.exemplars.sort_by_key(|exemplar| exemplar.profile_id);
    into.exemplars.dedup_by(|piece, exemplar| {
        let same = piece.profile_id == exemplar.profile_id;
        if same {
            exemplar.add(piece);
        }
        same
    });
    merge_annotations(&mut into.annotations, point.annotations);
}

fn merge_annotations(into: &mut Vec<Label>, more: Vec<Label>) {
    if !more.is_empty() {
        into.extend(more);
        into.sort();
        into.dedup();
        into.truncate(PartialPoint::ANNOTATIONS_MAX);
    }
}

impl PartialExemplar {
    /// Adds another piece of the same profile.
    fn add(&mut self, piece: &Self) {
        self.timestamp = self.timestamp.min(piece.timestamp);
        self.value = self.value.wrapping_add(piece.value);
        if self.labels != piece.labels {
            self.labels = self.labels.intersection(&piece.labels);
        }
    }
}

/// Number of exemplar candidates in an answer.
pub fn count_exemplars(parts: &[PartialTimeSeries]) -> usize {
    parts.iter().flat_map(|series| &series.points).map(|point| point.exemplars.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Labels, ProfileId};

    fn series(group: &str, points: &[(i64, i64, u8)]) -> PartialTimeSeries {
        let point = |(at, sum, id): &(i64, i64, u8)| PartialPoint {
            timestamp: TimestampMs(*at),
            sum: *sum,
            profiles: 1,
            exemplars: vec![PartialExemplar {
                timestamp: TimestampMs(*at),
                profile_id: ProfileId([*id; 16]),
                value: *sum,
                labels: Labels::default(),
            }],
            annotations: Vec::new(),
        };
        PartialTimeSeries { group: vec![Some(group.to_owned())], points: points.iter().map(point).collect() }
    }

    fn text(series: &[PartialTimeSeries]) -> String {
        let point = |point: &PartialPoint| {
            let (id, value) = point.exemplar().map_or((0, 0), |exemplar| (exemplar.profile_id.0[0], exemplar.value));
            format!("{}:{}/{}#{id}={value}", point.timestamp, point.sum, point.profiles)
        };
        let line = |series: &PartialTimeSeries| {
            let points: Vec<String> = series.points.iter().map(point).collect();
            format!("{} {}", series.group[0].as_deref().unwrap_or("-"), points.join(" "))
        };
        series.iter().map(line).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn parts_merge_in_any_order() {
        let parts = [
            vec![series("b", &[(10, 1, 1), (30, 5, 9)])],
            vec![series("a", &[(10, 2, 2)]), series("b", &[(20, 3, 3), (30, 5, 4)])],
            vec![series("b", &[(30, 4, 1), (20, 3, 3)])],
            vec![series("b", &[(20, 5, 7)])],
        ];
        let expected = "a 10:2/1#2=2, b 10:1/1#1=1 20:11/3#3=6 30:14/3#4=5";
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 2, 0]] {
            assert_eq!(text(&merge_time_series(order.map(|at| parts[at].clone()))), expected);
        }
        let [first, second, third, fourth] = parts;
        let nested = merge_time_series([merge_time_series([third, first]), merge_time_series([fourth, second])]);
        assert_eq!(text(&nested), expected);
    }

    #[test]
    fn annotations_are_told_once_and_bounded() {
        let noted = |values: std::ops::Range<usize>| {
            let mut part = series("a", &[(10, 1, 1)]);
            part.points[0].annotations =
                values.map(|value| Label { name: "k".into(), value: format!("{value:03}").into() }).collect();
            vec![part]
        };
        let values = |parts: [std::ops::Range<usize>; 3]| {
            let merged = merge_time_series(parts.map(noted));
            let annotations = &merged[0].points[0].annotations;
            annotations.iter().map(|label| label.value.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(values([0..2, 1..3, 0..0]), ["000", "001", "002"]);
        let all = values([0..60, 50..90, 10..20]);
        assert_eq!((all.len(), all[63].as_str()), (PartialPoint::ANNOTATIONS_MAX, "063"));
        assert_eq!(values([10..20, 50..90, 0..60]), all);
    }
}
