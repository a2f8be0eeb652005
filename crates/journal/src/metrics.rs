//! What the log did and how long it took.

use prometheus::core::Collector;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntGauge, Registry};

/// Handles; clones share their values.
#[derive(Clone, Debug)]
pub struct JournalMetrics {
    pub(crate) append_seconds: Histogram,
    pub(crate) fsync_seconds: Histogram,
    pub(crate) replay_seconds: Histogram,
    pub(crate) segments: IntCounter,
    pub(crate) bytes: IntCounter,
    pub(crate) damaged_records: IntCounter,
    pub(crate) uncovered_bytes: IntGauge,
    pub(crate) uncovered_bytes_max: IntGauge,
}

impl JournalMetrics {
    /// Registers all; a second log on one registry counts for itself, unseen.
    pub fn register(registry: &Registry) -> Self {
        let metrics = Self {
            append_seconds: histogram(
                "flamelake_journal_append_seconds",
                "Time from push to durable and applied.",
                0.000_25,
            ),
            fsync_seconds: histogram(
                "flamelake_journal_fsync_seconds",
                "Time of one sync of the log to disk.",
                0.000_1,
            ),
            replay_seconds: histogram("flamelake_journal_replay_seconds", "Time to replay one old epoch.", 0.01),
            segments: counter("flamelake_journal_segments_total", "Segments made durable."),
            bytes: counter("flamelake_journal_bytes_total", "Bytes of segments made durable, packed."),
            damaged_records: counter(
                "flamelake_journal_damaged_records_total",
                "Records of the log that were acknowledged and cannot be read.",
            ),
            uncovered_bytes: gauge(
                "flamelake_journal_uncovered_bytes",
                "Bytes of the open log that no block covers yet.",
            ),
            uncovered_bytes_max: gauge(
                "flamelake_journal_uncovered_bytes_max",
                "Bound of flamelake_journal_uncovered_bytes.",
            ),
        };
        let all: [Box<dyn Collector>; 8] = [
            Box::new(metrics.append_seconds.clone()),
            Box::new(metrics.fsync_seconds.clone()),
            Box::new(metrics.replay_seconds.clone()),
            Box::new(metrics.segments.clone()),
            Box::new(metrics.bytes.clone()),
            Box::new(metrics.damaged_records.clone()),
            Box::new(metrics.uncovered_bytes.clone()),
            Box::new(metrics.uncovered_bytes_max.clone()),
        ];
        for collector in all {
            // Only "already registered" can happen here.
            let _ = registry.register(collector);
        }
        metrics
    }
}

fn histogram(name: &str, help: &str, first: f64) -> Histogram {
    let buckets = prometheus::exponential_buckets(first, 2.0, 16).expect("positive start and factor");
    Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets)).expect("the name is valid")
}

fn counter(name: &str, help: &str) -> IntCounter {
    IntCounter::new(name, help).expect("the name is valid")
}

fn gauge(name: &str, help: &str) -> IntGauge {
    IntGauge::new(name, help).expect("the name is valid")
}
