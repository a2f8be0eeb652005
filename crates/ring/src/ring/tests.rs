//! Life in a ring over the store in memory, which breaks as told.

use std::time::Duration;

use flamelake_model::{Coded as _, ErrorCode};
use flamelake_runtime::clock::SystemClock;
use flamelake_testkit::FakeClock;
use ulid::Ulid;

use super::*;
use crate::error::StoreError;
use crate::member::Role;
use crate::memory::MemoryStore;
use crate::store::{Guard, Stored};

/// One process with a store that others may share.
pub(crate) struct Cluster {
    pub(crate) ring: Ring,
    pub(crate) store: MemoryStore,
}

pub(crate) fn instance(id: &str, log_url: Option<&str>) -> Instance {
    Instance {
        id: MemberId::parse(id).unwrap(),
        incarnation: Ulid::new(),
        roles: vec![Role::Ingester, Role::StoreGateway],
        address: format!("{id}:9095"),
        zone: String::new(),
        log_url: log_url.map(str::to_owned),
    }
}

/// Beats often, so that tests need not wait.
fn config() -> RingConfig {
    RingConfig { lease_ttl: Duration::from_secs(2), tokens: 32, ..RingConfig::default() }
}

async fn ring_over(store: &MemoryStore, clock: SharedClock) -> Ring {
    let deps = RingDeps { clock, registry: Registry::new() };
    Ring::over(Arc::new(store.clone()), config(), deps).await.unwrap()
}

impl Cluster {
    pub(crate) async fn new() -> Self {
        let store = MemoryStore::new();
        Self { ring: ring_over(&store, SystemClock::shared()).await, store }
    }

    async fn another(&self) -> Ring {
        ring_over(&self.store, SystemClock::shared()).await
    }

    /// Fails rather than hangs.
    async fn until(&self, is_so: impl Fn(&Snapshot) -> bool) -> Arc<Snapshot> {
        let handle = self.ring.handle();
        let waited = tokio::time::timeout(Duration::from_secs(20), handle.until(is_so)).await;
        waited.unwrap_or_else(|_| panic!("not so within 20 s: {:?}", self.ring.handle().snapshot()))
    }
}

fn ids(snapshot: &Snapshot) -> Vec<&str> {
    snapshot.members().iter().map(|seen| seen.member.id.as_str()).collect()
}

fn healthy(snapshot: &Snapshot) -> usize {
    snapshot.members().iter().filter(|seen| seen.healthy).count()
}

#[tokio::test]
async fn members_join_change_and_leave() {
    let cluster = Cluster::new().await;
    let other = cluster.another().await;
    let a = cluster.ring.join(instance("a", None), State::Joining).await.unwrap();
    let b = other.join(instance("b", None), State::Active).await.unwrap();
    let two = cluster.until(|snapshot| healthy(snapshot) == 2).await;
    assert_eq!((ids(&two), two.usable(Role::Ingester), two.epoch()), (vec!["a", "b"], 1, 2));
    a.set_state(State::Active).await.unwrap();
    cluster.until(|snapshot| snapshot.usable(Role::Ingester) == 2).await;
    let since = b.set_read_only(true).await.unwrap();
    assert!(since.is_some() && b.set_read_only(true).await.unwrap() == since);
    let one = cluster.until(|snapshot| snapshot.ingesters_for(crate::RingKey(1), 9).len() == 1).await;
    assert_eq!((one.epoch(), one.usable(Role::StoreGateway)), (2, 2));
    b.set_state(State::Leaving).await.unwrap();
    b.leave().await.unwrap();
    let last = cluster.until(|snapshot| snapshot.members().len() == 1).await;
    assert_eq!((ids(&last), last.epoch()), (vec!["a"], 3));
    other.stop().await;
    a.leave().await.unwrap();
}

#[tokio::test]
async fn a_restart_keeps_tokens_and_age() {
    let cluster = Cluster::new().await;
    let _other = cluster.ring.join(instance("b", None), State::Active).await.unwrap();
    let first = cluster.ring.join(instance("a", None), State::Active).await.unwrap();
    let before = cluster.until(|snapshot| healthy(snapshot) == 2).await;
    first.pause().await.unwrap();
    cluster.until(|snapshot| healthy(snapshot) == 1 && snapshot.members().len() == 2).await;
    let _again = cluster.ring.join(instance("a", None), State::Active).await.unwrap();
    let after = cluster.until(|snapshot| healthy(snapshot) == 2).await;
    let (old, new) = (&before.members()[0].member, &after.members()[0].member);
    assert_eq!((&old.tokens, old.registered_at_ms), (&new.tokens, new.registered_at_ms));
    assert_ne!(old.incarnation, new.incarnation);
}

