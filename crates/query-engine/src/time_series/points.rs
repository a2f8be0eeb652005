//! The points of one group.

use std::collections::{BTreeMap, HashMap};

use flamelake_block::rows::ProfileRow;
use flamelake_model::query::{PartialExemplar, PartialPoint};
use flamelake_model::{Labels, ProfileId, TimestampNs};

use super::grid::Grid;
use crate::labels::{intersect, without};

/// Buckets with data, and who may become their exemplars.
#[derive(Default)]
pub(super) struct Points {
    sums: BTreeMap<u64, (i64, u64)>,
    candidates: HashMap<(u64, ProfileId), Candidate, foldhash::fast::RandomState>,
}

/// One profile in one bucket: summed over its series, with the labels that these have in common.
struct Candidate {
    time_ns: i64,
    value: i64,
    labels: Labels,
}

impl Points {
    pub(super) fn add(&mut self, bucket: u64, value: i64) {
        let (sum, profiles) = self.sums.entry(bucket).or_default();
        *sum = sum.wrapping_add(value);
        *profiles += 1;
    }

    pub(super) fn nominate(&mut self, bucket: u64, profile: &ProfileRow, value: i64, labels: &Labels) {
        self.candidates
            .entry((bucket, profile.id))
            .and_modify(|candidate| {
                candidate.time_ns = candidate.time_ns.min(profile.time_ns);
                candidate.value = candidate.value.wrapping_add(value);
                candidate.labels = intersect(&candidate.labels, labels);
            })
            .or_insert_with(|| Candidate { time_ns: profile.time_ns, value, labels: labels.clone() });
    }

    /// Number of points.
    pub(super) fn len(&self) -> usize {
        self.sums.len()
    }

    /// Number of profiles that may become exemplars.
    pub(super) fn candidates(&self) -> usize {
        self.candidates.len()
    }

    /// Points in order of time; exemplars lose the labels that the group is named by.
    pub(super) fn finish(self, grid: &Grid, group_by: &[String]) -> Vec<PartialPoint> {
        let mut best = best(self.candidates, group_by);
        self.sums
            .into_iter()
            .map(|(bucket, (sum, profiles))| PartialPoint {
                timestamp: grid.timestamp(bucket),
                sum,
                profiles,
                exemplar: best.remove(&bucket),
            })
            .collect()
    }
}

/// The highest value of each bucket; of equal ones the smallest id, so that arrival does not matter.
fn best(
    candidates: HashMap<(u64, ProfileId), Candidate, foldhash::fast::RandomState>,
    group_by: &[String],
) -> HashMap<u64, PartialExemplar> {
    let mut best: HashMap<u64, (ProfileId, Candidate)> = HashMap::new();
    for ((bucket, id), candidate) in candidates {
        let better = best.get(&bucket).is_none_or(|(other, known)| (candidate.value, *other) > (known.value, id));
        if better {
            best.insert(bucket, (id, candidate));
        }
    }
    best.into_iter()
        .map(|(bucket, (profile_id, candidate))| {
            let timestamp = TimestampNs(candidate.time_ns).to_ms();
            let labels = without(&candidate.labels, group_by);
            (bucket, PartialExemplar { timestamp, profile_id, value: candidate.value, labels })
        })
        .collect()
}
