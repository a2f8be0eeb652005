//! Cuts a tenant's head into a block (several only for very many services) and commits it together with the log it covers: one step,
//! so that each row is in the log or in a block, never in both or neither (promise P2).

use std::collections::BTreeMap;
use std::sync::Arc;

use flamelake_block::meta::{BlockMeta, LogRange};
use flamelake_block::rows::{PartitionRows, SeriesRows};
use flamelake_block::writer::{BlockIdentity, FinishedBlock, PARTITIONS_MAX, block_folder, write_block};
use flamelake_catalog::{CatalogError, CatalogState, Commit, CommitOutcome};
use flamelake_model::{Labels, TenantId};
use tracing::field::Empty;
use tracing::{Instrument as _, Span, debug, info, warn};

use crate::error::IngesterError;
use crate::head::generation::{Generation, PartitionHead};
use crate::head::rows::{Chunk, SeriesHead};
use crate::head::{FlushRetry, TenantHead};
use crate::service::Shared;

/// A commit that finds other commits in its way is tried anew this often before the flush is left to the next tick.
const COMMIT_ATTEMPTS_MAX: u32 = 5;

/// Flushes one tenant: returns once what it held at the call is in a committed block.
pub(crate) async fn flush_tenant(shared: &Arc<Shared>, tenant: &Arc<TenantHead>) -> Result<(), IngesterError> {
    let _one_at_a_time = tenant.flush.lock().await;
    // Before the cut: their rows are in it.
    let traces = tenant.traces.take();
    let generations = tenant.cut();
    if generations.is_empty() {
        return Ok(());
    }
    let span = tracing::trace_span!(target: "flamelake::span", parent: None, "flush", tenant = %tenant.tenant, flamelake.block = Empty);
    for trace in &traces {
        span.follows_from(trace);
    }
    let timer = shared.metrics.flush_seconds.start_timer();
    let result = commit_blocks(shared, &tenant.tenant, &generations, &traces).instrument(span).await;
    timer.observe_duration();
    match result {
        Ok(()) => {
            tenant.committed(&generations, shared.clock.monotonic());
            *tenant.retry.lock() = FlushRetry::default();
            shared.metrics.flushes_total.inc();
            Ok(())
        }
        Err(error) => {
            traces.into_iter().for_each(|trace| tenant.traces.note(|| trace));
            shared.metrics.flush_failures_total.inc();
            tenant.retry.lock().failed(shared.clock.monotonic());
            Err(error)
        }
    }
}

async fn commit_blocks(
    shared: &Arc<Shared>,
    tenant: &TenantId,
    generations: &[Arc<Generation>],
    traces: &[Span],
) -> Result<(), IngesterError> {
    let catalog_error = |source| IngesterError::Catalog { tenant: tenant.clone(), source };
    let mut generations = generations.to_vec();
    for _ in 0..COMMIT_ATTEMPTS_MAX {
        let state = shared.catalog.load(tenant).await.map_err(catalog_error)?;
        // An earlier commit whose answer was lost, or a peer's recovery, may have covered some of them.
        generations.retain(|generation| generation.to > state.covered_of(&generation.log));
        if generations.is_empty() {
            return Ok(());
        }
        let ranges = log_ranges(&generations);
        let blocks = encode(shared, tenant, &state, &ranges, &generations).await?;
        if let Err(error) = upload_all(shared, tenant, &blocks).await {
            discard(shared, tenant, &blocks).await;
            return Err(error);
        }
        let add: Vec<Arc<BlockMeta>> = blocks.into_iter().map(|block| Arc::new(block.meta)).collect();
        let ids = add.iter().map(|meta| meta.ulid.to_string()).collect::<Vec<_>>().join(" ");
        let bytes: u64 = add.iter().map(|meta| meta.bytes).sum();
        let profiles: u64 = add.iter().flat_map(|meta| &meta.partitions).map(|partition| partition.profiles).sum();
        let covered = ranges.iter().map(|range| (range.log.clone(), (range.from, range.to))).collect();
        let commit = Commit { add, covered, ..Commit::default() };
        match shared.catalog.commit(tenant, commit).await.map_err(catalog_error)? {
            CommitOutcome::Committed(state) => {
                info!(%tenant, blocks = ids, version = state.version, bytes, profiles, "head flushed");
                for span in traces.iter().chain([&Span::current()]) {
                    span.record("flamelake.block", ids.as_str());
                }
                return Ok(());
            }
            CommitOutcome::AlreadyDone(_) => return Ok(()),
            // An id fell below the floor, or a part of the logs is covered meanwhile: look again and build from the rest.
            other => warn!(%tenant, blocks = ids, outcome = ?other, "flush has to be built anew"),
        }
    }
    Err(catalog_error(CatalogError::Contention { tenant: tenant.clone(), attempts: COMMIT_ATTEMPTS_MAX }))
}

