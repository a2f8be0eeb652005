//! Partial series of several parts to one: sums by group and point.

use std::collections::BTreeMap;

use crate::query::{PartialExemplar, PartialPoint, PartialTimeSeries};
use crate::TimestampMs;

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
    into.exemplar = match (into.exemplar.take(), point.exemplar) {
        (Some(left), Some(right)) => Some(better(left, right)),
        (left, right) => left.or(right),
    };
}

/// The higher value; of equal ones the smaller id.
fn better(left: PartialExemplar, right: PartialExemplar) -> PartialExemplar {
    if (right.value, left.profile_id) > (left.value, right.profile_id) { right } else { left }
}
