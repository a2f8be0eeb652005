//! Bounds the bytes of profiles that are being worked on, over all tenants and requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus::IntGauge;

/// Counts reserved bytes against a maximum. Clones share the count.
#[derive(Clone, Debug)]
pub(crate) struct InflightBytes {
    used: Arc<AtomicU64>,
    max: u64,
    gauge: IntGauge,
}

/// Gives its bytes back when dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    of: InflightBytes,
    bytes: u64,
}

impl InflightBytes {
    /// `max` 0 = no bound.
    pub(crate) fn new(max: u64, gauge: IntGauge) -> Self {
        Self { used: Arc::default(), max: if max == 0 { u64::MAX } else { max }, gauge }
    }

    /// Reserves, or tells how many bytes are in use. Something larger than the whole bound passes when it is alone, else it never would.
    pub(crate) fn reserve(&self, bytes: u64) -> Result<Reservation, u64> {
        self.used
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |used| {
                let after = used.saturating_add(bytes);
                (used == 0 || after <= self.max).then_some(after)
            })
            .map(|_| {
                self.gauge.add(bytes as i64);
                Reservation { of: self.clone(), bytes }
            })
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.of.used.fetch_sub(self.bytes, Ordering::AcqRel);
        self.of.gauge.sub(self.bytes as i64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gauge() -> IntGauge {
        IntGauge::new("inflight", "help").unwrap()
    }

    #[test]
    fn reservations_come_back() {
        let inflight = InflightBytes::new(10, gauge());
        let first = inflight.reserve(6).unwrap();
        assert_eq!(inflight.reserve(5).unwrap_err(), 6);
        let second = inflight.reserve(4).unwrap();
        drop(first);
        drop(second);
        assert!(inflight.reserve(10).is_ok());
    }

    #[test]
    fn something_huge_passes_alone() {
        let inflight = InflightBytes::new(10, gauge());
        let huge = inflight.reserve(11).unwrap();
        assert!(inflight.reserve(1).is_err());
        drop(huge);
        assert!(inflight.reserve(1).is_ok());
    }
}
