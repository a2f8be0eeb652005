//! How hot each service is, and over how many ingesters it is therefore spread (architecture section 6).
//!
//! A service's frames meet in one ingester, because its symbols do. One whose rate passes `distributor.service-rate-per-shard` is spread
//! over 2, 4, 8 … neighbours by the labels of its series. Queries ask all ingesters, so any answer here is right, only more or less cheap.

use std::collections::HashMap;
use std::time::Duration;

use flamelake_model::TenantId;
use flamelake_runtime::clock::SharedClock;
use parking_lot::Mutex;
use prometheus::IntGauge;

use crate::service::Distributors;

/// Seconds that a burst is remembered.
const WINDOW_SECONDS: f64 = 60.0;
/// Services that are measured; more of them are not spread.
const SERVICES_MAX: usize = 100_000;
/// Cold services are forgotten this often, if there are many.
const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// A service takes fewer shards only when its rate is this many times below what its shards take, so that their number does not swing.
const SHRINK_BELOW: f64 = 4.0;
const SHARDS_MAX: u32 = 1 << 10;

/// The measured rates of all services on this distributor.
#[derive(Debug)]
pub(crate) struct Heat {
    clock: SharedClock,
    distributors: Distributors,
    /// 0 = nothing is spread.
    bytes_per_shard: f64,
    spread_services: IntGauge,
    services: Mutex<Services>,
}

#[derive(Debug, Default)]
struct Services {
    of: HashMap<TenantId, HashMap<String, Rate>>,
    count: usize,
    swept_at: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Rate {
    bytes_per_second: f64,
    at: Duration,
    shards: u32,
}

impl Rate {
    /// The rate now: what came in a window, the older the less.
    fn decayed(self, now: Duration) -> f64 {
        self.bytes_per_second * (-now.saturating_sub(self.at).as_secs_f64() / WINDOW_SECONDS).exp()
    }

    fn add(&mut self, bytes: u64, now: Duration) {
        self.bytes_per_second = self.decayed(now) + bytes as f64 / WINDOW_SECONDS;
        self.at = now;
    }

    fn adapt(&mut self, rate: f64, per_shard: f64) {
        while rate > per_shard * f64::from(self.shards) && self.shards < SHARDS_MAX {
            self.shards *= 2;
        }
        while self.shards > 1 && rate * SHRINK_BELOW < per_shard * f64::from(self.shards) {
            self.shards /= 2;
        }
    }
}

impl Heat {
    pub(crate) fn new(
        clock: SharedClock,
        distributors: Distributors,
        bytes_per_shard: u64,
        spread_services: IntGauge,
    ) -> Self {
        let services = Mutex::default();
        Self { clock, distributors, bytes_per_shard: bytes_per_shard as f64, spread_services, services }
    }

    /// Counts bytes of a service, and tells over how many ingesters it is spread now: a power of two.
    pub(crate) fn shards(&self, tenant: &TenantId, service: &str, bytes: u64) -> usize {
        if self.bytes_per_shard <= 0.0 {
            return 1;
        }
        // Pushes are spread over all distributors: this one sees its part of them.
        let distributors = (self.distributors.0)().max(1) as f64;
        let now = self.clock.monotonic();
        let mut services = self.services.lock();
        let Some(rate) = services.rate(tenant, service, now, self) else { return 1 };
        rate.add(bytes, now);
        let before = rate.shards;
        rate.adapt(rate.bytes_per_second * distributors, self.bytes_per_shard);
        self.spread_services.add(i64::from(rate.shards > 1) - i64::from(before > 1));
        rate.shards as usize
    }
}

impl Services {
    fn rate(&mut self, tenant: &TenantId, service: &str, now: Duration, heat: &Heat) -> Option<&mut Rate> {
        let known = self.of.get(tenant).is_some_and(|services| services.contains_key(service));
        if !known {
            if self.count >= SERVICES_MAX {
                self.sweep(now, heat);
            }
            if self.count >= SERVICES_MAX {
                return None;
            }
            let fresh = Rate { bytes_per_second: 0.0, at: now, shards: 1 };
            self.of.entry(tenant.clone()).or_default().insert(service.to_owned(), fresh);
            self.count += 1;
        }
        self.of.get_mut(tenant)?.get_mut(service)
    }

    /// Forgets those that are far from being spread.
    fn sweep(&mut self, now: Duration, heat: &Heat) {
        if now.saturating_sub(self.swept_at) < SWEEP_EVERY {
            return;
        }
        self.swept_at = now;
        for services in self.of.values_mut() {
            services.retain(|_, rate| {
                let warm = rate.decayed(now) * SHRINK_BELOW * 2.0 >= heat.bytes_per_shard;
                heat.spread_services.sub(i64::from(!warm && rate.shards > 1));
                warm
            });
        }
        self.of.retain(|_, services| !services.is_empty());
        self.count = self.of.values().map(HashMap::len).sum();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use flamelake_testkit::FakeClock;

    use super::*;

    fn heat(clock: &FakeClock, distributors: usize) -> Heat {
        let gauge = IntGauge::new("spread", "of a test").unwrap();
        Heat::new(Arc::new(clock.clone()), Distributors(Arc::new(move || distributors)), 1000, gauge)
    }

    /// Shards after each of the seconds, at a steady rate.
    fn after(heat: &Heat, clock: &FakeClock, bytes_per_second: u64, seconds: u64) -> usize {
        let mut shards = 0;
        for _ in 0..seconds {
            clock.advance(Duration::from_secs(1));
            shards = heat.shards(&TenantId::anonymous(), "a", bytes_per_second);
        }
        shards
    }

    #[test]
    fn shards_double_with_the_rate_and_go_back_late() {
        let clock = FakeClock::default();
        let heat = heat(&clock, 1);
        assert_eq!(after(&heat, &clock, 900, 300), 1);
        assert_eq!(after(&heat, &clock, 1500, 300), 2);
        assert_eq!(heat.spread_services.get(), 1);
        assert_eq!(after(&heat, &clock, 7000, 300), 8);
        assert_eq!(after(&heat, &clock, 2500, 300), 8, "within the hysteresis");
        assert_eq!(after(&heat, &clock, 1500, 300), 4);
        assert_eq!(after(&heat, &clock, 0, 300), 1);
        assert_eq!(heat.spread_services.get(), 0);
        assert_eq!(heat.shards(&TenantId::anonymous(), "b", 10), 1, "each service by itself");
    }

    #[test]
    fn a_distributor_sees_its_part_of_the_pushes() {
        let clock = FakeClock::default();
        assert_eq!(after(&heat(&clock, 4), &clock, 900, 300), 4);
    }

    #[test]
    fn the_number_of_services_is_bounded() {
        let clock = FakeClock::default();
        let heat = heat(&clock, 1);
        for service in 0..SERVICES_MAX + 10 {
            heat.shards(&TenantId::anonymous(), &service.to_string(), 1);
        }
        assert_eq!(heat.services.lock().count, SERVICES_MAX, "nothing is swept within ten seconds");
        clock.advance(SWEEP_EVERY);
        heat.shards(&TenantId::anonymous(), "hot", 1_000_000);
        assert_eq!(heat.services.lock().count, 1);
    }
}
