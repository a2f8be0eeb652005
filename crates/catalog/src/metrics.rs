//! What the catalog did.

use prometheus::core::Collector;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, Registry};

#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    pub(crate) commits: IntCounterVec,
    pub(crate) load_seconds: Histogram,
    pub(crate) listings: IntCounter,
    pub(crate) swept: IntCounterVec,
    pub(crate) damaged_objects: IntCounter,
    pub(crate) rescued_blocks: IntCounter,
}

impl Metrics {
    /// Registers all; a second catalog on one registry counts for itself, unseen.
    pub(crate) fn register(registry: &Registry) -> Self {
        let counters = |name: &str, help: &str, label: &str| {
            IntCounterVec::new(Opts::new(name, help), &[label]).expect("name and label are valid")
        };
        let counter = |name: &str, help: &str| IntCounter::new(name, help).expect("the name is valid");
        let load =
            HistogramOpts::new("flamelake_catalog_load_seconds", "Time to a confirmed state of a tenant's catalog.");
        let load = load.buckets(prometheus::exponential_buckets(0.0001, 3.0, 12).expect("positive start and factor"));
        let metrics = Self {
            commits: counters("flamelake_catalog_commits_total", "Commits by outcome.", "outcome"),
            load_seconds: Histogram::with_opts(load).expect("the name is valid"),
            listings: IntCounter::new(
                "flamelake_catalog_listings_total",
                "Catalogs read from their newest checkpoint.",
            )
            .expect("the name is valid"),
            swept: counters(
                "flamelake_catalog_swept_total",
                "Deleted things by kind (orphan, removed, commit).",
                "kind",
            ),
            damaged_objects: counter(
                "flamelake_catalog_damaged_objects_total",
                "Commits and checkpoints that were left out because they are damaged or missing.",
            ),
            rescued_blocks: counter(
                "flamelake_catalog_rescued_blocks_total",
                "Blocks made live again whose commit was lost.",
            ),
        };
        let all: [Box<dyn Collector>; 6] = [
            Box::new(metrics.commits.clone()),
            Box::new(metrics.load_seconds.clone()),
            Box::new(metrics.listings.clone()),
            Box::new(metrics.swept.clone()),
            Box::new(metrics.damaged_objects.clone()),
            Box::new(metrics.rescued_blocks.clone()),
        ];
        for collector in all {
            // Only "already registered" can happen here.
            let _ = registry.register(collector);
        }
        metrics
    }
}
