//! Whatever happens to the files: an error that names the file, or the same rows; never a panic.

use std::time::Duration;

use bytes::Bytes;
use flamelake_block::reader::ReadError;
use flamelake_block::writer::block_folder;
use flamelake_object_storage::{Bucket, LocalCache, LocalCacheConfig};
use flamelake_runtime::clock::SystemClock;
use prometheus::Registry;

use crate::support::{Shape, ULID, open, partition, rows_read, store, tenant, write};

async fn read_all(bucket: &Bucket) -> Result<Vec<String>, ReadError> {
    let reader = open(bucket).await?;
    let mut rows = Vec::new();
    for partition in &reader.meta().partitions {
        rows.extend(rows_read(&reader, partition.part, i64::MIN, i64::MAX).await?);
    }
    Ok(rows)
}

#[tokio::test]
async fn damage_is_found_and_named() {
    let shape = Shape { series: 2, profiles: 2, samples: 8, spans: true };
    let block = write(vec![partition("a", 1, shape), partition("b", 2, shape)]);
    let bucket = store(&block.files).await;
    let good = read_all(&bucket).await.unwrap();
    for (name, bytes) in &block.files {
        let key = format!("{}{name}", block_folder(&tenant(), ULID));
        let step = (bytes.len() / 150).max(1);
        let flipped = (0..bytes.len()).step_by(step).map(|at| {
            let mut damaged = bytes.to_vec();
            damaged[at] ^= 1 << (at % 8);
            (format!("byte {at} flipped"), damaged)
        });
        let cut = [1, 8, bytes.len() / 2, bytes.len() - 1]
            .into_iter()
            .map(|at| (format!("cut at {at}"), bytes[..at].to_vec()));
        for (what, damaged) in flipped.chain(cut) {
            bucket.put(&key, Bytes::from(damaged)).await.unwrap();
            match read_all(&bucket).await {
                Ok(rows) => assert_eq!(rows, good, "{name}: {what}"),
                Err(error) => assert!(error.to_string().contains(name.as_str()), "{name}: {what}: {error}"),
            }
        }
        bucket.delete(&key).await.unwrap();
        let error = read_all(&bucket).await.unwrap_err();
        assert!(matches!(&error, ReadError::Storage { file, .. } if file == name), "{error}");
        bucket.put(&key, bytes.clone()).await.unwrap();
    }
    assert_eq!(read_all(&bucket).await.unwrap(), good);
}

#[tokio::test]
async fn damage_on_this_machines_disk_is_healed_from_the_bucket() {
    let shape = Shape { series: 2, profiles: 2, samples: 8, spans: true };
    let block = write(vec![partition("a", 1, shape)]);
    let folder = tempfile::tempdir().unwrap();
    let (dir, hour) = (folder.path().to_owned(), Duration::from_secs(3600));
    let config = LocalCacheConfig { dir: dir.clone(), bytes_max: 1 << 30, age_max: hour };
    let cache = LocalCache::open(&config, SystemClock::shared(), &Registry::new()).unwrap();
    let bucket = store(&block.files).await.with_local_cache(cache);
    let good = read_all(&bucket).await.unwrap();
    let folders = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let pages: Vec<_> = folders.flat_map(|folder| std::fs::read_dir(folder).unwrap()).collect();
    assert!(pages.len() >= 5, "a page of each table");
    for page in pages {
        let path = page.unwrap().path();
        let damaged: Vec<u8> = std::fs::read(&path).unwrap().into_iter().map(|byte| !byte).collect();
        std::fs::write(&path, &damaged).unwrap();
        assert_eq!(read_all(&bucket).await.unwrap(), good);
        assert_ne!(std::fs::read(&path).unwrap(), damaged);
    }
}

#[tokio::test]
async fn an_unknown_version_and_a_foreign_block_are_refused() {
    let block = write(Vec::new());
    let bucket = store(&block.files).await;
    let key = format!("{}block.json", block_folder(&tenant(), ULID));
    for (version, owner, expected) in [(2, "team-a", "upgrade"), (1, "team-b", "team-b"), (1, "team-a", "")] {
        let mut meta = block.meta.clone();
        (meta.version, meta.tenant) = (version, owner.to_owned());
        bucket.put(&key, Bytes::from(meta.to_json())).await.unwrap();
        match open(&bucket).await {
            Ok(_) => assert_eq!(expected, ""),
            Err(error) => assert!(!expected.is_empty() && error.to_string().contains(expected), "{error}"),
        }
    }
}
