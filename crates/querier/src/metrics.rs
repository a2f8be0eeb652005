//! Numbers of the querier.

use prometheus::{HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry};

/// Registered once a process.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    /// By method and outcome (an error code, or `ok`).
    pub(crate) query_seconds: HistogramVec,
    pub(crate) samples: IntCounter,
    pub(crate) profiles: IntCounter,
    pub(crate) blocks: IntCounter,
    /// By cause.
    pub(crate) replans: IntCounterVec,
    pub(crate) partial_answers: IntCounter,
    /// By outcome.
    pub(crate) async_queries: IntCounterVec,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Self {
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help).expect("a literal metric name is valid");
            registry.register(Box::new(counter.clone())).expect("a process has one querier");
            counter
        };
        let options = HistogramOpts::new(
            "flamelake_querier_query_seconds",
            "Time to answer a query, waiting in line included, by method and outcome.",
        )
        .buckets(vec![0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0]);
        let query_seconds = HistogramVec::new(options, &["method", "outcome"]).expect("a literal metric name is valid");
        registry.register(Box::new(query_seconds.clone())).expect("a process has one querier");
        let options =
            Opts::new("flamelake_querier_replans_total", "Queries planned again because data moved, by cause.");
        let replans = IntCounterVec::new(options, &["cause"]).expect("a literal metric name is valid");
        registry.register(Box::new(replans.clone())).expect("a process has one querier");
        let options =
            Opts::new("flamelake_querier_async_queries_total", "Asynchronous queries that ended here, by outcome.");
        let async_queries = IntCounterVec::new(options, &["outcome"]).expect("a literal metric name is valid");
        registry.register(Box::new(async_queries.clone())).expect("a process has one querier");
        Self {
            async_queries,
            query_seconds,
            replans,
            samples: counter("flamelake_querier_samples_total", "Sample rows added up for queries."),
            profiles: counter("flamelake_querier_profiles_total", "Profiles touched by queries."),
            blocks: counter("flamelake_querier_blocks_total", "Blocks named to store-gateways."),
            partial_answers: counter(
                "flamelake_querier_partial_answers_total",
                "Answers that left out damaged or missing data.",
            ),
        }
    }
}
