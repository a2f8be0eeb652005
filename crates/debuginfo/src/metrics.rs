//! Numbers of symbolisation.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

/// Registered once a process.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    pub(crate) addresses: IntCounterVec,
    pub(crate) tables_damaged: IntCounter,
    pub(crate) debuginfod: IntCounterVec,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Self {
        let name = "flamelake_symbolizer_addresses_total";
        let options =
            Opts::new(name, "Distinct addresses of partitions that were looked up, by whether a table named them.");
        let addresses = IntCounterVec::new(options, &["outcome"]).expect("a literal metric name is valid");
        registry.register(Box::new(addresses.clone())).expect("a process has one symboliser");
        for outcome in ["named", "unknown"] {
            addresses.with_label_values(&[outcome]);
        }
        let name = "flamelake_symbolizer_tables_damaged_total";
        let tables_damaged =
            IntCounter::new(name, "Reads of tables that are not what was written; queries leave them out.")
                .expect("a literal metric name is valid");
        registry.register(Box::new(tables_damaged.clone())).expect("a process has one symboliser");
        let name = "flamelake_symbolizer_debuginfod_requests_total";
        let options = Opts::new(name, "Build ids that debuginfod servers were asked for, by outcome.");
        let debuginfod = IntCounterVec::new(options, &["outcome"]).expect("a literal metric name is valid");
        registry.register(Box::new(debuginfod.clone())).expect("a process has one symboliser");
        for outcome in ["found", "absent", "failed"] {
            debuginfod.with_label_values(&[outcome]);
        }
        Self { addresses, tables_damaged, debuginfod }
    }
}
