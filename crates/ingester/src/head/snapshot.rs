//! An immutable view of the rows that a query must see: those above the watermarks, as one [`ProfileSource`].

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use flamelake_block::pause::{SAMPLES_BETWEEN_PAUSES, pause};
use flamelake_block::reader::{SampleBatch, SampleColumns, SeriesEntry, SymbolDetail};
use flamelake_block::rows::ProfileRow;
use flamelake_model::{StatusError, TimestampNs};
use flamelake_query_engine::{PartitionInfo, ProfileSource, SourceError};
use flamelake_symbols::SymbolSource;
use hashbrown::HashMap;

use super::TenantHead;
use super::generation::{Generation, PartitionHead, PartitionSymbols};
use super::rows::{Chunk, SeriesHead};

/// See the module.
pub(crate) struct HeadSnapshot {
    partitions: Vec<SnapshotPartition>,
}

struct SnapshotPartition {
    info: PartitionInfo,
    /// Rows at or below it are in blocks; 0 = the whole generation lies above.
    above: u64,
    series: Vec<SeriesHead>,
    entries: OnceLock<Arc<[SeriesEntry]>>,
    symbols: Arc<PartitionSymbols>,
}

impl TenantHead {
    /// Snapshots the rows above `through(log)` that may lie between the two instants. `None` if some of them have left memory already.
    pub(crate) fn snapshot(
        &self,
        rows: (TimestampNs, TimestampNs),
        through: impl Fn(&str) -> u64,
    ) -> Option<HeadSnapshot> {
        let state = self.state.lock();
        if state.dropped.iter().any(|(log, dropped)| through(log) < *dropped) {
            return None;
        }
        let flushing = state.flushing.iter().map(Arc::as_ref);
        let retained = state.retained.iter().map(|retained| retained.generation.as_ref());
        let mut partitions = Vec::new();
        for generation in state.open.values().chain(flushing).chain(retained) {
            let through = through(&generation.log);
            if generation.to > through {
                add_partitions(&mut partitions, generation, through, rows);
            }
        }
        Some(HeadSnapshot { partitions })
    }
}

fn add_partitions(
    out: &mut Vec<SnapshotPartition>,
    generation: &Generation,
    through: u64,
    rows: (TimestampNs, TimestampNs),
) {
    let above = if through <= generation.from { 0 } else { through };
    for partition in generation.partitions.values() {
        if rows.0.0 <= partition.max_time_ns && partition.min_time_ns <= rows.1.0 {
            out.push(SnapshotPartition {
                info: info(partition, out.len() as u32),
                above,
                series: partition.series.clone(),
                entries: OnceLock::new(),
                symbols: Arc::clone(&partition.symbols),
            });
        }
    }
}

fn info(partition: &PartitionHead, part: u32) -> PartitionInfo {
    PartitionInfo {
        part,
        service_name: Arc::clone(&partition.service_name),
        profile_types: partition.profile_types.iter().cloned().collect(),
        native_build_ids: partition.symbols.native_build_ids(),
        min_time: TimestampNs(partition.min_time_ns),
        max_time: TimestampNs(partition.max_time_ns),
    }
}

impl HeadSnapshot {
    /// The answer of an ingester that never met the tenant.
    pub(crate) fn empty() -> Self {
        Self { partitions: Vec::new() }
    }

    fn partition(&self, part: u32) -> Result<&SnapshotPartition, SourceError> {
        self.partitions.get(part as usize).ok_or_else(|| StatusError::internal("no such partition in the head").into())
    }
}

#[async_trait]
impl ProfileSource for HeadSnapshot {
    fn name(&self) -> String {
        "head".to_owned()
    }

    fn partitions(&self) -> Vec<PartitionInfo> {
        self.partitions.iter().map(|partition| partition.info.clone()).collect()
    }

    async fn series(&self, part: u32) -> Result<Arc<[SeriesEntry]>, SourceError> {
        let partition = self.partition(part)?;
        Ok(Arc::clone(partition.entries.get_or_init(|| partition.series.iter().map(entry).collect())))
    }

