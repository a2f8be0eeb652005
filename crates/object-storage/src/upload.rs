//! An object that is stored while it is being made.

use std::fmt;

use bytes::Bytes;
use object_store::{MultipartUpload, WriteMultipart};

use crate::bucket::Bucket;
use crate::error::StorageError;

/// Bytes of a part, as stores want them: at least so many, all alike but the last.
const PART_BYTES: usize = 5 * 1024 * 1024;
/// Parts in flight; each is held in memory until the store has it.
const PARTS_IN_FLIGHT_MAX: usize = 2;

/// Parts of one object, in order. Dropped without [`finish`](Self::finish) or [`abort`](Self::abort), the store may keep what it has, unseen,
/// until its own rule for incomplete uploads removes it.
pub struct Upload {
    bucket: Bucket,
    key: String,
    parts: WriteMultipart,
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").field("bucket", &self.bucket).field("key", &self.key).finish_non_exhaustive()
    }
}

impl Upload {
    pub(crate) fn new(bucket: Bucket, key: &str, upload: Box<dyn MultipartUpload>) -> Self {
        Self { bucket, key: key.to_owned(), parts: WriteMultipart::new_with_chunk_size(upload, PART_BYTES) }
    }

    /// The next bytes, best in pieces of 5 MiB, which are not copied. Waits while too many are under way.
    ///
    /// Errors: those of earlier parts too. Then the upload is of no use: [abort](Self::abort) it.
    pub async fn write(&mut self, part: Bytes) -> Result<(), StorageError> {
        let bytes = part.len();
        let room = self.parts.wait_for_capacity(PARTS_IN_FLIGHT_MAX - 1);
        self.bucket.request_once("upload_part", &self.key, bytes as u64, room).await?;
        self.parts.put(part);
        self.bucket.count_bytes("written", bytes);
        Ok(())
    }

    /// The object is there, whole, when this returns without an error.
    pub async fn finish(self) -> Result<(), StorageError> {
        let Self { bucket, key, parts } = self;
        let in_flight = (PARTS_IN_FLIGHT_MAX * PART_BYTES) as u64;
        bucket.request_once("upload_finish", &key, in_flight, parts.finish()).await.map(|_| ())
    }

    /// Takes back what is stored of it.
    pub async fn abort(self) -> Result<(), StorageError> {
        let Self { bucket, key, parts } = self;
        bucket.request_once("upload_abort", &key, 0, parts.abort()).await
    }
}
