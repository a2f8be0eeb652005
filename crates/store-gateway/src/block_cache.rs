//! Open blocks, the least recently used leave first. A block grows while it is read (series, symbols), so it is weighed again after each use.

use std::sync::Arc;

use flamelake_block::meta::Ulid;
use flamelake_block::reader::{BlockReader, ReadError};
use flamelake_model::TenantId;
use flamelake_object_storage::Bucket;
use moka::future::Cache;

use crate::metrics::Metrics;

/// Weights are KiB, so that a block may weigh up to 4 TiB.
const WEIGHT_BYTES: u64 = 1024;

type Key = (TenantId, Ulid);

/// See the module. Cheap to clone.
#[derive(Clone)]
pub(crate) struct BlockCache {
    bucket: Bucket,
    open: Cache<Key, Arc<BlockReader>, foldhash::fast::RandomState>,
    metrics: Metrics,
}

impl std::fmt::Debug for BlockCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlockCache").field("open", &self.open.entry_count()).finish_non_exhaustive()
    }
}

impl BlockCache {
    pub(crate) fn new(bucket: Bucket, bytes_max: u64, metrics: Metrics) -> Self {
        let open = Cache::builder()
            .max_capacity(bytes_max / WEIGHT_BYTES)
            .weigher(|_: &Key, reader: &Arc<BlockReader>| weight(reader))
            .build_with_hasher(foldhash::fast::RandomState::default());
        Self { bucket, open, metrics }
    }

    /// The block, opened once however many ask at the same time.
    pub(crate) async fn get(&self, tenant: &TenantId, ulid: Ulid) -> Result<Arc<BlockReader>, Arc<ReadError>> {
        let open = async {
            self.metrics.blocks_opened.inc();
            BlockReader::open(self.bucket.clone(), tenant, ulid).await.map(Arc::new)
        };
        self.open.try_get_with((tenant.clone(), ulid), open).await
    }

    /// Weighs a block anew after it was read.
    pub(crate) async fn weigh_again(&self, tenant: &TenantId, ulid: Ulid, reader: Arc<BlockReader>) {
        self.open.insert((tenant.clone(), ulid), reader).await;
        // The cache would wait for 64 such changes before it looks at its bound, and blocks are large.
        self.open.run_pending_tasks().await;
        let bytes = self.open.weighted_size().saturating_mul(WEIGHT_BYTES);
        self.metrics.cache_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Forgets a block that cannot be read, so that a repaired one is seen.
    pub(crate) async fn forget(&self, tenant: &TenantId, ulid: Ulid) {
        self.open.invalidate(&(tenant.clone(), ulid)).await;
    }
}

fn weight(reader: &BlockReader) -> u32 {
    u32::try_from((reader.memory_bytes() as u64).div_ceil(WEIGHT_BYTES)).unwrap_or(u32::MAX)
}
