//! Taking out the garbage: orphans, files of removed blocks, old commits (architecture section 5).

use std::time::Duration;

use flamelake_block::meta::Ulid;
use flamelake_model::TenantId;

use crate::commit::Commit;
use crate::keys::{self, Listed};
use crate::{CatalogError, CatalogState, CatalogStore, CommitOutcome};

/// Checkpoints kept, however old.
const CHECKPOINTS_KEPT: usize = 2;

/// What one sweep deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// Blocks that were never committed.
    pub orphans: usize,
    /// Blocks that were removed long enough ago.
    pub removed: usize,
    /// Commits and checkpoints that no reader needs.
    pub commits: usize,
}

impl CatalogStore {
    /// Sweeps one tenant. May run at any time, in several processes.
    pub async fn sweep(&self, tenant: &TenantId) -> Result<SweepReport, CatalogError> {
        let (orphans, removed) = self.sweep_blocks(tenant).await?;
        let commits = self.sweep_commits(tenant).await?;
        for (kind, count) in [("orphan", orphans), ("removed", removed), ("commit", commits)] {
            self.inner.metrics.swept.with_label_values(&[kind]).inc_by(count as u64);
        }
        Ok(SweepReport { orphans, removed, commits })
    }

    async fn sweep_blocks(&self, tenant: &TenantId) -> Result<(usize, usize), CatalogError> {
        let state = self.load(tenant).await?;
        let names = self.inner.bucket.list_folders(&keys::blocks_folder(tenant)).await?;
        let found: Vec<Ulid> = names.iter().filter_map(|name| Ulid::from_string(name).ok()).collect();
        let grace_ms = self.now_ms().saturating_sub(millis(self.inner.config.orphan_grace));
        let floor = Ulid::from_parts(u64::try_from(grace_ms).unwrap_or(0), 0);
        let expired = self.expired(&state);
        for block in &expired {
            self.delete_block(tenant, *block).await?;
        }
        let suspects = found
            .iter()
            .any(|block| *block <= floor && !state.blocks.contains_key(block) && !state.removed.contains_key(block));
        if !suspects && expired.is_empty() {
            return Ok((0, 0));
        }
        // Only once the floor is part of the chain, no late commit can make a suspect live.
        let commit = Commit { floor: Some(floor.max(state.floor)), forget: expired.clone(), ..Commit::default() };
        let outcome = self.commit(tenant, commit).await?;
        let CommitOutcome::Committed(state) = outcome else { return Ok((0, expired.len())) };
        let orphan = |block: &&Ulid| {
            **block <= state.floor && !state.blocks.contains_key(*block) && !state.removed.contains_key(*block)
        };
        let orphans: Vec<Ulid> =
            found.iter().filter(orphan).filter(|block| !expired.contains(block)).copied().collect();
        for block in &orphans {
            self.delete_block(tenant, *block).await?;
        }
        Ok((orphans.len(), expired.len()))
    }

    /// Blocks removed so long ago that no query plans with them.
    fn expired(&self, state: &CatalogState) -> Vec<Ulid> {
        let before = self.now_ms().saturating_sub(millis(self.inner.config.delete_delay));
        state.removed.iter().filter(|(_, at_ms)| **at_ms <= before).map(|(block, _)| *block).collect()
    }

    /// Deletes a block's files, `block.json` first, so that nobody takes the rest for a block.
    async fn delete_block(&self, tenant: &TenantId, block: Ulid) -> Result<(), CatalogError> {
        let folder = format!("{}{block}/", keys::blocks_folder(tenant));
        self.inner.bucket.delete(&format!("{folder}block.json")).await?;
        let files: Vec<String> = self.inner.bucket.list(&folder).await?.into_iter().map(|entry| entry.key).collect();
        Ok(self.inner.bucket.delete_all(&files).await?)
    }

    /// The two newest checkpoints and all commits above the older of them stay.
    async fn sweep_commits(&self, tenant: &TenantId) -> Result<usize, CatalogError> {
        let entries = self.inner.bucket.list(&keys::catalog_folder(tenant)).await?;
        let Listed { commits, checkpoints } = Listed::of(tenant, entries);
        let Some(oldest_kept) = checkpoints.len().checked_sub(CHECKPOINTS_KEPT).map(|at| checkpoints[at].0) else {
            return Ok(0);
        };
        let before = self.now_ms().saturating_sub(millis(self.inner.config.delete_delay));
        let old_commits = commits.into_iter().filter(|(version, _)| *version <= oldest_kept);
        let old_checkpoints = checkpoints.into_iter().filter(|(version, _)| *version < oldest_kept);
        let old = old_commits.chain(old_checkpoints).filter(|(_, entry)| entry.last_modified_ms <= before);
        let keys: Vec<String> = old.map(|(_, entry)| entry.key).collect();
        self.inner.bucket.delete_all(&keys).await?;
        Ok(keys.len())
    }
}

pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
