//! The log in a bucket: the suite, and what only a bucket can do.
#![allow(missing_docs)]

use std::sync::Arc;
use std::time::Duration;

use flamelake_journal::suite::{entry, replay, replay_entries, start};
use flamelake_journal::{
    JournalError, JournalMetrics, LogId, LogStore, ObjectLogStore, OldEpoch, Segment, older_epochs, suite,
};
use flamelake_object_storage::faulty::{Fault, Faults, FaultyStore, Operation};
use flamelake_object_storage::{Bucket, BucketDeps, RetryPolicy};
use flamelake_runtime::clock::{SharedClock, SystemClock};
use flamelake_testkit::FakeClock;
use object_store::memory::InMemory;
use prometheus::Registry;

const KEEP: Duration = Duration::from_secs(30 * 24 * 3600);

fn store_on(bucket: &Bucket, clock: SharedClock) -> Arc<dyn LogStore> {
    Arc::new(ObjectLogStore::new(bucket.clone(), KEEP, clock, JournalMetrics::register(&Registry::new())))
}

fn faulty_bucket() -> (Bucket, Faults) {
    let faults = Faults::default();
    let store = FaultyStore::new(Arc::new(InMemory::new()), faults.clone());
    (Bucket::from_store(Arc::new(store), RetryPolicy::once(), BucketDeps::default()), faults)
}

#[tokio::test]
async fn passes_the_suite_in_memory() {
    let bucket = Bucket::in_memory();
    suite::run(|| async { store_on(&bucket, SystemClock::shared()) }).await;
}

#[tokio::test]
async fn passes_the_suite_on_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let bucket = Bucket::filesystem(dir.path(), "", BucketDeps::default()).unwrap();
    suite::run(|| async { store_on(&bucket, SystemClock::shared()) }).await;
}

#[tokio::test]
async fn unclear_puts_are_resolved_without_gaps_or_repeats() {
    for fault in [Fault::Fail, Fault::LoseAnswer, Fault::Conflict] {
        let (bucket, faults) = faulty_bucket();
        let store = store_on(&bucket, SystemClock::shared());
        let (journal, head) = start(&store).await;
        for number in 0..4 {
            faults.next(Operation::Create, number % 3, fault.clone());
            journal.append(entry("a", &format!("{number}"))).await.unwrap();
        }
        let applied = head.applied();
        assert_eq!(applied.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [2, 3, 4, 5], "{fault:?}");
        let epochs = older_epochs(&store, "one", None).await.unwrap();
        assert_eq!(replay_entries(&epochs[0], 0).await, applied, "{fault:?}");
    }
}

/// A name that can be neither created nor read, as some servers leave it when they are killed amid a create.
#[tokio::test(start_paused = true)]
async fn sealing_ends_with_the_name_that_the_store_contradicts_itself_about() {
    let (bucket, faults) = faulty_bucket();
    let store = store_on(&bucket, SystemClock::shared());
    let (journal, _) = start(&store).await;
    journal.append(entry("a", "mine")).await.unwrap();
    let epochs = older_epochs(&store, "one", None).await.unwrap();
    faults.next(Operation::Create, usize::MAX, Fault::Conflict);
    let error = epochs[0].seal().await.unwrap_err();
    let expected = format!("log/{}/{:020}", epochs[0].log_name(), 3);
    assert!(matches!(&error, JournalError::Contradiction { key } if *key == expected), "{error}");
    faults.clear();
    assert_eq!(epochs[0].seal().await.unwrap(), 2, "and goes on once the store agrees with itself");
}

#[tokio::test]
async fn an_owner_that_is_sealed_fails_what_waits_and_says_so() {
    let bucket = Bucket::in_memory();
    let store = store_on(&bucket, SystemClock::shared());
    let (journal, head) = start(&store).await;
    journal.append(entry("a", "mine")).await.unwrap();
    let epochs = older_epochs(&store, "one", None).await.unwrap();
    assert_eq!(epochs[0].seal().await.unwrap(), 2);
    let error = journal.append(entry("a", "too late")).await.unwrap_err();
    assert!(matches!(error, JournalError::Sealed { .. }), "{error}");
    assert!(matches!(journal.failed().await, JournalError::Sealed { .. }));
    assert!(journal.append(entry("a", "still")).await.is_err());
    assert_eq!(replay_entries(&epochs[0], 0).await, head.applied());
    assert_eq!(head.applied(), [(2, entry("a", "mine"))]);
}

