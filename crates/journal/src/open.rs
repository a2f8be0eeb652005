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
    if config.url == "bucket" {
        return Ok(Arc::new(ObjectLogStore::new(bucket.clone(), config.tombstone_keep, clock, metrics)));
    }
    match config.url.strip_prefix("file://") {
        Some(path) if !path.is_empty() => {
            Ok(Arc::new(FileLogStore::open(Path::new(path), config.file_bytes, clock, metrics)?))
        }
        _ => {
            let reason = format!("log.url is {:?}; use file://<folder> or bucket", config.url);
            Err(JournalError::Config { reason })
        }
    }
}
