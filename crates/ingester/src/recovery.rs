//! What a start finds: logs of older epochs, sealed and replayed into the head before anything is served.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use flamelake_block::meta::{BlockMeta, LogRange};
use flamelake_block::reader::BlockReader;
use flamelake_catalog::{CatalogState, Commit, CommitOutcome};
use flamelake_journal::{JournalError, LogId, LogStore, OldEpoch, Segment, older_epochs};
use flamelake_model::{TenantId, TimestampNs};
use flamelake_pprof::frame::Frame;
use futures::StreamExt;
use tracing::{info, warn};

use crate::dedup::DedupKey;
use crate::error::IngesterError;
use crate::flush::flush_tenant;
use crate::head::TenantHead;
use crate::service::{Shared, drop_retained};

/// Catalogs read and blocks opened at once during a start.
const CONCURRENT_TENANTS: usize = 16;

/// Older epochs that still hold uncovered rows.
#[derive(Debug, Default)]
pub(crate) struct OldLogs(Vec<OldEpoch>);

impl OldLogs {
    /// Deletes the logs that no tenant needs any more; names those of which rows stay.
    pub(crate) async fn delete_covered(&mut self, tenants: &[Arc<TenantHead>]) -> Vec<String> {
        let (mut kept, mut with_rows) = (Vec::new(), Vec::new());
        for epoch in std::mem::take(&mut self.0) {
            let log = epoch.log_name();
            if tenants.iter().any(|tenant| tenant.first_uncovered(&log).is_some()) {
                with_rows.push(log);
                kept.push(epoch);
                continue;
            }
            match epoch.delete().await {
                Ok(true) => info!(log, "covered log deleted"),
                // The end mark of a log in a bucket stays for a while.
                Ok(false) => kept.push(epoch),
                Err(error) => {
                    warn!(log, error = &error as &dyn std::error::Error, "a covered log stays for now");
                    with_rows.push(log);
                    kept.push(epoch);
                }
            }
        }
        self.0 = kept;
        with_rows
    }

    pub(crate) fn push(&mut self, epoch: OldEpoch) {
        self.0.push(epoch);
    }
}

/// Seals and replays every older epoch of this ingester, oldest first. Rows that a committed block covers are skipped; a profile that
/// lies in two logs (its first push was never acknowledged) is applied once.
pub(crate) async fn recover(
    shared: &Arc<Shared>,
    logs: &Arc<dyn LogStore>,
    ingester: &str,
) -> Result<OldLogs, IngesterError> {
    let started = shared.clock.monotonic();
    let epochs = older_epochs(logs, ingester, None).await?;
    let mut there: BTreeSet<String> = epochs.iter().map(OldEpoch::log_name).collect();
    there.extend(logs_in_bucket(shared, ingester).await?);
    restore_tenants(shared, ingester, &epochs, &there).await?;
    let count = epochs.len();
    let mut old = OldLogs::default();
    let mut rows = 0;
    for epoch in epochs {
        rows += replay(shared, &epoch, 0).await?;
        old.0.push(epoch);
    }
    old.delete_covered(&shared.head.tenants()).await;
    let took = shared.clock.monotonic().saturating_sub(started);
    info!(logs = count, profiles = rows, milliseconds = took.as_millis() as u64, "older logs replayed");
    Ok(old)
}

