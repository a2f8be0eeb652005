//! Keys of the distributor. Limits of tenants are `flamelake_config::Limits`.

use std::time::Duration;

use flamelake_config::ByteSize;

flamelake_config::section! {
    /// Distributor: accepts profiles and hands them to ingesters.
    pub struct DistributorConfig {
        /// Most uncompressed bytes of profiles that may be in work at a time, over all tenants. Beyond it pushes are refused with
        /// `resource_exhausted`. 0 = no bound.
        "distributor.inflight-bytes-max" => pub inflight_bytes_max: ByteSize = ByteSize(256 << 20),
        /// Profiles that are decoded at the same time, over all tenants. 0 = one a CPU.
        "distributor.decode-threads" => pub decode_threads: usize = 0,
        /// How long the ingester may take to make a push durable before it fails with `deadline_exceeded`. 0 = as long as it takes.
        "distributor.push.timeout" => pub push_timeout: Duration = Duration::from_secs(5),
        /// Bytes a second of one service, over all distributors, that one ingester of a cluster takes. A service with more is spread over
        /// 2, 4, 8 ... neighbours by the labels of its series. 0 = no service is spread.
        "distributor.service-rate-per-shard" => pub service_rate_per_shard: ByteSize = ByteSize(4 << 20),
    }
}
