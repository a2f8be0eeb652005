//! Several blocks to one, a partition at a time.
//!
//! In memory at once: what one service needs of all sources (index, symbols), its rows up to a bound, and what of the result is encoded but no full part of
//! an upload yet. A service with
//! more rows than the bound becomes several partitions, cut between series, and a series with more is cut in time. Symbols are merged by content; the block writer renumbers them in preorder.
//! A profile that several sources hold (a retry that reached two ingesters) is stored once: same series, same profile id.

mod rows;
mod slices;
mod uploads;

use std::collections::BTreeMap;
use std::sync::Arc;

use flamelake_block::meta::{LogRange, Ulid};
use flamelake_block::reader::{BlockReader, SymbolDetail};
use flamelake_block::rows::{PartitionRows, ProfileRow};
use flamelake_block::writer::{BlockIdentity, BlockWriter, FinishedBlock, block_folder};
use flamelake_model::{Labels, TenantId, TimeRange, TimestampNs};
use flamelake_object_storage::Bucket;
use flamelake_symbols::{SymbolSource, SymbolTable};

use self::rows::RowsMerger;
use self::slices::slices;
use self::uploads::Uploads;
use crate::delete::Doomed;
use crate::error::MergeError;

/// Memory of a sample at hand: its stack and value, once read and once more on the way into the file.
const SAMPLE_BYTES: u64 = 24;
/// The same of a sample that may have a span and a trace.
const SAMPLE_WITH_IDS_BYTES: u64 = 72;
/// Memory of a profile at hand.
const PROFILE_BYTES: u64 = 80;

/// A merged block, of which only full parts of large files are stored yet, and what was met on the way.
#[derive(Debug)]
pub(crate) struct Merged {
    pub(crate) block: FinishedBlock,
    pub(crate) uploads: Uploads,
    pub(crate) counts: Counts,
}

/// Rows met in the sources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) profiles: u64,
    pub(crate) samples: u64,
    /// Profiles left out because an earlier source holds them.
    pub(crate) duplicates: u64,
    /// Profiles, and their samples, left out because they are to be deleted.
    pub(crate) deleted_profiles: u64,
    pub(crate) deleted_samples: u64,
}

/// One partition of one source.
#[derive(Debug)]
struct Input {
    /// Index into the readers.
    source: usize,
    part: u16,
    /// Ids in the merged symbols of its stacks; `None`: as they are.
    stacks: Option<Vec<u32>>,
    /// Memory of one of its samples at hand.
    sample_bytes: u64,
}

impl Input {
    /// Memory of a profile and its samples.
    fn row_bytes(&self, row: &ProfileRow) -> u64 {
        PROFILE_BYTES + row_samples(row) * self.sample_bytes
    }
}

/// One series of the result.
#[derive(Clone, Debug, Default)]
struct MergedSeries {
    labels: Labels,
    /// (index into the inputs, series there).
    from: Vec<(usize, u32)>,
    bytes: u64,
    samples: u64,
    /// Rows in this range go.
    doomed: Option<TimeRange>,
}

impl MergedSeries {
    fn dooms(&self, row: &ProfileRow) -> bool {
        self.doomed.is_some_and(|range| range.contains(TimestampNs(row.time_ns)))
    }
}

fn row_samples(row: &ProfileRow) -> u64 {
    u64::from(row.samples_end.saturating_sub(row.samples_start))
}

/// What to make of what.
#[derive(Debug)]
pub(crate) struct MergeJob<'a> {
    /// Id of the result.
    pub(crate) ulid: Ulid,
    /// Level of the result.
    pub(crate) level: u32,
    pub(crate) sources: &'a [Ulid],
    /// Bounds the rows at hand.
    pub(crate) rows_bytes_max: u64,
    /// Rows that are left out.
    pub(crate) doomed: Option<&'a Doomed>,
}

/// Reads the sources and encodes the result, which has no partition if no row is left.
pub(crate) async fn merge(bucket: &Bucket, tenant: &TenantId, job: MergeJob<'_>) -> Result<Merged, MergeError> {
    let mut uploads = Uploads::new(bucket.clone(), block_folder(tenant, job.ulid));
    match Box::pin(encode(bucket, tenant, job, &mut uploads)).await {
        Ok((block, counts)) => Ok(Merged { block, uploads, counts }),
        Err(error) => {
            uploads.abort().await;
            Err(error)
        }
    }
}

