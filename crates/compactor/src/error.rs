//! Why a merge came to nothing; the blocks are as they were.

use flamelake_block::meta::Ulid;
use flamelake_block::reader::ReadError;
use flamelake_block::writer::WriteError;
use flamelake_catalog::CatalogError;
use flamelake_object_storage::StorageError;

use crate::delete::DeleteError;

/// See the variants.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// A source cannot be read.
    #[error("read block {block}")]
    Read {
        /// Which source.
        block: Ulid,
        /// Why.
        #[source]
        source: ReadError,
    },
    /// The result cannot be encoded.
    #[error("write merged block")]
    Write(#[from] WriteError),
    /// A file of the result was not stored.
    #[error("upload {key}")]
    Upload {
        /// Where to.
        key: String,
        /// Why.
        #[source]
        source: StorageError,
    },
    /// The catalog cannot be read, or it is open whether the commit was done: the next round will tell.
    #[error("catalog")]
    Catalog(#[from] CatalogError),
    /// Deletes that are under way cannot be read: what may be merged is open.
    #[error("read deletes")]
    Deletes(#[source] Box<DeleteError>),
    /// The thread that encodes died.
    #[error("the block writer panicked or was stopped")]
    WriterDied,
}

impl From<DeleteError> for MergeError {
    fn from(error: DeleteError) -> Self {
        Self::Deletes(Box::new(error))
    }
}

impl MergeError {
    /// The block to set aside, if trying again would meet the same.
    pub(crate) fn damaged_block(&self) -> Option<Ulid> {
        match self {
            Self::Read { block, source: ReadError::Damaged { .. } } => Some(*block),
            _ => None,
        }
    }

    /// The block of which a file is gone: merged by somebody else and swept, or lost.
    pub(crate) fn missing_block(&self) -> Option<Ulid> {
        match self {
            Self::Read { block, source: ReadError::Storage { source: StorageError::NotFound { .. }, .. } } => {
                Some(*block)
            }
            _ => None,
        }
    }
}