#[tokio::test]
async fn the_newest_start_supersedes_the_older() {
    let cluster = Cluster::new().await;
    let old = cluster.ring.join(instance("a", None), State::Active).await.unwrap();
    let young = instance("a", None);
    let incarnation = young.incarnation;
    let new = cluster.another().await.join(young, State::Active).await.unwrap();
    old.superseded().await;
    assert!(matches!(old.set_state(State::Leaving).await, Err(RingError::Superseded { .. })));
    // Leaving now must not remove the other.
    old.leave().await.unwrap();
    let seen = cluster.until(|snapshot| healthy(snapshot) == 1).await;
    assert_eq!((seen.members()[0].member.incarnation, seen.members()[0].member.state), (incarnation, State::Active));
    new.leave().await.unwrap();
}

#[tokio::test]
async fn lost_leases_and_wiped_keys_come_back() {
    let cluster = Cluster::new().await;
    let _a = cluster.ring.join(instance("a", None), State::Active).await.unwrap();
    let other = cluster.another().await;
    let _b = other.join(instance("b", Some("bucket")), State::Active).await.unwrap();
    let before = cluster.until(|snapshot| healthy(snapshot) == 2).await;
    cluster.store.expire_leases();
    wait_until_stored(&cluster.store, 2).await;
    assert_eq!(cluster.ring.handle().snapshot().epoch(), before.epoch());

    cluster.store.wipe();
    wait_until_stored(&cluster.store, 2).await;
    let after = cluster.until(|snapshot| snapshot.epoch() > before.epoch()).await;
    assert_eq!(ids(&after), ["a", "b"]);
    assert_eq!(after.members()[0].member.tokens, before.members()[0].member.tokens);
}

/// One sleeps while all keys are lost: its log may hold rows that nobody else has, so it must not be forgotten.
#[tokio::test]
async fn who_sleeps_while_the_store_is_wiped_stays_a_member() {
    let cluster = Cluster::new().await;
    let _a = cluster.ring.join(instance("a", Some("bucket")), State::Active).await.unwrap();
    let _front = cluster.ring.join(instance("front", None), State::Active).await.unwrap();
    // Rings of their own: what goes with them beats no more.
    let (sleeper, gone) = (cluster.another().await, cluster.another().await);
    let sleeping = sleeper.join(instance("b", Some("bucket")), State::Active).await.unwrap();
    let without_log = gone.join(instance("c", None), State::Active).await.unwrap();
    let before = cluster.until(|snapshot| healthy(snapshot) == 4).await;
    drop((sleeping, without_log));
    let handle = cluster.ring.handle();
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let watcher = {
        let (handle, seen) = (handle.clone(), std::sync::Arc::clone(&seen));
        tokio::spawn(async move {
            let mut changed = handle.changed();
            while changed.changed().await.is_ok() {
                seen.lock().unwrap().push(ids(&handle.snapshot()).contains(&"b"));
            }
        })
    };
    cluster.store.wipe();
    let restored = |snapshot: &Snapshot| snapshot.epoch() > before.epoch() + 2 && ids(snapshot).contains(&"b");
    cluster.until(restored).await;
    wait_until_stored(&cluster.store, 2).await;
    // A ring that begins now knows it too, and not the one that owed nothing.
    let fresh = cluster.another().await.handle();
    let told = tokio::time::timeout(Duration::from_secs(20), fresh.until(|snapshot| ids(snapshot).contains(&"b")));
    assert_eq!(ids(&told.await.unwrap()), ["a", "b", "front"]);
    watcher.abort();
    assert!(seen.lock().unwrap().iter().all(|there| *there), "it was missing for a moment");
    // Recovered, it goes.
    let dead = handle.snapshot().get(&MemberId::parse("b").unwrap()).unwrap().member.clone();
    let removed = async {
        while !handle.remove_recovered(&dead).await.unwrap() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), removed).await.unwrap();
    cluster.until(|snapshot| ids(snapshot) == ["a", "front"]).await;
}

