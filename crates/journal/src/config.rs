//! The keys of the log.

use std::time::Duration;

use flamelake_config::ByteSize;

flamelake_config::section! {
    /// The log: what makes a push durable before it is acknowledged.
    pub struct JournalConfig {
        /// `file://<folder>` (relative allowed) for one machine, `bucket` for the bucket of `storage.*`. Empty = beside the blocks if these lie
        /// in a folder, else `bucket`.
        "log.url" => pub url: String = String::new(),
        /// Who decides which of two puts of one name wins, of the log in a bucket and of catalogs: empty = the store, by conditional creates (a
        /// store without them is refused at start); `etcd` = the etcd of `ring.etcd.endpoints`, for such stores. The same in all processes.
        "log.arbiter" => pub arbiter: String = String::new(),
        /// Least time between the starts of two writes. 0 = 2 ms on a disk, 250 ms on a bucket.
        "log.flush-interval" => pub flush_interval: Duration = Duration::ZERO,
        /// A group of so many bytes is closed while the one before it is still being written; at most 64 MiB. 0 = 1 MiB on a disk, 8 MiB on a bucket.
        "log.flush-bytes" => pub flush_bytes: ByteSize = ByteSize(0),
        /// Bytes that wait or are being written; more is refused with `unavailable`.
        "log.queue-bytes" => pub queue_bytes: ByteSize = ByteSize(128 << 20),
        /// Pushes that wait or are being written; more are refused with `unavailable`.
        "log.queue-entries" => pub queue_entries: u64 = 10_000,
        /// Log that no block covers yet; beyond it pushes get `resource_exhausted`.
        "log.bytes-max" => pub bytes_max: ByteSize = ByteSize(8 << 30),
        /// On a disk, a file of the log is rotated at this size.
        "log.file-bytes" => pub file_bytes: ByteSize = ByteSize(64 << 20),
        /// In a bucket, how long the end mark of a sealed log is kept: twice the longest sleep of a process or error of a clock.
        "log.tombstone-keep" => pub tombstone_keep: Duration = Duration::from_secs(30 * 24 * 3600),
    }
}