/// Seals a log and applies what lies in it beyond `after`; tells how many profiles. Damage is named and set aside: nothing else is lost
/// by it.
pub(crate) async fn replay(shared: &Arc<Shared>, epoch: &OldEpoch, after: u64) -> Result<u64, IngesterError> {
    let log = epoch.log_name();
    epoch.seal().await?;
    let (mut applied, mut first, mut room) = (0, after == 0, Room::default());
    let mut segments = epoch.segments(after).await?;
    while let Some(segment) = segments.next().await {
        match segment {
            Ok(segment) => {
                if first {
                    check_begin(shared, &log, segment.seq).await?;
                }
                applied += replay_segment(shared, &log, &segment).await?;
            }
            Err(error @ JournalError::Damaged { .. }) => {
                warn!(log, error = &error as &dyn std::error::Error, "a damaged log record is set aside");
                shared.note_damage(&log);
            }
            // Segments are deleted in ascending order: nothing below a gap that blocks cover holds rows that they do not.
            Err(JournalError::Missing { from, to, .. }) if applied == 0 && is_covered(shared, &log, to).await? => {
                info!(log, from, to, "a segment below was put into a deleted name: those behind it are covered");
            }
            Err(error @ JournalError::Missing { .. }) => {
                warn!(
                    log,
                    error = &error as &dyn std::error::Error,
                    "the log is damaged: no block covers what is missing"
                );
                shared.note_damage(&log);
            }
            Err(JournalError::Vanished { seq, .. }) if is_covered(shared, &log, seq).await? => {
                info!(log, seq, "a segment was covered by a peer");
            }
            // Anything else may be gone at the next start; going on would take the rest for replayed.
            Err(error) => return Err(error.into()),
        }
        first = false;
        room.make(shared).await?;
    }
    Ok(applied)
}

/// Segments go once they are covered, so the first one left says how far the tenants of this log must be covered.
async fn check_begin(shared: &Arc<Shared>, log: &str, first: u64) -> Result<(), IngesterError> {
    // Number 1 is empty.
    if first > 2 && !is_covered(shared, log, first - 1).await? {
        warn!(log, first, "the log is damaged: segments before its first one are missing and no block covers them");
        shared.note_damage(log);
    }
    Ok(())
}

