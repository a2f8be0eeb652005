//! Keys of the store-gateway.

use flamelake_config::ByteSize;

flamelake_config::section! {
    /// Store-gateway: answers from committed blocks.
    pub struct StoreGatewayConfig {
        /// Most bytes of open blocks (metadata, series, symbols, decoded pages) kept in memory between queries.
        "store-gateway.cache-bytes-max" => pub cache_bytes_max: ByteSize = ByteSize(512 << 20),
        /// Blocks read at the same time by all queries of the process; further ones wait their turn.
        "store-gateway.blocks-concurrent-max" => pub blocks_concurrent_max: usize = 16,
        /// Most blocks that one query may name; more are refused with `resource_exhausted`.
        "store-gateway.blocks-per-query-max" => pub blocks_per_query_max: usize = 50_000,
    }
}
