//! Put-if-absent over stores that overwrite: the suite that every store passes, a crash or a sleep at every step, races on a real store.
#![allow(missing_docs)]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use flamelake_config::Secret;
use flamelake_object_storage::faulty::{Faults, FaultyStore};
use flamelake_object_storage::suite::{self, Overwriting};
use flamelake_object_storage::{
    Arbiter, ArbiterError, Bucket, BucketDeps, PutOutcome, RetryPolicy, S3Config, StorageConfig,
};
use flamelake_ring::{EtcdConfig, EtcdNames, RingConfig};
use flamelake_runtime::clock::SystemClock;
use flamelake_testkit::Etcd;
use flamelake_testkit::s3_server::{ACCESS_KEY, BUCKET, S3Server, SECRET_KEY};
use flamelake_testkit::s3_without_create::S3WithoutCreate;
use futures::future::join_all;
use parking_lot::Mutex;

const NAME: &str = "log/a/1";

/// Bindings in memory.
#[derive(Debug, Default)]
struct Names(Mutex<BTreeMap<String, String>>);

#[async_trait]
impl Arbiter for Names {
    async fn bind(&self, name: &str, holder: &str) -> Result<String, ArbiterError> {
        Ok(self.0.lock().entry(name.to_owned()).or_insert_with(|| holder.to_owned()).clone())
    }

    async fn release(&self, name: &str, holder: &str) -> Result<(), ArbiterError> {
        let mut names = self.0.lock();
        if names.get(name).is_some_and(|bound| bound == holder) {
            names.remove(name);
        }
        Ok(())
    }

    async fn bindings(&self) -> Result<Vec<(String, String)>, ArbiterError> {
        Ok(self.0.lock().iter().map(|(name, holder)| (name.clone(), holder.clone())).collect())
    }
}

/// What happens to one process at its n-th question to the arbiter or request to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// It is never heard of again, and nothing was done.
    Store(usize),
    /// The same at the arbiter.
    Before(usize),
    /// The arbiter did it, then it is never heard of again.
    After(usize),
    /// Nothing.
    None,
}

#[derive(Debug)]
struct Troubled {
    names: Arc<Names>,
    trouble: Trouble,
    asked: AtomicUsize,
    /// How long the trouble lasts.
    pause: Duration,
}

impl Troubled {
    async fn around<T>(&self, work: impl Future<Output = T>) -> T {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        if self.trouble == Trouble::Before(asked) {
            tokio::time::sleep(self.pause).await;
        }
        let done = work.await;
        if self.trouble == Trouble::After(asked) {
            tokio::time::sleep(self.pause).await;
        }
        done
    }
}

#[async_trait]
impl Arbiter for Troubled {
    async fn bind(&self, name: &str, holder: &str) -> Result<String, ArbiterError> {
        self.around(self.names.bind(name, holder)).await
    }

    async fn release(&self, name: &str, holder: &str) -> Result<(), ArbiterError> {
        self.around(self.names.release(name, holder)).await
    }

    async fn bindings(&self) -> Result<Vec<(String, String)>, ArbiterError> {
        self.names.bindings().await
    }
}

/// One store and one arbiter, and processes over them.
#[derive(Default)]
struct World {
    store: Arc<Overwriting>,
    names: Arc<Names>,
}

impl World {
    fn process(&self, trouble: Trouble, pause: Duration) -> Bucket {
        let faults = Faults::default();
        let store = Arc::clone(&self.store) as Arc<dyn object_store::ObjectStore>;
        let store: Arc<dyn object_store::ObjectStore> = match trouble {
            Trouble::Store(nth) => {
                let rule = format!("any * delay:{}s nth:{nth}", pause.as_secs());
                Arc::new(FaultyStore::new(store, Faults::parse(&rule, 0).unwrap()))
            }
            _ => Arc::new(FaultyStore::new(store, faults)),
        };
        let policy = RetryPolicy { attempt_timeout: Duration::from_secs(1_000_000), ..RetryPolicy::once() };
        let names = Troubled { names: Arc::clone(&self.names), trouble, asked: AtomicUsize::new(0), pause };
        Bucket::from_store(store, policy, BucketDeps::default()).with_arbiter(Arc::new(names))
    }

