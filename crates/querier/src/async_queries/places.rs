//! Asynchronous queries of each tenant that this process runs: what it refuses without a question to the store.

use std::collections::HashMap;
use std::sync::Arc;

use flamelake_model::TenantId;
use parking_lot::Mutex;

type Counts = Arc<Mutex<HashMap<TenantId, usize>>>;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Places(Counts);

/// One that runs, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    counts: Counts,
    tenant: TenantId,
}

impl Places {
    /// `None`: `max` run already.
    pub(super) fn enter(&self, tenant: &TenantId, max: usize) -> Option<Place> {
        let mut counts = self.0.lock();
        let own = counts.entry(tenant.clone()).or_default();
        if *own >= max {
            return None;
        }
        *own += 1;
        Some(Place { counts: Arc::clone(&self.0), tenant: tenant.clone() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.counts.lock();
        if let Some(own) = counts.get_mut(&self.tenant) {
            *own -= 1;
            if *own == 0 {
                counts.remove(&self.tenant);
            }
        }
    }
}
