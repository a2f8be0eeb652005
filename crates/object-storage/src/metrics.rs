//! What a store was asked and how it answered.

use prometheus::{HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry};

/// Shared by all clones of a bucket.
#[derive(Clone)]
pub(crate) struct Metrics {
    pub(crate) requests: HistogramVec,
    pub(crate) retries: IntCounterVec,
    pub(crate) bytes: IntCounterVec,
    pub(crate) hedges: IntCounter,
}

impl Metrics {
    /// Registers the metrics. A second bucket on the same registry counts for itself, unseen.
    pub(crate) fn register(registry: &Registry) -> Self {
        let buckets = vec![0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];
        let requests = HistogramVec::new(
            HistogramOpts::new(
                "flamelake_object_storage_request_seconds",
                "Time of an operation on the object store, retries included, by operation and outcome.",
            )
            .buckets(buckets),
            &["operation", "outcome"],
        )
        .expect("name and labels are valid");
        let retries = IntCounterVec::new(
            Opts::new("flamelake_object_storage_retries_total", "Attempts beyond the first, by operation."),
            &["operation"],
        )
        .expect("name and labels are valid");
        let bytes = IntCounterVec::new(
            Opts::new("flamelake_object_storage_bytes_total", "Bytes moved, by direction (read, written)."),
            &["direction"],
        )
        .expect("name and labels are valid");
        let hedges = IntCounter::new(
            "flamelake_object_storage_hedges_total",
            "Reads that were asked for a second time because the first answer took long.",
        )
        .expect("name is valid");
        for collector in [
            Box::new(requests.clone()) as Box<dyn prometheus::core::Collector>,
            Box::new(retries.clone()),
            Box::new(bytes.clone()),
            Box::new(hedges.clone()),
        ] {
            // Only "already registered" can happen here.
            let _ = registry.register(collector);
        }
        Self { requests, retries, bytes, hedges }
    }
}
