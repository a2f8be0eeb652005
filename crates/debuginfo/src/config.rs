//! Keys of symbolisation. The first and the second are named as the reference names them.

use std::time::Duration;

use flamelake_config::ByteSize;

flamelake_config::section! {
    /// Symbolizer: names for addresses of native code, from uploaded debug information.
    pub struct SymbolizerConfig {
        /// Off: uploads are refused with `unimplemented`, and queries leave addresses as they are.
        "symbolizer.enabled" => pub enabled: bool = true,
        /// Largest binary that may be uploaded; its debug sections may unpack to four times that.
        "symbolizer.max-symbol-size-bytes" => pub file_bytes_max: ByteSize = ByteSize(512 << 20),
        /// Binaries of one tenant; more are refused with `resource_exhausted`.
        "symbolizer.max-files-per-tenant" => pub files_max: usize = 10_000,
        /// Servers that are asked, in this order, for binaries that nobody uploaded, as `https://debuginfod.example.org`; no other is. They learn
        /// the build ids of native profiles. Empty = none.
        "symbolizer.debuginfod-urls" => pub debuginfod_urls: Vec<String> = Vec::new(),
        /// Longest wait for one file of a debuginfod server.
        "symbolizer.debuginfod-timeout" => pub debuginfod_timeout: Duration = Duration::from_secs(120),
        /// A build id that no server had is asked for again after this.
        "symbolizer.debuginfod-retry-interval" => pub debuginfod_retry_interval: Duration = Duration::from_secs(3600),
        /// An upload that was begun this long ago may be begun again by somebody else.
        "symbolizer.upload-timeout" => pub upload_timeout: Duration = Duration::from_secs(15 * 60),
        /// How often queries look for new debug information of their tenant, at most.
        "symbolizer.refresh-interval" => pub refresh_interval: Duration = Duration::from_secs(10),
        /// Bytes of tables and of named partitions kept in memory between queries, each.
        "symbolizer.cache-bytes-max" => pub cache_bytes_max: ByteSize = ByteSize(128 << 20),
    }
}

/// Debug sections may unpack to so many times the largest file.
const UNPACKED_FACTOR: u64 = 4;

impl SymbolizerConfig {
    /// Of the debug sections of one binary.
    pub(crate) fn unpacked_bytes_max(&self) -> u64 {
        self.file_bytes_max.0.saturating_mul(UNPACKED_FACTOR)
    }
}
