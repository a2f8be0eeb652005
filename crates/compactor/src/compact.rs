//! One tenant's blocks: plan, merge, upload, commit, until nothing is left to merge.
//!
//! Nothing is deleted here. A merge that stops anywhere before its commit leaves files that no catalog names, for the sweeper; the commit removes the sources
//! and adds the result in one step, or changes nothing because somebody else was first.

use std::collections::BTreeSet;
use std::sync::Arc;

use flamelake_block::meta::{BlockMeta, Ulid};
use flamelake_catalog::{CatalogState, Commit, CommitOutcome};
use flamelake_model::TenantId;
use tracing::{error, info, warn};

use crate::Compactor;
use crate::error::MergeError;
use crate::merge::{MergeJob, Merged, merge};
use crate::plan::{Job, PlanLimits, plan};

/// Races lost in a row after which a tenant is left to the next round.
const LOST_RACES_MAX: usize = 3;

impl Compactor {
    /// Merges until the plan is empty; how many merges were committed.
    ///
    /// Errors: the first merge that failed for a reason that may pass. Damaged blocks are set aside instead.
    pub async fn compact_tenant(&self, tenant: &TenantId) -> Result<usize, MergeError> {
        let limits = PlanLimits::from(&self.config);
        let (mut done, mut lost) = (0, 0);
        while lost < LOST_RACES_MAX && self.deps.ownership.owns(tenant) {
            let state = self.deps.catalog.load(tenant).await?;
            let mut aside = self.blocks_aside(tenant, &state);
            let now_ns = self.deps.clock.unix_nanos();
            let plan = |aside: &BTreeSet<Ulid>| plan(state.blocks.values().map(Arc::as_ref), aside, &limits, now_ns);
            if plan(&aside).is_empty() {
                break;
            }
            // After the state, not before: that is what keeps the two sides of a delete's fence apart.
            let Some(apart) = self.blocks_kept_apart(tenant, &state).await? else { break };
            aside.extend(apart);
            let jobs = plan(&aside);
            let Some(job) = jobs.first() else { break };
            match self.run_job(tenant, &state, job).await {
                Ok(true) => (done, lost) = (done + 1, 0),
                Ok(false) => lost += 1,
                Err(failed) => self.judge_failure(tenant, job, failed).await?,
            }
        }
        Ok(done)
    }

    /// Replaces blocks by one that holds the same rows; `false` if another commit was first and the blocks are no longer all live.
    pub async fn run_job(&self, tenant: &TenantId, state: &CatalogState, job: &Job) -> Result<bool, MergeError> {
        let started = self.deps.clock.monotonic();
        let _working = self.under_way.begin(tenant, job, self.deps.clock.unix_nanos() / 1_000_000);
        let id = self.deps.catalog.next_block_id(state);
        let merge_job = MergeJob {
            ulid: id,
            level: job.level,
            sources: &job.blocks,
            rows_bytes_max: self.config.rows_bytes_max(),
            doomed: None,
        };
        let Merged { block, uploads, counts } = merge(&self.deps.bucket, tenant, merge_job).await?;
        uploads.finish(&block).await?;
        let meta = Arc::new(block.meta);
        let commit = Commit { add: vec![Arc::clone(&meta)], remove: job.blocks.clone(), ..Commit::default() };
        match self.deps.catalog.commit(tenant, commit).await? {
            CommitOutcome::Committed(_) | CommitOutcome::AlreadyDone(_) => {}
            CommitOutcome::Invalid { why, .. } => {
                self.metrics.lost_races_total.inc();
                info!(%tenant, block = %id, %why, "merge came too late: another commit was first");
                return Ok(false);
            }
            // Only commits that cover logs are told to rebuild.
            CommitOutcome::Rebuild { .. } => return Ok(false),
        }
        let seconds = self.deps.clock.monotonic().saturating_sub(started).as_secs_f64();
        self.metrics.merge_seconds.observe(seconds);
        let bytes_in: u64 = job.blocks.iter().filter_map(|block| state.blocks.get(block)).map(|meta| meta.bytes).sum();
        self.metrics.merged(job.level, &counts, bytes_in, meta.bytes);
        info!(
            %tenant, block = %id, level = job.level, blocks = job.blocks.len(), profiles = counts.profiles,
            samples = counts.samples, duplicates = counts.duplicates, bytes_in, bytes = meta.bytes, seconds, "blocks merged"
        );
        Ok(true)
    }

