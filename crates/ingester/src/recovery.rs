//! What a start finds: logs of older epochs, sealed and replayed into the head before anything is served.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use flamelake_block::reader::BlockReader;
use flamelake_catalog::{CatalogState, Commit};
use flamelake_journal::{JournalError, LogStore, OldEpoch, Segment, older_epochs};
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
    /// Deletes the logs that no tenant needs any more.
    pub(crate) async fn delete_covered(&mut self, tenants: &[Arc<TenantHead>]) {
        let mut kept = Vec::new();
        for epoch in std::mem::take(&mut self.0) {
            let log = epoch.log_name();
            if tenants.iter().any(|tenant| tenant.first_uncovered(&log).is_some()) {
                kept.push(epoch);
                continue;
            }
            match epoch.delete().await {
                Ok(true) => info!(log, "covered log deleted"),
                // The end mark of a log in a bucket stays for a while.
                Ok(false) => kept.push(epoch),
                Err(error) => {
                    warn!(log, error = &error as &dyn std::error::Error, "a covered log stays for now");
                    kept.push(epoch);
                }
            }
        }
        self.0 = kept;
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
    let names: BTreeSet<String> = epochs.iter().map(|epoch| epoch.log_name()).collect();
    restore_tenants(shared, ingester, &names).await?;
    let mut old = OldLogs::default();
    let mut rows = 0;
    for epoch in epochs {
        rows += replay(shared, &epoch).await?;
        old.0.push(epoch);
    }
    old.delete_covered(&shared.head.tenants()).await;
    let took = shared.clock.monotonic().saturating_sub(started);
    info!(logs = names.len(), profiles = rows, milliseconds = took.as_millis() as u64, "older logs replayed");
    Ok(old)
}

async fn replay(shared: &Arc<Shared>, epoch: &OldEpoch) -> Result<u64, IngesterError> {
    let log = epoch.log_name();
    epoch.seal().await?;
    let mut applied = 0;
    let mut segments = epoch.segments(0).await?;
    while let Some(segment) = segments.next().await {
        match segment {
            Ok(segment) => applied += replay_segment(shared, &log, &segment).await?,
            // Named and set aside: nothing else is lost by it.
            Err(error @ JournalError::Damaged { .. }) => {
                warn!(log, error = &error as &dyn std::error::Error, "a damaged log record is set aside");
            }
            // Anything else may be gone at the next start; going on would take the rest for replayed.
            Err(error) => return Err(error.into()),
        }
        if shared.head.memory.is_near_full() {
            make_room(shared).await?;
        }
    }
    Ok(applied)
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
async fn make_room(shared: &Arc<Shared>) -> Result<(), IngesterError> {
    for tenant in shared.head.tenants() {
        flush_tenant(shared, &tenant).await?;
    }
    drop_retained(shared);
    Ok(())
}

/// Reads every tenant's catalog: ids of recent blocks come back into the dedup window, watermarks of logs that are gone leave.
async fn restore_tenants(shared: &Arc<Shared>, ingester: &str, logs: &BTreeSet<String>) -> Result<(), IngesterError> {
    let any = TenantId::anonymous();
    let tenants = shared.catalog.tenants().await.map_err(|source| IngesterError::Catalog { tenant: any, source })?;
    let results: Vec<Result<(), IngesterError>> = futures::stream::iter(tenants)
        .map(|tenant| restore_tenant(shared, ingester, logs, tenant))
        .buffer_unordered(CONCURRENT_TENANTS)
        .collect()
        .await;
    results.into_iter().collect()
}

async fn restore_tenant(
    shared: &Arc<Shared>,
    ingester: &str,
    logs: &BTreeSet<String>,
    tenant: TenantId,
) -> Result<(), IngesterError> {
    let catalog_error = |source| IngesterError::Catalog { tenant: tenant.clone(), source };
    let state = shared.catalog.load(&tenant).await.map_err(catalog_error)?;
    restore_ids(shared, ingester, &tenant, &state).await;
    let own = format!("{ingester}/");
    let gone: Vec<String> =
        state.covered.keys().filter(|log| log.starts_with(&own) && !logs.contains(*log)).cloned().collect();
    if !gone.is_empty() {
        let commit = Commit { drop_logs: gone, ..Commit::default() };
        shared.catalog.commit(&tenant, commit).await.map_err(catalog_error)?;
    }
    Ok(())
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
