//! Which partitions and series a question touches: time, profile type and labels, from metadata alone.

use std::sync::Arc;

use flamelake_block::reader::SeriesEntry;
use flamelake_model::query::{PartialQuery, Selection};
use flamelake_model::{Labels, TimestampNs, label_name};

use crate::{PartitionInfo, ProfileSource, SourceError};
use flamelake_block::pause::pause;

/// Series handed to a source in one call. Between calls the query gives the thread back.
pub(crate) const SERIES_PER_CALL: usize = 256;

/// A question's selection with what is computed once.
pub(crate) struct SeriesFilter<'a> {
    selection: &'a Selection,
    /// Text of the profile type, as label `__profile_type__` has it.
    type_id: Option<String>,
    /// Series that sampling stripped of their stacks answer label questions only.
    stripped: bool,
    pub(crate) from: TimestampNs,
    pub(crate) to: TimestampNs,
}

impl<'a> SeriesFilter<'a> {
    /// For questions about labels: every series counts.
    pub(crate) fn for_labels(query: &PartialQuery, selection: &'a Selection) -> Self {
        let (from, to) = query.rows();
        Self { selection, type_id: selection.profile_type.as_ref().map(ToString::to_string), stripped: true, from, to }
    }

    /// For questions about values: series marked `__sampled__="true"` are left out, unless the selector has something to say of that label.
    pub(crate) fn for_values(query: &'a PartialQuery) -> Self {
        let selection = query.selection();
        let stripped = selection.selector.matchers().iter().any(|matcher| matcher.name() == label_name::SAMPLED);
        Self { stripped, ..Self::for_labels(query, selection) }
    }

    /// No matcher, no type: every series of the range.
    pub(crate) fn takes_all(&self) -> bool {
        self.type_id.is_none() && self.selection.selector.is_empty()
    }

    /// Nothing but services is asked for: partitions match whole or not at all.
    pub(crate) fn is_of_services(&self) -> bool {
        let mut matchers = self.selection.selector.matchers().iter();
        self.type_id.is_none() && matchers.all(|matcher| matcher.name() == label_name::SERVICE_NAME)
    }

    /// Can the partition hold a series of the question?
    pub(crate) fn admits(&self, partition: &PartitionInfo) -> bool {
        self.overlaps(partition.min_time, partition.max_time)
            && self.type_id.as_ref().is_none_or(|id| holds(&partition.profile_types, id))
            && self.selection.selector.admits(label_name::SERVICE_NAME, &partition.service_name)
    }

    /// Does the series belong to the question?
    pub(crate) fn matches(&self, entry: &SeriesEntry) -> bool {
        self.overlaps(entry.min_time, entry.max_time)
            && self.type_id.as_ref().is_none_or(|id| entry.labels.value_or_empty(label_name::PROFILE_TYPE) == id)
            && (self.stripped || !is_stripped(&entry.labels))
            && self.selection.selector.matches(&entry.labels)
    }

    fn overlaps(&self, min: TimestampNs, max: TimestampNs) -> bool {
        self.from <= max && min <= self.to
    }
}

fn holds(sorted: &[Arc<str>], id: &str) -> bool {
    sorted.binary_search_by(|known| known.as_ref().cmp(id)).is_ok()
}

fn is_stripped(labels: &Labels) -> bool {
    labels.get(label_name::SAMPLED) == Some("true")
}

/// The matching series of one partition.
pub(crate) struct SelectedPartition {
    pub(crate) part: u32,
    pub(crate) entries: Arc<[SeriesEntry]>,
    /// Indexes into `entries`, ascending, not empty.
    pub(crate) series: Vec<u32>,
}

/// Partitions with at least one matching series.
pub(crate) async fn select(
    source: &dyn ProfileSource,
    filter: &SeriesFilter<'_>,
) -> Result<Vec<SelectedPartition>, SourceError> {
    let mut selected = Vec::new();
    for partition in source.partitions().iter().filter(|partition| filter.admits(partition)) {
        let entries = source.series(partition.part).await?;
        let series: Vec<u32> =
            (0_u32..).zip(entries.iter()).filter(|(_, e)| filter.matches(e)).map(|(i, _)| i).collect();
        if !series.is_empty() {
            selected.push(SelectedPartition { part: partition.part, entries, series });
        }
        pause().await;
    }
    Ok(selected)
}
