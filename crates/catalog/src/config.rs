//! The keys `catalog.*`.

use std::time::Duration;

/// How the catalog is kept.
#[derive(Clone, Debug)]
pub struct CatalogConfig {
    /// `catalog.delete-delay`: how long removed blocks and old commits stay; twice the longest sleep of a process or error of a clock.
    pub delete_delay: Duration,
    /// `catalog.orphan-grace`: a block that was uploaded and not committed for so long is garbage.
    pub orphan_grace: Duration,
    /// `catalog.checkpoint-every`: commits between two checkpoints.
    pub checkpoint_every: u64,
    /// `catalog.cached-tenants-max`: states kept in memory.
    pub cached_tenants_max: usize,
    /// `catalog.cached-blocks-max`: blocks in all states kept in memory.
    pub cached_blocks_max: usize,
}

impl Default for CatalogConfig {
    fn default() -> Self {
        Self {
            delete_delay: Duration::from_secs(2 * 3600),
            orphan_grace: Duration::from_secs(24 * 3600),
            checkpoint_every: 64,
            cached_tenants_max: 10_000,
            cached_blocks_max: 1_000_000,
        }
    }
}
