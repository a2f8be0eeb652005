//! How many series a tenant pushes at a time (`max_global_series_per_tenant`, contract `ingest.md` section 7): a bound on label values that
//! grow without end, which cost memory and planning wherever the series go.
//!
//! A tenant's agents come to every distributor in turn, so each counts all of them by itself. A series is active until it was not pushed
//! for five to ten minutes.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use flamelake_model::TenantId;
use flamelake_runtime::clock::SharedClock;
use parking_lot::Mutex;

/// Half of how long a series stays active.
const HALF: Duration = Duration::from_secs(300);

/// The active series of all tenants that have a limit.
#[derive(Debug)]
pub(crate) struct ActiveSeries {
    clock: SharedClock,
    tenants: Mutex<HashMap<TenantId, Seen>>,
}

/// Hashes of labels; no more than the limit in each half.
#[derive(Debug)]
struct Seen {
    since: Duration,
    now: HashSet<u64>,
    before: HashSet<u64>,
}

impl Seen {
    fn turn(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.since);
        if passed >= HALF {
            self.before = std::mem::take(&mut self.now);
            self.since = now;
        }
        if passed >= 2 * HALF {
            self.before.clear();
        }
    }

    fn is_active(&self, series: u64) -> bool {
        self.now.contains(&series) || self.before.contains(&series)
    }

    fn count(&self) -> usize {
        self.now.len() + self.before.difference(&self.now).count()
    }
}

impl ActiveSeries {
    pub(crate) fn new(clock: SharedClock) -> Self {
        Self { clock, tenants: Mutex::default() }
    }

    /// Takes all series of a profile, or none and tells how many are active, if it would bring new ones beyond `max`. 0 = no limit.
    pub(crate) fn admit(&self, tenant: &TenantId, max: usize, series: &[u64]) -> Result<(), usize> {
        if max == 0 {
            return Ok(());
        }
        let now = self.clock.monotonic();
        let mut tenants = self.tenants.lock();
        let seen = tenants.entry(tenant.clone()).or_insert_with(|| Seen {
            since: now,
            now: HashSet::new(),
            before: HashSet::new(),
        });
        seen.turn(now);
        let new = series.iter().filter(|series| !seen.is_active(**series)).count();
        // Counted only where it may matter: known series are the common case.
        if new > 0 {
            let active = seen.count();
            if active + new > max {
                return Err(active);
            }
        }
        seen.now.extend(series);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use flamelake_testkit::FakeClock;

    use super::*;

    #[test]
    fn new_series_are_refused_at_the_limit_and_old_ones_make_room() {
        let clock = FakeClock::default();
        let active = ActiveSeries::new(Arc::new(clock.clone()));
        let tenant = TenantId::anonymous();
        assert_eq!(active.admit(&tenant, 3, &[1, 2]), Ok(()));
        assert_eq!(active.admit(&tenant, 3, &[3, 4]), Err(2), "all of a profile or nothing");
        assert_eq!(active.admit(&tenant, 3, &[3]), Ok(()));
        clock.advance(HALF);
        assert_eq!(active.admit(&tenant, 3, &[1, 2]), Ok(()), "known series pass");
        assert_eq!(active.admit(&tenant, 3, &[5]), Err(3));
        clock.advance(HALF);
        assert_eq!(active.admit(&tenant, 3, &[5]), Ok(()), "3 was not pushed for ten minutes");
        clock.advance(3 * HALF);
        assert_eq!(active.admit(&tenant, 3, &[6, 7, 8]), Ok(()));
        assert_eq!(active.admit(&tenant, 0, &[9, 10, 11]), Ok(()), "0 = no limit");
    }
}
