//! What the head holds, counted in bytes, with a bound (promise P5).
//!
//! Room is *reserved* before a segment is put, so that what was made durable always fits; applying turns it into *held*.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::IngesterError;

/// One count for the whole ingester.
#[derive(Debug)]
pub(crate) struct MemoryAccount {
    held: AtomicU64,
    reserved: AtomicU64,
    max: u64,
}

impl MemoryAccount {
    pub(crate) fn new(max: u64) -> Arc<Self> {
        Arc::new(Self { held: AtomicU64::new(0), reserved: AtomicU64::new(0), max })
    }

    /// Reserves room, or says how full it is.
    pub(crate) fn reserve(self: &Arc<Self>, bytes: u64) -> Result<Reservation, IngesterError> {
        let reserved = self.reserved.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let reservation = Reservation { account: Arc::clone(self), bytes };
        let held = self.held() + reserved;
        if held > self.max { Err(IngesterError::HeadFull { held, max: self.max }) } else { Ok(reservation) }
    }

    pub(crate) fn grow(&self, bytes: u64) {
        self.held.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn shrink(&self, bytes: u64) {
        let _ = self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| Some(held.saturating_sub(bytes)));
    }

    /// Bytes of rows and symbols, retained ones included.
    pub(crate) fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// The bound.
    pub(crate) fn max(&self) -> u64 {
        self.max
    }

    /// Is it time to drop retained rows and to flush early?
    pub(crate) fn is_near_full(&self) -> bool {
        self.held() + self.reserved.load(Ordering::Relaxed) > self.max / 4 * 3
    }
}

/// Room that is given back when dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    account: Arc<MemoryAccount>,
    bytes: u64,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.account.reserved.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A quarter of what this process may use: the cgroup's limit if there is one, else the machine's memory.
pub(crate) fn default_max() -> u64 {
    let system = sysinfo::System::new_with_specifics(
        sysinfo::RefreshKind::nothing().with_memory(sysinfo::MemoryRefreshKind::nothing().with_ram()),
    );
    let total = system.cgroup_limits().map_or(u64::MAX, |limits| limits.total_memory).min(system.total_memory());
    (total / 4).max(64 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_reserved_up_to_the_bound_and_given_back() {
        let account = MemoryAccount::new(100);
        account.grow(50);
        let first = account.reserve(50).unwrap();
        assert!(account.reserve(1).is_err());
        drop(first);
        assert!(account.reserve(50).is_ok());
        account.shrink(80);
        assert_eq!(account.held(), 0);
    }
}