/// Until so many members live according to the store itself.
async fn wait_until_stored(store: &MemoryStore, count: usize) {
    let there = async {
        loop {
            let view = View::from(store.list().await.unwrap());
            let changed = store.watch(store.list().await.unwrap().revision).await.unwrap();
            if view.members.values().filter(|stored| view.is_healthy(&stored.value)).count() == count {
                return;
            }
            use futures::StreamExt as _;
            let _ = tokio::time::timeout(Duration::from_millis(50), changed.into_future()).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), there).await.expect("members come back");
}

#[tokio::test]
async fn the_last_list_holds_while_the_store_is_away() {
    let cluster = Cluster::new().await;
    let a = cluster.ring.join(instance("a", None), State::Active).await.unwrap();
    let _b = cluster.another().await.join(instance("b", None), State::Active).await.unwrap();
    cluster.until(|snapshot| healthy(snapshot) == 2).await;
    cluster.store.set_down(true);
    assert!(matches!(a.set_state(State::Leaving).await, Err(RingError::Store(StoreError::Unavailable { .. }))));
    assert_eq!(healthy(&cluster.ring.handle().snapshot()), 2);
    cluster.store.set_down(false);
    // What was to be told is told later.
    a.set_state(State::Leaving).await.unwrap();
    cluster.until(|snapshot| snapshot.members()[0].member.state == State::Leaving).await;
    cluster.store.compact();
    cluster.store.cut_watches();
    a.set_state(State::Active).await.unwrap();
    cluster.until(|snapshot| snapshot.members()[0].member.state == State::Active).await;
}

#[tokio::test]
async fn many_join_at_once_with_different_tokens() {
    let cluster = Cluster::new().await;
    let joins = (0..16).map(|index| cluster.ring.join(instance(&format!("m-{index}"), None), State::Active));
    let members: Vec<Membership> = futures::future::try_join_all(joins).await.unwrap();
    let snapshot = cluster.until(|snapshot| healthy(snapshot) == 16).await;
    assert_eq!(snapshot.epoch(), 16);
    let mut tokens: Vec<u32> = snapshot.members().iter().flat_map(|seen| seen.member.tokens.clone()).collect();
    tokens.sort_unstable();
    tokens.dedup();
    assert_eq!(tokens.len(), 16 * 32);
    assert!(snapshot.shares(Role::Ingester).iter().all(|(_, share)| *share < 1.25 / 16.0));
    drop(members);
}

/// Time is in the test's hands: five members vanish at once, are held for the grace, and then believed.
#[tokio::test]
async fn a_list_that_drops_most_is_held_back_for_the_grace() {
    let (store, clock) = (MemoryStore::new(), FakeClock::default());
    let members = crate::fixtures::cluster(5, &[]);
    let writes = |members: &[Member]| -> Vec<Write> { members.iter().cloned().map(Write::Member).collect() };
    store.commit(Transaction { guards: Vec::new(), writes: writes(&members) }).await.unwrap();
    let ring = ring_over(&store, clock.shared()).await;
    assert_eq!(ring.handle().snapshot().members().len(), 5);
    let gone: Vec<Write> = members[1..].iter().map(|member| Write::DropMember(member.id.clone())).collect();
    store.commit(Transaction { guards: Vec::new(), writes: gone }).await.unwrap();
    clock.until_sleepers(1).await;
    assert_eq!(ring.handle().snapshot().members().len(), 5);
    clock.advance(config().drop_grace);
    let handle = ring.handle();
    let after = handle.until(|snapshot| snapshot.members().len() == 1);
    tokio::time::timeout(Duration::from_secs(20), after).await.unwrap();
}

#[tokio::test]
async fn members_without_log_are_removed_when_gone_and_those_with_one_are_told() {
    let (store, clock) = (MemoryStore::new(), FakeClock::default());
    let ring = ring_over(&store, clock.shared()).await;
    let _me = ring.join(instance("me", None), State::Active).await.unwrap();
    let _you = ring.join(instance("you", None), State::Active).await.unwrap();
    let plain = ring.join(instance("plain", None), State::Active).await.unwrap();
    let logged = ring.join(instance("logged", Some("bucket")), State::Active).await.unwrap();
    plain.pause().await.unwrap();
    logged.pause().await.unwrap();
    let handle = ring.handle();
    handle.until(|snapshot| healthy(snapshot) == 2).await;
    assert!(handle.lost().is_empty());
    clock.advance(config().forget_after);
    tokio::time::timeout(Duration::from_secs(20), handle.until(|snapshot| snapshot.members().len() == 3))
        .await
        .unwrap();
    let lost = handle.lost();
    assert_eq!(lost.iter().map(|member| member.id.as_str()).collect::<Vec<_>>(), ["logged"]);
    assert!(handle.remove_recovered(&lost[0]).await.unwrap());
    assert!(!handle.remove_recovered(&lost[0]).await.unwrap());
}

