//! Promises P1, P2, P8 over merging: whatever is merged in whatever order, and wherever it stops, every question has the same answer.
#![allow(missing_docs)]

mod deletes;
mod world;

use std::time::Duration;

use flamelake_compactor::Job;
use flamelake_object_storage::faulty::{Fault, Operation};
use flamelake_testkit::seeded_rng;
use rand::Rng;
use rand::seq::SliceRandom;

use crate::world::{World, random_block};

/// The answers would fill the screen: only what differs is shown.
#[track_caller]
fn check(now: &[String], before: &[String], when: &str) {
    let missing = |from: &[String], all: &[String]| from.iter().filter(|line| !all.contains(line)).cloned().collect();
    let (new, gone): (Vec<String>, Vec<String>) = (missing(now, before), missing(before, now));
    assert_eq!((new, gone), (Vec::new(), Vec::new()), "new and gone answers {when}");
    assert_eq!(now.len(), before.len(), "{when}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_merges_give_the_same_answers() {
    let mut rng = seeded_rng("any_merges_give_the_same_answers");
    for memory_bytes_max in [64, 4_000, 1 << 30, 1 << 30] {
        let world = World::new(memory_bytes_max);
        for _ in 0..rng.random_range(2..8) {
            world.add(random_block(&mut rng), 0).await;
        }
        let before = world.answers().await;
        assert!(before.len() > 300, "there is something to ask for");
        loop {
            let state = world.state().await;
            let mut live: Vec<_> = state.blocks.keys().copied().collect();
            live.shuffle(&mut rng);
            if live.len() < 2 {
                break;
            }
            let count = rng.random_range(2..=live.len());
            let blocks: Vec<_> = live.iter().take(count).copied().collect();
            let level = blocks.iter().map(|block| state.blocks[block].level).max().unwrap() + 1;
            assert!(world.compactor.run_job(&world.tenant, &state, &Job { level, blocks }).await.unwrap());
            assert_eq!(world.state().await.covered, state.covered);
            check(&world.answers().await, &before, "after a merge");
        }
        let state = world.state().await;
        let (_, last) = state.blocks.first_key_value().unwrap();
        assert_eq!(last.log_ranges.len(), 1, "all blocks were cut from one log: {:?}", last.log_ranges);
    }
}

#[tokio::test]
async fn what_two_ingesters_stored_is_kept_once() {
    let mut rng = seeded_rng("what_two_ingesters_stored_is_kept_once");
    let (one, two, three) = (random_block(&mut rng), random_block(&mut rng), random_block(&mut rng));
    let world = World::new(1 << 30);
    world.add(one.clone(), 0).await;
    world.add(two.clone(), 0).await;
    let once = world.answers().await;
    world.add(three.clone(), 0).await;
    let with_late = world.answers().await;
    // With little memory every series is cut in time.
    for memory_bytes_max in [64, 1 << 30] {
        let again = World::new(memory_bytes_max);
        again.add([one.clone(), two.clone()].concat(), 0).await;
        again.add(two.clone(), 0).await;
        again.add(one.clone(), 0).await;
        assert_ne!(again.answers().await, once);
        again.merge_all().await;
        check(&again.answers().await, &once, "without duplicates");
        // A late one is added as it is.
        again.add(three.clone(), 0).await;
        again.merge_all().await;
        check(&again.answers().await, &with_late, "with a late block");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_at_any_write_loses_and_doubles_nothing() {
    let mut rng = seeded_rng("a_failure_at_any_write_loses_and_doubles_nothing");
    for (operation, writes) in [(Operation::Put, 8), (Operation::Create, 1)] {
        for skip in 0..writes {
            for fault in [Fault::Fail, Fault::LoseAnswer] {
                let world = World::new(1 << 30);
                for _ in 0..3 {
                    world.add(random_block(&mut rng), 0).await;
                }
                let before = world.answers().await;
                let times = if operation == Operation::Create { 5 } else { 1 };
                world.faults.plan(operation, "", skip, times, fault.clone());
                // It may fail, or find out that it was done.
                let _ = world.compactor.compact_tenant(&world.tenant).await;
                world.faults.clear();
                check(&world.answers().await, &before, &format!("{operation:?} {skip} {fault:?}"));
                world.compactor.compact_tenant(&world.tenant).await.unwrap();
                check(&world.answers().await, &before, &format!("{operation:?} {skip} {fault:?}, then again"));
                assert_eq!(world.state().await.blocks.len(), 1);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_merge_dropped_at_any_write_loses_and_doubles_nothing() {
    let mut rng = seeded_rng("a_merge_dropped_at_any_write_loses_and_doubles_nothing");
    for (operation, skip) in (0..8).map(|skip| (Operation::Put, skip)).chain([(Operation::Create, 0)]) {
        let world = World::new(1 << 30);
        for _ in 0..3 {
            world.add(random_block(&mut rng), 0).await;
        }
        let before = world.answers().await;
        world.faults.plan(operation, "", skip, 1, Fault::Hang);
        // Time stands still but for what hangs.
        let dropped = tokio::time::timeout(Duration::from_secs(1), world.compactor.compact_tenant(&world.tenant)).await;
        assert!(dropped.is_err(), "{operation:?} {skip} hangs");
        check(&world.answers().await, &before, &format!("{operation:?} {skip}"));
        world.compactor.compact_tenant(&world.tenant).await.unwrap();
        check(&world.answers().await, &before, &format!("{operation:?} {skip}, then again"));
        assert_eq!(world.state().await.blocks.len(), 1);
    }
}

#[tokio::test]
async fn a_lost_race_deletes_nothing() {
    let mut rng = seeded_rng("a_lost_race_deletes_nothing");
    let world = World::new(1 << 30);
    for _ in 0..3 {
        world.add(random_block(&mut rng), 0).await;
    }
    let before = world.answers().await;
    let old = world.state().await;
    let ids: Vec<_> = old.blocks.keys().copied().collect();
    let job = |blocks: &[flamelake_catalog::Ulid]| Job { level: 1, blocks: blocks.to_vec() };
    assert!(world.compactor.run_job(&world.tenant, &old, &job(&ids[..2])).await.unwrap());
    assert!(!world.compactor.run_job(&world.tenant, &old, &job(&ids[1..])).await.unwrap());
    check(&world.answers().await, &before, "after a merge");
    assert_eq!(world.state().await.blocks.len(), 2);
}

#[tokio::test]
async fn a_damaged_block_is_set_aside() {
    let mut rng = seeded_rng("a_damaged_block_is_set_aside");
    let world = World::new(1 << 30);
    for _ in 0..4 {
        world.add(random_block(&mut rng), 0).await;
    }
    let damaged = *world.state().await.blocks.keys().nth(1).unwrap();
    let key = format!("tenants/{}/blocks/{damaged}/samples.parquet", world.tenant);
    let size = world.bucket.get(&key).await.unwrap().len();
    world.bucket.put(&key, vec![7; size].into()).await.unwrap();
    world.compactor.compact_all().await;
    let state = world.state().await;
    assert_eq!(state.blocks.len(), 2);
    assert_eq!(state.blocks[&damaged].level, 0);
    let status = world.compactor.status();
    assert_eq!(status.set_aside.iter().map(|aside| &aside.block).collect::<Vec<_>>(), [&damaged.to_string()]);
    assert!(status.merges.is_empty() && status.last_merge_round_ms == 0, "the round had a failure");
    world.compactor.compact_all().await;
    assert!(world.compactor.status().last_merge_round_ms > 1_700_000_000_000);
}

#[tokio::test]
async fn tenants_are_never_mixed() {
    let mut rng = seeded_rng("tenants_are_never_mixed");
    let world = World::new(1 << 30);
    let other = world.of_tenant("other");
    for tenant in [&world, &other, &world, &other] {
        tenant.add(random_block(&mut rng), 0).await;
    }
    let before = (world.answers().await, other.answers().await);
    world.compactor.compact_all().await;
    assert_eq!((world.state().await.blocks.len(), other.state().await.blocks.len()), (1, 1));
    check(&world.answers().await, &before.0, "of one");
    check(&other.answers().await, &before.1, "of the other");
}
