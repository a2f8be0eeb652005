//! A token bucket a tenant, in bytes of uncompressed profiles (contract `ingest.md` section 1.9).

use std::collections::HashMap;
use std::time::Duration;

use flamelake_model::TenantId;
use flamelake_runtime::clock::SharedClock;
use parking_lot::Mutex;

use crate::service::Distributors;

/// Full buckets of idle tenants are thrown away when there are more than this.
const TENANTS_MAX: usize = 10_000;

/// The buckets of all tenants on this distributor. Limits come with each call, so a change counts at once.
#[derive(Debug)]
pub(crate) struct RateLimiter {
    clock: SharedClock,
    distributors: Distributors,
    buckets: Mutex<HashMap<TenantId, Bucket>>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    at: Duration,
}

/// What a tenant may send.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rate {
    /// Refill; 0 = no limit.
    pub(crate) bytes_per_second: f64,
    /// Size of the bucket.
    pub(crate) burst_bytes: f64,
}

impl Rate {
    fn refill(self, bucket: Bucket, now: Duration) -> f64 {
        let seconds = now.saturating_sub(bucket.at).as_secs_f64();
        (bucket.tokens + seconds * self.bytes_per_second).min(self.burst_bytes)
    }
}

impl RateLimiter {
    pub(crate) fn new(clock: SharedClock, distributors: Distributors) -> Self {
        Self { clock, distributors, buckets: Mutex::default() }
    }

    /// Takes `bytes` from the tenant's bucket if they are in it. More than a burst never passes.
    pub(crate) fn allow(&self, tenant: &TenantId, rate: Rate, bytes: u64) -> bool {
        if rate.bytes_per_second <= 0.0 {
            return true;
        }
        // A tenant's pushes are spread over all distributors. The burst is not divided: one request must fit wherever it comes.
        let share = (self.distributors.0)().max(1) as f64;
        let rate = Rate { bytes_per_second: rate.bytes_per_second / share, ..rate };
        let now = self.clock.monotonic();
        let mut buckets = self.buckets.lock();
        if buckets.len() >= TENANTS_MAX && !buckets.contains_key(tenant) {
            buckets.retain(|_, bucket| rate.refill(*bucket, now) < rate.burst_bytes);
        }
        let bucket = buckets.entry(tenant.clone()).or_insert(Bucket { tokens: rate.burst_bytes, at: now });
        let tokens = rate.refill(*bucket, now);
        let wanted = bytes as f64;
        let allowed = wanted <= tokens;
        *bucket = Bucket { tokens: if allowed { tokens - wanted } else { tokens }, at: now };
        allowed
    }
}

/// A number of bytes in binary units as the contract's texts show it: `4.0 MiB`, `12 KiB`, `7 B`.
pub(crate) fn binary_units(bytes: f64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let (mut value, mut unit) = (bytes, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = usize::from(unit > 0 && value < 10.0);
    format!("{value:.digits$} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use flamelake_testkit::FakeClock;

    use super::*;

    const RATE: Rate = Rate { bytes_per_second: 4.0, burst_bytes: 2.0 };

    #[test]
    fn the_bucket_empties_and_fills_with_time() {
        let clock = FakeClock::default();
        let limiter = RateLimiter::new(Arc::new(clock.clone()), Distributors::alone());
        let tenant = TenantId::anonymous();
        assert!(limiter.allow(&tenant, RATE, 2), "starts full");
        assert!(!limiter.allow(&tenant, RATE, 1));
        clock.advance(Duration::from_millis(250));
        assert!(limiter.allow(&tenant, RATE, 1));
        assert!(!limiter.allow(&tenant, RATE, 1));
        clock.advance(Duration::from_secs(3600));
        assert!(!limiter.allow(&tenant, RATE, 3), "more than a burst never passes");
        assert!(limiter.allow(&tenant, RATE, 2), "and takes nothing");
    }

    #[test]
    fn tenants_have_buckets_of_their_own_and_zero_is_off() {
        let limiter = RateLimiter::new(FakeClock::default().shared(), Distributors::alone());
        let (a, b) = (TenantId::parse("a").unwrap(), TenantId::parse("b").unwrap());
        assert!(limiter.allow(&a, RATE, 2) && !limiter.allow(&a, RATE, 2));
        assert!(limiter.allow(&b, RATE, 2));
        assert!(limiter.allow(&a, Rate { bytes_per_second: 0.0, burst_bytes: 0.0 }, u64::MAX));
    }

    #[test]
    fn the_rate_is_divided_among_the_distributors_and_the_burst_is_not() {
        let clock = FakeClock::default();
        let limiter = RateLimiter::new(Arc::new(clock.clone()), Distributors(Arc::new(|| 4)));
        let tenant = TenantId::anonymous();
        assert!(limiter.allow(&tenant, RATE, 2), "a whole burst");
        clock.advance(Duration::from_millis(500));
        assert!(!limiter.allow(&tenant, RATE, 1), "a quarter of four a second");
        clock.advance(Duration::from_millis(500));
        assert!(limiter.allow(&tenant, RATE, 1));
    }

    #[test]
    fn idle_tenants_are_forgotten() {
        let clock = FakeClock::default();
        let limiter = RateLimiter::new(Arc::new(clock.clone()), Distributors::alone());
        for number in 0..TENANTS_MAX {
            assert!(limiter.allow(&TenantId::parse(&number.to_string()).unwrap(), RATE, 1));
        }
        clock.advance(Duration::from_secs(1));
        assert!(limiter.allow(&TenantId::parse("one-more").unwrap(), RATE, 1));
        assert_eq!(limiter.buckets.lock().len(), 1);
    }

    #[test]
    fn sizes_are_written_in_binary_units() {
        for (bytes, text) in [
            (0, "0 B"),
            (7, "7 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (12_000, "12 KiB"),
            (4 << 20, "4.0 MiB"),
            (2_686_288, "2.6 MiB"),
        ] {
            assert_eq!(binary_units(f64::from(bytes)), text);
        }
    }
}
