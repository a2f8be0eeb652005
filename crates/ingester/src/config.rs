//! Keys of the ingester.

use std::time::Duration;

use flamelake_config::ByteSize;

flamelake_config::section! {
    /// Ingester: the recent head in memory and how it becomes blocks.
    pub struct IngesterConfig {
        /// Most bytes that recent rows and their symbols may hold in memory. Nearing it flushes early, at it pushes are refused
        /// with `resource_exhausted`. 0 = a quarter of the memory of the machine or its cgroup.
        "ingester.head-bytes-max" => pub head_bytes_max: ByteSize = ByteSize(0),
        /// A tenant's head is cut into a block when its oldest row has waited this long.
        "ingester.flush-interval" => pub flush_interval: Duration = Duration::from_secs(15 * 60),
        /// A tenant's head is cut into a block when it holds this many bytes.
        "ingester.flush-bytes" => pub flush_bytes: ByteSize = ByteSize(64 << 20),
        /// How long rows stay in memory after their block is committed, for queries planned just before. Less if memory is short, and at
        /// most `ingester.flush-bytes` a tenant.
        "ingester.retain-after-commit" => pub retain_after_commit: Duration = Duration::from_secs(30),
        /// A profile whose id was seen within this time is a retry and is stored once.
        "ingester.dedup-window" => pub dedup_window: Duration = Duration::from_secs(3600),
        /// Most profile ids remembered; beyond it the oldest are forgotten before `ingester.dedup-window` has passed.
        "ingester.dedup-ids-max" => pub dedup_ids_max: usize = 2_000_000,
        /// Most tenants with rows in this ingester's memory.
        "ingester.tenants-max" => pub tenants_max: usize = 100_000,
        /// Location-tree nodes at which a service's symbols start anew, so that churning code cannot fill the memory.
        "ingester.partition-stacks-max" => pub partition_stacks_max: u64 = 4_000_000,
    }
}