#[tokio::test]
async fn one_that_came_back_is_not_removed() {
    let cluster = Cluster::new().await;
    let first = cluster.ring.join(instance("a", Some("bucket")), State::Active).await.unwrap();
    first.pause().await.unwrap();
    let dead = cluster.until(|snapshot| snapshot.members().len() == 1).await.members()[0].member.clone();
    let _again = cluster.ring.join(instance("a", Some("bucket")), State::Active).await.unwrap();
    assert!(!cluster.ring.handle().remove_recovered(&dead).await.unwrap());
}

#[tokio::test]
async fn a_log_on_a_lost_disk_is_given_up_only_by_who_accepts_it() {
    let cluster = Cluster::new().await;
    let ring = cluster.ring.handle();
    let [disk, bucket] = ["disk", "bucket"].map(|id| MemberId::parse(id).unwrap());
    let on_disk = cluster.ring.join(instance("disk", Some("file:///x/log")), State::Active).await.unwrap();
    let shared = cluster.ring.join(instance("bucket", Some("bucket")), State::Active).await.unwrap();
    let error = ring.forget(&disk, true).await.unwrap_err();
    assert!(error.to_string().contains("lives"), "{error}");
    on_disk.pause().await.unwrap();
    shared.pause().await.unwrap();
    let error = ring.forget(&disk, false).await.unwrap_err();
    for part in
        ["its own disk (file:///x/log)", "`flamelake ring --forget disk --accept-loss`", "runbooks/lost-volume.md"]
    {
        assert!(error.to_string().contains(part), "{error}");
    }
    assert_eq!(error.code(), ErrorCode::FailedPrecondition);
    // A log that can be recovered is never given up.
    assert_eq!(ring.forget(&bucket, true).await.unwrap(), Forgotten::Marked);
    assert_eq!(ring.shared.metrics.logs_given_up_total.get(), 0);
    let epoch = cluster.until(|snapshot| snapshot.members().len() == 2 && healthy(snapshot) == 0).await.epoch();
    assert_eq!(ring.forget(&disk, true).await.unwrap(), Forgotten::RemovedWithItsLog);
    let after = cluster.until(|snapshot| ids(snapshot) == ["bucket"]).await;
    assert_eq!((after.epoch(), ring.shared.metrics.logs_given_up_total.get()), (epoch + 1, 1));
    assert!(matches!(ring.forget(&disk, true).await, Err(RingError::NotFound(_))));
    // It may come back, as a new member.
    let _again = cluster.ring.join(instance("disk", Some("file:///x/log")), State::Active).await.unwrap();
    cluster.until(|snapshot| healthy(snapshot) == 1 && snapshot.members().len() == 2).await;
}

#[tokio::test]
async fn keys_that_cannot_be_are_refused() {
    let deps = || RingDeps { clock: SystemClock::shared(), registry: Registry::new() };
    for bad in [RingConfig { tokens: 0, ..config() }, RingConfig { lease_ttl: Duration::from_secs(1), ..config() }] {
        assert!(matches!(Ring::open(bad, deps()).await, Err(RingError::Config(_))));
    }
}

#[tokio::test]
async fn guards_are_all_or_nothing() {
    let store = MemoryStore::new();
    let epoch = |revision, value| Transaction {
        guards: vec![Guard::Epoch(revision)],
        writes: vec![Write::Epoch(value), Write::Forget(MemberId::parse("x").unwrap())],
    };
    assert!(store.commit(epoch(0, 5)).await.unwrap());
    assert!(!store.commit(epoch(0, 6)).await.unwrap());
    let view = View::from(store.list().await.unwrap());
    assert_eq!((view.epoch, view.forget.len()), (Some(Stored { value: 5, revision: 1 }), 1));
}
