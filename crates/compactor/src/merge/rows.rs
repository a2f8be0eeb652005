//! Rows of some series from all inputs, each profile once.

use std::collections::{BTreeMap, HashSet};

use flamelake_block::reader::{BlockReader, SampleBatch, SampleColumns};
use flamelake_block::rows::{ProfileRow, SeriesRows};
use flamelake_block::writer::WriteError;
use flamelake_model::{ProfileId, TimeRange, TimestampNs};

use super::slices::Slice;
use super::{Counts, Input, MergedSeries};
use crate::error::MergeError;

/// Reads from these inputs.
#[derive(Debug)]
pub(super) struct RowsMerger<'a> {
    readers: &'a [BlockReader],
    inputs: &'a [Input],
    /// A series with more is read in slices.
    bytes_max: u64,
}

/// A series as it grows.
#[derive(Debug)]
struct Growing<'a> {
    rows: SeriesRows,
    /// The source that is being read.
    source: usize,
    /// Ids of profiles from the sources before it.
    seen: HashSet<ProfileId>,
    /// See [`Slice::repeated`].
    repeated: &'a HashSet<(usize, ProfileId)>,
    /// Rows in this range go.
    doomed: Option<TimeRange>,
    is_too_large: bool,
}

/// What becomes of a profile.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Kept,
    Duplicate,
    Deleted,
}

impl<'a> RowsMerger<'a> {
    pub(super) fn new(readers: &'a [BlockReader], inputs: &'a [Input], bytes_max: u64) -> Self {
        Self { readers, inputs, bytes_max }
    }

    /// All rows of a slice, series in the order given; profiles of a series come in no order, as the writer sorts them.
    pub(super) async fn rows(&self, slice: &Slice, counts: &mut Counts) -> Result<Vec<SeriesRows>, MergeError> {
        let mut growing: Vec<Growing<'_>> =
            slice.series.iter().map(|one| Growing::new(one, &slice.repeated, self.bytes_max)).collect();
        for (at, input) in self.inputs.iter().enumerate() {
            let wanted: BTreeMap<u32, usize> = slice
                .series
                .iter()
                .enumerate()
                .flat_map(|(to, one)| one.from.iter().filter(|(input, _)| *input == at).map(move |from| (from.1, to)))
                .collect();
            self.read(input, &wanted, (slice.from, slice.to), &mut growing, counts).await?;
        }
        if growing.iter().any(|one| one.is_too_large) {
            let block = self.readers.first().map(|reader| reader.meta().ulid).unwrap_or_default();
            return Err(WriteError::TooLarge { block, what: "more than 2^32 samples in a series" }.into());
        }
        Ok(growing.into_iter().map(|one| one.rows).collect())
    }

    async fn read(
        &self,
        input: &Input,
        wanted: &BTreeMap<u32, usize>,
        (from, to): (TimestampNs, TimestampNs),
        growing: &mut [Growing<'_>],
        counts: &mut Counts,
    ) -> Result<(), MergeError> {
        for to in wanted.values() {
            growing[*to].start_source(input.source);
        }
        let reader = &self.readers[input.source];
        let ids: Vec<u32> = wanted.keys().copied().collect();
        let columns = SampleColumns { spans: true, traces: true };
        let mut take = |batch: SampleBatch<'_>| {
            if let Some(to) = wanted.get(&batch.series) {
                growing[*to].append(&batch, input.stacks.as_deref(), counts);
            }
        };
        let read = reader.samples(input.part, &ids, from, to, columns, &mut take).await;
        read.map_err(|source| MergeError::Read { block: reader.meta().ulid, source })
    }
}

impl<'a> Growing<'a> {
    fn new(series: &MergedSeries, repeated: &'a HashSet<(usize, ProfileId)>, bytes_max: u64) -> Self {
        let (mut stacks, mut values) = (Vec::new(), Vec::new());
        // All of them at once, where the series is whole: growing by doubling moves them again and again.
        if series.bytes <= bytes_max {
            stacks.reserve(series.samples as usize);
            values.reserve(series.samples as usize);
        }
        let rows = SeriesRows { labels: series.labels.clone(), stacks, values, ..SeriesRows::default() };
        Self { rows, source: 0, seen: HashSet::new(), repeated, doomed: series.doomed, is_too_large: false }
    }

    /// Rows from here on may repeat what earlier sources held; what one source holds twice, it was told twice.
    fn start_source(&mut self, source: usize) {
        if self.source != source {
            self.source = source;
            self.seen.extend(self.rows.profiles.iter().map(|row| row.id));
        }
    }

    fn append(&mut self, batch: &SampleBatch<'_>, stacks: Option<&[u32]>, counts: &mut Counts) {
        counts.profiles += batch.profiles.len() as u64;
        counts.samples += batch.stacks.len() as u64;
        // Whole runs are copied at once; mostly the batch is one.
        let Self { rows, source, seen, repeated, doomed, is_too_large } = self;
        let fate = |row: &ProfileRow| {
            if doomed.is_some_and(|range| range.contains(TimestampNs(row.time_ns))) {
                Fate::Deleted
            } else if seen.contains(&row.id) || repeated.contains(&(*source, row.id)) {
                Fate::Duplicate
            } else {
                Fate::Kept
            }
        };
        for run in batch.profiles.chunk_by(|a, b| fate(a) == fate(b)) {
            match fate(&run[0]) {
                Fate::Duplicate => counts.duplicates += run.len() as u64,
                Fate::Deleted => {
                    counts.deleted_profiles += run.len() as u64;
                    counts.deleted_samples +=
                        run.iter().map(|row| u64::from(row.samples_end - row.samples_start)).sum::<u64>();
                }
                Fate::Kept => copy(rows, batch, run, stacks).unwrap_or_else(|| *is_too_large = true),
            }
        }
    }
}

/// Adds consecutive profiles of a batch; `None` if samples can no longer be numbered.
fn copy(rows: &mut SeriesRows, batch: &SampleBatch<'_>, run: &[ProfileRow], stacks: Option<&[u32]>) -> Option<()> {
    let (first, last) = (run.first()?, run.last()?);
    let range = first.samples_start as usize..last.samples_end as usize;
    let start = u32::try_from(rows.stacks.len()).ok()?;
    let end = u32::try_from(rows.stacks.len() + range.len()).ok()?;
    rows.profiles.extend(run.iter().map(|row| ProfileRow {
        samples_start: start + (row.samples_start - first.samples_start),
        samples_end: start + (row.samples_end - first.samples_start),
        ..*row
    }));
    match stacks {
        None => rows.stacks.extend_from_slice(&batch.stacks[range.clone()]),
        Some(new) => rows.stacks.extend(batch.stacks[range.clone()].iter().map(|stack| new[*stack as usize])),
    }
    rows.values.extend_from_slice(&batch.values[range.clone()]);
    extend(&mut rows.spans, batch.spans.get(range.clone()), start as usize, end as usize, 0);
    extend(&mut rows.traces, batch.traces.get(range), start as usize, end as usize, [0; 16]);
    Some(())
}

/// A column that is empty while no sample has a value.
fn extend<T: Copy>(column: &mut Vec<T>, more: Option<&[T]>, start: usize, end: usize, none: T) {
    if let Some(more) = more.filter(|more| !more.is_empty()) {
        column.resize(start, none);
        column.extend_from_slice(more);
    }
    if !column.is_empty() {
        column.resize(end, none);
    }
}
