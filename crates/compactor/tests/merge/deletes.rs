//! Deletes: the answers are those of a tenant that never had the rows, whatever fails in between, and no byte of them is left.

use std::sync::atomic::Ordering;
use std::time::Duration;

use flamelake_block::reader::BlockReader;
use flamelake_catalog::Ulid;
use flamelake_compactor::{DeleteRequest, DeleteState, DeleteStatus};
use flamelake_model::{TimeRange, TimestampMs};
use flamelake_object_storage::faulty::{Fault, Operation};
use flamelake_testkit::seeded_rng;
use rand::rngs::StdRng;

use crate::check;
use crate::world::{Rows, START_MS, TYPES, World, random_block, without};

const KIND: &str = TYPES[0];
const POD: &str = "p1";
const LONG: Duration = Duration::from_secs(25 * 3600);

fn range() -> TimeRange {
    TimeRange::new(TimestampMs(START_MS + 10_000), TimestampMs(START_MS + 50_000)).unwrap()
}

fn request() -> DeleteRequest {
    let range = range();
    let selector = format!("{{pod={POD:?}}}");
    DeleteRequest::parse(&selector, Some(KIND), Some(range.start()), Some(range.end())).unwrap()
}

/// Blocks, what is asked of a tenant that never had the rows, and how many profiles and samples are to go.
async fn blocks(rng: &mut StdRng, count: usize) -> (Vec<Vec<Rows>>, Vec<String>, (u64, u64)) {
    let blocks: Vec<Vec<Rows>> = (0..count).map(|_| random_block(rng)).collect();
    let (rest, mut gone) = (World::new(1 << 30), (0, 0));
    for block in &blocks {
        let (stays, profiles, samples) = without(block, KIND, POD, &range());
        gone = (gone.0 + profiles, gone.1 + samples);
        if !stays.is_empty() {
            rest.add(stays, 0).await;
        }
    }
    (blocks, rest.answers().await, gone)
}

