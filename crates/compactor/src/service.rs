//! The life of a compactor: rounds over all tenants, one kind for cleaning up, one for merging and one for deletes, each at its own interval.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use flamelake_api::roles::Ingesters;
use flamelake_catalog::{CatalogError, CatalogStore, Commit, CommitOutcome, Ulid};
use flamelake_config::LimitsSource;
use flamelake_model::TenantId;
use flamelake_object_storage::Bucket;
use flamelake_runtime::clock::SharedClock;
use parking_lot::Mutex;
use prometheus::Registry;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::CompactorConfig;
use crate::metrics::Metrics;
use crate::ownership::Ownership;
use crate::retention::expired;
use crate::status::UnderWay;

/// What a compactor works with.
#[derive(Clone)]
pub struct CompactorDeps {
    /// Where the blocks lie.
    pub bucket: Bucket,
    /// Whose blocks are live.
    pub catalog: Arc<CatalogStore>,
    /// Whose blocks this process merges.
    pub ownership: Arc<dyn Ownership>,
    /// Who may hold rows that no block holds: deletes ask all of them.
    pub ingesters: Arc<dyn Ingesters>,
    /// Retention of each tenant.
    pub limits: Arc<dyn LimitsSource>,
    /// Time.
    pub clock: SharedClock,
    /// Where metrics are registered.
    pub registry: Registry,
}

impl std::fmt::Debug for CompactorDeps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CompactorDeps")
    }
}

/// See the crate.
#[derive(Debug)]
pub struct Compactor {
    pub(crate) config: CompactorConfig,
    pub(crate) deps: CompactorDeps,
    pub(crate) metrics: Metrics,
    /// Blocks that cannot be merged.
    pub(crate) aside: Mutex<BTreeMap<TenantId, BTreeSet<Ulid>>>,
    /// Tenants whose deletes were accepted here.
    pub(crate) wanted_deletes: Mutex<BTreeSet<TenantId>>,
    pub(crate) deletes_wanted: Notify,
    pub(crate) under_way: UnderWay,
}

impl Compactor {
    /// A compactor that does nothing until [`Compactor::run`].
    pub fn new(config: CompactorConfig, deps: CompactorDeps) -> Result<Self, prometheus::Error> {
        let metrics = Metrics::new(&deps.registry)?;
        Ok(Self {
            config,
            deps,
            metrics,
            aside: Mutex::default(),
            wanted_deletes: Mutex::default(),
            deletes_wanted: Notify::new(),
            under_way: UnderWay::default(),
        })
    }

    /// Works until stopped; a merge that is not done by then is dropped, which loses nothing.
    pub async fn run(&self, stop: CancellationToken) {
        let cleaning = async {
            loop {
                self.clean_all().await;
                self.deps.clock.sleep(self.config.cleanup_interval).await;
            }
        };
        let merging = async {
            loop {
                self.compact_all().await;
                self.deps.clock.sleep(self.config.compaction_interval).await;
            }
        };
        let deleting = async {
            loop {
                self.delete_round(true).await;
                let next = self.deps.clock.sleep(self.config.cleanup_interval);
                let mut next = std::pin::pin!(next);
                loop {
                    tokio::select! {
                        () = &mut next => break,
                        () = self.deletes_wanted.notified() => self.delete_round(false).await,
                    }
                }
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = cleaning => {}
            () = deleting => {}
            () = merging => {}
        }
    }

    /// One round over all tenants; a tenant that fails is tried again in the next.
    pub async fn clean_all(&self) {
        let failures = self.metrics.cleanup_failures_total.get();
        let tenants = match self.deps.catalog.tenants().await {
            Ok(tenants) => tenants,
            Err(error) => {
                self.metrics.cleanup_failures_total.inc();
                warn!(
                    error = &error as &dyn std::error::Error,
                    "tenants cannot be listed; cleanup is tried again later"
                );
                return;
            }
        };
        for tenant in &tenants {
            self.metrics.cleanups_total.inc();
            if let Err(error) = self.clean(tenant).await {
                self.metrics.cleanup_failures_total.inc();
                warn!(%tenant, error = &error as &dyn std::error::Error, "cleanup failed; it is tried again later");
            }
        }
        // A round of merges that does not keep up ends late, and its numbers are wanted then most.
        self.count_blocks(&tenants);
        let now_ns = self.deps.clock.unix_nanos();
        self.metrics.round_ended("cleanup", failures, &self.metrics.cleanup_failures_total, now_ns);
    }

    async fn clean(&self, tenant: &TenantId) -> Result<(), CatalogError> {
        let state = self.deps.catalog.load(tenant).await?;
        let retention = self.deps.limits.for_tenant(tenant).retention_period;
        let remove = expired(state.blocks.values().map(Arc::as_ref), retention, self.deps.clock.unix_nanos());
        if !remove.is_empty() {
            let blocks = remove.len();
            let commit = Commit { remove: remove.into_iter().collect(), ..Commit::default() };
            // Otherwise a merge took one of them meanwhile: the next round looks again.
            if let CommitOutcome::Committed(_) = self.deps.catalog.commit(tenant, commit).await? {
                self.metrics.blocks_expired_total.inc_by(blocks as u64);
                info!(%tenant, blocks, "blocks past their retention removed");
            }
        }
        self.deps.catalog.sweep(tenant).await?;
        Ok(())
    }
}