/// Do blocks of any tenant reach up to this segment?
async fn is_covered(shared: &Arc<Shared>, log: &str, seq: u64) -> Result<bool, IngesterError> {
    for tenant in tenants(shared).await? {
        let error = |source| IngesterError::Catalog { tenant: tenant.clone(), source };
        if shared.catalog.load(&tenant).await.map_err(error)?.covered_of(log) >= seq {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn tenants(shared: &Arc<Shared>) -> Result<Vec<TenantId>, IngesterError> {
    let any = TenantId::anonymous();
    shared.catalog.tenants().await.map_err(|source| IngesterError::Catalog { tenant: any, source })
}

async fn replay_segment(shared: &Arc<Shared>, log: &str, segment: &Segment) -> Result<u64, IngesterError> {
    let now = shared.clock.monotonic();
    let mut by_tenant: BTreeMap<&TenantId, Vec<Frame>> = BTreeMap::new();
    for entry in &segment.entries {
        let tenant = &entry.tenant;
        let head = shared.open_tenant(tenant).await?;
        if segment.seq <= head.covered(log) {
            continue;
        }
        let is_new = |frame: &Frame| {
            shared.dedup.restore(DedupKey::new(tenant, frame.strings.get(frame.service_name), frame.id), now)
        };
        let frames = entry.frames.iter().filter_map(|bytes| shared.apply.decode(tenant, bytes)).filter(is_new);
        by_tenant.entry(tenant).or_default().extend(frames);
    }
    let mut applied = 0;
    for (tenant, frames) in by_tenant {
        applied += frames.len() as u64;
        shared.apply.apply_tenant(tenant, log, segment.seq, &frames);
    }
    Ok(applied)
}

/// Replay goes on whatever the size of the log: what was read is flushed when the memory is nearly full.
#[derive(Debug, Default)]
struct Room {
    /// After a flush that failed, the next is tried when so many bytes are held.
    not_before: u64,
}

impl Room {
    async fn make(&mut self, shared: &Arc<Shared>) -> Result<(), IngesterError> {
        let memory = &shared.head.memory;
        if !memory.is_near_full() || memory.held() < self.not_before {
            return Ok(());
        }
        let flushed = flush_all(shared).await;
        drop_retained(shared);
        match flushed {
            // All of it was in memory before the crash, so it fits, if barely; a full disk must not keep it from being read.
            Err(error) if memory.held() <= memory.max() / 4 * 5 => {
                warn!(error = &error as &dyn std::error::Error, "no room can be made during the replay; it goes on");
                self.not_before = memory.held() + memory.max() / 16;
                Ok(())
            }
            flushed => flushed,
        }
    }
}

pub(crate) async fn flush_all(shared: &Arc<Shared>) -> Result<(), IngesterError> {
    for tenant in shared.head.tenants() {
        flush_tenant(shared, &tenant).await?;
    }
    Ok(())
}

/// Logs of this ingester in the bucket, though it may write to a disk now: the older `log.url` may be set again, and what lies there must be
/// known as covered then.
async fn logs_in_bucket(shared: &Arc<Shared>, ingester: &str) -> Result<Vec<String>, IngesterError> {
    let epochs = shared.bucket.list_folders(&format!("log/{ingester}/")).await.map_err(JournalError::from)?;
    Ok(epochs.into_iter().map(|epoch| format!("{ingester}/{epoch}")).collect())
}

/// Reads every tenant's catalog: ids of recent blocks come back into the dedup window, watermarks of logs that are gone leave.
///
/// `there`: names of logs that exist.
async fn restore_tenants(
    shared: &Arc<Shared>,
    ingester: &str,
    epochs: &[OldEpoch],
    there: &BTreeSet<String>,
) -> Result<(), IngesterError> {
    let results: Vec<Result<(), IngesterError>> = futures::stream::iter(tenants(shared).await?)
        .map(|tenant| restore_tenant(shared, ingester, epochs, there, tenant))
        .buffer_unordered(CONCURRENT_TENANTS)
        .collect()
        .await;
    results.into_iter().collect()
}

async fn restore_tenant(
    shared: &Arc<Shared>,
    ingester: &str,
    epochs: &[OldEpoch],
    there: &BTreeSet<String>,
    tenant: TenantId,
) -> Result<(), IngesterError> {
    let catalog_error = |source| IngesterError::Catalog { tenant: tenant.clone(), source };
    let mut state = shared.catalog.load(&tenant).await.map_err(catalog_error)?;
    match adopt(shared, ingester, epochs, &tenant, &state).await {
        Ok(Some(newer)) => state = newer,
        Ok(None) => {}
        // It is only about what a damaged catalog has lost, and the next start tries again.
        Err(error) => {
            warn!(%tenant, error = &error as &dyn std::error::Error, "blocks without a commit were not looked at");
        }
    }
    restore_ids(shared, ingester, &tenant, &state).await;
    let own = format!("{ingester}/");
    let is_gone = |log: &String| log.starts_with(&own) && !there.contains(log);
    let gone: Vec<String> = state.covered.keys().filter(|log| is_gone(log)).cloned().collect();
    if !gone.is_empty() {
        let commit = Commit { drop_logs: gone, ..Commit::default() };
        if let Err(error) = shared.catalog.commit(&tenant, commit).await {
            warn!(%tenant, error = &error as &dyn std::error::Error, "watermarks of logs that are gone stay for now");
        }
    }
    Ok(())
}

/// Commits blocks that no commit names though their rows are gone from the log: a log goes only once its rows are covered, so there was
/// such a commit, and it is lost. (A crash amid a flush leaves such blocks too, but with their log.) The newest state if there were any.
async fn adopt(
    shared: &Arc<Shared>,
    ingester: &str,
    epochs: &[OldEpoch],
    tenant: &TenantId,
    state: &Arc<CatalogState>,
) -> Result<Option<Arc<CatalogState>>, IngesterError> {
    let catalog_error = |source| IngesterError::Catalog { tenant: tenant.clone(), source };
    let mut newest = None;
    let mut refused = BTreeSet::new();
    loop {
        let state = newest.as_ref().unwrap_or(state);
        let found = shared.catalog.uncommitted(tenant, state).await.map_err(catalog_error)?;
        let Some(block) = found.into_iter().find(|block| !refused.contains(&block.ulid)) else { return Ok(newest) };
        if !is_gone_from_logs(ingester, epochs, &block).await? {
            refused.insert(block.ulid);
            continue;
        }
        let step = |range: &LogRange| (range.log.clone(), (state.covered_of(&range.log), range.to));
        let covered = block.log_ranges.iter().map(step).collect();
        let commit = Commit { add: vec![Arc::clone(&block)], covered, ..Commit::default() };
        refused.insert(block.ulid);
        if let CommitOutcome::Committed(state) = shared.catalog.commit(tenant, commit).await.map_err(catalog_error)? {
            warn!(%tenant, block = %block.ulid, "a block is committed again: its log is gone, so its commit was lost");
            shared.metrics.blocks_adopted_total.inc();
            newest = Some(state);
        }
    }
}

/// Only of logs of our own: a peer may be at work on its.
async fn is_gone_from_logs(ingester: &str, epochs: &[OldEpoch], block: &BlockMeta) -> Result<bool, IngesterError> {
    for range in &block.log_ranges {
        if LogId::parse(&range.log).is_none_or(|id| id.ingester != ingester) {
            return Ok(false);
        }
        if let Some(epoch) = epochs.iter().find(|epoch| epoch.log_name() == range.log)
            && first_held(epoch).await?.is_some_and(|first| first <= range.to)
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The first segment with rows that a log still holds. Behind damage nobody can tell: 0.
async fn first_held(epoch: &OldEpoch) -> Result<Option<u64>, IngesterError> {
    epoch.seal().await?;
    let mut segments = epoch.segments(0).await?;
    while let Some(segment) = segments.next().await {
        match segment {
            Ok(segment) if segment.entries.is_empty() => {}
            Ok(segment) => return Ok(Some(segment.seq)),
            Err(JournalError::Damaged { .. } | JournalError::Missing { .. }) => return Ok(Some(0)),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

/// Ids of the profiles in blocks that this ingester cut within the dedup window. A block that cannot be read only weakens the
/// recognition of retries, so it is logged and passed over.
async fn restore_ids(shared: &Arc<Shared>, ingester: &str, tenant: &TenantId, state: &CatalogState) {
    let own = format!("{ingester}/");
    let window_ms = shared.config.dedup_window.as_millis() as i64;
    let cutoff_ms = shared.clock.unix_nanos() / 1_000_000 - window_ms;
    for block in state.blocks.values() {
        let recent = block.ulid.timestamp_ms() as i64 >= cutoff_ms;
        if recent
            && block.log_ranges.iter().any(|range| range.log.starts_with(&own))
            && let Err(error) = restore_block(shared, tenant, block.ulid).await
        {
            warn!(%tenant, block = %block.ulid, error = &error as &dyn std::error::Error, "profile ids of a block not read");
        }
    }
}

async fn restore_block(
    shared: &Arc<Shared>,
    tenant: &TenantId,
    ulid: flamelake_block::meta::Ulid,
) -> Result<(), flamelake_block::reader::ReadError> {
    let reader = BlockReader::open(shared.bucket.clone(), tenant, ulid).await?;
    let now = shared.clock.monotonic();
    for partition in &reader.meta().partitions {
        let series: Vec<u32> = (0..reader.series(partition.part).await?.len() as u32).collect();
        let mut restore = |_: u32, rows: &[flamelake_block::rows::ProfileRow]| {
            for row in rows {
                shared.dedup.restore(DedupKey::new(tenant, &partition.service_name, row.id), now);
            }
        };
        reader.profiles(partition.part, &series, TimestampNs(i64::MIN), TimestampNs(i64::MAX), &mut restore).await?;
    }
    Ok(())
}