/// Works and sweeps until the receipt is there.
async fn finish(world: &World, id: Ulid) -> DeleteStatus {
    for _ in 0..10 {
        let left = world.compactor.work_on_deletes(&world.tenant).await.unwrap();
        let status = world.compactor.show_delete(&world.tenant, id).await.unwrap().unwrap();
        assert_eq!(left == 0, status.state == DeleteState::Done);
        if left == 0 {
            return status;
        }
        assert_eq!(status.state, DeleteState::Purging);
        world.sweep_after(LONG).await;
    }
    panic!("the delete is not done");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_deleted_was_never_there() {
    let mut rng = seeded_rng("what_is_deleted_was_never_there");
    for memory_bytes_max in [64, 1 << 30, 1 << 30] {
        let world = World::new(memory_bytes_max);
        let (blocks, expected, (profiles, samples)) = blocks(&mut rng, 5).await;
        for block in blocks {
            world.add(block, 0).await;
        }
        let old: Vec<Ulid> = world.state().await.blocks.keys().copied().collect();
        let status = world.compactor.create_delete(&world.tenant, &request()).await.unwrap();
        assert_eq!(status.state, DeleteState::Rewriting);
        let status = finish(&world, status.id).await;
        check(&world.answers().await, &expected, "after a delete");
        let receipt = status.receipt.unwrap();
        assert_eq!((receipt.profiles, receipt.samples), (profiles, samples));
        // Files of blocks that held a match are gone.
        let live = world.state().await;
        let mut rewritten = 0;
        for block in old {
            let files = world.bucket.list(&format!("tenants/{}/blocks/{block}/", world.tenant)).await.unwrap();
            assert_eq!(files.is_empty(), !live.blocks.contains_key(&block));
            rewritten += u64::from(files.is_empty());
        }
        assert_eq!(receipt.blocks, rewritten);
        // And it is merged as before.
        world.compactor.compact_tenant(&world.tenant).await.unwrap();
        check(&world.answers().await, &expected, "after a merge");
    }
}

#[tokio::test]
async fn everything_of_a_tenant_goes_and_nothing_of_others() {
    let mut rng = seeded_rng("everything_of_a_tenant_goes_and_nothing_of_others");
    let world = World::new(1 << 30);
    let other = world.of_tenant("other");
    for tenant in [&world, &other, &world] {
        tenant.add(random_block(&mut rng), 0).await;
    }
    let before = other.answers().await;
    let all = DeleteRequest::parse("{}", None, None, None).unwrap();
    let status = world.compactor.create_delete(&world.tenant, &all).await.unwrap();
    finish(&world, status.id).await;
    assert!(world.state().await.blocks.is_empty());
    assert!(world.bucket.list(&format!("tenants/{}/blocks/", world.tenant)).await.unwrap().is_empty());
    check(&other.answers().await, &before, "of the other");
    assert!(other.compactor.show_delete(&other.tenant, status.id).await.unwrap().is_none());
    assert!(other.compactor.list_deletes(&other.tenant, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn symbols_that_only_deleted_rows_used_go_too() {
    let mut rng = seeded_rng("symbols_that_only_deleted_rows_used_go_too");
    let world = World::new(1 << 30);
    let mut kept = Vec::new();
    for _ in 0..3 {
        let block = random_block(&mut rng);
        kept.push(without(&block, KIND, POD, &range()).0);
        world.add(block, 0).await;
    }
    let status = world.compactor.create_delete(&world.tenant, &request()).await.unwrap();
    finish(&world, status.id).await;
    let fresh = World::new(1 << 30);
    for block in kept.into_iter().filter(|block| !block.is_empty()) {
        fresh.add(block, 0).await;
    }
    let rows = async |world: &World| {
        let mut counts = Vec::new();
        for block in world.state().await.blocks.keys() {
            let reader = BlockReader::open(world.bucket.clone(), &world.tenant, *block).await.unwrap();
            let tables = reader.meta().partitions.iter().map(|part| part.tables);
            counts.push(tables.map(|t| (t.series.count, t.stacks.count, t.functions.count)).collect::<Vec<_>>());
        }
        counts.sort();
        counts
    };
    assert_eq!(rows(&world).await, rows(&fresh).await);
}

#[tokio::test]
async fn what_is_pushed_after_the_fence_stays_and_is_not_merged_with_what_goes() {
    let mut rng = seeded_rng("what_is_pushed_after_the_fence_stays");
    let world = World::new(1 << 30);
    let (old, _, _) = blocks(&mut rng, 3).await;
    for block in old {
        world.add(block, 0).await;
    }
    // Without a fence nothing is merged.
    world.ingester.is_dead.store(true, Ordering::Relaxed);
    let status = world.compactor.create_delete(&world.tenant, &request()).await.unwrap();
    assert_eq!(status.state, DeleteState::Accepted);
    assert_eq!(world.compactor.compact_tenant(&world.tenant).await.unwrap(), 0);
    assert!(world.compactor.work_on_deletes(&world.tenant).await.is_err());
    world.ingester.is_dead.store(false, Ordering::Relaxed);
    // A fence, and before any rewrite pushes and a merge.
    world.faults.plan(Operation::Put, "blocks/", 0, 1, Fault::Fail);
    let _ = world.compactor.work_on_deletes(&world.tenant).await;
    world.faults.clear();
    for _ in 0..2 {
        world.add(random_block(&mut rng), 0).await;
    }
    world.compactor.compact_tenant(&world.tenant).await.unwrap();
    finish(&world, status.id).await;
    // The same blocks once more: of the first three only what is left, of the others all.
    let both = World::new(1 << 30);
    let mut rng = seeded_rng("what_is_pushed_after_the_fence_stays");
    for block in (0..3).map(|_| random_block(&mut rng)).collect::<Vec<_>>() {
        let stays = without(&block, KIND, POD, &range()).0;
        if !stays.is_empty() {
            both.add(stays, 0).await;
        }
    }
    for _ in 0..2 {
        both.add(random_block(&mut rng), 0).await;
    }
    check(&world.answers().await, &both.answers().await, "with late rows");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_at_any_write_of_a_delete_loses_and_doubles_nothing() {
    let mut rng = seeded_rng("a_failure_at_any_write_of_a_delete");
    for (operation, writes) in [(Operation::Put, 19), (Operation::Create, 7)] {
        for skip in 0..writes {
            for fault in [Fault::Fail, Fault::LoseAnswer] {
                let when = format!("{operation:?} {skip} {fault:?}");
                let world = World::new(1 << 30);
                let (blocks, expected, gone) = blocks(&mut rng, 2).await;
                for block in blocks {
                    world.add(block, 0).await;
                }
                world.faults.plan(operation, "", skip, 1, fault.clone());
                let created = world.compactor.create_delete(&world.tenant, &request()).await;
                let _ = world.compactor.work_on_deletes(&world.tenant).await;
                world.sweep_after(LONG).await;
                let _ = world.compactor.work_on_deletes(&world.tenant).await;
                world.faults.clear();
                let accepted = world.compactor.list_deletes(&world.tenant, 10).await.unwrap();
                // Not told, perhaps accepted all the same.
                assert!(created.is_err() || accepted.len() == 1, "{when}");
                let id = match accepted.first() {
                    Some(status) => status.id,
                    None => world.compactor.create_delete(&world.tenant, &request()).await.unwrap().id,
                };
                let status = finish(&world, id).await;
                check(&world.answers().await, &expected, &when);
                let receipt = status.receipt.unwrap();
                assert_eq!((receipt.profiles, receipt.samples), gone, "{when}");
                let blocks = world.bucket.list_folders(&format!("tenants/{}/blocks/", world.tenant)).await.unwrap();
                assert_eq!(blocks.len(), world.state().await.blocks.len(), "{when}: only live blocks have files");
            }
        }
    }
}

#[tokio::test]
async fn a_merge_under_the_rewrite_hides_nothing() {
    let mut rng = seeded_rng("a_merge_under_the_rewrite_hides_nothing");
    let world = World::new(1 << 30);
    let (blocks, expected, _) = blocks(&mut rng, 3).await;
    for block in blocks {
        world.add(block, 0).await;
    }
    // A merge that was planned before the request and comes in after the fence.
    let before = world.state().await;
    let status = world.compactor.create_delete(&world.tenant, &request()).await.unwrap();
    let job = flamelake_compactor::Job { level: 1, blocks: before.blocks.keys().copied().take(2).collect() };
    assert!(world.compactor.run_job(&world.tenant, &before, &job).await.unwrap());
    finish(&world, status.id).await;
    check(&world.answers().await, &expected, "after merge and delete");
}
