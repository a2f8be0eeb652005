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
    /// The store cannot be used: its configuration is wrong, or it failed the probe at start.
    #[error("storage cannot be used: {reason}")]
    Unusable {
        /// What is wrong and what to do.
        reason: String,
    },
    /// The answer did not come in time; a write may or may not have been done.
    #[error("{operation} object {key}: no answer within {timeout_ms} ms")]
    TimedOut {
        /// e.g. `get`.
        operation: &'static str,
        /// The object.
        key: String,
        /// How long was waited.
        timeout_ms: u64,
    },
    /// The arbiter did not say whose the name is; a write may or may not have been done.
    #[error("{key}: the arbiter of names did not decide")]
    Undecided {
        /// The object.
        key: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Anything else; worth a retry unless the cause says otherwise. A write may or may not have been done.
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

impl StorageError {
    /// Sorts an error of the store by what a caller can do about it.
    pub(crate) fn from_store(operation: &'static str, key: &str, source: object_store::Error) -> Self {
        let key = key.to_owned();
        match source {
            object_store::Error::NotFound { .. } => Self::NotFound { key },
            source if is_out_of_space(&source) => Self::OutOfSpace { key },
            source => Self::Other { operation, key, source: Box::new(source) },
        }
    }
}

/// Looks for ENOSPC and EDQUOT down the chain of causes.
fn is_out_of_space(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            use std::io::ErrorKind::{QuotaExceeded, StorageFull};
            if matches!(io.kind(), StorageFull | QuotaExceeded) {
                return true;
            }
        }
        cause = error.source();
    }
    false
}

impl Coded for StorageError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::NotFound { .. } => ErrorCode::NotFound,
            Self::OutOfSpace { .. } => ErrorCode::ResourceExhausted,
            Self::Unusable { .. } => ErrorCode::FailedPrecondition,
            Self::TimedOut { .. } | Self::Undecided { .. } | Self::Other { .. } => ErrorCode::Unavailable,
        }
    }
}
