//! Recognises a retried profile by its id, so that it is stored once (architecture section 5, duplicates by retry).
//!
//! Each key is *in flight* (the first push has no outcome yet; retries wait for it) or *stored*. Bounded by age and by number.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use flamelake_model::{ProfileId, StatusError, TenantId};
use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::watch;

/// What names a stored profile: a hash over tenant, service and profile id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct DedupKey(u128);

impl DedupKey {
    pub(crate) fn new(tenant: &TenantId, service_name: &str, id: ProfileId) -> Self {
        let mut hasher = xxhash_rust::xxh3::Xxh3Default::new();
        hasher.update(tenant.as_str().as_bytes());
        hasher.update(&[0]);
        hasher.update(service_name.as_bytes());
        hasher.update(&[0]);
        hasher.update(&id.0);
        Self(hasher.digest128())
    }
}

/// `None` while the first push is under way.
type Outcome = Option<Result<(), StatusError>>;

#[derive(Debug)]
enum Entry {
    InFlight(watch::Receiver<Outcome>),
    Stored,
}

/// How a push of a key begins.
#[derive(Debug)]
pub(crate) enum Begin {
    /// First of its id: write it, then settle the ticket.
    First(Ticket),
    /// Stored already.
    Stored,
    /// Another push of it is under way: wait for its outcome.
    Wait(watch::Receiver<Outcome>),
}

/// The ids of a bounded window of time.
#[derive(Debug)]
pub(crate) struct DedupWindow {
    inner: Mutex<Inner>,
    window: Duration,
    ids_max: usize,
}

#[derive(Debug, Default)]
struct Inner {
    entries: HashMap<DedupKey, Entry, foldhash::fast::RandomState>,
    /// Stored keys in order of storing, with the monotonic time.
    order: VecDeque<(Duration, DedupKey)>,
}

impl DedupWindow {
    pub(crate) fn new(window: Duration, ids_max: usize) -> Arc<Self> {
        Arc::new(Self { inner: Mutex::new(Inner::default()), window, ids_max })
    }

    /// Begins the push of a key.
    pub(crate) fn begin(self: &Arc<Self>, key: DedupKey) -> Begin {
        let mut inner = self.inner.lock();
        match inner.entries.get(&key) {
            Some(Entry::Stored) => Begin::Stored,
            Some(Entry::InFlight(outcome)) => Begin::Wait(outcome.clone()),
            None => {
                let (sender, receiver) = watch::channel(None);
                inner.entries.insert(key, Entry::InFlight(receiver));
                Begin::First(Ticket { window: Arc::clone(self), key, sender, settled: false })
            }
        }
    }

    /// Notes a key found in a log or block at start. `false` if it was known: its row is a second copy.
    pub(crate) fn restore(&self, key: DedupKey, now: Duration) -> bool {
        let mut inner = self.inner.lock();
        if inner.entries.insert(key, Entry::Stored).is_some() {
            return false;
        }
        inner.order.push_back((now, key));
        inner.forget(now, self.window, self.ids_max);
        true
    }

    /// How many keys are remembered.
    pub(crate) fn len(&self) -> usize {
        self.inner.lock().entries.len()
    }

    fn store(&self, key: DedupKey, now: Duration) {
        let mut inner = self.inner.lock();
        inner.entries.insert(key, Entry::Stored);
        inner.order.push_back((now, key));
        inner.forget(now, self.window, self.ids_max);
    }
}

impl Inner {
    fn forget(&mut self, now: Duration, window: Duration, ids_max: usize) {
        while let Some((stored_at, key)) = self.order.front().copied() {
            if now.saturating_sub(stored_at) < window && self.order.len() <= ids_max {
                break;
            }
            self.order.pop_front();
            self.entries.remove(&key);
        }
    }
}

/// The duty to tell how the first push of a key ended. Dropped unsettled, it counts as unavailable.
#[derive(Debug)]
pub(crate) struct Ticket {
    window: Arc<DedupWindow>,
    key: DedupKey,
    sender: watch::Sender<Outcome>,
    settled: bool,
}

impl Ticket {
    /// The frame is durable and applied.
    pub(crate) fn stored(mut self, now: Duration) {
        self.settled = true;
        self.window.store(self.key, now);
        self.sender.send_replace(Some(Ok(())));
    }

    /// The frame was not stored, as far as anyone was told: a retry is a first push again.
    pub(crate) fn failed(mut self, error: StatusError) {
        self.fail(error);
    }

    fn fail(&mut self, error: StatusError) {
        self.settled = true;
        self.window.inner.lock().entries.remove(&self.key);
        self.sender.send_replace(Some(Err(error)));
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.settled {
            self.fail(StatusError::unavailable("the first push of this profile was given up: push it again"));
        }
    }
}

/// The outcome of another push of the same profile.
pub(crate) async fn outcome_of(mut receiver: watch::Receiver<Outcome>) -> Result<(), StatusError> {
    let settled = receiver.wait_for(Option::is_some).await;
    settled
        .ok()
        .and_then(|outcome| outcome.clone())
        .unwrap_or_else(|| Err(StatusError::unavailable("the first push of this profile was given up: push it again")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8) -> DedupKey {
        DedupKey::new(&TenantId::anonymous(), "svc", ProfileId([n; 16]))
    }

    fn first(window: &Arc<DedupWindow>, n: u8) -> Ticket {
        match window.begin(key(n)) {
            Begin::First(ticket) => ticket,
            other => panic!("expected a first push, got {other:?}"),
        }
    }

    #[tokio::test]
    async fn a_retry_shares_the_outcome_of_the_first() {
        let window = DedupWindow::new(Duration::from_secs(60), 10);
        let ticket = first(&window, 1);
        let Begin::Wait(waiting) = window.begin(key(1)) else { panic!("second push must wait") };
        ticket.stored(Duration::ZERO);
        assert_eq!(outcome_of(waiting).await, Ok(()));
        assert!(matches!(window.begin(key(1)), Begin::Stored));
    }

    #[test]
    fn a_failed_push_may_be_tried_again() {
        let window = DedupWindow::new(Duration::from_secs(60), 10);
        first(&window, 1).failed(StatusError::unavailable("disk full"));
        drop(first(&window, 1));
        first(&window, 1).stored(Duration::ZERO);
    }

    #[test]
    fn the_window_is_bounded_by_age_and_number() {
        let window = DedupWindow::new(Duration::from_secs(60), 2);
        for n in 0..3 {
            first(&window, n).stored(Duration::from_secs(u64::from(n)));
        }
        assert_eq!(window.len(), 2);
        first(&window, 9).stored(Duration::from_secs(61));
        assert!(matches!(window.begin(key(1)), Begin::First(_)), "60 s after its storing it is forgotten");
    }

    #[test]
    fn keys_tell_tenants_and_services_apart() {
        let other = TenantId::parse("other").unwrap();
        let id = ProfileId([1; 16]);
        assert_ne!(DedupKey::new(&other, "svc", id), DedupKey::new(&TenantId::anonymous(), "svc", id));
        assert_ne!(DedupKey::new(&other, "a", id), DedupKey::new(&other, "b", id));
    }
}
