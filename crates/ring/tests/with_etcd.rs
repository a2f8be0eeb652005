//! The ring over a real etcd that is stopped, killed, wiped, compacted and locked. Skips, saying so, where there is no etcd.

use std::sync::Arc;
use std::time::Duration;

use flamelake_config::Secret;
use flamelake_ring::{
    EtcdConfig, EtcdStore, Instance, MemberId, MemberStore as _, Membership, Ring, RingConfig, RingDeps, RingError,
    Role, Snapshot, State, StoreError, Transaction, Write,
};
use flamelake_runtime::clock::SystemClock;
use flamelake_testkit::Etcd;
use futures::StreamExt as _;
use prometheus::Registry;
use ulid::Ulid;

/// The least that etcd keeps.
const LEASE: Duration = Duration::from_secs(2);

fn config(endpoints: &[String]) -> RingConfig {
    let etcd = EtcdConfig { endpoints: endpoints.to_vec(), timeout: Duration::from_secs(1), ..EtcdConfig::default() };
    RingConfig { etcd, lease_ttl: LEASE, tokens: 64, ..RingConfig::default() }
}

fn of(etcd: &Etcd) -> RingConfig {
    config(&[etcd.endpoint()])
}

async fn open(config: RingConfig) -> Ring {
    try_open(config).await.expect("open the ring")
}

async fn try_open(config: RingConfig) -> Result<Ring, RingError> {
    Ring::open(config, RingDeps { clock: SystemClock::shared(), registry: Registry::new() }).await
}

async fn join(ring: &Ring, id: &str) -> Membership {
    let instance = Instance {
        id: MemberId::parse(id).unwrap(),
        incarnation: Ulid::new(),
        roles: vec![Role::Ingester],
        address: format!("{id}:9095"),
        zone: "z".to_owned(),
        log_url: Some("bucket".to_owned()),
    };
    within("join", ring.join(instance, State::Active)).await.expect("join")
}

/// Fails rather than hangs.
async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), work).await.unwrap_or_else(|_| panic!("{what}: not within 60 s"))
}

async fn until(ring: &Ring, what: &str, is_so: impl Fn(&Snapshot) -> bool) -> Arc<Snapshot> {
    let handle = ring.handle();
    within(what, handle.until(is_so)).await
}

fn healthy(snapshot: &Snapshot) -> usize {
    snapshot.members().iter().filter(|seen| seen.healthy).count()
}