/// An owner that pushes and several peers that seal, all at once: what was acknowledged is what every peer reads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn racing_sealers_agree_with_the_owner() {
    for round in 0..30 {
        let bucket = Bucket::in_memory();
        let store = store_on(&bucket, SystemClock::shared());
        let (journal, head) = start(&store).await;
        let journal = Arc::new(journal);
        let pusher = tokio::spawn({
            let journal = Arc::clone(&journal);
            async move {
                let mut acknowledged = Vec::new();
                for number in 0..50 {
                    match journal.append(entry("a", &format!("{number}"))).await {
                        Ok(seq) => acknowledged.push((seq, entry("a", &format!("{number}")))),
                        Err(_) => break,
                    }
                }
                acknowledged
            }
        });
        let peers = (0..3).map(|peer| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_micros(300 * (round + peer))).await;
                let epochs = older_epochs(&store, "one", None).await.unwrap();
                replay_entries(&epochs[0], 0).await
            })
        });
        let seen: Vec<_> = futures::future::join_all(peers).await.into_iter().map(Result::unwrap).collect();
        let acknowledged = pusher.await.unwrap();
        for seen in &seen {
            assert_eq!(*seen, acknowledged, "round {round}");
        }
        assert_eq!(head.applied(), acknowledged);
    }
}

#[tokio::test]
async fn a_missing_segment_is_damage_and_a_void_tombstone_is_not() {
    let bucket = Bucket::in_memory();
    let store = store_on(&bucket, SystemClock::shared());
    let (journal, _) = start(&store).await;
    for number in 0..6 {
        journal.append(entry("a", &format!("{number}"))).await.unwrap();
    }
    let id = LogId::parse(&journal.log_name()).unwrap();
    let key = |seq: u64| format!("log/{}/{seq:020}", id.name());
    // A sealer that slept since segment 2 was the highest, writing into names that were deleted: void.
    journal.delete_covered(4).await.unwrap();
    bucket.put(&key(3), Segment::tombstone("one", id.epoch, 3)).await.unwrap();
    let epoch = OldEpoch::open(&store, id.clone()).await.unwrap();
    assert_eq!(epoch.seal().await.unwrap(), 7, "the void one does not count");
    let seqs: Vec<u64> = replay_entries(&epoch, 0).await.into_iter().map(|(seq, _)| seq).collect();
    assert_eq!(seqs, [5, 6, 7]);
    bucket.delete(&key(6)).await.unwrap();
    let found = replay(&epoch, 0).await;
    assert_eq!(found.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
    assert!(matches!(&found[1], Err(JournalError::Missing { from: 6, to: 6, .. })));
}

#[tokio::test]
async fn a_broken_object_is_named() {
    let bucket = Bucket::in_memory();
    let store = store_on(&bucket, SystemClock::shared());
    let (journal, _) = start(&store).await;
    for number in 0..3 {
        journal.append(entry("a", &format!("{number}"))).await.unwrap();
    }
    let key = format!("log/{}/{:020}", journal.log_name(), 3);
    let mut bytes = bucket.get(&key).await.unwrap().to_vec();
    bytes[50] ^= 1;
    bucket.put(&key, bytes.into()).await.unwrap();
    let epochs = older_epochs(&store, "one", None).await.unwrap();
    let found = replay(&epochs[0], 0).await;
    assert_eq!(found.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, true, false, true]);
}

#[tokio::test]
async fn a_put_after_a_long_sleep_does_not_count() {
    let bucket = Bucket::in_memory();
    let clock = FakeClock::at_unix_nanos(1_700_000_000_000_000_000);
    let store = store_on(&bucket, clock.shared());
    let id = LogId { ingester: "one".to_owned(), epoch: ulid::Ulid::from_parts(1, 1) };
    let log = store.create(&id).await.unwrap();
    log.put(1, Segment::tombstone("one", id.epoch, 1)).await.unwrap();
    // Idle for long, but the chain is looked at again first: counts.
    clock.advance(KEEP);
    log.put(2, Segment::tombstone("one", id.epoch, 2)).await.unwrap();
    // The chain ends elsewhere: somebody took over and cleaned up.
    clock.advance(KEEP);
    bucket.delete(&format!("log/{}/{:020}", id.name(), 2)).await.unwrap();
    assert!(matches!(
        log.put(3, Segment::tombstone("one", id.epoch, 3)).await,
        Err(flamelake_journal::log::PutError::Ended(JournalError::Sealed { .. }))
    ));
}

#[tokio::test]
async fn a_tombstone_outlives_its_log() {
    let bucket = Bucket::in_memory();
    // The store in memory stamps objects with the machine's time.
    let clock = FakeClock::at_unix_nanos(flamelake_runtime::clock::Clock::unix_nanos(&*SystemClock::shared()));
    let store = store_on(&bucket, SystemClock::shared());
    let (journal, _) = start(&store).await;
    journal.append(entry("a", "x")).await.unwrap();
    journal.close().await;
    let store = store_on(&bucket, clock.shared());
    let epochs = older_epochs(&store, "one", None).await.unwrap();
    assert!(!epochs[0].delete().await.unwrap());
    assert_eq!(bucket.list("log/").await.unwrap().len(), 1, "the tombstone");
    clock.advance(KEEP + Duration::from_secs(60));
    assert!(epochs[0].delete().await.unwrap());
    assert!(older_epochs(&store, "one", None).await.unwrap().is_empty());
}
