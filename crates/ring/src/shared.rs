//! What the reader, the keeper and all handles of one process share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use flamelake_runtime::clock::SharedClock;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tracing::{info, warn};
use ulid::Ulid;

use crate::config::RingConfig;
use crate::member::{Member, MemberId};
use crate::metrics::Metrics;
use crate::snapshot::{Seen, Snapshot};
use crate::view::{View, doubt};

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: RingConfig,
    pub(crate) clock: SharedClock,
    pub(crate) metrics: Metrics,
    snapshot: ArcSwap<Snapshot>,
    changed: watch::Sender<u64>,
    state: Mutex<Reading>,
    /// Told when the keys of this process are not as it wrote them.
    pub(crate) own_is_wrong: Notify,
}

#[derive(Debug, Default)]
struct Reading {
    /// As read last, believed or not.
    view: View,
    /// Since when the view is held back, by the monotonic clock.
    held_since: Option<Duration>,
    /// Since when each unhealthy start of a member has been so.
    unhealthy_since: BTreeMap<MemberId, (Ulid, Duration)>,
    own: Option<(MemberId, Ulid)>,
    /// The life of the store that was seen last.
    origin: Option<Ulid>,
    /// Members with a log that did not leave and that the store has lost: their rows are still asked for.
    remembered: BTreeMap<MemberId, Arc<Member>>,
}

impl Reading {
    /// After all keys were lost, or came back from an old copy, the list lacks members that are still owed for.
    fn remember(&mut self, before: &Snapshot) {
        let origin = self.view.origin.as_ref().map(|stored| stored.value);
        let is_another = self.origin.is_some() && origin != self.origin;
        if is_another || self.view.epoch() < before.epoch() {
            let with_log = before.members().iter().filter(|seen| seen.member.log_url.is_some());
            self.remembered.extend(with_log.map(|seen| (seen.member.id.clone(), Arc::clone(&seen.member))));
        }
        // Members of older versions register without one: then nothing can be told from it.
        if origin.is_some() || !self.view.members.is_empty() {
            self.origin = origin;
        }
        self.remembered.retain(|id, _| !self.view.members.contains_key(id));
    }
}

impl Shared {
    pub(crate) fn new(config: RingConfig, clock: SharedClock, metrics: Metrics) -> Self {
        Self {
            config,
            clock,
            metrics,
            snapshot: ArcSwap::from_pointee(Snapshot::default()),
            changed: watch::Sender::new(0),
            state: Mutex::default(),
            own_is_wrong: Notify::new(),
        }
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    pub(crate) fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// The keys as read last.
    pub(crate) fn view(&self) -> View {
        self.state.lock().view.clone()
    }

    /// Members that the store has lost, this process excepted.
    pub(crate) fn remembered(&self) -> Vec<Arc<Member>> {
        let state = self.state.lock();
        let own = state.own.as_ref().map(|(id, _)| id);
        state.remembered.values().filter(|member| own != Some(&member.id)).cloned().collect()
    }

    /// From now on the keys of this start are looked after.
    pub(crate) fn set_own(&self, own: Option<(MemberId, Ulid)>) {
        self.state.lock().own = own;
    }

    /// Takes what the store says now, or holds it back. Some = look again after so long.
    pub(crate) fn publish(&self, view: View) -> Option<Duration> {
        let now = self.clock.monotonic();
        self.heard();
        let mut state = self.state.lock();
        let own = state.own.clone();
        if own.is_some_and(|(id, incarnation)| !is_registered(&view, &id, incarnation)) {
            self.own_is_wrong.notify_one();
        }
        let before = self.snapshot.load();
        let doubt = doubt(&before, &view);
        state.view = view;
        state.remember(&before);
        if let Some(doubt) = doubt {
            let since = *state.held_since.get_or_insert_with(|| {
                self.metrics.refused_total.inc();
                warn!(doubt, grace = ?self.config.drop_grace, "the list of members is not believed yet; the last good one holds");
                now
            });
            let left = self.config.drop_grace.saturating_sub(now.saturating_sub(since));
            if !left.is_zero() {
                return Some(left);
            }
            warn!(doubt, "the list of members stayed so and is believed now");
        }
        state.held_since = None;
        self.accept(&mut state, &before, now);
        None
    }

    /// Looks again at what is held back.
    pub(crate) fn reconsider(&self) -> Option<Duration> {
        self.publish(self.view())
    }

    /// Notes that the store has answered just now.
    pub(crate) fn heard(&self) {
        self.metrics.last_contact.set(self.clock.unix_nanos() as f64 / 1e9);
    }

    fn accept(&self, state: &mut Reading, before: &Snapshot, now: Duration) {
        let next = state.view.snapshot(before.epoch(), state.remembered.values());
        let unhealthy = next.members().iter().filter(|seen| !seen.healthy);
        let since = |seen: &Seen| {
            let (id, start) = (&seen.member.id, seen.member.incarnation);
            let known = state.unhealthy_since.get(id).filter(|(of, _)| *of == start);
            (id.clone(), (start, known.map_or(now, |(_, since)| *since)))
        };
        state.unhealthy_since = unhealthy.map(since).collect();
        let (members, healthy) = (next.members().len(), next.members().iter().filter(|seen| seen.healthy).count());
        self.metrics.members.set(members as i64);
        self.metrics.members_healthy.set(healthy as i64);
        self.metrics.epoch.set(i64::try_from(next.epoch()).unwrap_or(i64::MAX));
        if next.epoch() == before.epoch() && next.members() == before.members() {
            return;
        }
        if next.epoch() != before.epoch() || healthy != before.members().iter().filter(|seen| seen.healthy).count() {
            info!(epoch = next.epoch(), members, healthy, "the ring changed");
        }
        self.snapshot.store(Arc::new(next));
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Members without liveness for `ring.forget-after`, or marked by an operator.
    pub(crate) fn lost(&self) -> Vec<Arc<Member>> {
        let now = self.clock.monotonic();
        let state = self.state.lock();
        let snapshot = self.snapshot.load();
        let is_lost = |seen: &&Seen| {
            let since = state.unhealthy_since.get(&seen.member.id).map(|(_, since)| now.saturating_sub(*since));
            !seen.healthy && (seen.forget || since.is_some_and(|since| since >= self.config.forget_after))
        };
        snapshot.members().iter().filter(is_lost).map(|seen| Arc::clone(&seen.member)).collect()
    }

    /// For how long a member has been without liveness, as far as this process knows.
    pub(crate) fn unhealthy_for(&self, id: &MemberId) -> Option<Duration> {
        let now = self.clock.monotonic();
        self.state.lock().unhealthy_since.get(id).map(|(_, since)| now.saturating_sub(*since))
    }
}

/// Both keys are there and of this start.
pub(crate) fn is_registered(view: &View, id: &MemberId, incarnation: Ulid) -> bool {
    let member = view.members.get(id).filter(|stored| stored.value.incarnation == incarnation);
    member.is_some_and(|stored| view.is_healthy(&stored.value))
}
