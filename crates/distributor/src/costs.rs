//! What each service of a tenant costs: profiles, bytes, samples and time of decoding. Of this process, since its start, and bounded.

use std::collections::HashMap;
use std::time::Duration;

use flamelake_model::TenantId;
use parking_lot::Mutex;
use serde::Serialize;

/// Services of all tenants together; those beyond are counted as `other`.
const SERVICES_MAX: usize = 10_000;
const OTHER: &str = "other";

/// Sums of one service.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Cost {
    pub(crate) service_name: String,
    /// That were stored.
    pub(crate) profiles: u64,
    /// Uncompressed, with labels.
    pub(crate) bytes: u64,
    /// After normalisation.
    pub(crate) samples: u64,
    /// Of one thread.
    pub(crate) decode_seconds: f64,
}

/// Shared by all that store.
#[derive(Debug, Default)]
pub(crate) struct Costs {
    services: Mutex<Services>,
}

#[derive(Debug, Default)]
struct Services {
    tenants: HashMap<TenantId, HashMap<String, Cost>>,
    count: usize,
}

impl Costs {
    pub(crate) fn add(&self, tenant: &TenantId, service: &str, bytes: u64, samples: u64, took: Duration) {
        let mut services = self.services.lock();
        let Services { tenants, count } = &mut *services;
        if !tenants.contains_key(tenant) {
            tenants.insert(tenant.clone(), HashMap::new());
        }
        let Some(of_tenant) = tenants.get_mut(tenant) else { return };
        let name = if *count < SERVICES_MAX || of_tenant.contains_key(service) { service } else { OTHER };
        if !of_tenant.contains_key(name) {
            of_tenant.insert(name.to_owned(), Cost { service_name: name.to_owned(), ..Cost::default() });
            *count += 1;
        }
        let Some(cost) = of_tenant.get_mut(name) else { return };
        cost.profiles += 1;
        cost.bytes += bytes;
        cost.samples += samples;
        cost.decode_seconds += took.as_secs_f64();
    }

    /// Those of a tenant, most bytes first.
    pub(crate) fn of(&self, tenant: &TenantId) -> Vec<Cost> {
        let services = self.services.lock();
        let mut costs: Vec<Cost> =
            services.tenants.get(tenant).into_iter().flat_map(|own| own.values().cloned()).collect();
        costs.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.service_name.cmp(&b.service_name)));
        costs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_costliest_come_first_and_services_are_bounded() {
        let (costs, tenant) = (Costs::default(), TenantId::parse("a").unwrap());
        costs.add(&tenant, "small", 1, 1, Duration::from_millis(500));
        costs.add(&tenant, "large", 5, 2, Duration::ZERO);
        costs.add(&tenant, "small", 2, 3, Duration::from_millis(500));
        let told: Vec<_> =
            costs.of(&tenant).into_iter().map(|one| (one.service_name, one.profiles, one.bytes)).collect();
        assert_eq!(told, [("large".to_owned(), 1, 5), ("small".to_owned(), 2, 3)]);
        assert_eq!(costs.of(&TenantId::parse("b").unwrap()), []);
        for at in 0..SERVICES_MAX + 10 {
            costs.add(&tenant, &format!("s{at}"), 1, 1, Duration::ZERO);
        }
        let told = costs.of(&tenant);
        assert_eq!((told.len(), &told[0].service_name[..], told[0].profiles), (SERVICES_MAX + 1, OTHER, 12));
    }
}
