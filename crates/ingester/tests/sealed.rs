//! A log that a peer has sealed: the ingester begins a new one by itself, keeps answering, and no row is lost or counted twice.
#![allow(missing_docs)]

use std::sync::Arc;
use std::time::Duration;

use flamelake_api::roles::{AppendRequest, IngesterApi, IngesterQuery, Watermark};
use flamelake_block::reader::BlockReader;
use flamelake_catalog::{CatalogConfig, CatalogStore};
use flamelake_ingester::{Ingester, IngesterConfig, IngesterDeps, NoRing};
use flamelake_journal::{JournalConfig, LogStore, older_epochs, open_log_store};
use flamelake_model::query::{PartialQuery, PartialResult, SampleFilter, Selection};
use flamelake_model::selector::Selector;
use flamelake_model::{ErrorCode, ProfileType, StatusError, TenantId, TimeRange, TimestampMs};
use flamelake_object_storage::Bucket;
use flamelake_query_engine::execute;
use flamelake_runtime::clock::SystemClock;
use flamelake_testkit::FrameBuilder;
use prometheus::Registry;

/// A process with its own handles on a shared bucket.
struct Process {
    bucket: Bucket,
    logs: Arc<dyn LogStore>,
    catalog: Arc<CatalogStore>,
    ingester: Ingester,
}

fn journal() -> JournalConfig {
    JournalConfig { url: "bucket".to_owned(), flush_interval: Duration::from_millis(1), ..JournalConfig::default() }
}

fn logs(bucket: &Bucket) -> Arc<dyn LogStore> {
    open_log_store(&journal(), bucket, SystemClock::shared(), &Registry::new()).unwrap()
}

fn tenant() -> TenantId {
    TenantId::parse("t").unwrap()
}

impl Process {
    async fn start(bucket: &Bucket) -> Self {
        let clock = SystemClock::shared();
        let catalog = CatalogConfig::default();
        let catalog = Arc::new(CatalogStore::new(bucket.clone(), Arc::clone(&clock), catalog, &Registry::new()));
        let logs = logs(bucket);
        let deps = IngesterDeps {
            symboliser: None,
            bucket: bucket.clone(),
            logs: Arc::clone(&logs),
            catalog: Arc::clone(&catalog),
            registrar: Arc::new(NoRing),
            clock,
            registry: Registry::new(),
        };
        let ingester = Ingester::start("one", IngesterConfig::default(), journal(), deps).await.unwrap();
        Self { bucket: bucket.clone(), logs, catalog, ingester }
    }

    async fn push(&self, number: u64) -> Result<(), StatusError> {
        let frame = FrameBuilder::cpu("shop").folded(&format!("main;f{number} 1")).id_from(u128::from(number) + 1);
        let mut bytes = Vec::new();
        frame.time_ns(500_000_000).build().encode(&mut bytes);
        self.ingester
            .append(AppendRequest { tenant: tenant(), frames: vec![bytes.into()], spread: Vec::new() })
            .await?
            .remove(0)
    }

    /// As a client that does not give up.
    async fn push_until_stored(&self, number: u64) {
        let pushed = async {
            while let Err(error) = self.push(number).await {
                assert_eq!(error.code, ErrorCode::Unavailable, "{error}");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), pushed).await.expect("pushes go on by themselves");
    }

    /// The names and sums in head and blocks, as a querier would merge them.
    async fn check(&self, numbers: std::ops::Range<u64>) {
        let selection = Selection {
            profile_type: Some(ProfileType::parse("process_cpu:cpu:nanoseconds:cpu:nanoseconds").unwrap()),
            selector: Selector::all(),
            range: TimeRange::new(TimestampMs(0), TimestampMs(1_000)).unwrap(),
        };
        let query = PartialQuery::Tree { selection, filter: SampleFilter::default() };
        let state = self.catalog.load(&tenant()).await.unwrap();
        let watermarks =
            state.covered.iter().map(|(log, through)| Watermark { log: log.clone(), through: *through }).collect();
        let request =
            IngesterQuery { tenant: tenant(), catalog_version: state.version, watermarks, query: query.clone() };
        let mut answers = vec![self.ingester.query(request).await.unwrap()];
        for ulid in state.blocks.keys() {
            let reader = BlockReader::open(self.bucket.clone(), &tenant(), *ulid).await.unwrap();
            answers.push(execute(&reader, &query).await.unwrap());
        }
        let mut merged = flamelake_model::tree::Tree::default();
        for answer in answers {
            assert!(answer.stats.set_aside.is_empty());
            let PartialResult::Tree(tree) = answer.result else { panic!("a tree") };
            merged.merge(&tree);
        }
        let mut want = flamelake_model::tree::Tree::default();
        for number in numbers {
            want.add(["main", &format!("f{number}")], 1);
        }
        let view = |tree: &flamelake_model::tree::Tree| flamelake_model::flamegraph::FlameGraph::new(&tree.view(None));
        assert_eq!(view(&merged), view(&want));
    }
}

async fn seal_from_outside(bucket: &Bucket) {
    let store = logs(bucket);
    for epoch in older_epochs(&store, "one", None).await.unwrap() {
        epoch.seal().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sealed_ingester_begins_a_new_log_by_itself() {
    let bucket = Bucket::in_memory();
    let process = Process::start(&bucket).await;
    let mut number = 0;
    for round in 0..3 {
        for _ in 0..4 {
            process.push_until_stored(number).await;
            number += 1;
        }
        seal_from_outside(&bucket).await;
        // The put that meets the end mark is refused, as are those that wait behind it.
        for _ in 0..4 {
            process.push_until_stored(number).await;
            number += 1;
        }
        process.check(0..number).await;
        if round == 1 {
            process.ingester.flush(None).await.unwrap();
            process.check(0..number).await;
        }
    }
    assert_eq!(process.logs.epochs("one").await.unwrap().len(), 4, "one log a sealing, each with its end mark");
    process.ingester.flush(None).await.unwrap();
    process.check(0..number).await;
    drop(process);
    Process::start(&bucket).await.check(0..number).await;
}

/// The process was taken for dead: a peer has sealed its log and put its rows into a block before it wakes up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_a_peer_has_put_into_blocks_count_once() {
    let bucket = Bucket::in_memory();
    let process = Process::start(&bucket).await;
    for number in 0..5 {
        process.push(number).await.unwrap();
    }
    let peer = Process::start(&bucket).await;
    peer.check(0..5).await;
    peer.ingester.flush(None).await.unwrap();
    peer.ingester.stop().await;
    process.check(0..5).await;
    for number in 5..9 {
        process.push_until_stored(number).await;
    }
    process.check(0..9).await;
    process.ingester.flush(None).await.unwrap();
    process.check(0..9).await;
}

/// A put that landed long after its timeout: the name had been written by the next attempt, covered and deleted meanwhile. Found by the
/// simulation.
#[tokio::test]
async fn a_covered_segment_that_is_put_again_is_no_damage() {
    let bucket = Bucket::in_memory();
    let process = Process::start(&bucket).await;
    process.push(0).await.unwrap();
    let epoch = process.logs.epochs("one").await.unwrap().pop().unwrap();
    let key = format!("log/one/{epoch}/{:020}", 2);
    let bytes = bucket.get(&key).await.unwrap();
    for number in 1..6 {
        process.push(number).await.unwrap();
    }
    process.ingester.flush(None).await.unwrap();
    assert!(bucket.head(&key).await.unwrap().is_none(), "covered segments are deleted");
    bucket.put(&key, bytes).await.unwrap();
    drop(process);
    Process::start(&bucket).await.check(0..6).await;
}
