//! The rules of the catalog, one by one.
#![allow(missing_docs)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flamelake_block::meta::{BlockMeta, LogRange};
use flamelake_catalog::{
    CatalogConfig, CatalogState, CatalogStore, Commit, CommitOutcome, InvalidCommit, SweepReport, Ulid,
};
use flamelake_model::{Coded, ErrorCode, TenantId};
use flamelake_object_storage::faulty::{Fault, Faults, FaultyStore, Operation};
use flamelake_object_storage::{Bucket, BucketDeps, RetryPolicy};
use flamelake_runtime::clock::{SharedClock, SystemClock};
use flamelake_testkit::FakeClock;
use object_store::memory::InMemory;
use prometheus::Registry;

const LOG: &str = "one/01ARZ3NDEKTSV4RRFFQ69G5FAV";

fn tenant() -> TenantId {
    TenantId::parse("t").unwrap()
}

fn store_on(bucket: &Bucket, clock: SharedClock) -> CatalogStore {
    let config = CatalogConfig { checkpoint_every: 4, ..CatalogConfig::default() };
    CatalogStore::new(bucket.clone(), clock, config, &Registry::new())
}

fn faulty_bucket() -> (Bucket, Faults) {
    let faults = Faults::default();
    let store = FaultyStore::new(Arc::new(InMemory::new()), faults.clone());
    (Bucket::from_store(Arc::new(store), RetryPolicy::once(), BucketDeps::default()), faults)
}

fn block(ulid: Ulid, from: u64, to: u64) -> Arc<BlockMeta> {
    let ranges = vec![serde_json::to_value(LogRange { log: LOG.to_owned(), from, to }).unwrap()];
    let meta = serde_json::json!({
        "version": 1, "ulid": ulid, "tenant": "t", "min_time_ns": from, "max_time_ns": to, "bytes": 1, "level": 0,
        "log_ranges": ranges, "sources": [], "partitions": [], "files": [],
    });
    Arc::new(serde_json::from_value(meta).unwrap())
}

/// A flush of rows in (from, to] as a block of its own.
fn flush(catalog: &CatalogStore, state: &CatalogState, from: u64, to: u64) -> Commit {
    let covered = BTreeMap::from([(LOG.to_owned(), (from, to))]);
    Commit { add: vec![block(catalog.next_block_id(state), from, to)], covered, ..Commit::default() }
}

async fn flushed(catalog: &CatalogStore, from: u64, to: u64) -> Arc<CatalogState> {
    let state = catalog.load(&tenant()).await.unwrap();
    let outcome = catalog.commit(&tenant(), flush(catalog, &state, from, to)).await.unwrap();
    assert!(matches!(outcome, CommitOutcome::Committed(_)), "{outcome:?}");
    Arc::clone(outcome.state())
}