    /// Sets aside what would fail the same way again; all else ends the tenant's round.
    async fn judge_failure(&self, tenant: &TenantId, job: &Job, failed: MergeError) -> Result<(), MergeError> {
        let live = self.deps.catalog.load(tenant).await?;
        let is_live = |block: &Ulid| live.blocks.contains_key(block);
        let aside: Vec<Ulid> = match (&failed, failed.missing_block()) {
            // Merged by somebody else and swept meanwhile: the plan was old.
            (_, Some(missing)) if !is_live(&missing) => return Ok(()),
            (_, Some(missing)) => vec![missing],
            (MergeError::Write(_), _) => job.blocks.clone(),
            _ => failed.damaged_block().into_iter().collect(),
        };
        if aside.is_empty() {
            return Err(failed);
        }
        self.metrics.merge_failures_total.inc();
        for block in &aside {
            error!(%tenant, %block, error = &failed as &dyn std::error::Error, "block set aside: it is not merged until a restart");
        }
        self.aside.lock().entry(tenant.clone()).or_default().extend(aside);
        Ok(())
    }

    /// Blocks set aside that are still live.
    fn blocks_aside(&self, tenant: &TenantId, state: &CatalogState) -> BTreeSet<Ulid> {
        let mut all = self.aside.lock();
        let Some(aside) = all.get_mut(tenant) else { return BTreeSet::new() };
        aside.retain(|block| state.blocks.contains_key(block));
        aside.clone()
    }

    /// One round over all tenants; a tenant that fails is tried again in the next.
    pub async fn compact_all(&self) {
        use futures::StreamExt;
        let failures = self.metrics.merge_failures_total.get();
        let tenants = match self.deps.catalog.tenants().await {
            Ok(tenants) => tenants,
            Err(error) => {
                self.metrics.merge_failures_total.inc();
                warn!(
                    error = &error as &dyn std::error::Error,
                    "tenants cannot be listed; merging is tried again later"
                );
                return;
            }
        };
        let owned = tenants.iter().filter(|tenant| self.deps.ownership.owns(tenant));
        futures::stream::iter(owned)
            .for_each_concurrent(self.config.compaction_concurrency.max(1), |tenant| async move {
                if let Err(error) = self.compact_tenant(tenant).await {
                    self.metrics.merge_failures_total.inc();
                    warn!(%tenant, error = &error as &dyn std::error::Error, "merge failed; it is tried again later");
                }
            })
            .await;
        self.count_blocks(&tenants);
        let now_ns = self.deps.clock.unix_nanos();
        self.metrics.round_ended("merge", failures, &self.metrics.merge_failures_total, now_ns);
    }

    /// Sets the gauges, by the catalogs that are known now.
    pub(crate) fn count_blocks(&self, tenants: &[TenantId]) {
        let mut levels = [0_i64; 3];
        for state in tenants.iter().filter_map(|tenant| self.deps.catalog.cached(tenant)) {
            let level = |meta: &BlockMeta| (meta.level as usize).min(levels.len() - 1);
            let at: Vec<usize> = state.blocks.values().map(|meta| level(meta)).collect();
            at.into_iter().for_each(|at| levels[at] += 1);
        }
        for (level, count) in levels.into_iter().enumerate() {
            self.metrics.blocks.with_label_values(&[&level.to_string()]).set(count);
        }
        let aside: usize = self.aside.lock().values().map(BTreeSet::len).sum();
        self.metrics.blocks_aside.set(i64::try_from(aside).unwrap_or(i64::MAX));
    }
}
