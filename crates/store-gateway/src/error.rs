//! Why a question to a store-gateway failed.

use flamelake_model::{Coded, ErrorCode};

/// What the caller gets instead of an answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreGatewayError {
    /// A name that is no ULID.
    #[error("{block:?} is not the name of a block")]
    BadName {
        /// The name as given.
        block: String,
    },
    /// More blocks than one query may read.
    #[error(
        "the query reads {blocks} blocks, at most {max} are allowed: shorten the range or add matchers, or raise store-gateway.blocks-per-query-max"
    )]
    TooManyBlocks {
        /// Asked for.
        blocks: usize,
        /// `store-gateway.blocks-per-query-max`.
        max: usize,
    },
    /// A file of the block does not exist: compaction or retention may have removed it.
    #[error("block {block}: {reason}: plan the query again")]
    Missing {
        /// Its ULID.
        block: String,
        /// Which file.
        reason: String,
    },
    /// A worker ended without an answer: a bug of ours.
    #[error("a block reader of the query ended early")]
    Worker(#[source] tokio::task::JoinError),
}

impl Coded for StoreGatewayError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::BadName { .. } => ErrorCode::InvalidArgument,
            Self::TooManyBlocks { .. } => ErrorCode::ResourceExhausted,
            Self::Missing { .. } => ErrorCode::NotFound,
            Self::Worker(_) => ErrorCode::Internal,
        }
    }
}