/// Neighbouring generations of one log become one range.
fn log_ranges(generations: &[Arc<Generation>]) -> Vec<LogRange> {
    let mut by_log: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for generation in generations {
        let range = by_log.entry(&generation.log).or_insert((generation.from, generation.to));
        *range = (range.0.min(generation.from), range.1.max(generation.to));
    }
    by_log.into_iter().map(|(log, (from, to))| LogRange { log: log.to_owned(), from, to }).collect()
}

async fn encode(
    shared: &Arc<Shared>,
    tenant: &TenantId,
    state: &Arc<CatalogState>,
    ranges: &[LogRange],
    generations: &[Arc<Generation>],
) -> Result<Vec<FinishedBlock>, IngesterError> {
    let (shared, state, generations) = (Arc::clone(shared), Arc::clone(state), generations.to_vec());
    let (owner, log_ranges) = (tenant.clone(), ranges.to_vec());
    let write = move || {
        let mut rows = partitions(&generations).peekable();
        let mut blocks = Vec::new();
        while rows.peek().is_some() {
            let identity = BlockIdentity {
                ulid: shared.catalog.next_block_id(&state),
                tenant: owner.clone(),
                level: 0,
                log_ranges: log_ranges.clone(),
                sources: Vec::new(),
            };
            blocks.push(write_block(identity, rows.by_ref().take(PARTITIONS_MAX))?);
        }
        Ok(blocks)
    };
    flamelake_runtime::spawn_blocking(write)
        .await
        .map_err(|_| IngesterError::TaskFailed { what: "the block writer" })?
        .map_err(|source| IngesterError::WriteBlock { tenant: tenant.clone(), source })
}

async fn upload_all(shared: &Shared, tenant: &TenantId, blocks: &[FinishedBlock]) -> Result<(), IngesterError> {
    for block in blocks {
        upload(shared, tenant, block).await?;
    }
    Ok(())
}

/// Takes back what no commit will name: on a full disk, each attempt would else leave its files for a day.
async fn discard(shared: &Shared, tenant: &TenantId, blocks: &[FinishedBlock]) {
    for block in blocks {
        let folder = block_folder(tenant, block.meta.ulid);
        // `block.json` first, as always when a block goes.
        for (file, _) in block.files.iter().rev() {
            if let Err(error) = shared.bucket.delete(&format!("{folder}{file}")).await {
                debug!(%tenant, block = %block.meta.ulid, file, error = &error as &dyn std::error::Error, "left to the sweeper");
            }
        }
    }
}

async fn upload(shared: &Shared, tenant: &TenantId, block: &FinishedBlock) -> Result<(), IngesterError> {
    let folder = block_folder(tenant, block.meta.ulid);
    for (file, bytes) in &block.files {
        let put = shared.bucket.put(&format!("{folder}{file}"), bytes.clone()).await;
        put.map_err(|source| IngesterError::Upload { tenant: tenant.clone(), source })?;
    }
    Ok(())
}

