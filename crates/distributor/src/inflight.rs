//! Bounds the bytes of profiles that are being worked on, over all tenants and requests. One tenant takes no more than half of them, so
//! that his flood refuses his own pushes and not those of others.

use std::collections::HashMap;
use std::sync::Arc;

use flamelake_model::TenantId;
use parking_lot::Mutex;
use prometheus::IntGauge;

/// Counts reserved bytes against a maximum. Clones share the count.
#[derive(Clone, Debug)]
pub(crate) struct InflightBytes {
    used: Arc<Mutex<Used>>,
    max: u64,
    gauge: IntGauge,
}

#[derive(Debug, Default)]
struct Used {
    all: u64,
    /// Never 0.
    of: HashMap<TenantId, u64>,
}

/// Gives its bytes back when dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    from: InflightBytes,
    tenant: TenantId,
    bytes: u64,
}

impl InflightBytes {
    /// `max` 0 = no bound.
    pub(crate) fn new(max: u64, gauge: IntGauge) -> Self {
        Self { used: Arc::default(), max: if max == 0 { u64::MAX } else { max }, gauge }
    }

    /// Reserves, or tells how many bytes are in use. Something larger than a bound passes when it is alone before it, else it never would.
    pub(crate) fn reserve(&self, tenant: &TenantId, bytes: u64) -> Result<Reservation, u64> {
        let mut used = self.used.lock();
        let own = used.of.get(tenant).copied().unwrap_or_default();
        let fits = |used: u64, max: u64| used == 0 || used.saturating_add(bytes) <= max;
        if !fits(used.all, self.max) || !fits(own, self.max / 2) {
            return Err(used.all);
        }
        if bytes > 0 {
            used.all = used.all.saturating_add(bytes);
            used.of.insert(tenant.clone(), own.saturating_add(bytes));
        }
        self.gauge.add(bytes as i64);
        Ok(Reservation { from: self.clone(), tenant: tenant.clone(), bytes })
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut used = self.from.used.lock();
        used.all = used.all.saturating_sub(self.bytes);
        if let Some(own) = used.of.get_mut(&self.tenant) {
            *own = own.saturating_sub(self.bytes);
            if *own == 0 {
                used.of.remove(&self.tenant);
            }
        }
        self.from.gauge.sub(self.bytes as i64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gauge() -> IntGauge {
        IntGauge::new("inflight", "help").unwrap()
    }

    fn tenant(name: &str) -> TenantId {
        TenantId::parse(name).unwrap()
    }

    #[test]
    fn reservations_come_back() {
        let (inflight, a, b) = (InflightBytes::new(10, gauge()), tenant("a"), tenant("b"));
        let first = inflight.reserve(&a, 5).unwrap();
        let second = inflight.reserve(&b, 3).unwrap();
        assert_eq!(inflight.reserve(&b, 3).unwrap_err(), 8, "all of it");
        drop(first);
        drop(second);
        assert!(inflight.reserve(&a, 5).is_ok());
        assert!(inflight.used.lock().of.is_empty());
    }

    #[test]
    fn a_flood_leaves_half_to_the_others() {
        let (inflight, flood, other) = (InflightBytes::new(10, gauge()), tenant("flood"), tenant("other"));
        let of_flood: Vec<_> = (0..100).filter_map(|_| inflight.reserve(&flood, 1).ok()).collect();
        assert_eq!(of_flood.len(), 5);
        assert!(inflight.reserve(&other, 5).is_ok());
    }

    #[test]
    fn something_huge_passes_alone() {
        let (inflight, a, b) = (InflightBytes::new(10, gauge()), tenant("a"), tenant("b"));
        let huge = inflight.reserve(&a, 11).unwrap();
        assert!(inflight.reserve(&b, 1).is_err());
        drop(huge);
        assert!(inflight.reserve(&b, 1).is_ok());
    }
}