    async fn profiles(
        &self,
        part: u32,
        series: &[u32],
        from: TimestampNs,
        to: TimestampNs,
        sink: &mut (dyn for<'r> FnMut(u32, &'r [ProfileRow]) + Send),
    ) -> Result<(), SourceError> {
        self.partition(part)?.runs(series, from, to, |series, chunk, run| sink(series, &chunk.profiles[run]));
        Ok(())
    }

    async fn samples(
        &self,
        part: u32,
        series: &[u32],
        from: TimestampNs,
        to: TimestampNs,
        columns: SampleColumns,
        sink: &mut (dyn for<'r> FnMut(SampleBatch<'r>) + Send),
    ) -> Result<(), SourceError> {
        let partition = self.partition(part)?;
        let (mut rows, mut since_pause) = (Vec::new(), 0);
        for one in series.chunks(1) {
            partition.runs(one, from, to, |series, chunk, run| {
                let batch = batch(series, chunk, run, columns, &mut rows);
                since_pause += batch.stacks.len();
                sink(batch);
            });
            if since_pause >= SAMPLES_BETWEEN_PAUSES {
                pause().await;
                since_pause = 0;
            }
        }
        Ok(())
    }

    async fn symbols(&self, part: u32, _detail: SymbolDetail) -> Result<Arc<dyn SymbolSource>, SourceError> {
        Ok(Arc::new(self.partition(part)?.symbols.snapshot()))
    }
}

fn entry(series: &SeriesHead) -> SeriesEntry {
    SeriesEntry {
        labels: series.labels.clone(),
        min_time: TimestampNs(series.min_time_ns),
        max_time: TimestampNs(series.max_time_ns),
    }
}

impl SnapshotPartition {
    /// Calls `run` for each longest run of neighbouring profiles that the query sees.
    fn runs(
        &self,
        series: &[u32],
        from: TimestampNs,
        to: TimestampNs,
        mut run: impl FnMut(u32, &Chunk, std::ops::Range<usize>),
    ) {
        for series in series {
            let Some(head) = self.series.get(*series as usize) else { continue };
            for chunk in &head.chunks {
                let seen = |at: usize| {
                    let time = chunk.profiles[at].time_ns;
                    from.0 <= time && time <= to.0 && chunk.seqs[at] > self.above
                };
                let mut at = 0;
                while at < chunk.profiles.len() {
                    let start = at;
                    while at < chunk.profiles.len() && seen(at) {
                        at += 1;
                    }
                    if start < at {
                        run(*series, chunk, start..at);
                    }
                    at += 1;
                }
            }
        }
    }
}

/// One run as a batch of its own: sample ranges are counted from the run's first sample.
fn batch<'a>(
    series: u32,
    chunk: &'a Chunk,
    run: std::ops::Range<usize>,
    columns: SampleColumns,
    rows: &'a mut Vec<ProfileRow>,
) -> SampleBatch<'a> {
    let profiles = &chunk.profiles[run];
    let first = profiles.first().map_or(0, |row| row.samples_start);
    let samples = first as usize..profiles.last().map_or(0, |row| row.samples_end) as usize;
    rows.clear();
    rows.extend(profiles.iter().map(|row| ProfileRow {
        samples_start: row.samples_start - first,
        samples_end: row.samples_end - first,
        ..*row
    }));
    SampleBatch {
        series,
        profiles: rows,
        stacks: &chunk.stacks[samples.clone()],
        values: &chunk.values[samples.clone()],
        spans: if columns.spans && !chunk.spans.is_empty() { &chunk.spans[samples.clone()] } else { &[] },
        traces: if columns.traces && !chunk.traces.is_empty() { &chunk.traces[samples] } else { &[] },
    }
}

/// A watermark lookup over a request's list.
pub(crate) fn watermark_lookup<'a>(watermarks: impl IntoIterator<Item = (&'a str, u64)>) -> impl Fn(&str) -> u64 {
    let by_log: HashMap<String, u64> = watermarks.into_iter().map(|(log, through)| (log.to_owned(), through)).collect();
    move |log| by_log.get(log).copied().unwrap_or_default()
}
