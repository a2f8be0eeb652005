//! From the configuration to a place for logs.

use std::path::Path;
use std::sync::Arc;

use flamelake_object_storage::Bucket;
use flamelake_runtime::clock::SharedClock;
use prometheus::Registry;

use crate::{FileLogStore, JournalConfig, JournalError, JournalMetrics, LogStore, ObjectLogStore};

/// The log store that `log.url` names.
pub fn open_log_store(
    config: &JournalConfig,
    bucket: &Bucket,
    clock: SharedClock,
    registry: &Registry,
) -> Result<Arc<dyn LogStore>, JournalError> {
    let metrics = JournalMetrics::register(registry);
    // The folder of the blocks is not known here: who wires a folder says where the log lies.
    if config.url == "bucket" || config.url.is_empty() {
        return Ok(Arc::new(ObjectLogStore::new(bucket.clone(), config.tombstone_keep, clock, metrics)));
    }
    match config.url.strip_prefix("file://") {
        Some(path) if !path.is_empty() => {
            Ok(Arc::new(FileLogStore::open(Path::new(path), config.file_bytes.0, clock, metrics)?))
        }
        _ => {
            let reason = format!("log.url is {:?}; use file://<folder> or bucket", config.url);
            Err(JournalError::Config { reason })
        }
    }
}