    /// The outcome, or `None` if the process died on the way.
    async fn create(&self, trouble: Trouble, bytes: &'static str) -> Option<PutOutcome> {
        let bucket = self.process(trouble, Duration::from_secs(10_000));
        let put = bucket.put_if_absent(NAME, Bytes::from_static(bytes.as_bytes()));
        tokio::time::timeout(Duration::from_secs(100), put).await.ok().map(Result::unwrap)
    }

    async fn read(&self) -> Bytes {
        self.process(Trouble::None, Duration::ZERO).get(NAME).await.unwrap()
    }

    /// What is left when all rubbish is swept: one object and no name.
    async fn expect_clean(&self, context: &impl Debug) {
        let bucket = self.process(Trouble::None, Duration::ZERO);
        // Times of objects are in milliseconds of the machine's clock: all are older then.
        std::thread::sleep(Duration::from_millis(2));
        bucket.sweep_arbiter(Duration::ZERO).await.unwrap();
        let left: Vec<String> = bucket.list("").await.unwrap().into_iter().map(|entry| entry.key).collect();
        assert_eq!(left, [NAME], "{context:?}");
        assert!(self.names.0.lock().is_empty(), "{context:?}");
    }
}

/// Every step at which a process can die; far more than there are.
fn troubles() -> Vec<Trouble> {
    (1..=7).flat_map(|n| [Trouble::Store(n), Trouble::Before(n), Trouble::After(n)]).collect()
}

fn won(outcome: Option<PutOutcome>) -> bool {
    outcome == Some(PutOutcome::Created)
}

#[tokio::test(start_paused = true)]
async fn memory_passes_the_suite_by_an_arbiter_and_is_refused_without() {
    let store = Arc::new(Overwriting::default());
    let bucket = Bucket::from_store(store, RetryPolicy::once(), BucketDeps::default());
    assert!(bucket.probe_put_if_absent().await.unwrap_err().to_string().contains("set log.arbiter: etcd"));
    suite::run(&bucket.with_arbiter(Arc::new(Names::default()))).await;
}

#[tokio::test(start_paused = true)]
async fn two_that_die_anywhere_leave_one_object_that_stays() {
    let mut died = [0, 0];
    for first in troubles() {
        for second in troubles() {
            let (world, context) = (World::default(), (first, second));
            let one = world.create(first, "one").await;
            let two = world.create(second, "two").await;
            let early = match (one, two) {
                (None, None) => None,
                _ => Some(world.read().await),
            };
            let three = world.create(Trouble::None, "three").await;
            let found = world.read().await;
            assert!(three.is_some(), "{context:?}");
            assert!(early.is_none_or(|early| early == found), "{context:?}: what was told once stays");
            for (outcome, bytes) in [(one, "one"), (two, "two"), (three, "three")] {
                assert!(!won(outcome) || found == bytes, "{context:?}: {bytes} won, {found:?} is there");
            }
            world.expect_clean(&context).await;
            died = [died[0] + usize::from(one.is_none()), died[1] + usize::from(two.is_none())];
        }
    }
    // So that a change of the steps does not turn this test into one of nothing.
    assert!(died.iter().all(|died| *died >= 100), "{died:?}");
}

