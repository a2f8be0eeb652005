//! Writing: put the next version, and judge by the state whatever the answer was.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flamelake_block::meta::Ulid;
use flamelake_model::TenantId;
use flamelake_object_storage::PutOutcome;

use crate::cache::Confirmed;
use crate::commit::{Commit, FORMAT, StoredCommit};
use crate::load::MetIds;
use crate::{CatalogError, CatalogState, CatalogStore, InvalidCommit, keys};

/// A commit that loses so many races gives up.
const ATTEMPTS_MAX: u32 = 64;
/// Unclear answers in a row after which the caller is told.
const UNCLEAR_MAX: u32 = 5;

/// What became of a commit; each with the newest state.
#[derive(Clone, Debug)]
pub enum CommitOutcome {
    /// It is part of the chain.
    Committed(Arc<CatalogState>),
    /// What it wanted is so already, whoever did it. An own block that is not live in the state can be deleted.
    AlreadyDone(Arc<CatalogState>),
    /// A log is covered further than `from` and not yet to `to`: build the block again from the rest.
    Rebuild {
        /// The newest state.
        state: Arc<CatalogState>,
        /// Watermarks of the commit's logs.
        watermarks: BTreeMap<String, u64>,
    },
    /// It can never be part of the chain.
    Invalid {
        /// The newest state.
        state: Arc<CatalogState>,
        /// The first thing that is wrong.
        why: InvalidCommit,
    },
}

impl CommitOutcome {
    /// The newest state.
    pub fn state(&self) -> &Arc<CatalogState> {
        match self {
            Self::Committed(state) | Self::AlreadyDone(state) => state,
            Self::Rebuild { state, .. } | Self::Invalid { state, .. } => state,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Committed(_) => "committed",
            Self::AlreadyDone(_) => "already_done",
            Self::Rebuild { .. } => "rebuild",
            Self::Invalid { .. } => "invalid",
        }
    }
}

impl CatalogStore {
    /// Makes a change the next version of the catalog. After an error it is open whether it did; committing the same again is safe.
    pub async fn commit(&self, tenant: &TenantId, commit: Commit) -> Result<CommitOutcome, CatalogError> {
        let outcome = self.commit_until_clear(tenant, commit).await?;
        self.inner.metrics.commits.with_label_values(&[outcome.name()]).inc();
        Ok(outcome)
    }

    async fn commit_until_clear(&self, tenant: &TenantId, commit: Commit) -> Result<CommitOutcome, CatalogError> {
        let mut stored = StoredCommit { format: FORMAT, version: 0, id: Ulid::nil(), at_ms: self.now_ms(), commit };
        stored.id = Ulid::from_parts(u64::try_from(stored.at_ms).unwrap_or(0), self.inner.clock.random());
        let mut unclear = 0;
        // Ids are looked for only once something of ours may be stored.
        let mut tried = false;
        for attempt in 0..ATTEMPTS_MAX {
            let mut met = MetIds::new();
            let confirmed = self.load_confirmed(tenant, &mut met).await?;
            if tried && met.contains(&stored.id) {
                return Ok(CommitOutcome::Committed(confirmed.state));
            }
            if let Some(outcome) = judge(&confirmed.state, &stored.commit) {
                return Ok(outcome);
            }
            stored.version = confirmed.state.version + 1;
            tried = true;
            match self.put_next(tenant, &confirmed, &stored).await {
                Ok(Some(state)) => return Ok(CommitOutcome::Committed(state)),
                Ok(None) => unclear = 0,
                Err(error) => {
                    unclear += 1;
                    if unclear >= UNCLEAR_MAX {
                        return Err(error);
                    }
                    tracing::debug!(%tenant, attempt, error = &error as &dyn std::error::Error, "answer to a commit is unclear");
                }
            }
            self.inner.clock.sleep(Duration::from_millis(u64::from(attempt.min(20)))).await;
        }
        Err(CatalogError::Contention { tenant: tenant.clone(), attempts: ATTEMPTS_MAX })
    }

