//! The last refused profiles of each tenant, for whoever asks why something is missing. In memory and of this process alone; bounded in
//! tenants, entries and bytes of each.

use std::collections::{HashMap, VecDeque};

use flamelake_model::TenantId;
use flamelake_runtime::clock::SharedClock;
use parking_lot::Mutex;
use serde::Serialize;

use crate::error::Reason;

/// Kept of a tenant.
const KEPT_MAX: usize = 100;
/// Beyond it, the tenant whose last refusal is the oldest is forgotten.
const TENANTS_MAX: usize = 256;
const SERVICE_BYTES_MAX: usize = 256;
const MESSAGE_BYTES_MAX: usize = 1024;

/// What was refused, where it happens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Discarded<'a> {
    pub(crate) reason: Reason,
    pub(crate) profiles: u64,
    /// Uncompressed, with labels, as far as known.
    pub(crate) bytes: u64,
    /// Empty where it is not known.
    pub(crate) service: &'a str,
    pub(crate) message: &'a str,
}

/// The same, kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Refusal {
    time_ms: i64,
    reason: &'static str,
    service_name: String,
    profiles: u64,
    bytes: u64,
    message: String,
}

/// Shared by all that refuse.
pub(crate) struct Refusals {
    clock: SharedClock,
    tenants: Mutex<HashMap<TenantId, VecDeque<Refusal>>>,
}

impl Refusals {
    pub(crate) fn new(clock: SharedClock) -> Self {
        Self { clock, tenants: Mutex::default() }
    }

    pub(crate) fn add(&self, tenant: &TenantId, refused: Discarded<'_>) {
        let refusal = Refusal {
            time_ms: self.clock.unix_nanos() / 1_000_000,
            reason: refused.reason.name(),
            service_name: cut(refused.service, SERVICE_BYTES_MAX),
            profiles: refused.profiles,
            bytes: refused.bytes,
            message: cut(refused.message, MESSAGE_BYTES_MAX),
        };
        let mut tenants = self.tenants.lock();
        if tenants.len() >= TENANTS_MAX && !tenants.contains_key(tenant) {
            let oldest = tenants.iter().min_by_key(|(_, kept)| kept.back().map(|last| last.time_ms));
            if let Some(oldest) = oldest.map(|(tenant, _)| tenant.clone()) {
                tenants.remove(&oldest);
            }
        }
        let kept = tenants.entry(tenant.clone()).or_default();
        if kept.len() >= KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back(refusal);
    }

    /// Those of a tenant, the newest first.
    pub(crate) fn of(&self, tenant: &TenantId) -> Vec<Refusal> {
        self.tenants.lock().get(tenant).map_or_else(Vec::new, |kept| kept.iter().rev().cloned().collect())
    }
}

impl std::fmt::Debug for Refusals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Refusals").field("tenants", &self.tenants.lock().len()).finish_non_exhaustive()
    }
}

fn cut(text: &str, bytes_max: usize) -> String {
    text[..text.floor_char_boundary(bytes_max)].to_owned()
}

/// The service of sorted or unsorted labels.
pub(crate) fn service(labels: &[(String, String)]) -> &str {
    labels.iter().find(|(name, _)| name == "service_name").map_or("", |(_, value)| value)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use flamelake_testkit::FakeClock;

    use super::*;

    fn refused<'a>(service: &'a str, message: &'a str) -> Discarded<'a> {
        Discarded { reason: Reason::RateLimited, profiles: 1, bytes: 7, service, message }
    }

    #[test]
    fn the_newest_come_first_and_others_see_nothing() {
        let clock = FakeClock::at_unix_nanos(5_000_000);
        let refusals = Refusals::new(clock.shared());
        let (a, b) = (TenantId::parse("a").unwrap(), TenantId::parse("b").unwrap());
        refusals.add(&a, refused("shop", "first"));
        refusals.add(&a, refused("shop", "second"));
        let json = serde_json::to_string(&refusals.of(&a)).unwrap();
        let one = |message: &str| {
            format!(
                r#"{{"time_ms":5,"reason":"rate_limited","service_name":"shop","profiles":1,"bytes":7,"message":"{message}"}}"#
            )
        };
        assert_eq!(json, format!("[{},{}]", one("second"), one("first")));
        assert_eq!(refusals.of(&b), []);
    }

    #[test]
    fn everything_is_bounded() {
        let clock = FakeClock::at_unix_nanos(0);
        let refusals = Refusals::new(clock.shared());
        let tenant = |number: usize| TenantId::parse(&format!("t{number}")).unwrap();
        let (long, text) = ("s".repeat(1000), "ö".repeat(5000));
        for _ in 0..=KEPT_MAX {
            refusals.add(&tenant(0), refused(&long, &text));
        }
        let kept = refusals.of(&tenant(0));
        assert_eq!(kept.len(), KEPT_MAX);
        assert_eq!((kept[0].service_name.len(), kept[0].message.len()), (SERVICE_BYTES_MAX, MESSAGE_BYTES_MAX));
        for number in 1..=TENANTS_MAX {
            clock.advance(Duration::from_millis(1));
            refusals.add(&tenant(number), refused("s", "m"));
        }
        assert_eq!(refusals.tenants.lock().len(), TENANTS_MAX);
        assert_eq!((refusals.of(&tenant(0)).len(), refusals.of(&tenant(TENANTS_MAX)).len()), (0, 1));
    }
}
