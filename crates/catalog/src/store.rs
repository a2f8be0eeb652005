//! The handle on all catalogs of a bucket.

use std::sync::Arc;

use flamelake_block::meta::Ulid;
use flamelake_model::TenantId;
use flamelake_object_storage::Bucket;
use flamelake_runtime::clock::SharedClock;
use parking_lot::Mutex;
use prometheus::Registry;

use crate::cache::Cache;
use crate::metrics::Metrics;
use crate::{CatalogConfig, CatalogError, CatalogState, keys};

/// Cheap to clone; clones share what they have read.
#[derive(Clone, Debug)]
pub struct CatalogStore {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) bucket: Bucket,
    pub(crate) clock: SharedClock,
    pub(crate) config: CatalogConfig,
    pub(crate) metrics: Metrics,
    pub(crate) cache: Mutex<Cache>,
}

impl CatalogStore {
    /// Catalogs in this bucket, which must have passed the probe.
    pub fn new(bucket: Bucket, clock: SharedClock, config: CatalogConfig, registry: &Registry) -> Self {
        let cache = Mutex::new(Cache::new(config.cached_tenants_max, config.cached_blocks_max));
        let metrics = Metrics::register(registry);
        Self { inner: Arc::new(Inner { bucket, clock, config, metrics, cache }) }
    }

    /// The last state seen, without asking the store; it may be old.
    pub fn cached(&self, tenant: &TenantId) -> Option<Arc<CatalogState>> {
        self.inner.cache.lock().get(tenant).map(|confirmed| confirmed.state)
    }

    /// All tenants with anything in the bucket, sorted.
    pub async fn tenants(&self) -> Result<Vec<TenantId>, CatalogError> {
        let names = self.inner.bucket.list_folders(keys::TENANTS).await?;
        Ok(names.iter().filter_map(|name| TenantId::parse(name).ok()).collect())
    }

    /// An id for a block to be added to this state: above the floor, whatever the clock says.
    pub fn next_block_id(&self, state: &CatalogState) -> Ulid {
        let now_ms = u64::try_from(self.now_ms()).unwrap_or(0);
        Ulid::from_parts(now_ms.max(state.floor.timestamp_ms() + 1), self.inner.clock.random())
    }

    /// Unix milliseconds.
    pub(crate) fn now_ms(&self) -> i64 {
        self.inner.clock.unix_nanos() / 1_000_000
    }
}
