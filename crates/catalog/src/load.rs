//! Reading: a confirmed state, from the one at hand or from the newest checkpoint.

use std::collections::BTreeSet;
use std::sync::Arc;

use flamelake_block::meta::Ulid;
use flamelake_model::TenantId;
use flamelake_object_storage::StorageError;
use futures::stream::{self, StreamExt};

use crate::cache::{Confirmed, Moment};
use crate::commit::{FORMAT, StoredCommit, is_newer};
use crate::keys::{self, Listed};
use crate::rescue::Damage;
use crate::{CatalogError, CatalogState, CatalogStore};

/// Commits fetched ahead when a catalog is read from its checkpoint.
const FETCH_AHEAD: usize = 16;

/// A chain that is damaged again each time it was listed is given up for now.
const ANEW_ATTEMPTS_MAX: u32 = 3;

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
                // From the newest checkpoint it is mended.
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

    /// From the newest readable checkpoint. What is damaged above it is named, left out, and mended as far as the blocks tell.
    pub(crate) async fn load_anew(&self, tenant: &TenantId, met: &mut MetIds) -> Result<Confirmed, CatalogError> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            self.inner.metrics.listings.inc();
            let listed_at = Moment::now(&self.inner.clock);
            let entries = self.inner.bucket.list(&keys::catalog_folder(tenant)).await?;
            let listed = Listed::of(tenant, entries);
            let mut state = self.newest_checkpoint(tenant, &listed).await?;
            let mut damage = Damage::default();
            self.apply_listed(tenant, &mut state, &listed, met, &mut damage).await?;
            if !damage.objects.is_empty() {
                // A listing is no snapshot, and a sweeper may be at work: what is damaged is so at a second look too.
                if attempts == 1 {
                    continue;
                }
                self.mend(tenant, &mut state, &damage).await?;
            }
            let found = Confirmed { state: Arc::new(state), at: listed_at };
            match self.read_on(tenant, found, met).await {
                Ok(Some(confirmed)) => return Ok(confirmed),
                // What was listed may have grown meanwhile; if reading took too long, all over again.
                Ok(None) => {}
                // Came after the listing: the next one shows it.
                Err(CatalogError::Broken { .. }) if attempts < ANEW_ATTEMPTS_MAX => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn newest_checkpoint(&self, tenant: &TenantId, listed: &Listed) -> Result<CatalogState, CatalogError> {
        for (version, entry) in listed.checkpoints.iter().rev() {
            let read = match self.inner.bucket.get(&entry.key).await {
                Ok(bytes) if is_newer(&bytes) => return Err(newer(&entry.key)),
                Ok(bytes) => CatalogState::from_checkpoint(&bytes),
                Err(StorageError::NotFound { .. }) => Err("it is gone".to_owned()),
                Err(error) => return Err(error.into()),
            };
            let reason = match read {
                Ok(state) if state.version == *version => return Ok(state),
                Ok(state) => format!("it says version {}", state.version),
                Err(reason) => reason,
            };
            self.inner.metrics.damaged_objects.inc();
            tracing::error!(%tenant, key = entry.key, reason, "a checkpoint of the catalog is damaged; the one before it is used");
        }
        Ok(CatalogState::default())
    }

    async fn apply_listed(
        &self,
        tenant: &TenantId,
        state: &mut CatalogState,
        listed: &Listed,
        met: &mut MetIds,
        damage: &mut Damage,
    ) -> Result<(), CatalogError> {
        let newest = |list: &[(u64, _)]| list.last().map_or(0, |(version, _)| *version);
        // A checkpoint that cannot be read still says how far the chain went.
        let last = newest(&listed.commits).max(newest(&listed.checkpoints));
        let present: BTreeSet<u64> = listed.commits.iter().map(|(version, _)| *version).collect();
        if state.version == 0 && last > 0 && !present.contains(&1) {
            let first = present.first().copied().unwrap_or(last + 1);
            damage.base_lost = true;
            damage.note(keys::commit(tenant, 1), format!("the chain begins at {first}, no checkpoint can be read"));
            state.version = first - 1;
        }
        let reads = state.version + 1..=last;
        // Whether listed or not: a commit that was put during the listing may have been missed, with one above it.
        let mut commits = stream::iter(reads)
            .map(|version| async move { (version, self.read_commit(tenant, version).await) })
            .buffered(FETCH_AHEAD);
        while let Some((version, commit)) = commits.next().await {
            let key = keys::commit(tenant, version);
            let read = match commit {
                Ok(Some(commit)) if commit.version == version => Ok(commit),
                Ok(Some(commit)) => Err(format!("it says version {}", commit.version)),
                Ok(None) => Err("it is missing".to_owned()),
                Err(CatalogError::Broken { reason, .. }) => Err(reason),
                Err(error) => return Err(error),
            };
            let commit = match read {
                Ok(commit) => commit,
                Err(reason) => {
                    damage.note(key, reason);
                    state.version = version;
                    continue;
                }
            };
            met.push(commit.id);
            if let Err(reason) = state.apply(&commit) {
                damage.note(key, format!("it does not fit what is left before it: {reason}"));
                state.apply_behind_damage(&commit);
            }
        }
        Ok(())
    }

    /// `None` if there is no such version.
    async fn read_commit(&self, tenant: &TenantId, version: u64) -> Result<Option<StoredCommit>, CatalogError> {
        let key = keys::commit(tenant, version);
        match self.inner.bucket.get(&key).await {
            Ok(bytes) if is_newer(&bytes) => Err(newer(&key)),
            Ok(bytes) => match StoredCommit::parse(&bytes) {
                Ok(commit) => Ok(Some(commit)),
                Err(reason) => Err(CatalogError::Broken { key, reason }),
            },
            Err(StorageError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

fn newer(key: &str) -> CatalogError {
    CatalogError::Newer { key: key.to_owned(), reason: format!("this binary reads format {FORMAT}") }
}

fn apply(tenant: &TenantId, state: &mut CatalogState, commit: &StoredCommit) -> Result<(), CatalogError> {
    let key = keys::commit(tenant, state.version + 1);
    state.apply(commit).map_err(|reason| CatalogError::Broken { key, reason })
}
