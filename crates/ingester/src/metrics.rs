//! What the ingester counts.

use prometheus::{Histogram, IntCounter, IntGauge, Registry, exponential_buckets};

/// See each field's registration for its name and meaning.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) profiles_total: IntCounter,
    pub(crate) duplicates_total: IntCounter,
    pub(crate) damaged_frames_total: IntCounter,
    pub(crate) head_full_total: IntCounter,
    pub(crate) head_bytes: IntGauge,
    pub(crate) head_bytes_max: IntGauge,
    pub(crate) dedup_ids: IntGauge,
    pub(crate) log_damage_total: IntCounter,
    pub(crate) logs_reopened_total: IntCounter,
    pub(crate) peers_recovered_total: IntCounter,
    pub(crate) blocks_adopted_total: IntCounter,
    pub(crate) flushes_total: IntCounter,
    pub(crate) flush_failures_total: IntCounter,
    pub(crate) flush_seconds: Histogram,
    pub(crate) oldest_unflushed_seconds: IntGauge,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| -> Result<IntCounter, prometheus::Error> {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let gauge = |name: &str, help: &str| -> Result<IntGauge, prometheus::Error> {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let flush_seconds = Histogram::with_opts(
            prometheus::HistogramOpts::new(
                "flamelake_ingester_flush_seconds",
                "Time to write and commit one tenant's head.",
            )
            .buckets(exponential_buckets(0.005, 4.0, 8)?),
        )?;
        registry.register(Box::new(flush_seconds.clone()))?;
        Ok(Self {
            profiles_total: counter("flamelake_ingester_profiles_total", "Profiles applied to the head.")?,
            duplicates_total: counter(
                "flamelake_ingester_duplicates_total",
                "Retried profiles that were stored already.",
            )?,
            damaged_frames_total: counter(
                "flamelake_ingester_damaged_frames_total",
                "Logged frames that did not decode.",
            )?,
            head_full_total: counter(
                "flamelake_ingester_head_full_total",
                "Pushes refused because the head was full.",
            )?,
            head_bytes: gauge("flamelake_ingester_head_bytes", "Bytes that rows and symbols hold in memory.")?,
            head_bytes_max: gauge("flamelake_ingester_head_bytes_max", "Bound of flamelake_ingester_head_bytes.")?,
            dedup_ids: gauge("flamelake_ingester_dedup_ids", "Profile ids remembered to recognise retries.")?,
            log_damage_total: counter(
                "flamelake_ingester_log_damage_total",
                "Places of older logs that were set aside at a replay because they are damaged or missing.",
            )?,
            logs_reopened_total: counter(
                "flamelake_ingester_logs_reopened_total",
                "Logs begun anew because the one before was sealed.",
            )?,
            peers_recovered_total: counter(
                "flamelake_ingester_peers_recovered_total",
                "Lost ingesters whose logs this one turned into blocks.",
            )?,
            blocks_adopted_total: counter(
                "flamelake_ingester_blocks_adopted_total",
                "Blocks committed at a start because their log is gone: their commit was lost.",
            )?,
            flushes_total: counter("flamelake_ingester_flushes_total", "Heads cut into a committed block.")?,
            flush_failures_total: counter(
                "flamelake_ingester_flush_failures_total",
                "Flushes that failed and will be tried again.",
            )?,
            flush_seconds,
            oldest_unflushed_seconds: gauge(
                "flamelake_ingester_oldest_unflushed_seconds",
                "Age of the oldest row that no block holds.",
            )?,
        })
    }
}
