//! Last confirmed states, bounded in tenants and blocks; the longest unused goes first.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use flamelake_model::TenantId;
use flamelake_runtime::clock::SharedClock;

use crate::CatalogState;

/// A moment by both clocks: the monotonic one may stand still while a machine sleeps, the other may jump.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    monotonic: Duration,
    unix_ns: i64,
}

impl Moment {
    pub(crate) fn now(clock: &SharedClock) -> Self {
        Self { monotonic: clock.monotonic(), unix_ns: clock.unix_nanos() }
    }

    /// The longer of the two times since then.
    pub(crate) fn elapsed(self, clock: &SharedClock) -> Duration {
        let by_unix = clock.unix_nanos().saturating_sub(self.unix_ns);
        let by_unix = Duration::from_nanos(u64::try_from(by_unix).unwrap_or(0));
        clock.monotonic().saturating_sub(self.monotonic).max(by_unix)
    }
}

/// A state, and when it was last known to be the newest (the moment before the question was sent).
#[derive(Clone, Debug)]
pub(crate) struct Confirmed {
    pub(crate) state: Arc<CatalogState>,
    pub(crate) at: Moment,
}

#[derive(Debug)]
pub(crate) struct Cache {
    entries: HashMap<TenantId, Entry>,
    tenants_max: usize,
    blocks_max: usize,
    blocks: usize,
    tick: u64,
}

#[derive(Debug)]
struct Entry {
    confirmed: Confirmed,
    used: u64,
}

impl Cache {
    pub(crate) fn new(tenants_max: usize, blocks_max: usize) -> Self {
        Self { entries: HashMap::new(), tenants_max: tenants_max.max(1), blocks_max, blocks: 0, tick: 0 }
    }

    pub(crate) fn get(&mut self, tenant: &TenantId) -> Option<Confirmed> {
        self.tick += 1;
        let entry = self.entries.get_mut(tenant)?;
        entry.used = self.tick;
        Some(entry.confirmed.clone())
    }

    /// Keeps the newer of two states; at the same version the later confirmation.
    pub(crate) fn put(&mut self, tenant: &TenantId, confirmed: Confirmed) {
        self.tick += 1;
        let (version, at) = (confirmed.state.version, confirmed.at.monotonic);
        if let Some(old) = self.entries.get(tenant) {
            let (old_version, old_at) = (old.confirmed.state.version, old.confirmed.at.monotonic);
            if (old_version, old_at) > (version, at) {
                return;
            }
        }
        self.blocks += confirmed.state.blocks.len();
        let entry = Entry { confirmed, used: self.tick };
        if let Some(old) = self.entries.insert(tenant.clone(), entry) {
            self.blocks -= old.confirmed.state.blocks.len();
        }
        while self.entries.len() > self.tenants_max || (self.blocks > self.blocks_max && self.entries.len() > 1) {
            self.evict();
        }
    }

    pub(crate) fn forget(&mut self, tenant: &TenantId) {
        if let Some(entry) = self.entries.remove(tenant) {
            self.blocks -= entry.confirmed.state.blocks.len();
        }
    }

    fn evict(&mut self) {
        let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used).map(|(tenant, _)| tenant.clone());
        if let Some(tenant) = oldest {
            self.forget(&tenant);
        }
    }
}
