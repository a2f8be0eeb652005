//! Keys of the compactor.

use std::time::Duration;

use flamelake_config::ByteSize;

flamelake_config::section! {
    /// Compactor: merging of blocks, retention and the sweeping of unused files.
    pub struct CompactorConfig {
        /// How often every tenant's catalog is looked at for blocks past their retention, for files that nothing needs, and for deletes that are not done.
        "compactor.cleanup-interval" => pub cleanup_interval: Duration = Duration::from_secs(15 * 60),
        /// How often every tenant's catalog is looked at for blocks to merge.
        "compactor.compaction-interval" => pub compaction_interval: Duration = Duration::from_secs(60),
        /// Tenants whose blocks are merged at once.
        "compactor.compaction-concurrency" => pub compaction_concurrency: usize = 1,
        /// Blocks in one merge at most; so many fresh blocks are merged without waiting for their window to be complete.
        "compactor.blocks-per-merge-max" => pub blocks_per_merge_max: usize = 16,
        /// Fresh blocks are merged within windows of this length (level 1).
        "compactor.first-window" => pub first_window: Duration = Duration::from_secs(2 * 3600),
        /// Merged blocks are merged again within windows of this length (level 2).
        "compactor.second-window" => pub second_window: Duration = Duration::from_secs(24 * 3600),
        /// A window is complete so long after its end: late profiles have mostly come by then.
        "compactor.window-grace" => pub window_grace: Duration = Duration::from_secs(30 * 60),
        /// Memory of one merge: an eighth of it for rows at hand, the rest for what is known of all profiles and symbols of a service. Blocks that together are larger than a quarter of it are not merged.
        "compactor.memory-bytes-max" => pub memory_bytes_max: ByteSize = ByteSize(1 << 30),
        /// Deletes of one tenant that are not done; more are refused.
        "compactor.deletes-pending-max" => pub deletes_pending_max: usize = 100,
    }
}

impl CompactorConfig {
    /// Rows that a merge has at hand: a service with more becomes several partitions.
    pub(crate) fn rows_bytes_max(&self) -> u64 {
        self.memory_bytes_max.0 / 8
    }
}
