//! Keys of the compactor.

use std::time::Duration;

flamelake_config::section! {
    /// Compactor: retention and the sweeping of unused files.
    pub struct CompactorConfig {
        /// How often every tenant's catalog is looked at for blocks past their retention and for files that nothing needs.
        "compactor.cleanup-interval" => pub cleanup_interval: Duration = Duration::from_secs(15 * 60),
    }
}
