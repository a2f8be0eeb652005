//! Keys of the store-gateway.

use std::time::Duration;

use flamelake_config::ByteSize;

flamelake_config::section! {
    /// Store-gateway: answers from committed blocks.
    pub struct StoreGatewayConfig {
        /// Most bytes of open blocks (metadata, series, symbols, decoded pages) kept in memory between queries.
        "store-gateway.cache-bytes-max" => pub cache_bytes_max: ByteSize = ByteSize(512 << 20),
        /// A folder on this machine's disk for pages of blocks, kept between queries and restarts; each process needs its own. Empty = none.
        /// Useful where the bucket is far away; without it nothing is lost but time.
        "store-gateway.local-cache-dir" => pub local_cache_dir: String = String::new(),
        /// Most bytes in that folder.
        "store-gateway.local-cache-bytes-max" => pub local_cache_bytes_max: ByteSize = ByteSize(10 << 30),
        /// A page leaves that folder this long after it was fetched: what was deleted from the bucket lies in it no longer than that.
        "store-gateway.local-cache-age-max" => pub local_cache_age_max: Duration = Duration::from_secs(12 * 3600),
        /// Blocks read at the same time by all queries of the process; further ones wait their turn.
        "store-gateway.blocks-concurrent-max" => pub blocks_concurrent_max: usize = 16,
        /// Most blocks that one query may name; more are refused with `resource_exhausted`.
        "store-gateway.blocks-per-query-max" => pub blocks_per_query_max: usize = 50_000,
    }
}
