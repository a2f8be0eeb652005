//! What the compactor counts.

use prometheus::core::Collector;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use crate::merge::Counts;

/// See each registration for name and meaning.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) cleanups_total: IntCounter,
    pub(crate) cleanup_failures_total: IntCounter,
    pub(crate) blocks_expired_total: IntCounter,
    pub(crate) merges_total: IntCounterVec,
    pub(crate) merge_failures_total: IntCounter,
    pub(crate) lost_races_total: IntCounter,
    pub(crate) merge_seconds: Histogram,
    pub(crate) merged_rows_total: IntCounterVec,
    pub(crate) merged_bytes_total: IntCounterVec,
    pub(crate) blocks: IntGaugeVec,
    pub(crate) blocks_aside: IntGauge,
    pub(crate) last_round: IntGaugeVec,
    pub(crate) deletes_total: IntCounterVec,
    pub(crate) deletes_pending: IntGauge,
    pub(crate) delete_failures_total: IntCounter,
    pub(crate) deleted_rows_total: IntCounterVec,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| register(registry, IntCounter::new(name, help)?);
        let counters = |name: &str, help: &str, label: &str| {
            register(registry, IntCounterVec::new(Opts::new(name, help), &[label])?)
        };
        let seconds =
            HistogramOpts::new("flamelake_compactor_merge_seconds", "Time of a merge, upload and commit included.")
                .buckets(prometheus::exponential_buckets(0.01, 3.0, 12)?);
        let blocks = Opts::new("flamelake_compactor_blocks", "Live blocks by level (2 and above are one).");
        let last_round = Opts::new(
            "flamelake_compactor_last_round_timestamp_seconds",
            "When a round over all tenants (merge, cleanup) last ended without a failure; Unix time.",
        );
        Ok(Self {
            cleanups_total: counter(
                "flamelake_compactor_cleanups_total",
                "Tenants looked at for retention and sweeping.",
            )?,
            cleanup_failures_total: counter(
                "flamelake_compactor_cleanup_failures_total",
                "Tenants whose cleanup failed.",
            )?,
            blocks_expired_total: counter("flamelake_compactor_blocks_expired_total", "Blocks removed by retention.")?,
            merges_total: counters(
                "flamelake_compactor_merges_total",
                "Merges committed, by level of the result.",
                "level",
            )?,
            merge_failures_total: counter("flamelake_compactor_merge_failures_total", "Merges that failed.")?,
            lost_races_total: counter(
                "flamelake_compactor_lost_races_total",
                "Merges thrown away because another commit was first.",
            )?,
            merge_seconds: register(registry, Histogram::with_opts(seconds)?)?,
            merged_rows_total: counters(
                "flamelake_compactor_merged_rows_total",
                "Rows read by merges (profile, sample) and profiles left out because they were there twice (duplicate).",
                "kind",
            )?,
            merged_bytes_total: counters(
                "flamelake_compactor_merged_bytes_total",
                "Bytes of merged blocks (in) and of their results (out).",
                "direction",
            )?,
            deletes_total: counters(
                "flamelake_compactor_deletes_total",
                "Deletes accepted and done by this process.",
                "event",
            )?,
            deletes_pending: register(
                registry,
                IntGauge::new(
                    "flamelake_compactor_deletes_pending",
                    "Deletes of this process's tenants that are not done, at the last look.",
                )?,
            )?,
            delete_failures_total: counter(
                "flamelake_compactor_delete_failures_total",
                "Rounds in which a tenant's delete could not go on.",
            )?,
            deleted_rows_total: counters(
                "flamelake_compactor_deleted_rows_total",
                "Rows left out of blocks by deletes (profile, sample).",
                "kind",
            )?,
            blocks: register(registry, IntGaugeVec::new(blocks, &["level"])?)?,
            last_round: register(registry, IntGaugeVec::new(last_round, &["work"])?)?,
            blocks_aside: register(
                registry,
                IntGauge::new(
                    "flamelake_compactor_blocks_aside",
                    "Live blocks that cannot be merged, as the log names them.",
                )?,
            )?,
        })
    }

    /// A round of `work` ended at `now_ns` that had begun when so many failures were counted.
    pub(crate) fn round_ended(&self, work: &str, failures_before: u64, failures: &IntCounter, now_ns: i64) {
        if failures.get() == failures_before {
            self.last_round.with_label_values(&[work]).set(now_ns / 1_000_000_000);
        }
    }

    /// Counts one committed merge.
    pub(crate) fn merged(&self, level: u32, counts: &Counts, bytes_in: u64, bytes_out: u64) {
        self.merges_total.with_label_values(&[&level.to_string()]).inc();
        let Counts { profiles, samples, duplicates, .. } = *counts;
        for (kind, rows) in [("profile", profiles), ("sample", samples), ("duplicate", duplicates)] {
            self.merged_rows_total.with_label_values(&[kind]).inc_by(rows);
        }
        for (direction, bytes) in [("in", bytes_in), ("out", bytes_out)] {
            self.merged_bytes_total.with_label_values(&[direction]).inc_by(bytes);
        }
    }
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> Result<C, prometheus::Error> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}
