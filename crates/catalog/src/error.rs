//! What can go wrong with a catalog.

use std::sync::Arc;

use flamelake_model::{Coded, ErrorCode, TenantId};
use flamelake_object_storage::StorageError;

/// See the variants; each names the tenant or the object.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CatalogError {
    /// An object of the chain cannot be understood. The next load mends the chain.
    #[error("catalog object {key} is broken: {reason}")]
    Broken {
        /// The object.
        key: String,
        /// What is wrong.
        reason: String,
    },
    /// A later version of Flamelake wrote this.
    #[error("catalog object {key} is of a later version: {reason}: upgrade this binary")]
    Newer {
        /// The object.
        key: String,
        /// Both versions.
        reason: String,
    },
    /// Others committed first, again and again.
    #[error("catalog of tenant {tenant} changed {attempts} times during a commit: try again")]
    Contention {
        /// Whose catalog.
        tenant: TenantId,
        /// Attempts made.
        attempts: u32,
    },
    /// The object store. For a commit it is open whether it was done: committing the same again is safe.
    #[error("object store of the catalog")]
    Storage(#[source] Arc<StorageError>),
}

impl From<StorageError> for CatalogError {
    fn from(error: StorageError) -> Self {
        Self::Storage(Arc::new(error))
    }
}

impl Coded for CatalogError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Broken { .. } | Self::Newer { .. } => ErrorCode::DataLoss,
            Self::Contention { .. } => ErrorCode::Unavailable,
            Self::Storage(error) => match error.code() {
                ErrorCode::ResourceExhausted => ErrorCode::ResourceExhausted,
                _ => ErrorCode::Unavailable,
            },
        }
    }
}
