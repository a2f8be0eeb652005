//! Numbers of recording rules.

use prometheus::{Gauge, IntCounter, IntCounterVec, Opts, Registry};

#[derive(Clone, Debug)]
pub(super) struct Metrics {
    /// By outcome.
    pub(super) evaluations: IntCounterVec,
    /// By outcome.
    pub(super) samples: IntCounterVec,
    pub(super) retries: IntCounter,
    pub(super) skipped_windows: IntCounter,
    pub(super) lag_seconds: Gauge,
}

impl Metrics {
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counters = |name: &str, help: &str| {
            let counters = IntCounterVec::new(Opts::new(name, help), &["outcome"])?;
            registry.register(Box::new(counters.clone()))?;
            Ok::<_, prometheus::Error>(counters)
        };
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let lag_seconds = Gauge::new(
            "flamelake_rules_lag_seconds",
            "Time since the oldest window of recording rules was due that this process has not sent.",
        )?;
        registry.register(Box::new(lag_seconds.clone()))?;
        Ok(Self {
            evaluations: counters(
                "flamelake_rules_evaluations_total",
                "Recording rules evaluated for a window, by outcome: samples, empty, failed.",
            )?,
            samples: counters(
                "flamelake_rules_samples_total",
                "Samples of recording rules, by outcome: sent, refused.",
            )?,
            retries: counter(
                "flamelake_rules_retries_total",
                "Windows of recording rules that could not be evaluated or sent and are tried again.",
            )?,
            skipped_windows: counter(
                "flamelake_rules_skipped_windows_total",
                "Windows of recording rules that were too old to be made up for (recording-rules.catch-up).",
            )?,
            lag_seconds,
        })
    }
}