    /// The new state if the put counts, `None` if the chain must be looked at again.
    async fn put_next(
        &self,
        tenant: &TenantId,
        confirmed: &Confirmed,
        stored: &StoredCommit,
    ) -> Result<Option<Arc<CatalogState>>, CatalogError> {
        let key = keys::commit(tenant, stored.version);
        let put = self.inner.bucket.put_if_absent(&key, Bytes::from(stored.to_bytes())).await;
        // Whoever slept may have put into a deleted name: what counts then is what a fresh listing shows.
        let stale = self.is_stale(confirmed.at);
        if stale {
            self.inner.cache.lock().forget(tenant);
        }
        if put? == PutOutcome::AlreadyExists || stale {
            return Ok(None);
        }
        let mut state = CatalogState::clone(&confirmed.state);
        state.apply(stored).map_err(|reason| CatalogError::Broken { key, reason })?;
        let state = Arc::new(state);
        self.inner.cache.lock().put(tenant, Confirmed { state: Arc::clone(&state), at: confirmed.at });
        self.checkpoint_if_due(tenant, &state).await;
        Ok(Some(state))
    }

    async fn checkpoint_if_due(&self, tenant: &TenantId, state: &CatalogState) {
        if !state.version.is_multiple_of(self.inner.config.checkpoint_every.max(1)) {
            return;
        }
        let key = keys::checkpoint(tenant, state.version);
        let put = self.inner.bucket.put_if_absent(&key, Bytes::from(state.to_checkpoint())).await;
        if let Err(error) = put {
            // The next one will do; until then catalogs are read from the one before.
            tracing::warn!(%tenant, key, error = &error as &dyn std::error::Error, "a checkpoint of the catalog was not written");
        }
    }

    /// Removes live blocks that end before `cutoff_ns` (nanoseconds): retention. `None` if there is nothing to remove.
    pub async fn remove_older_than(
        &self,
        tenant: &TenantId,
        cutoff_ns: i64,
    ) -> Result<Option<CommitOutcome>, CatalogError> {
        loop {
            let state = self.load(tenant).await?;
            let old = state.blocks.values().filter(|meta| meta.max_time_ns < cutoff_ns);
            let remove: Vec<Ulid> = old.map(|meta| meta.ulid).collect();
            if remove.is_empty() {
                return Ok(None);
            }
            match self.commit(tenant, Commit { remove, ..Commit::default() }).await? {
                // A compaction took one of them meanwhile: look again.
                CommitOutcome::Invalid { .. } => continue,
                outcome => return Ok(Some(outcome)),
            }
        }
    }

    /// Drops watermarks of logs of which no object is left (not even a tombstone). Unknown ones are ignored.
    pub async fn drop_watermarks(&self, tenant: &TenantId, logs: &[String]) -> Result<(), CatalogError> {
        let state = self.load(tenant).await?;
        let drop_logs: Vec<String> = logs.iter().filter(|log| state.covered.contains_key(*log)).cloned().collect();
        if !drop_logs.is_empty() {
            self.commit(tenant, Commit { drop_logs, ..Commit::default() }).await?;
        }
        Ok(())
    }
}

/// What a state says about a commit that is not part of it; `None` if it can be tried.
fn judge(state: &Arc<CatalogState>, commit: &Commit) -> Option<CommitOutcome> {
    let done = || Some(CommitOutcome::AlreadyDone(Arc::clone(state)));
    if commit.is_empty() || is_done_by_blocks(state, commit) {
        return done();
    }
    let standing = |log: &String, (from, to): &(u64, u64)| match state.covered.get(log) {
        Some(at) if at >= to => Standing::Done,
        Some(at) if at > from => Standing::Between,
        _ => Standing::Open,
    };
    let standings: Vec<Standing> = commit.covered.iter().map(|(log, range)| standing(log, range)).collect();
    if !standings.is_empty() && standings.iter().all(|standing| *standing == Standing::Done) {
        return done();
    }
    if standings.iter().any(|standing| *standing != Standing::Open) {
        let watermarks = commit.covered.keys().map(|log| (log.clone(), state.covered_of(log))).collect();
        return Some(CommitOutcome::Rebuild { state: Arc::clone(state), watermarks });
    }
    let why = state.check(commit).err()?;
    Some(CommitOutcome::Invalid { state: Arc::clone(state), why })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Done,
    Between,
    Open,
}

/// An id is drawn once: if all added blocks are (or lately were) live, or all that was to go is gone, an earlier attempt did it.
fn is_done_by_blocks(state: &CatalogState, commit: &Commit) -> bool {
    let known = |block: &Ulid| state.blocks.contains_key(block) || state.removed.contains_key(block);
    if !commit.add.is_empty() {
        return commit.add.iter().all(|meta| known(&meta.ulid));
    }
    commit.covered.is_empty()
        && !commit.remove.is_empty()
        && commit.remove.iter().all(|block| !state.blocks.contains_key(block))
}
