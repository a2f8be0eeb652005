//! What the ring counts.

use prometheus::{Gauge, IntCounter, IntGauge, Opts, Registry};

/// See each registration for name and meaning.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    pub(crate) members: IntGauge,
    pub(crate) members_healthy: IntGauge,
    pub(crate) epoch: IntGauge,
    pub(crate) connected: IntGauge,
    pub(crate) last_contact: Gauge,
    pub(crate) relists_total: IntCounter,
    pub(crate) refused_total: IntCounter,
    pub(crate) registrations_total: IntCounter,
    pub(crate) leases_lost_total: IntCounter,
    pub(crate) logs_given_up_total: IntCounter,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge = |name: &str, help: &str| -> Result<IntGauge, prometheus::Error> {
            let gauge = IntGauge::with_opts(Opts::new(name, help))?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let counter = |name: &str, help: &str| -> Result<IntCounter, prometheus::Error> {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let last_contact = Gauge::new(
            "flamelake_ring_last_contact_timestamp_seconds",
            "When the store of members last answered; Unix time.",
        )?;
        registry.register(Box::new(last_contact.clone()))?;
        Ok(Self {
            members: gauge("flamelake_ring_members", "Members of the cluster that this process knows.")?,
            members_healthy: gauge("flamelake_ring_members_healthy", "Members that live.")?,
            epoch: gauge("flamelake_ring_epoch", "Epoch of the membership that this process knows.")?,
            connected: gauge("flamelake_ring_connected", "1 while changes of the membership are being watched.")?,
            last_contact,
            relists_total: counter("flamelake_ring_relists_total", "Lists of members after a watch had ended.")?,
            refused_total: counter(
                "flamelake_ring_snapshots_refused_total",
                "Member lists that were held back: most members were gone at once.",
            )?,
            registrations_total: counter("flamelake_ring_registrations_total", "Registrations of this process.")?,
            leases_lost_total: counter(
                "flamelake_ring_leases_lost_total",
                "Leases of this process that ended before they were renewed.",
            )?,
            logs_given_up_total: counter(
                "flamelake_ring_logs_given_up_total",
                "Members that an operator forgot by this process together with a log on a lost disk (`--accept-loss`).",
            )?,
        })
    }
}
