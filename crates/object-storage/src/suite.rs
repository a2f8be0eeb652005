//! What every store must do: one suite, run on each backend.

mod overwriting;

use bytes::Bytes;
use futures::future::join_all;

pub use overwriting::Overwriting;

use crate::{Bucket, PutOutcome, StorageError};

/// Runs all of it on an empty bucket. Panics at the first difference.
pub async fn run(bucket: &Bucket) {
    reads_what_was_written(bucket).await;
    creates_once(bucket).await;
    lists_in_order(bucket).await;
    deletes(bucket).await;
    reads_ranges(bucket).await;
    takes_large_objects(bucket).await;
    takes_parts(bucket).await;
    takes_any_tenant(bucket).await;
    bucket.probe_put_if_absent().await.unwrap();
    assert!(bucket.list("probe/").await.unwrap().is_empty(), "the probe leaves nothing");
}

async fn reads_what_was_written(bucket: &Bucket) {
    bucket.put("a/one", Bytes::from_static(b"1")).await.unwrap();
    bucket.put("a/one", Bytes::from_static(b"one")).await.unwrap();
    bucket.put("a/empty", Bytes::new()).await.unwrap();
    assert_eq!(bucket.get("a/one").await.unwrap(), "one");
    assert_eq!(bucket.get("a/empty").await.unwrap(), "");
    assert_eq!(bucket.head("a/one").await.unwrap().unwrap().bytes, 3);
    assert_eq!(bucket.head("a/two").await.unwrap(), None);
    assert!(matches!(bucket.get("a/two").await, Err(StorageError::NotFound { key }) if key == "a/two"));
    assert!(bucket.put("a/../b", Bytes::new()).await.is_err(), "no way up");
}

async fn creates_once(bucket: &Bucket) {
    let racers = (0..16).map(|racer| bucket.put_if_absent("c/name", Bytes::from(vec![racer; 1000])));
    let outcomes: Vec<_> = join_all(racers).await.into_iter().map(Result::unwrap).collect();
    let winners: Vec<_> = (0..16).filter(|racer| outcomes[*racer] == PutOutcome::Created).collect();
    assert_eq!(winners.len(), 1, "one winner");
    assert_eq!(bucket.get("c/name").await.unwrap(), vec![winners[0] as u8; 1000]);
}

async fn lists_in_order(bucket: &Bucket) {
    for key in ["l/b/2", "l/b/10", "l/a/1", "l/ab", "lx/1"] {
        bucket.put(key, Bytes::from_static(b"xy")).await.unwrap();
    }
    let keys: Vec<_> = bucket.list("l/").await.unwrap().into_iter().map(|entry| entry.key).collect();
    assert_eq!(keys, ["l/a/1", "l/ab", "l/b/10", "l/b/2"]);
    assert_eq!(bucket.list("l/b/").await.unwrap()[0].bytes, 2);
    assert_eq!(bucket.list_folders("l/").await.unwrap(), ["a", "b"]);
    assert!(bucket.list("nothing/here/").await.unwrap().is_empty());
    assert!(bucket.list_folders("nothing/here/").await.unwrap().is_empty());
}

async fn deletes(bucket: &Bucket) {
    bucket.put("d/1", Bytes::new()).await.unwrap();
    bucket.delete("d/1").await.unwrap();
    bucket.delete("d/1").await.unwrap();
    assert_eq!(bucket.head("d/1").await.unwrap(), None);
    assert_eq!(bucket.put_if_absent("d/1", Bytes::new()).await.unwrap(), PutOutcome::Created);
    bucket.delete_all(&["d/1".to_owned(), "d/2".to_owned()]).await.unwrap();
    assert!(bucket.list("d/").await.unwrap().is_empty());
}

async fn reads_ranges(bucket: &Bucket) {
    let bytes: Vec<u8> = (0..3_000_000u32).map(|at| (at % 251) as u8).collect();
    bucket.put("r/1", Bytes::from(bytes.clone())).await.unwrap();
    let ranges = [2_900_000..3_000_000, 0..10, 5..5, 5..2_000_000, 20..21];
    let got = bucket.get_ranges("r/1", &ranges).await.unwrap();
    for (range, part) in ranges.iter().zip(got) {
        assert_eq!(part, bytes[range.start as usize..range.end as usize], "{range:?}");
    }
    assert!(bucket.get_ranges("r/1", &[2_999_999..3_000_001]).await.is_err(), "beyond the end");
    assert!(bucket.get_ranges("r/2", std::slice::from_ref(&(0..1))).await.is_err());
}

async fn takes_large_objects(bucket: &Bucket) {
    let bytes = Bytes::from(vec![7u8; 40 << 20]);
    bucket.put("big/1", bytes.clone()).await.unwrap();
    assert_eq!(bucket.get("big/1").await.unwrap(), bytes);
    assert_eq!(bucket.get_ranges("big/1", std::slice::from_ref(&(1..20_000_001))).await.unwrap()[0].len(), 20_000_000);
}

/// What is uploaded in parts is seen whole or not at all.
async fn takes_parts(bucket: &Bucket) {
    let part = |byte: u8, bytes: usize| Bytes::from(vec![byte; bytes]);
    bucket.put("parts/1", part(0, 3)).await.unwrap();
    let mut upload = bucket.upload("parts/1").await.unwrap();
    let parts = [part(1, 5 << 20), part(2, 5 << 20), part(3, 10)];
    for part in &parts {
        upload.write(part.clone()).await.unwrap();
    }
    assert_eq!(bucket.get("parts/1").await.unwrap(), part(0, 3), "nothing is seen before the end");
    upload.finish().await.unwrap();
    assert_eq!(bucket.get("parts/1").await.unwrap(), parts.concat());
    let mut upload = bucket.upload("parts/2").await.unwrap();
    upload.write(part(4, 5 << 20)).await.unwrap();
    upload.abort().await.unwrap();
    assert_eq!(bucket.head("parts/2").await.unwrap(), None);
    let keys: Vec<String> = bucket.list("parts/").await.unwrap().into_iter().map(|entry| entry.key).collect();
    assert_eq!(keys, ["parts/1"]);
}

async fn takes_any_tenant(bucket: &Bucket) {
    let key = "tenants/A-Za-z0-9!-_.*'()/catalog/00000000000000000001.json";
    bucket.put(key, Bytes::from_static(b"{}")).await.unwrap();
    assert_eq!(bucket.get(key).await.unwrap(), "{}");
    assert_eq!(bucket.list_folders("tenants/").await.unwrap(), ["A-Za-z0-9!-_.*'()"]);
    assert_eq!(bucket.list("tenants/A-Za-z0-9!-_.*'()/").await.unwrap()[0].key, key);
}
