//! What the distributor counts.

use std::collections::HashSet;
use std::sync::Arc;

use flamelake_model::TenantId;
use flamelake_model::usage_group::{OTHER_GROUP, UsageGroup};
use parking_lot::Mutex;
use prometheus::{IntCounterVec, IntGauge, Opts, Registry};

use crate::costs::Costs;
use crate::error::Reason;
use crate::refusals::{Discarded, Refusals};

/// Usage groups of all tenants together that have counters of their own.
const USAGE_GROUPS_MAX: usize = 1000;

/// Counters a tenant. A profile is one pprof message; bytes are uncompressed, with labels, unless the name says otherwise.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    received_profiles: IntCounterVec,
    received_bytes: IntCounterVec,
    received_samples: IntCounterVec,
    discarded_profiles: IntCounterVec,
    discarded_bytes: IntCounterVec,
    usage_group_received_bytes: IntCounterVec,
    usage_group_discarded_bytes: IntCounterVec,
    sanitized_label_names: IntCounterVec,
    pub(crate) inflight_bytes: IntGauge,
    pub(crate) inflight_bytes_max: IntGauge,
    /// By service.
    pub(crate) costs: Arc<Costs>,
    /// (Tenant, usage group) that have counters.
    usage_groups: Arc<Mutex<HashSet<(TenantId, String)>>>,
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
        let inflight_bytes_max = IntGauge::new(
            "flamelake_distributor_inflight_bytes_max",
            "Bound of flamelake_distributor_inflight_bytes.",
        )?;
        registry.register(Box::new(inflight_bytes_max.clone()))?;
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
            usage_group_received_bytes: counter(
                "flamelake_usage_group_received_bytes_total",
                "Uncompressed bytes of received profiles, with labels, by usage group; `other` where none matches.",
                &["tenant", "usage_group"],
            )?,
            usage_group_discarded_bytes: counter(
                "flamelake_usage_group_discarded_bytes_total",
                "Uncompressed bytes of profiles refused by a rule or a limit other than the rate, by usage group.",
                &["tenant", "usage_group", "reason"],
            )?,
            sanitized_label_names: counter(
                "flamelake_sanitized_label_names_total",
                "Names of labels that were changed (validation.disable-label-sanitization is off).",
                &["tenant"],
            )?,
            inflight_bytes,
            inflight_bytes_max,
            costs: Arc::default(),
            usage_groups: Arc::default(),
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

    /// `groups`: those of a received profile.
    pub(crate) fn usage_received(&self, tenant: &TenantId, groups: &[UsageGroup], bytes: u64) {
        self.each_group(tenant, groups, |group| {
            self.usage_group_received_bytes.with_label_values(&[tenant.as_str(), group]).inc_by(bytes);
        });
    }

    /// `groups`: those of a refused profile.
    pub(crate) fn usage_discarded(&self, tenant: &TenantId, groups: &[UsageGroup], reason: Reason, bytes: u64) {
        self.each_group(tenant, groups, |group| {
            let labels = [tenant.as_str(), group, reason.name()];
            self.usage_group_discarded_bytes.with_label_values(&labels).inc_by(bytes);
        });
    }

    /// Names that labels fill may be many: beyond a bound they count as `other`.
    fn each_group(&self, tenant: &TenantId, groups: &[UsageGroup], mut count: impl FnMut(&str)) {
        if groups.is_empty() {
            return count(OTHER_GROUP);
        }
        for group in groups {
            let mut known = self.usage_groups.lock();
            let key = (tenant.clone(), group.name.clone());
            let has_counter = known.contains(&key) || (known.len() < USAGE_GROUPS_MAX && known.insert(key));
            drop(known);
            count(if has_counter { &group.name } else { OTHER_GROUP });
        }
    }

    pub(crate) fn sanitized(&self, tenant: &TenantId, names: usize) {
        if names > 0 {
            self.sanitized_label_names.with_label_values(&[tenant.as_str()]).inc_by(names as u64);
        }
    }

    /// Counts and remembers.
    pub(crate) fn discarded(&self, tenant: &TenantId, refused: Discarded<'_>) {
        let labels = [tenant.as_str(), refused.reason.name()];
        self.discarded_profiles.with_label_values(&labels).inc_by(refused.profiles);
        self.discarded_bytes.with_label_values(&labels).inc_by(refused.bytes);
        self.refusals.add(tenant, refused);
    }
}
