//! Whatever is interleaved and whatever answers are lost: each row of the log lies in exactly one live block.
#![allow(missing_docs)]

use std::collections::BTreeMap;
use std::sync::Arc;

use flamelake_block::meta::{BlockMeta, LogRange};
use flamelake_catalog::{CatalogConfig, CatalogState, CatalogStore, Commit, StoredCommit, Ulid};
use flamelake_model::TenantId;
use flamelake_object_storage::faulty::{Fault, Faults, FaultyStore, Operation};
use flamelake_object_storage::{Bucket, BucketDeps, RetryPolicy};
use flamelake_runtime::clock::SystemClock;
use object_store::memory::InMemory;
use prometheus::Registry;
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const LOG: &str = "one/01ARZ3NDEKTSV4RRFFQ69G5FAV";
/// Rows of the log.
const ROWS: u64 = 60;

fn tenant() -> TenantId {
    TenantId::parse("t").unwrap()
}

fn block(ulid: Ulid, ranges: &[LogRange]) -> Arc<BlockMeta> {
    let meta = serde_json::json!({
        "version": 1, "ulid": ulid, "tenant": "t", "min_time_ns": 0, "max_time_ns": 1, "bytes": 1, "level": 0,
        "log_ranges": ranges, "sources": [], "partitions": [], "files": [],
    });
    Arc::new(serde_json::from_value(meta).unwrap())
}

/// Flushes the log to its end in steps of its own choice, as the owner or as a peer that recovers it.
async fn flusher(catalog: CatalogStore, mut random: StdRng) {
    loop {
        // An owner may start from what it remembers.
        let state = match catalog.cached(&tenant()).filter(|_| random.random_bool(0.5)) {
            Some(state) => state,
            None => match catalog.load(&tenant()).await {
                Ok(state) => state,
                Err(_) => continue,
            },
        };
        let from = state.covered_of(LOG);
        if from == ROWS && catalog.load(&tenant()).await.is_ok_and(|state| state.covered_of(LOG) == ROWS) {
            return;
        }
        let to = (from + random.random_range(1..8)).min(ROWS);
        if from >= to {
            continue;
        }
        let range = LogRange { log: LOG.to_owned(), from, to };
        let covered = BTreeMap::from([(LOG.to_owned(), (from, to))]);
        let commit = Commit { add: vec![block(catalog.next_block_id(&state), &[range])], covered, ..Commit::default() };
        for _ in 0..random.random_range(1..3) {
            // Errors leave it open; both a retry and starting over must be safe.
            let _ = catalog.commit(&tenant(), commit.clone()).await;
            tokio::task::yield_now().await;
        }
    }
}

/// Merges random live blocks.
async fn compactor(catalog: CatalogStore, mut random: StdRng) {
    for _ in 0..20 {
        tokio::task::yield_now().await;
        let Ok(state) = catalog.load(&tenant()).await else { continue };
        let sources: Vec<&Arc<BlockMeta>> = state.blocks.values().filter(|_| random.random_bool(0.5)).collect();
        if sources.len() < 2 {
            continue;
        }
        let ranges: Vec<LogRange> = sources.iter().flat_map(|meta| meta.log_ranges.clone()).collect();
        let remove = sources.iter().map(|meta| meta.ulid).collect();
        let commit = Commit { add: vec![block(catalog.next_block_id(&state), &ranges)], remove, ..Commit::default() };
        let _ = catalog.commit(&tenant(), commit).await;
    }
}

fn check_exactly_once(state: &CatalogState) {
    let mut rows: Vec<u64> = state
        .blocks
        .values()
        .flat_map(|meta| meta.log_ranges.iter().flat_map(|range| range.from + 1..=range.to))
        .collect();
    rows.sort_unstable();
    assert_eq!(rows, (1..=state.covered_of(LOG)).collect::<Vec<_>>());
}

async fn run(seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let faults = Faults::default();
    for _ in 0..60 {
        let operation = [Operation::Create, Operation::Create, Operation::Get][random.random_range(0..3)];
        let fault = [Fault::Fail, Fault::LoseAnswer, Fault::Conflict][random.random_range(0..3)].clone();
        // "Already exists" is no answer to a read.
        let fault = if operation == Operation::Get { Fault::Fail } else { fault };
        faults.plan(operation, "", random.random_range(0..60), random.random_range(0..2), fault);
    }
    let inner = Arc::new(InMemory::new());
    let store = Arc::new(FaultyStore::new(Arc::clone(&inner) as _, faults.clone()));
    let catalog = || {
        let bucket = Bucket::from_store(Arc::clone(&store) as _, RetryPolicy::once(), BucketDeps::default());
        let config = CatalogConfig { checkpoint_every: 5, ..CatalogConfig::default() };
        CatalogStore::new(bucket, SystemClock::shared(), config, &Registry::new())
    };
    let mut fork = || StdRng::seed_from_u64(random.random());
    let (one, two, three) = (fork(), fork(), fork());
    let all = futures::future::join3(flusher(catalog(), one), flusher(catalog(), two), compactor(catalog(), three));
    Box::pin(all).await;
    faults.clear();
    let last = catalog().load(&tenant()).await.unwrap();
    assert_eq!(last.covered_of(LOG), ROWS);
    check_exactly_once(&last);
    check_every_version(&store).await;
}

/// The same must hold at each version that anybody could have read.
async fn check_every_version(store: &Arc<FaultyStore>) {
    let bucket = Bucket::from_store(Arc::clone(store) as _, RetryPolicy::once(), BucketDeps::default());
    let (mut covered, mut blocks) = (0, BTreeMap::new());
    for entry in bucket.list("tenants/t/catalog/").await.unwrap() {
        if entry.key.contains("checkpoints") {
            continue;
        }
        let stored = StoredCommit::parse(&bucket.get(&entry.key).await.unwrap()).unwrap();
        blocks.extend(stored.commit.add.iter().map(|meta| (meta.ulid, Arc::clone(meta))));
        blocks.retain(|block, _| !stored.commit.remove.contains(block));
        covered = stored.commit.covered.get(LOG).map_or(covered, |(_, to)| *to);
        let covered = BTreeMap::from([(LOG.to_owned(), covered)]);
        check_exactly_once(&CatalogState { blocks: blocks.clone(), covered, ..CatalogState::default() });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn each_row_lies_in_exactly_one_block(seed in any::<u64>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(seed));
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = StoredCommit::parse(&bytes);
        let _ = Commit::parse(&bytes);
    }

    #[test]
    fn commits_survive_their_encoding(version in any::<u64>(), at_ms in any::<i64>(), from in 0u64..100, floor in any::<Option<u128>>()) {
        let covered = BTreeMap::from([(LOG.to_owned(), (from, from + 1))]);
        let commit = Commit {
            add: vec![block(Ulid::from_parts(version, 2), &[])],
            remove: vec![Ulid::from_parts(3, 4)],
            covered,
            floor: floor.map(Ulid::from),
            forget: vec![Ulid::nil()],
            drop_logs: vec!["a/b".to_owned()],
        };
        let stored = StoredCommit { format: 1, version, id: Ulid::from_parts(5, 6), at_ms, commit };
        prop_assert_eq!(StoredCommit::parse(&stored.to_bytes()).unwrap(), stored);
    }
}
