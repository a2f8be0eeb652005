//! What can go wrong with an object.

use flamelake_model::{Coded, ErrorCode};

/// A failed operation on an object; `key` is the object's full key.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// There is no such object.
    #[error("object {key} does not exist")]
    NotFound {
        /// The object.
        key: String,
    },
    /// The disk or the quota is full.
    #[error("no space left for object {key}: free some space, writing goes on by itself")]
    OutOfSpace {
        /// The object.
        key: String,
    },
    /// Anything else; worth a retry unless the cause says otherwise.
    #[error("{operation} object {key}")]
    Other {
        /// e.g. `get`.
        operation: &'static str,
        /// The object.
        key: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Coded for StorageError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::NotFound { .. } => ErrorCode::NotFound,
            Self::OutOfSpace { .. } => ErrorCode::ResourceExhausted,
            Self::Other { .. } => ErrorCode::Unavailable,
        }
    }
}
