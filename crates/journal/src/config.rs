//! The keys `log.*`.

use std::time::Duration;

/// How the log is written.
#[derive(Clone, Debug)]
pub struct JournalConfig {
    /// `log.url`: `file://<folder>` (relative allowed) for one machine, `bucket` for the bucket of `storage.*`.
    pub url: String,
    /// `log.flush-interval`: least time between the starts of two writes; 0 = 2 ms on a disk, 250 ms on a bucket.
    pub flush_interval: Duration,
    /// `log.flush-bytes`: a group of so many bytes is closed while the one before it is still being written.
    pub flush_bytes: u64,
    /// `log.queue-bytes`: bytes that wait or are being written; more is refused with `unavailable`.
    pub queue_bytes: u64,
    /// `log.queue-entries`: pushes that wait; more are refused with `unavailable`.
    pub queue_entries: u64,
    /// `log.bytes-max`: log that no block covers yet; beyond it pushes get `resource_exhausted`.
    pub bytes_max: u64,
    /// `log.file-bytes`: a file of the log is rotated at this size.
    pub file_bytes: u64,
    /// `log.tombstone-keep`: how long the end mark of a sealed log is kept in a bucket; twice the longest sleep of a process or error of a clock.
    pub tombstone_keep: Duration,
}

impl Default for JournalConfig {
    fn default() -> Self {
        Self {
            url: "file://./data/log".to_owned(),
            flush_interval: Duration::ZERO,
            flush_bytes: 8 << 20,
            queue_bytes: 128 << 20,
            queue_entries: 10_000,
            bytes_max: 8 << 30,
            file_bytes: 64 << 20,
            tombstone_keep: Duration::from_secs(30 * 24 * 3600),
        }
    }
}
