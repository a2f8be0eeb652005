//! Files of the result that are stored while they are being encoded: what is held of a large block does not grow with it.

use std::collections::BTreeMap;

use bytes::Bytes;
use flamelake_block::writer::FinishedBlock;
use flamelake_object_storage::{Bucket, StorageError, Upload};
use tracing::warn;

use crate::error::MergeError;

/// Begun uploads by file name. Small files have none: they are put whole at the end.
#[derive(Debug)]
pub(crate) struct Uploads {
    bucket: Bucket,
    /// Of the block, ending in `/`.
    folder: String,
    begun: BTreeMap<String, Upload>,
}

impl Uploads {
    pub(super) fn new(bucket: Bucket, folder: String) -> Self {
        Self { bucket, folder, begun: BTreeMap::new() }
    }

    /// Stores full parts, of one file in order.
    pub(super) async fn add(&mut self, parts: Vec<(String, Bytes)>) -> Result<(), MergeError> {
        for (file, part) in parts {
            let key = format!("{}{file}", self.folder);
            let failed = |source| MergeError::Upload { key: key.clone(), source };
            if !self.begun.contains_key(&file) {
                let upload = self.bucket.upload(&key).await.map_err(failed)?;
                self.begun.insert(file.clone(), upload);
            }
            if let Some(upload) = self.begun.get_mut(&file) {
                upload.write(part).await.map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Stores the rest of every file; the block is whole when this returns without an error.
    pub(crate) async fn finish(mut self, block: &FinishedBlock) -> Result<(), MergeError> {
        let stored = self.store_rest(block).await;
        if stored.is_err() {
            self.abort().await;
        }
        stored
    }

    async fn store_rest(&mut self, block: &FinishedBlock) -> Result<(), MergeError> {
        for (file, rest) in &block.files {
            let key = format!("{}{file}", self.folder);
            let done: Result<(), StorageError> = match self.begun.remove(file) {
                None => self.bucket.put(&key, rest.clone()).await,
                Some(mut upload) => match upload.write(rest.clone()).await {
                    Ok(()) => upload.finish().await,
                    Err(error) => {
                        self.begun.insert(file.clone(), upload);
                        Err(error)
                    }
                },
            };
            done.map_err(|source| MergeError::Upload { key, source })?;
        }
        Ok(())
    }

    /// Takes back what is stored of files that are not whole.
    pub(crate) async fn abort(self) {
        for (file, upload) in self.begun {
            if let Err(error) = upload.abort().await {
                let error = &error as &dyn std::error::Error;
                warn!(folder = %self.folder, %file, error, "an unfinished upload is left to the store's own rule");
            }
        }
    }
}
