//! Numbers of the store-gateway.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntGauge, Registry};

/// Registered once a process.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    pub(crate) query_seconds: Histogram,
    pub(crate) blocks_read: IntCounter,
    pub(crate) blocks_opened: IntCounter,
    pub(crate) blocks_set_aside: IntCounter,
    pub(crate) blocks_missing: IntCounter,
    pub(crate) samples: IntCounter,
    pub(crate) cache_bytes: IntGauge,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Self {
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help).expect("a literal metric name is valid");
            registry.register(Box::new(counter.clone())).expect("a process has one store-gateway");
            counter
        };
        let options = HistogramOpts::new(
            "flamelake_store_gateway_query_seconds",
            "Time to answer a question about blocks, failed ones included.",
        );
        let query_seconds = Histogram::with_opts(options).expect("a literal metric name is valid");
        registry.register(Box::new(query_seconds.clone())).expect("a process has one store-gateway");
        let cache_bytes =
            IntGauge::new("flamelake_store_gateway_cache_bytes", "Bytes held by open blocks kept between queries.")
                .expect("a literal metric name is valid");
        registry.register(Box::new(cache_bytes.clone())).expect("a process has one store-gateway");
        Self {
            query_seconds,
            cache_bytes,
            blocks_read: counter("flamelake_store_gateway_blocks_read_total", "Blocks answered from."),
            blocks_opened: counter(
                "flamelake_store_gateway_blocks_opened_total",
                "Blocks opened because the cache did not have them.",
            ),
            blocks_set_aside: counter(
                "flamelake_store_gateway_blocks_set_aside_total",
                "Answers that left out a damaged block.",
            ),
            blocks_missing: counter(
                "flamelake_store_gateway_blocks_missing_total",
                "Questions refused because a named block does not exist.",
            ),
            samples: counter("flamelake_store_gateway_samples_total", "Sample rows added up."),
        }
    }
}