async fn encode(
    bucket: &Bucket,
    tenant: &TenantId,
    job: MergeJob<'_>,
    uploads: &mut Uploads,
) -> Result<(FinishedBlock, Counts), MergeError> {
    let MergeJob { ulid, level, sources, rows_bytes_max, doomed } = job;
    let mut readers = Vec::with_capacity(sources.len());
    for block in sources {
        let reader = BlockReader::open(bucket.clone(), tenant, *block).await;
        readers.push(reader.map_err(|source| MergeError::Read { block: *block, source })?);
    }
    let log_ranges = log_ranges(readers.iter().flat_map(|reader| reader.meta().log_ranges.iter()));
    let mut writer = BlockWriter::new(ulid)?.with_rollups()?;
    let mut counts = Counts::default();
    for (service, mut inputs) in inputs_by_service(&readers).await? {
        let symbols = merge_symbols(&readers, &mut inputs).await?;
        let series = all_series(&readers, &inputs, doomed).await?;
        for slice in slices(&readers, &inputs, series, rows_bytes_max).await? {
            let mut series = RowsMerger::new(&readers, &inputs, rows_bytes_max).rows(&slice, &mut counts).await?;
            series.retain(|one| !one.profiles.is_empty());
            if series.is_empty() {
                continue;
            }
            let rows = PartitionRows { service_name: service.clone(), symbols: Arc::clone(&symbols), series };
            let write = move || writer.write_partition(rows).map(|()| writer);
            writer = flamelake_runtime::spawn_blocking(write).await.map_err(|_| MergeError::WriterDied)??;
            uploads.add(writer.take_parts()).await?;
        }
        for input in inputs {
            readers[input.source].forget(input.part);
        }
    }
    let identity = BlockIdentity { ulid, tenant: tenant.clone(), level, log_ranges, sources: sources.to_vec() };
    let finish = move || writer.finish(identity);
    let block = flamelake_runtime::spawn_blocking(finish).await.map_err(|_| MergeError::WriterDied)??;
    Ok((block, counts))
}

/// In order of service; of one service in order of sources.
async fn inputs_by_service(readers: &[BlockReader]) -> Result<BTreeMap<String, Vec<Input>>, MergeError> {
    let mut services: BTreeMap<String, Vec<Input>> = BTreeMap::new();
    for (source, reader) in readers.iter().enumerate() {
        for partition in &reader.meta().partitions {
            let has_ids = reader.has_ids(partition.part).await;
            let has_ids = has_ids.map_err(|source| MergeError::Read { block: reader.meta().ulid, source })?;
            let sample_bytes = if has_ids { SAMPLE_WITH_IDS_BYTES } else { SAMPLE_BYTES };
            let input = Input { source, part: partition.part, stacks: None, sample_bytes };
            services.entry(partition.service_name.clone()).or_default().push(input);
        }
    }
    Ok(services)
}

/// Symbols of all inputs, each of which learns its stacks' ids in them.
async fn merge_symbols(readers: &[BlockReader], inputs: &mut [Input]) -> Result<Arc<dyn SymbolSource>, MergeError> {
    let symbols_of = async |input: &Input| {
        let reader = &readers[input.source];
        let symbols = reader.symbols(input.part, SymbolDetail::Locations).await;
        symbols.map_err(|source| MergeError::Read { block: reader.meta().ulid, source })
    };
    if let [only] = inputs {
        return symbols_of(only).await;
    }
    let mut table = SymbolTable::new();
    for input in inputs {
        let symbols = symbols_of(input).await?;
        input.stacks = Some(table.absorb(&*symbols));
    }
    Ok(Arc::new(table.snapshot()))
}

/// Distinct label sets in order, with where their rows lie.
async fn all_series(
    readers: &[BlockReader],
    inputs: &[Input],
    doomed: Option<&Doomed>,
) -> Result<Vec<MergedSeries>, MergeError> {
    let mut merged: BTreeMap<Labels, MergedSeries> = BTreeMap::new();
    for (at, input) in inputs.iter().enumerate() {
        let reader = &readers[input.source];
        let failed = |source| MergeError::Read { block: reader.meta().ulid, source };
        let entries = reader.series(input.part).await.map_err(failed)?;
        let ids: Vec<u32> = (0..entries.len() as u32).collect();
        let mut sizes = vec![(0_u64, 0_u64); entries.len()];
        let mut measure = |series: u32, profiles: &[ProfileRow]| {
            let (bytes, samples) = &mut sizes[series as usize];
            *bytes += profiles.iter().map(|row| input.row_bytes(row)).sum::<u64>();
            *samples += profiles.iter().map(row_samples).sum::<u64>();
        };
        reader
            .profiles(input.part, &ids, TimestampNs(i64::MIN), TimestampNs(i64::MAX), &mut measure)
            .await
            .map_err(failed)?;
        for ((series, entry), (bytes, samples)) in (0..).zip(entries.iter()).zip(sizes) {
            let one = merged.entry(entry.labels.clone()).or_default();
            one.from.push((at, series));
            one.bytes += bytes;
            one.samples += samples;
        }
    }
    let range = |labels: &Labels| doomed.filter(|doomed| doomed.takes_series(labels)).map(|doomed| doomed.range);
    Ok(merged.into_iter().map(|(labels, one)| MergedSeries { doomed: range(&labels), labels, ..one }).collect())
}

/// The ranges of all sources; of one log, ranges that touch become one.
fn log_ranges<'a>(ranges: impl Iterator<Item = &'a LogRange>) -> Vec<LogRange> {
    let mut sorted: Vec<&LogRange> = ranges.collect();
    sorted.sort_by_key(|range| (&range.log, range.from, range.to));
    let mut out: Vec<LogRange> = Vec::new();
    for range in sorted {
        match out.last_mut() {
            Some(last) if last.log == range.log && range.from <= last.to => last.to = last.to.max(range.to),
            _ => out.push(range.clone()),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn touching_ranges_of_a_log_become_one() {
        let range = |log: &str, from, to| LogRange { log: log.to_owned(), from, to };
        let ranges = [range("b", 5, 9), range("a", 10, 20), range("a", 0, 4), range("a", 4, 7), range("b", 5, 9)];
        let merged = log_ranges(ranges.iter());
        assert_eq!(merged, [range("a", 0, 7), range("a", 10, 20), range("b", 5, 9)]);
    }
}
