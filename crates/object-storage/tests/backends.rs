//! Every backend that runs on this machine passes the suite; a store with faults behaves as the bucket promises.
#![allow(missing_docs)]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flamelake_model::{Coded, ErrorCode};
use flamelake_object_storage::faulty::{Fault, Faults, FaultyStore, Operation};
use flamelake_object_storage::{Bucket, BucketDeps, PutOutcome, RetryPolicy, StorageConfig, StorageError, suite};
use object_store::memory::InMemory;

#[tokio::test]
async fn memory_passes_the_suite() {
    suite::run(&Bucket::in_memory()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_passes_the_suite() {
    let dir = tempfile::tempdir().unwrap();
    suite::run(&Bucket::filesystem(dir.path(), "", BucketDeps::default()).unwrap()).await;
}

#[tokio::test]
async fn a_prefix_is_invisible() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = StorageConfig { prefix: "/deep/er/".to_owned(), ..StorageConfig::default() };
    config.filesystem.dir = dir.path().join("new").display().to_string();
    let bucket = Bucket::open(&config, BucketDeps::default()).unwrap();
    suite::run(&bucket).await;
    assert!(dir.path().join("new/deep/er/a/one").exists());
}

fn faulty(policy: RetryPolicy) -> (Bucket, Faults) {
    let faults = Faults::default();
    let store = FaultyStore::new(Arc::new(InMemory::new()), faults.clone());
    (Bucket::from_store(Arc::new(store), policy, BucketDeps::default()), faults)
}

fn quick(attempts_max: u32) -> RetryPolicy {
    let backoff = Duration::from_millis(1);
    RetryPolicy {
        attempts_max,
        backoff,
        backoff_max: backoff,
        attempt_timeout: Duration::from_millis(50),
        ..RetryPolicy::default()
    }
}

#[tokio::test]
async fn transient_faults_are_retried_and_bounded() {
    let (bucket, faults) = faulty(quick(3));
    faults.next(Operation::Put, 2, Fault::Fail);
    bucket.put("a", Bytes::from_static(b"x")).await.unwrap();
    faults.next(Operation::Get, 3, Fault::Fail);
    let error = bucket.get("a").await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unavailable);
    assert_eq!(bucket.get("a").await.unwrap(), "x");
}

#[tokio::test]
async fn a_lost_answer_shows_as_already_exists() {
    let (bucket, faults) = faulty(quick(3));
    faults.next(Operation::Create, 1, Fault::LoseAnswer);
    assert_eq!(bucket.put_if_absent("a", Bytes::from_static(b"x")).await.unwrap(), PutOutcome::AlreadyExists);
    assert_eq!(bucket.get("a").await.unwrap(), "x");
}

#[tokio::test]
async fn a_hanging_store_times_out() {
    let (bucket, faults) = faulty(quick(1));
    faults.next(Operation::Get, 1, Fault::Hang);
    assert!(matches!(bucket.get("a").await, Err(StorageError::TimedOut { operation: "get", .. })));
}

#[tokio::test]
async fn a_full_disk_is_said_so_and_not_retried() {
    let (bucket, faults) = faulty(quick(3));
    faults.next(Operation::Create, 1, Fault::OutOfSpace);
    let error = bucket.put_if_absent("a", Bytes::new()).await.unwrap_err();
    assert!(matches!(error, StorageError::OutOfSpace { .. }));
    assert_eq!(error.code(), ErrorCode::ResourceExhausted);
}

#[tokio::test]
async fn a_store_that_overwrites_is_refused_with_a_remedy() {
    let bucket = Bucket::from_store(Arc::new(suite::Overwriting::default()), quick(1), BucketDeps::default());
    let error = bucket.probe_put_if_absent().await.unwrap_err();
    assert!(
        error.to_string().contains("Use a store with atomic conditional creates")
            && error.to_string().contains("log.arbiter: etcd"),
        "{error}"
    );
}
