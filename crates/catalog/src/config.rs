//! The keys `catalog.*`.

use std::time::Duration;

flamelake_config::section! {
    /// The catalog: which blocks of a tenant count.
    pub struct CatalogConfig {
        /// How long removed blocks and old commits stay: twice the longest sleep of a process or error of a clock.
        "catalog.delete-delay" => pub delete_delay: Duration = Duration::from_secs(2 * 3600),
        /// A block that was uploaded and not committed for so long is garbage.
        "catalog.orphan-grace" => pub orphan_grace: Duration = Duration::from_secs(24 * 3600),
        /// Commits between two checkpoints.
        "catalog.checkpoint-every" => pub checkpoint_every: u64 = 64,
        /// Tenants whose state is kept in memory.
        "catalog.cached-tenants-max" => pub cached_tenants_max: usize = 10_000,
        /// Blocks in all states kept in memory.
        "catalog.cached-blocks-max" => pub cached_blocks_max: usize = 1_000_000,
    }
}
