//! Row filters: whole profiles by id, samples by span and trace.

use flamelake_block::reader::{SampleBatch, SampleColumns};
use flamelake_block::rows::ProfileRow;
use flamelake_model::ProfileId;
use flamelake_model::query::SampleFilter;

/// The row part of a [`SampleFilter`], ready for look-ups. The call site is tested per stack, not per row.
pub(crate) struct RowFilter {
    profiles: Vec<ProfileId>,
    spans: Vec<u64>,
    traces: Vec<[u8; 16]>,
}

impl RowFilter {
    pub(crate) fn new(filter: &SampleFilter) -> Self {
        Self {
            profiles: sorted(&filter.profile_ids),
            spans: sorted(&filter.span_ids),
            traces: sorted(&filter.trace_ids),
        }
    }

    /// Columns to read.
    pub(crate) fn columns(&self) -> SampleColumns {
        SampleColumns { spans: !self.spans.is_empty(), traces: !self.traces.is_empty() }
    }

    /// Is this profile one of the wanted?
    pub(crate) fn takes_profile(&self, profile: &ProfileRow) -> bool {
        self.profiles.is_empty() || self.profiles.binary_search(&profile.id).is_ok()
    }

    /// Is nothing left out?
    pub(crate) fn takes_all(&self) -> bool {
        self.profiles.is_empty() && self.takes_every_sample()
    }

    fn takes_every_sample(&self) -> bool {
        self.spans.is_empty() && self.traces.is_empty()
    }

    /// An absent column means that no sample has such an id, and 0 is no id: neither ever matches.
    fn takes_sample(&self, batch: &SampleBatch<'_>, at: usize) -> bool {
        let span = self.spans.is_empty()
            || batch.spans.get(at).is_some_and(|id| *id != 0 && self.spans.binary_search(id).is_ok());
        span && (self.traces.is_empty()
            || batch.traces.get(at).is_some_and(|id| *id != [0; 16] && self.traces.binary_search(id).is_ok()))
    }

    /// Calls `take(stack, value)` for the samples of a profile that pass.
    pub(crate) fn each_sample(&self, batch: &SampleBatch<'_>, profile: &ProfileRow, mut take: impl FnMut(u32, i64)) {
        let (start, end) = (profile.samples_start as usize, profile.samples_end as usize);
        let (Some(stacks), Some(values)) = (batch.stacks.get(start..end), batch.values.get(start..end)) else {
            debug_assert!(false, "sample range outside its batch");
            return;
        };
        let rows = (start..).zip(stacks.iter().zip(values));
        if self.takes_every_sample() {
            rows.for_each(|(_, (&stack, &value))| take(stack, value));
        } else {
            rows.filter(|(at, _)| self.takes_sample(batch, *at)).for_each(|(_, (&stack, &value))| take(stack, value));
        }
    }
}

fn sorted<T: Ord + Copy>(ids: &[T]) -> Vec<T> {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    ids.dedup();
    ids
}
