//! Blocks below the fence become blocks without the rows that shall go, until none holds a match.

use std::collections::BTreeSet;
use std::sync::Arc;

use flamelake_block::meta::{BlockMeta, Ulid};
use flamelake_block::reader::BlockReader;
use flamelake_catalog::{CatalogState, Commit, CommitOutcome};
use flamelake_model::{TenantId, TimestampNs, label_name};
use tracing::info;

use super::objects::{Fence, Folder, Removed, Rewritten};
use super::{DeleteError, Doomed, below};
use crate::Compactor;
use crate::error::MergeError;
use crate::merge::{MergeJob, Merged, merge};

/// Passes that met other commits, after which the next round goes on.
const PASSES_MAX: usize = 100;

impl Compactor {
    /// Rewrites until a pass over a confirmed state finds nothing.
    pub(super) async fn rewrite_blocks(
        &self,
        tenant: &TenantId,
        folder: &Folder,
        fence: &Fence,
        doomed: &Doomed,
    ) -> Result<Rewritten, DeleteError> {
        // Blocks never change, so what was looked at once holds no match for ever.
        let mut clean = BTreeSet::new();
        for _ in 0..PASSES_MAX {
            let state = self.deps.catalog.load(tenant).await?;
            let mut found = false;
            for meta in below(&state, fence) {
                if clean.contains(&meta.ulid) || !may_hold(meta, doomed) {
                    continue;
                }
                match self.holds_match(tenant, meta.ulid, doomed).await {
                    Ok(false) => drop(clean.insert(meta.ulid)),
                    Ok(true) => {
                        found = true;
                        self.rewrite_block(tenant, folder, &state, meta, doomed).await?;
                    }
                    // Removed and swept since the state was read.
                    Err(error) if error.missing_block().is_some() => {
                        if self.deps.catalog.load(tenant).await?.blocks.contains_key(&meta.ulid) {
                            return Err(error.into());
                        }
                        found = true;
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            if !found {
                let waiting = self.not_live(tenant, &state).await?;
                info!(%tenant, delete = %folder.id, version = state.version, "no live block holds a match of the delete");
                return folder.put_first(&Rewritten::new(self.now_ms(), state.version, waiting)).await;
            }
        }
        Err(DeleteError::Contention)
    }

    async fn holds_match(&self, tenant: &TenantId, block: Ulid, doomed: &Doomed) -> Result<bool, MergeError> {
        let failed = |source| MergeError::Read { block, source };
        let mut reader = BlockReader::open(self.deps.bucket.clone(), tenant, block).await.map_err(failed)?;
        for part in 0..reader.meta().partitions.len() as u16 {
            let entries = reader.series(part).await.map_err(failed)?;
            let series: Vec<u32> = (0..)
                .zip(entries.iter())
                .filter(|(_, one)| doomed.takes_series(&one.labels))
                .map(|(at, _)| at)
                .collect();
            let mut found = false;
            let (from, to) = (doomed.range.start_ns(), doomed.range.end_ns());
            reader.profiles(part, &series, from, to, &mut |_, _| found = true).await.map_err(failed)?;
            if found {
                return Ok(true);
            }
            reader.forget(part);
        }
        Ok(false)
    }

    async fn rewrite_block(
        &self,
        tenant: &TenantId,
        folder: &Folder,
        state: &CatalogState,
        source: &Arc<BlockMeta>,
        doomed: &Doomed,
    ) -> Result<(), DeleteError> {
        let ulid = self.deps.catalog.next_block_id(state);
        let job = MergeJob {
            ulid,
            level: source.level,
            sources: &[source.ulid],
            rows_bytes_max: self.config.rows_bytes_max(),
            doomed: Some(doomed),
        };
        let Merged { block, uploads, counts } = merge(&self.deps.bucket, tenant, job).await?;
        let rest = Some(block).filter(|block| !block.meta.partitions.is_empty());
        let bytes = source.bytes.saturating_sub(rest.as_ref().map_or(0, |block| block.meta.bytes));
        if let Some(block) = &rest {
            uploads.finish(block).await?;
        }
        folder.put_removed(&Removed::new(source.ulid, counts.deleted_profiles, counts.deleted_samples, bytes)).await?;
        let add: Vec<Arc<BlockMeta>> = rest.into_iter().map(|block| Arc::new(block.meta)).collect();
        let commit = Commit { add, remove: vec![source.ulid], ..Commit::default() };
        match self.deps.catalog.commit(tenant, commit).await? {
            CommitOutcome::Committed(_) => {
                let Removed { profiles, samples, .. } =
                    Removed::new(source.ulid, counts.deleted_profiles, counts.deleted_samples, bytes);
                for (kind, count) in [("profile", profiles), ("sample", samples)] {
                    self.metrics.deleted_rows_total.with_label_values(&[kind]).inc_by(count);
                }
                info!(%tenant, delete = %folder.id, block = %source.ulid, profiles, samples, bytes, "block rewritten");
            }
            // Somebody else has rewritten it, and put the same numbers.
            CommitOutcome::AlreadyDone(_) => {}
            CommitOutcome::Invalid { state, .. } | CommitOutcome::Rebuild { state, .. } => {
                self.metrics.lost_races_total.inc();
                // Taken by a merge that was under way before the request: its result is rewritten instead. If it was rewritten by another
                // process the record is right.
                if state.blocks.values().any(|meta| meta.sources.len() > 1 && meta.sources.contains(&source.ulid)) {
                    folder.take_back(source.ulid).await?;
                }
            }
        }
        Ok(())
    }

    /// Blocks with files that no query reads.
    pub(super) async fn not_live(
        &self,
        tenant: &TenantId,
        state: &CatalogState,
    ) -> Result<BTreeSet<Ulid>, DeleteError> {
        let key = format!("tenants/{tenant}/blocks/");
        let names = self.deps.bucket.list_folders(&key).await;
        let names = names.map_err(|source| DeleteError::Storage { key, source })?;
        let found = names.iter().filter_map(|name| Ulid::from_string(name).ok());
        Ok(found.filter(|block| !state.blocks.contains_key(block)).collect())
    }
}

/// What the catalog's entry can tell.
fn may_hold(meta: &BlockMeta, doomed: &Doomed) -> bool {
    meta.partitions.iter().any(|part| {
        doomed.range.overlaps(TimestampNs(part.min_time_ns), TimestampNs(part.max_time_ns))
            && doomed.profile_type.as_ref().is_none_or(|wanted| part.profile_types.contains(wanted))
            && doomed.selector.admits(label_name::SERVICE_NAME, &part.service_name)
    })
}
