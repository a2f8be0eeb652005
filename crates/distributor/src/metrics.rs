//! What the distributor counts.

use std::sync::Arc;

use flamelake_model::TenantId;
use prometheus::{IntCounterVec, IntGauge, Opts, Registry};

use crate::refusals::{Discarded, Refusals};

/// Counters a tenant. A profile is one pprof message; bytes are uncompressed, with labels, unless the name says otherwise.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    received_profiles: IntCounterVec,
    received_bytes: IntCounterVec,
    received_samples: IntCounterVec,
    discarded_profiles: IntCounterVec,
    discarded_bytes: IntCounterVec,
    pub(crate) inflight_bytes: IntGauge,
    /// What stands behind the counts of discarded profiles.
    pub(crate) refusals: Arc<Refusals>,
}

impl Metrics {
    /// Registers all; fails if a name is taken.
    pub(crate) fn register(registry: &Registry, refusals: Refusals) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let inflight_bytes = IntGauge::new(
            "flamelake_distributor_inflight_bytes",
            "Uncompressed bytes of profiles that are being worked on.",
        )?;
        registry.register(Box::new(inflight_bytes.clone()))?;
        Ok(Self {
            received_profiles: counter(
                "flamelake_distributor_received_profiles_total",
                "Profiles that could be unpacked.",
                &["tenant"],
            )?,
            received_bytes: counter(
                "flamelake_distributor_received_bytes_total",
                "Uncompressed bytes of received profiles and their labels.",
                &["tenant"],
            )?,
            received_samples: counter(
                "flamelake_distributor_received_samples_total",
                "Samples of profiles that were handed on, after normalisation.",
                &["tenant"],
            )?,
            discarded_profiles: counter(
                "flamelake_discarded_profiles_total",
                "Profiles refused by a rule or a limit.",
                &["tenant", "reason"],
            )?,
            discarded_bytes: counter(
                "flamelake_discarded_bytes_total",
                "Uncompressed bytes of profiles refused by a rule or a limit.",
                &["tenant", "reason"],
            )?,
            inflight_bytes,
            refusals: Arc::new(refusals),
        })
    }

    pub(crate) fn received(&self, tenant: &TenantId, bytes: u64) {
        self.received_profiles.with_label_values(&[tenant.as_str()]).inc();
        self.received_bytes.with_label_values(&[tenant.as_str()]).inc_by(bytes);
    }

    pub(crate) fn samples(&self, tenant: &TenantId, samples: u64) {
        self.received_samples.with_label_values(&[tenant.as_str()]).inc_by(samples);
    }

    /// Counts and remembers.
    pub(crate) fn discarded(&self, tenant: &TenantId, refused: Discarded<'_>) {
        let labels = [tenant.as_str(), refused.reason.name()];
        self.discarded_profiles.with_label_values(&labels).inc_by(refused.profiles);
        self.discarded_bytes.with_label_values(&labels).inc_by(refused.bytes);
        self.refusals.add(tenant, refused);
    }
}
