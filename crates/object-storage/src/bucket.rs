//! One bucket (or folder), with the few operations that the storage layer is built on.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use object_store::ObjectStore;

use crate::StorageError;

/// What a put-if-absent found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutOutcome {
    /// The name was free; the bytes are durable under it.
    Created,
    /// The name was taken; nothing was written.
    AlreadyExists,
}

/// One object of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectEntry {
    /// Full key.
    pub key: String,
    /// Size.
    pub bytes: u64,
    /// Milliseconds since the epoch, by the store's clock.
    pub last_modified_ms: i64,
}

/// A handle that is cheap to clone. Keys are relative to the bucket's prefix, `/`-separated.
#[derive(Clone, Debug)]
pub struct Bucket {
    store: Arc<dyn ObjectStore>,
}

impl Bucket {
    /// An empty bucket in memory, for tests and `storage.backend=in-memory`.
    pub fn in_memory() -> Self {
        Self { store: Arc::new(object_store::memory::InMemory::new()) }
    }

    /// The whole object.
    pub async fn get(&self, _key: &str) -> Result<Bytes, StorageError> {
        let _ = &self.store;
        unimplemented!()
    }

    /// Several byte ranges of one object, in the order asked; close ranges are fetched as one.
    pub async fn get_ranges(&self, _key: &str, _ranges: &[Range<u64>]) -> Result<Vec<Bytes>, StorageError> {
        unimplemented!()
    }

    /// Writes an object, replacing any. Only for names that nobody else writes.
    pub async fn put(&self, _key: &str, _bytes: Bytes) -> Result<(), StorageError> {
        unimplemented!()
    }

    /// Writes an object unless the name is taken.
    pub async fn put_if_absent(&self, _key: &str, _bytes: Bytes) -> Result<PutOutcome, StorageError> {
        unimplemented!()
    }

    /// Deletes an object; an absent one is no error.
    pub async fn delete(&self, _key: &str) -> Result<(), StorageError> {
        unimplemented!()
    }

    /// All objects below `prefix` (a folder, ending in `/`), sorted by key.
    pub async fn list(&self, _prefix: &str) -> Result<Vec<ObjectEntry>, StorageError> {
        unimplemented!()
    }

    /// Names of the folders directly below `prefix`, sorted.
    pub async fn list_folders(&self, _prefix: &str) -> Result<Vec<String>, StorageError> {
        unimplemented!()
    }
}
