//! Reading: a confirmed state, from the one at hand or from the newest checkpoint.

use std::sync::Arc;

use flamelake_block::meta::Ulid;
use flamelake_model::TenantId;
use flamelake_object_storage::StorageError;
use futures::stream::{self, StreamExt};

use crate::cache::{Confirmed, Moment};
use crate::commit::StoredCommit;
use crate::keys::{self, Listed};
use crate::{CatalogError, CatalogState, CatalogStore};

/// Commits fetched ahead when a catalog is read from its checkpoint.
const FETCH_AHEAD: usize = 16;

/// Ids of commits met while reading: a writer looks for its own.
pub(crate) type MetIds = Vec<Ulid>;

impl CatalogStore {
    /// The newest state, confirmed by a question that was sent after this call began. One small request if nothing changed.
    pub async fn load(&self, tenant: &TenantId) -> Result<Arc<CatalogState>, CatalogError> {
        Ok(self.load_confirmed(tenant, &mut MetIds::new()).await?.state)
    }

    pub(crate) async fn load_confirmed(&self, tenant: &TenantId, met: &mut MetIds) -> Result<Confirmed, CatalogError> {
        let clock = &self.inner.clock;
        let started = clock.monotonic();
        let cached = self.inner.cache.lock().get(tenant);
        let read_on = match cached {
            Some(confirmed) => match self.read_on(tenant, confirmed, met).await {
                // A checkpoint above may help.
                Err(CatalogError::Broken { .. }) => None,
                read_on => read_on?,
            },
            None => None,
        };
        let confirmed = match read_on {
            Some(confirmed) => confirmed,
            None => self.load_anew(tenant, met).await?,
        };
        self.inner.cache.lock().put(tenant, confirmed.clone());
        self.inner.metrics.load_seconds.observe(clock.monotonic().saturating_sub(started).as_secs_f64());
        Ok(confirmed)
    }

    /// Reads the versions after a known state until one is absent. `None` if too much time passed since the state was last confirmed:
    /// names read may have been deleted, and taken again by a writer that slept.
    async fn read_on(
        &self,
        tenant: &TenantId,
        known: Confirmed,
        met: &mut MetIds,
    ) -> Result<Option<Confirmed>, CatalogError> {
        let Confirmed { mut state, at: known_at } = known;
        loop {
            let asked_at = Moment::now(&self.inner.clock);
            let next = self.read_commit(tenant, state.version + 1).await;
            if self.is_stale(known_at) {
                return Ok(None);
            }
            match next? {
                None => return Ok(Some(Confirmed { state, at: asked_at })),
                Some(commit) => {
                    met.push(commit.id);
                    apply(tenant, Arc::make_mut(&mut state), &commit)?;
                }
            }
        }
    }

    /// Has half of the keeping time passed since then?
    pub(crate) fn is_stale(&self, at: Moment) -> bool {
        at.elapsed(&self.inner.clock) >= self.inner.config.delete_delay / 2
    }

    /// From the newest readable checkpoint.
    pub(crate) async fn load_anew(&self, tenant: &TenantId, met: &mut MetIds) -> Result<Confirmed, CatalogError> {
        self.inner.metrics.listings.inc();
        loop {
            let listed_at = Moment::now(&self.inner.clock);
            let entries = self.inner.bucket.list(&keys::catalog_folder(tenant)).await?;
            let listed = Listed::of(tenant, entries);
            let mut state = self.newest_checkpoint(tenant, &listed).await?;
            self.apply_listed(tenant, &mut state, &listed, met).await?;
            let found = Confirmed { state: Arc::new(state), at: listed_at };
            // What was listed may have grown meanwhile; if reading took too long, all over again.
            if let Some(confirmed) = self.read_on(tenant, found, met).await? {
                return Ok(confirmed);
            }
        }
    }

    async fn newest_checkpoint(&self, tenant: &TenantId, listed: &Listed) -> Result<CatalogState, CatalogError> {
        for (version, entry) in listed.checkpoints.iter().rev() {
            let read = match self.inner.bucket.get(&entry.key).await {
                Ok(bytes) => CatalogState::from_checkpoint(&bytes),
                Err(StorageError::NotFound { .. }) => Err("it is gone".to_owned()),
                Err(error) => return Err(error.into()),
            };
            match read {
                Ok(state) if state.version == *version => return Ok(state),
                Ok(state) => {
                    tracing::error!(%tenant, key = entry.key, version = state.version, "a checkpoint of the catalog has another version");
                }
                Err(reason) => {
                    tracing::error!(%tenant, key = entry.key, reason, "a checkpoint of the catalog is broken; the one before is tried");
                }
            }
        }
        Ok(CatalogState::default())
    }

    async fn apply_listed(
        &self,
        tenant: &TenantId,
        state: &mut CatalogState,
        listed: &Listed,
        met: &mut MetIds,
    ) -> Result<(), CatalogError> {
        let from = state.version;
        let Some(last) = listed.commits.last().map(|(version, _)| *version).filter(|last| *last > from) else {
            return Ok(());
        };
        let present: std::collections::BTreeSet<u64> = listed.commits.iter().map(|(version, _)| *version).collect();
        if let Some(missing) = (from + 1..=last).find(|version| !present.contains(version)) {
            return Err(CatalogError::Missing { key: keys::commit(tenant, missing) });
        }
        let mut commits = stream::iter(from + 1..=last)
            .map(|version| async move { (version, self.read_commit(tenant, version).await) })
            .buffered(FETCH_AHEAD);
        while let Some((version, commit)) = commits.next().await {
            let Some(commit) = commit? else {
                return Err(CatalogError::Missing { key: keys::commit(tenant, version) });
            };
            met.push(commit.id);
            apply(tenant, state, &commit)?;
        }
        Ok(())
    }

    /// `None` if there is no such version.
    async fn read_commit(&self, tenant: &TenantId, version: u64) -> Result<Option<StoredCommit>, CatalogError> {
        let key = keys::commit(tenant, version);
        match self.inner.bucket.get(&key).await {
            Ok(bytes) => match StoredCommit::parse(&bytes) {
                Ok(commit) => Ok(Some(commit)),
                Err(reason) => Err(CatalogError::Broken { key, reason }),
            },
            Err(StorageError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

fn apply(tenant: &TenantId, state: &mut CatalogState, commit: &StoredCommit) -> Result<(), CatalogError> {
    let key = keys::commit(tenant, state.version + 1);
    state.apply(commit).map_err(|reason| CatalogError::Broken { key, reason })
}
