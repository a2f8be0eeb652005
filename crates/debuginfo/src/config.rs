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
        /// An upload that was begun this long ago may be begun again by somebody else.
        "symbolizer.upload-timeout" => pub upload_timeout: Duration = Duration::from_secs(15 * 60),
        /// How often queries look for new debug information of their tenant, at most.
        "symbolizer.refresh-interval" => pub refresh_interval: Duration = Duration::from_secs(10),
        /// Bytes of tables and of named partitions kept in memory between queries, each.
        "symbolizer.cache-bytes-max" => pub cache_bytes_max: ByteSize = ByteSize(128 << 20),
    }
}
