//! What the compactor counts.

use prometheus::{IntCounter, Registry};

/// See each registration for name and meaning.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) cleanups_total: IntCounter,
    pub(crate) cleanup_failures_total: IntCounter,
    pub(crate) blocks_expired_total: IntCounter,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| -> Result<IntCounter, prometheus::Error> {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
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
        })
    }
}