fn tokens(snapshot: &Snapshot) -> Vec<&[u32]> {
    snapshot.members().iter().map(|seen| seen.member.tokens.as_slice()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_see_each_other_and_the_end_of_each() {
    let Some(etcd) = Etcd::start("with_etcd") else { return };
    // One of the endpoints is nobody's.
    let one = open(config(&[etcd.endpoint(), "127.0.0.1:1".to_owned()])).await;
    let two = open(of(&etcd)).await;
    let a = join(&one, "a").await;
    let b = join(&two, "b").await;
    let c = join(&two, "c").await;
    let seen = until(&one, "three live", |snapshot| healthy(snapshot) == 3).await;
    let same = until(&two, "three live", |snapshot| healthy(snapshot) == 3).await;
    assert_eq!((seen.members(), seen.epoch()), (same.members(), 3));
    a.set_state(State::Leaving).await.unwrap();
    until(&two, "a leaves", |snapshot| snapshot.members()[0].member.state == State::Leaving).await;
    // Gone without a word: the lease ends by itself, the member stays.
    drop(b);
    let dead = until(&one, "b is dead", |snapshot| healthy(snapshot) == 2).await;
    assert_eq!(dead.members().len(), 3);
    a.leave().await.unwrap();
    let left = until(&two, "a is gone", |snapshot| snapshot.members().len() == 2).await;
    assert_eq!(left.epoch(), 4);
    // Another prefix is another cluster.
    let mut elsewhere = of(&etcd);
    elsewhere.etcd.prefix = "flamelake/rin".to_owned();
    assert!(open(elsewhere).await.handle().snapshot().members().is_empty());
    c.leave().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_etcd_that_sleeps_longer_than_the_leases_costs_nothing() {
    let Some(etcd) = Etcd::start("with_etcd") else { return };
    let (one, two) = (open(of(&etcd)).await, open(of(&etcd)).await);
    let (a, _b) = (join(&one, "a").await, join(&two, "b").await);
    let before = until(&one, "both live", |snapshot| healthy(snapshot) == 2).await;
    etcd.pause();
    // The fault itself: nobody is heard of for longer than a lease.
    tokio::time::sleep(LEASE * 3).await;
    assert_eq!(healthy(&one.handle().snapshot()), 2);
    let error = a.set_state(State::Leaving).await.unwrap_err();
    assert!(matches!(error, RingError::Store(StoreError::Unavailable { .. })), "{error}");
    etcd.resume();
    let fresh = open(of(&etcd)).await;
    let after = until(&fresh, "both live again", |snapshot| healthy(snapshot) == 2).await;
    assert_eq!((tokens(&after), after.epoch()), (tokens(&before), before.epoch()));
    until(&one, "both live", |snapshot| healthy(snapshot) == 2).await;
    a.set_state(State::Leaving).await.unwrap();
    until(&two, "a leaves", |snapshot| snapshot.members()[0].member.state == State::Leaving).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_three_that_sleeps_is_passed_by() {
    let Some(etcds) = Etcd::start_several("with_etcd", 3) else { return };
    let mut config = config(&etcds.iter().map(Etcd::endpoint).collect::<Vec<_>>());
    config.etcd.timeout = Duration::from_secs(15);
    let (one, two) = (open(config.clone()).await, open(config).await);
    let (a, b) = (join(&one, "a").await, join(&two, "b").await);
    for etcd in &etcds {
        etcd.pause();
        // Every call is answered, also the one that meets the sleeper and the one that waits for an election.
        for state in [State::Leaving, State::Active, State::Leaving, State::Active] {
            a.set_state(state).await.expect("others answer");
            b.set_state(state).await.expect("others answer");
        }
        etcd.resume();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_etcd_is_found_again() {
    let Some(mut etcd) = Etcd::start("with_etcd") else { return };
    let (one, two) = (open(of(&etcd)).await, open(of(&etcd)).await);
    let (_a, _b) = (join(&one, "a").await, join(&two, "b").await);
    let before = until(&one, "both live", |snapshot| healthy(snapshot) == 2).await;
    etcd.kill();
    assert_eq!(one.handle().snapshot().members(), before.members());
    etcd.launch();
    let _c = join(&two, "c").await;
    let after = until(&one, "three live", |snapshot| healthy(snapshot) == 3).await;
    assert_eq!(after.epoch(), before.epoch() + 1);
    assert_eq!(tokens(&after)[..2], tokens(&before));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wiped_etcd_is_filled_again() {
    let Some(mut etcd) = Etcd::start("with_etcd") else { return };
    let (one, two) = (open(of(&etcd)).await, open(of(&etcd)).await);
    let (_a, _b) = (join(&one, "a").await, join(&two, "b").await);
    let _c = join(&two, "c").await;
    let before = until(&one, "three live", |snapshot| healthy(snapshot) == 3).await;
    etcd.wipe();
    etcd.launch();
    let after = until(&one, "a higher epoch", |snapshot| snapshot.epoch() > before.epoch()).await;
    // Never has anybody seen fewer than most of them.
    assert!(after.members().len() >= 2, "{after:?}");
    let after = until(&one, "three live", |snapshot| healthy(snapshot) == 3).await;
    assert_eq!(tokens(&after), tokens(&before));
    let fresh = open(of(&etcd)).await;
    until(&fresh, "three live", |snapshot| healthy(snapshot) == 3 && snapshot.epoch() > before.epoch()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_below_the_compaction_says_so() {
    let Some(etcd) = Etcd::start("with_etcd") else { return };
    let store = EtcdStore::new(&of(&etcd), SystemClock::shared()).unwrap();
    let start = store.list().await.unwrap().revision;
    for epoch in 1..4 {
        let writes = vec![Write::Epoch(epoch)];
        assert!(store.commit(Transaction { guards: Vec::new(), writes }).await.unwrap());
    }
    let now = store.list().await.unwrap().revision;
    let all = store.watch(start).await.unwrap();
    let changes = all.flat_map(|batch| futures::stream::iter(batch.unwrap().changes)).take(3);
    assert_eq!(within("three changes", changes.collect::<Vec<_>>()).await.len(), 3);
    let mut client = etcd_client::Client::connect([etcd.endpoint()], None).await.unwrap();
    client.compact(now, None).await.unwrap();
    let mut late = store.watch(start).await.unwrap();
    let outcome = within("an answer", async {
        loop {
            match late.next().await {
                Some(Ok(batch)) => assert!(batch.changes.is_empty()),
                other => return other,
            }
        }
    });
    assert!(matches!(outcome.await, Some(Err(StoreError::Compacted { .. }))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_log_in_and_again_after_a_restart() {
    let Some(mut etcd) = Etcd::start("with_etcd") else { return };
    let mut client = etcd_client::Client::connect([etcd.endpoint()], None).await.unwrap();
    client.user_add("root", "top secret", None).await.unwrap();
    client.user_grant_role("root", "root").await.unwrap();
    client.role_add("ring").await.unwrap();
    let all = etcd_client::Permission::read_write("flamelake/ring/").with_prefix();
    client.role_grant_permission("ring", all).await.unwrap();
    client.user_add("flamelake", "secret", None).await.unwrap();
    client.user_grant_role("flamelake", "ring").await.unwrap();
    client.auth_enable().await.unwrap();

    let with = |name: &str, password: &str, prefix: &str| {
        let mut config = of(&etcd);
        (config.etcd.username, config.etcd.password) = (name.to_owned(), Secret::new(password));
        config.etcd.prefix = prefix.to_owned();
        config
    };
    for (name, password, prefix) in
        [("", "", "flamelake/ring/"), ("flamelake", "wrong", "flamelake/ring/"), ("flamelake", "secret", "elsewhere/")]
    {
        let error = within("a refusal", try_open(with(name, password, prefix))).await.unwrap_err();
        assert!(matches!(error, RingError::Store(StoreError::Denied { .. })), "{name} {prefix}: {error}");
    }
    let good = with("flamelake", "secret", "flamelake/ring/");
    let ring = open(good.clone()).await;
    let _a = join(&ring, "a").await;
    until(&ring, "a lives", |snapshot| healthy(snapshot) == 1).await;
    // Its tokens of authentication lie in memory only.
    etcd.kill();
    etcd.launch();
    let other = open(good).await;
    let _b = join(&other, "b").await;
    until(&ring, "both live", |snapshot| healthy(snapshot) == 2).await;
}