/// The rows of all generations, one partition at a time (built lazily: only one is copied at once).
fn partitions(generations: &[Arc<Generation>]) -> impl Iterator<Item = PartitionRows> + use<> {
    let mut by_service: BTreeMap<(Arc<str>, u32), Vec<Arc<Generation>>> = BTreeMap::new();
    for generation in generations {
        for key in generation.partitions.keys() {
            by_service.entry(key.clone()).or_default().push(Arc::clone(generation));
        }
    }
    by_service.into_iter().flat_map(|(key, generations)| {
        let heads: Vec<&PartitionHead> = generations.iter().filter_map(|g| g.partitions.get(&key)).collect();
        group_by_symbols(&heads).into_iter().map(|heads| partition_rows(&heads)).collect::<Vec<_>>()
    })
}

/// Rows can share a partition only if their stack ids mean the same.
fn group_by_symbols<'a>(heads: &[&'a PartitionHead]) -> Vec<Vec<&'a PartitionHead>> {
    let mut groups: Vec<Vec<&PartitionHead>> = Vec::new();
    for head in heads {
        match groups.iter_mut().find(|group| Arc::ptr_eq(&group[0].symbols, &head.symbols)) {
            Some(group) => group.push(head),
            None => groups.push(vec![head]),
        }
    }
    groups
}

fn partition_rows(heads: &[&PartitionHead]) -> PartitionRows {
    let mut by_labels: BTreeMap<&Labels, Vec<&SeriesHead>> = BTreeMap::new();
    for series in heads.iter().flat_map(|head| &head.series) {
        by_labels.entry(&series.labels).or_default().push(series);
    }
    PartitionRows {
        service_name: heads[0].service_name.to_string(),
        symbols: Arc::new(heads[0].symbols.snapshot()),
        series: by_labels.into_iter().map(|(labels, parts)| series_rows(labels, &parts)).collect(),
    }
}

/// Copies a series' profiles in order of (time, id).
fn series_rows(labels: &Labels, parts: &[&SeriesHead]) -> SeriesRows {
    let chunks: Vec<&Chunk> = parts.iter().flat_map(|part| part.chunks.iter().map(Arc::as_ref)).collect();
    let mut order: Vec<(&Chunk, usize)> =
        chunks.iter().flat_map(|chunk| (0..chunk.profiles.len()).map(|at| (*chunk, at))).collect();
    order.sort_by_key(|(chunk, at)| (chunk.profiles[*at].time_ns, chunk.profiles[*at].id));
    let mut rows = SeriesRows { labels: labels.clone(), ..SeriesRows::default() };
    let has_spans = chunks.iter().any(|chunk| !chunk.spans.is_empty());
    let has_traces = chunks.iter().any(|chunk| !chunk.traces.is_empty());
    for (chunk, at) in order {
        copy_profile(&mut rows, chunk, at, has_spans, has_traces);
    }
    rows
}

fn copy_profile(rows: &mut SeriesRows, chunk: &Chunk, at: usize, has_spans: bool, has_traces: bool) {
    let mut row = chunk.profiles[at];
    let samples = row.samples_start as usize..row.samples_end as usize;
    row.samples_start = rows.stacks.len() as u32;
    row.samples_end = row.samples_start + samples.len() as u32;
    rows.profiles.push(row);
    rows.stacks.extend_from_slice(&chunk.stacks[samples.clone()]);
    rows.values.extend_from_slice(&chunk.values[samples.clone()]);
    if has_spans {
        rows.spans.extend_from_slice(chunk.spans.get(samples.clone()).unwrap_or_default());
        rows.spans.resize(rows.stacks.len(), 0);
    }
    if has_traces {
        rows.traces.extend_from_slice(chunk.traces.get(samples).unwrap_or_default());
        rows.traces.resize(rows.stacks.len(), [0; 16]);
    }
}
