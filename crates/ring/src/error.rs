//! What can go wrong with the ring.

use flamelake_model::{Coded, ErrorCode};

use crate::member::MemberId;

/// An error of the place where members are kept.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached, is too slow, or cut the stream. Try again.
    #[error("{action}: {message}")]
    Unavailable {
        /// What was asked.
        action: &'static str,
        /// The cause in words.
        message: String,
    },
    /// What came after this revision has been thrown away: list again.
    #[error("watch from revision {after}: compacted")]
    Compacted {
        /// The revision asked for.
        after: i64,
    },
    /// User, password or certificate are not accepted, or the user lacks rights on the prefix.
    #[error("{action}: not allowed: {message}")]
    Denied {
        /// What was asked.
        action: &'static str,
        /// The cause in words.
        message: String,
    },
    /// The configuration cannot be right.
    #[error("{0}")]
    Config(String),
}

/// Why something about the ring failed.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
    /// The store of members failed.
    #[error("ring: {0}")]
    Store(#[from] StoreError),
    /// Another process registered under the same id; this one must stop writing.
    #[error("ring: another process registered as {id}: give each its own ring.instance-id")]
    Superseded {
        /// The id.
        id: MemberId,
    },
    /// Nobody has that id, or it is not in the state that the action needs.
    #[error("ring: {0}")]
    NotFound(String),
    /// The action does not fit the state of the member.
    #[error("ring: {0}")]
    Refused(String),
    /// Other members kept changing the ring.
    #[error("ring: too many others changed the ring at the same time; try again")]
    Contended,
    /// Keys that cannot be.
    #[error("ring: {0}")]
    Config(String),
    /// A metric is registered twice.
    #[error("ring: {0}")]
    Metrics(#[from] prometheus::Error),
}

impl Coded for RingError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Store(StoreError::Denied { .. }) => ErrorCode::PermissionDenied,
            Self::Store(StoreError::Config(_)) | Self::Config(_) => ErrorCode::InvalidArgument,
            Self::Store(_) => ErrorCode::Unavailable,
            Self::Superseded { .. } | Self::Refused(_) => ErrorCode::FailedPrecondition,
            Self::NotFound(_) => ErrorCode::NotFound,
            Self::Contended => ErrorCode::Aborted,
            Self::Metrics(_) => ErrorCode::Internal,
        }
    }
}