#[tokio::test(start_paused = true)]
async fn who_sleeps_at_any_step_and_wakes_when_all_is_done_harms_nothing() {
    for trouble in troubles() {
        let world = World::default();
        let sleeper = world.process(trouble, Duration::from_secs(50));
        let slow = async { sleeper.put_if_absent(NAME, Bytes::from_static(b"slow")).await.unwrap() };
        let quick = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let outcome = world.create(Trouble::None, "quick").await;
            (outcome, world.read().await)
        };
        let (slow, (quick, found)) = tokio::join!(slow, quick);
        assert_eq!(world.read().await, found, "{trouble:?}: it changed when the sleeper woke");
        assert!(!(won(Some(slow)) && won(quick)), "{trouble:?}");
        assert!(!won(Some(slow)) || found == "slow", "{trouble:?}");
        assert!(!won(quick) || found == "quick", "{trouble:?}");
        world.expect_clean(&trouble).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_bound_to_bytes_that_are_gone_is_free() {
    let world = World::default();
    world.names.bind(NAME, "arbiter/gone").await.unwrap();
    assert_eq!(world.create(Trouble::None, "new").await, Some(PutOutcome::Created));
    assert_eq!(world.read().await, "new");
    world.expect_clean(&"gone").await;
}

/// As the server has it.
#[derive(Debug)]
struct Etcds(EtcdNames);

#[async_trait]
impl Arbiter for Etcds {
    async fn bind(&self, name: &str, holder: &str) -> Result<String, ArbiterError> {
        Ok(self.0.bind(name, holder).await?)
    }

    async fn release(&self, name: &str, holder: &str) -> Result<(), ArbiterError> {
        Ok(self.0.release(name, holder).await?)
    }

    async fn bindings(&self) -> Result<Vec<(String, String)>, ArbiterError> {
        Ok(self.0.list().await?)
    }
}

fn names(etcd: &Etcd) -> Arc<dyn Arbiter> {
    let etcd = EtcdConfig { endpoints: vec![etcd.endpoint()], ..EtcdConfig::default() };
    let config = RingConfig { etcd, ..RingConfig::default() };
    Arc::new(Etcds(EtcdNames::new(&config, SystemClock::shared()).unwrap()))
}

fn bucket(endpoint: &str, prefix: &str) -> Bucket {
    let s3 = S3Config {
        endpoint: endpoint.to_owned(),
        bucket_name: BUCKET.to_owned(),
        access_key_id: ACCESS_KEY.to_owned(),
        secret_access_key: Secret::new(SECRET_KEY),
        insecure: true,
        force_path_style: true,
        ..S3Config::default()
    };
    let config = StorageConfig { backend: "s3".to_owned(), prefix: prefix.to_owned(), s3, ..StorageConfig::default() };
    Bucket::open(&config, BucketDeps::default()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_store_without_creates_passes_the_suite_by_etcd() {
    let folder = tempfile::tempdir().unwrap();
    let Some(s3) = S3Server::start("arbiter", folder.path()).unwrap() else { return };
    let Some(etcd) = Etcd::start("arbiter") else { return };
    let proxy = S3WithoutCreate::before(&s3.endpoint()).unwrap();
    let refused = bucket(proxy.endpoint(), "").probe_put_if_absent().await.unwrap_err().to_string();
    assert!(refused.contains("more than one won") && refused.contains("set log.arbiter: etcd"), "{refused}");
    suite::run(&bucket(proxy.endpoint(), "deep").with_arbiter(names(&etcd))).await;

    // Clients of their own, as processes are.
    let processes: Vec<Bucket> = (0..6).map(|_| bucket(proxy.endpoint(), "race").with_arbiter(names(&etcd))).collect();
    for round in 0..10 {
        let name = format!("{round}");
        let creates = processes.iter().enumerate().map(|(writer, bucket)| {
            let bytes = Bytes::from(vec![writer as u8; 4096]);
            let name = &name;
            async move { bucket.put_if_absent(name, bytes).await.unwrap() }
        });
        let outcomes = join_all(creates).await;
        let winners: Vec<u8> = (0..6).filter(|at| outcomes[usize::from(*at)] == PutOutcome::Created).collect();
        let stored = processes[0].get(&name).await.unwrap();
        assert!(winners.is_empty() || winners == [stored[0]], "round {round}: {winners:?}, {} is stored", stored[0]);
    }
    assert!(processes[0].list("arbiter/").await.unwrap().is_empty());
    assert_eq!(processes[0].sweep_arbiter(Duration::ZERO).await.unwrap(), (0, 0), "no name is left");
}
