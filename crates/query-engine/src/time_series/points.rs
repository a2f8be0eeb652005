//! The points of one group.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use flamelake_block::rows::ProfileRow;
use flamelake_model::query::{PartialExemplar, PartialPoint};
use flamelake_model::{Label, Labels, ProfileId, TimestampNs};

use crate::grid::Grid;
use crate::labels::{intersect, public, without};

/// Buckets with data, and who may become their exemplars.
#[derive(Default)]
pub(super) struct Points {
    sums: BTreeMap<u64, (i64, u64)>,
    candidates: HashMap<(u64, ProfileId), Candidate, foldhash::fast::RandomState>,
    annotations: BTreeMap<u64, BTreeSet<Label>>,
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

    pub(super) fn annotate(&mut self, bucket: u64, annotation: &Label) {
        let annotations = self.annotations.entry(bucket).or_default();
        if annotations.insert(annotation.clone()) && annotations.len() > PartialPoint::ANNOTATIONS_MAX {
            annotations.pop_last();
        }
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
    pub(super) fn finish(mut self, grid: &Grid, group_by: &[String]) -> Vec<PartialPoint> {
        let mut exemplars: HashMap<u64, Vec<PartialExemplar>> = HashMap::new();
        for ((bucket, profile_id), candidate) in self.candidates {
            let timestamp = TimestampNs(candidate.time_ns).to_ms();
            let labels = public(&without(&candidate.labels, group_by));
            let exemplar = PartialExemplar { timestamp, profile_id, value: candidate.value, labels };
            exemplars.entry(bucket).or_default().push(exemplar);
        }
        let mut of = |bucket| {
            let mut exemplars = exemplars.remove(&bucket).unwrap_or_default();
            exemplars.sort_by_key(|exemplar| exemplar.profile_id);
            exemplars
        };
        self.sums
            .into_iter()
            .map(|(bucket, (sum, profiles))| {
                let timestamp = grid.timestamp(bucket);
                let annotations = self.annotations.remove(&bucket).unwrap_or_default().into_iter().collect();
                PartialPoint { timestamp, sum, profiles, exemplars: of(bucket), annotations }
            })
            .collect()
    }
}