#[tokio::test]
async fn what_one_commits_another_loads() {
    let bucket = Bucket::in_memory();
    let (one, two) = (store_on(&bucket, SystemClock::shared()), store_on(&bucket, SystemClock::shared()));
    assert_eq!(*one.load(&tenant()).await.unwrap(), CatalogState::default());
    for step in 0..11 {
        let written = flushed(&one, step * 10, step * 10 + 10).await;
        assert_eq!(two.load(&tenant()).await.unwrap(), written);
        assert_eq!(written.covered_of(LOG), step * 10 + 10);
    }
    let fresh = store_on(&bucket, SystemClock::shared());
    let loaded = fresh.load(&tenant()).await.unwrap();
    assert_eq!((loaded.version, loaded.blocks.len()), (11, 11));
    assert_eq!(loaded, one.cached(&tenant()).unwrap());
    assert_eq!(fresh.tenants().await.unwrap(), [tenant()]);
    assert_eq!(bucket.list("tenants/t/catalog/checkpoints/").await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_repeated_flush_changes_nothing() {
    let bucket = Bucket::in_memory();
    let (one, two) = (store_on(&bucket, SystemClock::shared()), store_on(&bucket, SystemClock::shared()));
    let empty = CatalogState::default();
    let commit = flush(&one, &empty, 0, 10);
    let own = commit.add[0].ulid;
    assert!(matches!(one.commit(&tenant(), commit.clone()).await.unwrap(), CommitOutcome::Committed(_)));
    let again = one.commit(&tenant(), commit).await.unwrap();
    assert!(matches!(&again, CommitOutcome::AlreadyDone(state) if state.blocks.contains_key(&own)));
    // A peer that recovers the same rows: done, and its own block is not part of it.
    let peers = flush(&two, &empty, 0, 10);
    let theirs = peers.add[0].ulid;
    let outcome = two.commit(&tenant(), peers).await.unwrap();
    assert!(matches!(&outcome, CommitOutcome::AlreadyDone(state) if !state.blocks.contains_key(&theirs)));
    // More than what is covered: the rest must be built anew.
    let outcome = two.commit(&tenant(), flush(&two, &empty, 0, 15)).await.unwrap();
    assert!(matches!(&outcome, CommitOutcome::Rebuild { watermarks, .. } if watermarks[LOG] == 10), "{outcome:?}");
    // A hole is never right.
    let outcome = two.commit(&tenant(), flush(&two, &empty, 12, 15)).await.unwrap();
    assert!(
        matches!(&outcome, CommitOutcome::Invalid { why: InvalidCommit::Watermark { at: 10, .. }, .. }),
        "{outcome:?}"
    );
    assert_eq!(two.load(&tenant()).await.unwrap().version, 1);
}

#[tokio::test]
async fn a_lost_compaction_race_is_told() {
    let bucket = Bucket::in_memory();
    let catalog = store_on(&bucket, SystemClock::shared());
    flushed(&catalog, 0, 10).await;
    let state = flushed(&catalog, 10, 20).await;
    let sources: Vec<Ulid> = state.blocks.keys().copied().collect();
    let merge = |id| Commit { add: vec![block(id, 0, 20)], remove: sources.clone(), ..Commit::default() };
    let (first, second) = (catalog.next_block_id(&state), catalog.next_block_id(&state));
    let merged = catalog.commit(&tenant(), merge(first)).await.unwrap();
    assert_eq!(merged.state().blocks.keys().copied().collect::<Vec<_>>(), [first]);
    assert_eq!(merged.state().removed.len(), 2);
    assert!(matches!(catalog.commit(&tenant(), merge(first)).await.unwrap(), CommitOutcome::AlreadyDone(_)));
    let lost = catalog.commit(&tenant(), merge(second)).await.unwrap();
    assert!(matches!(lost, CommitOutcome::Invalid { why: InvalidCommit::NotLive { .. }, .. }));
}

#[tokio::test]
async fn unclear_answers_are_judged_by_what_is_stored() {
    for fault in [Fault::Fail, Fault::LoseAnswer, Fault::Conflict] {
        let (bucket, faults) = faulty_bucket();
        let catalog = store_on(&bucket, SystemClock::shared());
        for step in 0..6 {
            faults.next(Operation::Create, step as usize % 3, fault.clone());
            let state = catalog.load(&tenant()).await.unwrap();
            let outcome = catalog.commit(&tenant(), flush(&catalog, &state, step, step + 1)).await.unwrap();
            assert!(matches!(outcome, CommitOutcome::Committed(_)), "{fault:?}: {outcome:?}");
        }
        let fresh = store_on(&bucket, SystemClock::shared()).load(&tenant()).await.unwrap();
        assert_eq!((fresh.version, fresh.blocks.len(), fresh.covered_of(LOG)), (6, 6, 6), "{fault:?}");
    }
}

#[tokio::test]
async fn a_store_that_is_away_is_said_so_and_the_same_commit_may_come_again() {
    let (bucket, faults) = faulty_bucket();
    let catalog = store_on(&bucket, SystemClock::shared());
    let commit = flush(&catalog, &CatalogState::default(), 0, 1);
    faults.next(Operation::Create, 100, Fault::LoseAnswer);
    // Done the first time, found in the chain the second.
    assert!(matches!(catalog.commit(&tenant(), commit.clone()).await.unwrap(), CommitOutcome::Committed(_)));
    faults.clear();
    faults.next(Operation::Get, 100, Fault::Fail);
    let error = catalog.commit(&tenant(), commit.clone()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unavailable);
    faults.clear();
    assert!(matches!(catalog.commit(&tenant(), commit).await.unwrap(), CommitOutcome::AlreadyDone(_)));
}

fn key(version: u64) -> String {
    format!("tenants/t/catalog/{version:020}.json")
}

/// Commits six flushes of one row each, their blocks with `block.json`.
async fn six_flushes(bucket: &Bucket) -> CatalogState {
    let catalog = store_on(bucket, SystemClock::shared());
    for step in 0..6 {
        let state = flushed(&catalog, step, step + 1).await;
        for (block, meta) in &state.blocks {
            bucket.put(&format!("tenants/t/blocks/{block}/block.json"), meta.to_json().into()).await.unwrap();
        }
    }
    CatalogState::clone(&*catalog.load(&tenant()).await.unwrap())
}

#[tokio::test]
async fn a_checkpoint_stands_above_damage() {
    let bucket = Bucket::in_memory();
    let before = six_flushes(&bucket).await;
    bucket.put(&key(2), Bytes::from_static(b"{broken")).await.unwrap();
    assert_eq!(*store_on(&bucket, SystemClock::shared()).load(&tenant()).await.unwrap(), before);
}

#[tokio::test]
async fn what_a_later_version_wrote_is_not_damage() {
    let bucket = Bucket::in_memory();
    six_flushes(&bucket).await;
    bucket.put(&key(6), Bytes::from_static(b"{\"format\": 2}")).await.unwrap();
    let error = store_on(&bucket, SystemClock::shared()).load(&tenant()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::DataLoss);
    assert!(error.to_string().contains(&key(6)) && error.to_string().contains("upgrade"), "{error}");
}

/// Any one commit damaged or gone, and any one byte of it changed: the blocks tell what it said.
#[tokio::test]
async fn a_lost_commit_is_mended_from_the_blocks() {
    for version in 1..=6 {
        for cut in [None, Some(0), Some(40), Some(60)] {
            let bucket = Bucket::in_memory();
            let before = six_flushes(&bucket).await;
            bucket.delete(&format!("tenants/t/catalog/checkpoints/{:020}.json", 4)).await.unwrap();
            let whole = bucket.get(&key(version)).await.unwrap();
            bucket.delete(&key(version)).await.unwrap();
            if let Some(cut) = cut {
                let mut damaged = whole.to_vec();
                if cut == 0 {
                    damaged[whole.len() / 2] ^= 1;
                } else {
                    damaged.truncate(cut);
                }
                bucket.put(&key(version), damaged.into()).await.unwrap();
            }
            // Of a last commit that is gone nothing tells but its block, which only the owner of the log may judge.
            let is_gone = version == 6 && cut.is_none();
            let catalog = store_on(&bucket, SystemClock::shared());
            let state = catalog.load(&tenant()).await.unwrap();
            assert_eq!((state.blocks.len(), state.covered_of(LOG)), if is_gone { (5, 5) } else { (6, 6) });
            assert_eq!(catalog.uncommitted(&tenant(), &state).await.unwrap().len(), usize::from(is_gone));
            assert!(state.lost.is_empty(), "{version} {cut:?}: {:?}", state.lost);
            if !is_gone {
                assert_eq!(state.blocks, before.blocks, "{version} {cut:?}");
                assert_eq!(store_on(&bucket, SystemClock::shared()).load(&tenant()).await.unwrap(), state);
                // Goes on, for those who know and for those who do not know of the damage.
                flushed(&catalog, 6, 7).await;
                let fresh = store_on(&bucket, SystemClock::shared()).load(&tenant()).await.unwrap();
                assert_eq!((fresh.version, fresh.covered_of(LOG)), (7, 7));
            }
        }
    }
}

#[tokio::test]
async fn what_no_block_holds_is_noted_as_lost() {
    let bucket = Bucket::in_memory();
    let before = six_flushes(&bucket).await;
    bucket.delete(&format!("tenants/t/catalog/checkpoints/{:020}.json", 4)).await.unwrap();
    bucket.delete(&key(3)).await.unwrap();
    let third = before.blocks.values().find(|meta| meta.log_ranges[0].from == 2).unwrap();
    bucket.delete(&format!("tenants/t/blocks/{}/block.json", third.ulid)).await.unwrap();
    for _ in 0..2 {
        let state = store_on(&bucket, SystemClock::shared()).load(&tenant()).await.unwrap();
        assert_eq!(state.lost, [LogRange { log: LOG.to_owned(), from: 2, to: 3 }]);
        assert_eq!((state.blocks.len(), state.covered_of(LOG)), (5, 6));
    }
}

/// No checkpoint can be read and the commits below it are gone: all that is left are the blocks.
#[tokio::test]
async fn a_catalog_without_a_beginning_is_built_from_the_blocks() {
    let bucket = Bucket::in_memory();
    let before = six_flushes(&bucket).await;
    bucket.put(&format!("tenants/t/catalog/checkpoints/{:020}.json", 4), Bytes::from_static(b"[]")).await.unwrap();
    for version in 1..=4 {
        bucket.delete(&key(version)).await.unwrap();
    }
    let state = store_on(&bucket, SystemClock::shared()).load(&tenant()).await.unwrap();
    assert_eq!((&state.blocks, &state.covered, state.version), (&before.blocks, &before.covered, 6));
}

#[tokio::test]
async fn a_broken_checkpoint_is_skipped() {
    let bucket = Bucket::in_memory();
    let catalog = store_on(&bucket, SystemClock::shared());
    for step in 0..9 {
        flushed(&catalog, step, step + 1).await;
    }
    bucket.put(&format!("tenants/t/catalog/checkpoints/{:020}.json", 8), Bytes::from_static(b"[]")).await.unwrap();
    let loaded = store_on(&bucket, SystemClock::shared()).load(&tenant()).await.unwrap();
    assert_eq!(loaded, catalog.load(&tenant()).await.unwrap());
}

#[tokio::test]
async fn a_late_block_lies_below_the_floor_and_is_built_again() {
    let bucket = Bucket::in_memory();
    let clock = FakeClock::at_unix_nanos(1_700_000_000_000_000_000);
    let catalog = store_on(&bucket, clock.shared());
    let late = flush(&catalog, &CatalogState::default(), 0, 10);
    let folder = format!("tenants/t/blocks/{}/", late.add[0].ulid);
    bucket.put(&format!("{folder}block.json"), Bytes::from_static(b"{}")).await.unwrap();
    bucket.put(&format!("{folder}series.parquet"), Bytes::from_static(b"x")).await.unwrap();
    clock.advance(Duration::from_secs(25 * 3600));
    let report = catalog.sweep(&tenant()).await.unwrap();
    assert_eq!(report, SweepReport { orphans: 1, removed: 0, commits: 0 });
    assert!(bucket.list("tenants/t/blocks/").await.unwrap().is_empty());
    let outcome = catalog.commit(&tenant(), late).await.unwrap();
    assert!(matches!(outcome, CommitOutcome::Invalid { why: InvalidCommit::BelowFloor { .. }, .. }));
    // The clock falls far back: ids are drawn above the floor all the same.
    clock.jump_to_unix_nanos(1_600_000_000_000_000_000);
    let state = catalog.load(&tenant()).await.unwrap();
    assert!(catalog.next_block_id(&state) > state.floor);
    flushed(&catalog, 0, 10).await;
}

#[tokio::test]
async fn removed_blocks_stay_for_a_while_and_live_ones_stay() {
    let bucket = Bucket::in_memory();
    let clock = FakeClock::at_unix_nanos(1_700_000_000_000_000_000);
    let catalog = store_on(&bucket, clock.shared());
    flushed(&catalog, 0, 10).await;
    let state = flushed(&catalog, 10, 20).await;
    for block in state.blocks.keys() {
        bucket.put(&format!("tenants/t/blocks/{block}/block.json"), Bytes::from_static(b"{}")).await.unwrap();
    }
    let outcome = catalog.remove_older_than(&tenant(), 15).await.unwrap().unwrap();
    assert_eq!(outcome.state().blocks.len(), 1);
    assert!(catalog.remove_older_than(&tenant(), 15).await.unwrap().is_none());
    clock.advance(Duration::from_secs(3600));
    assert_eq!(catalog.sweep(&tenant()).await.unwrap(), SweepReport::default());
    clock.advance(Duration::from_secs(3600));
    assert_eq!(catalog.sweep(&tenant()).await.unwrap().removed, 1);
    let state = catalog.load(&tenant()).await.unwrap();
    assert!(state.removed.is_empty());
    clock.advance(Duration::from_secs(48 * 3600));
    assert_eq!(catalog.sweep(&tenant()).await.unwrap().orphans, 0);
    assert_eq!(bucket.list("tenants/t/blocks/").await.unwrap().len(), 1);
}

#[tokio::test]
async fn old_commits_go_and_a_sleeper_starts_anew() {
    let bucket = Bucket::in_memory();
    // The store in memory stamps objects with the machine's time.
    let clock = FakeClock::at_unix_nanos(SystemClock::shared().unix_nanos());
    let (catalog, sleeper) = (store_on(&bucket, clock.shared()), store_on(&bucket, clock.shared()));
    flushed(&catalog, 0, 1).await;
    assert_eq!(sleeper.load(&tenant()).await.unwrap().version, 1);
    for step in 1..13 {
        flushed(&catalog, step, step + 1).await;
    }
    assert_eq!(catalog.sweep(&tenant()).await.unwrap().commits, 0, "too young");
    clock.advance(Duration::from_secs(3 * 3600));
    // Checkpoints at 4, 8, 12: what lies at or below 8 goes but for its checkpoint.
    assert_eq!(catalog.sweep(&tenant()).await.unwrap().commits, 9);
    // Its version 2 is a free name again; what it commits lands at the end all the same.
    let late = flush(&sleeper, &sleeper.cached(&tenant()).unwrap(), 13, 14);
    let outcome = sleeper.commit(&tenant(), late).await.unwrap();
    assert!(matches!(&outcome, CommitOutcome::Committed(state) if state.version == 14), "{outcome:?}");
    assert_eq!(store_on(&bucket, clock.shared()).load(&tenant()).await.unwrap().covered_of(LOG), 14);
}

#[tokio::test]
async fn watermarks_of_gone_logs_leave() {
    let bucket = Bucket::in_memory();
    let catalog = store_on(&bucket, SystemClock::shared());
    flushed(&catalog, 0, 10).await;
    catalog.drop_watermarks(&tenant(), &[LOG.to_owned(), "unknown/log".to_owned()]).await.unwrap();
    assert!(catalog.load(&tenant()).await.unwrap().covered.is_empty());
    let version = catalog.load(&tenant()).await.unwrap().version;
    catalog.drop_watermarks(&tenant(), &[LOG.to_owned()]).await.unwrap();
    assert_eq!(catalog.load(&tenant()).await.unwrap().version, version);
}

#[tokio::test]
async fn confirming_costs_one_request() {
    let bucket = Bucket::in_memory();
    let registry = Registry::new();
    let catalog = CatalogStore::new(bucket, SystemClock::shared(), CatalogConfig::default(), &registry);
    flushed(&catalog, 0, 1).await;
    for _ in 0..10 {
        catalog.load(&tenant()).await.unwrap();
    }
    let listings =
        registry.gather().into_iter().find(|family| family.name() == "flamelake_catalog_listings_total").unwrap();
    assert_eq!(listings.get_metric()[0].get_counter().get_value() as u64, 1, "listed once, when the tenant was met");
}

#[tokio::test]
async fn memory_is_bounded() {
    let bucket = Bucket::in_memory();
    let config = CatalogConfig { cached_tenants_max: 3, ..CatalogConfig::default() };
    let catalog = CatalogStore::new(bucket, SystemClock::shared(), config, &Registry::new());
    let tenants: Vec<_> = (0..10).map(|number| TenantId::parse(&format!("t{number}")).unwrap()).collect();
    for tenant in &tenants {
        catalog.load(tenant).await.unwrap();
    }
    assert_eq!(tenants.iter().filter(|tenant| catalog.cached(tenant).is_some()).count(), 3);
}
