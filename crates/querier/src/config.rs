//! Keys of the querier. Limits on range and size of queries are per tenant: `flamelake_config::Limits`.

use std::time::Duration;

use flamelake_config::ByteSize;

flamelake_config::section! {
    /// Querier: the public query API.
    pub struct QuerierConfig {
        /// Queries answered at the same time; further ones wait in line, where tenants take turns.
        "querier.max-concurrent" => pub max_concurrent: usize = 32,
        /// Queries that may wait in line, of one tenant half as many; further ones are refused with `resource_exhausted`.
        "querier.max-queued" => pub max_queued: usize = 512,
        /// Longest time for one query, waiting included; then it ends with `deadline_exceeded`. 0 = no limit of our own.
        "querier.timeout" => pub timeout: Duration = Duration::from_secs(120),
        /// On: an ingester or a store-gateway that cannot be reached is left out, and the answer names it in the header
        /// `x-flamelake-partial`. Off: the query fails with `unavailable`.
        "querier.partial-results" => pub partial_results: bool = false,
        /// On: `SelectMergeStacktraces` with `async {type: FORCE}` answers with an id at once and with the result later; queriers then need to write
        /// to the bucket (`docs/formats/async.md`). Off: `unimplemented`.
        "query-frontend.async-queries-enabled" => pub async_queries_enabled: bool = false,
        /// Largest result of an asynchronous query; a larger one is a failure.
        "query-frontend.async-result-bytes-max" => pub async_result_bytes_max: ByteSize = ByteSize(64 << 20),
        /// Most samples that a PromQL query may hold in memory at a time: those that it reads, and the values that it computes from
        /// them, where a series counts as eight more. What needs more is refused with status 422.
        "querier.promql-samples-max" => pub promql_samples_max: usize = 5_000_000,
    }
}
