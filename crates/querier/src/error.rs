//! Failures of the querier itself; those of its parts pass through with their own codes.

use std::time::Duration;

use flamelake_model::{Coded, ErrorCode};

/// See the module.
#[derive(Debug, thiserror::Error)]
pub enum QuerierError {
    /// The line is full.
    #[error(
        "{waiting} queries of this tenant wait already, and at most {waiting_max} of all may (one tenant half of them): try again \
         later, or raise querier.max-concurrent or querier.max-queued"
    )]
    TooManyQueries {
        /// Of the same tenant.
        waiting: usize,
        /// `querier.max-queued`.
        waiting_max: usize,
    },
    /// The query took too long.
    #[error("the query took longer than {timeout:?}: shorten the range, add matchers or raise querier.timeout")]
    Timeout {
        /// `querier.timeout`.
        timeout: Duration,
    },
    /// Blocks moved under the query again and again.
    #[error("tenant {tenant} changed under the query {attempts} times: try again; the last cause was: {last}")]
    Moving {
        /// Whose data.
        tenant: String,
        /// How often it was planned.
        attempts: usize,
        /// What the last attempt met.
        last: String,
    },
    /// A part answered another question: a bug of ours.
    #[error("a part of the answer does not fit its question")]
    Mismatch,
    /// A merge or a rendering ended without a result: a bug of ours.
    #[error("a worker of the query ended early")]
    Worker(#[source] tokio::task::JoinError),
}

impl Coded for QuerierError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::TooManyQueries { .. } => ErrorCode::ResourceExhausted,
            Self::Timeout { .. } => ErrorCode::DeadlineExceeded,
            Self::Moving { .. } => ErrorCode::Unavailable,
            Self::Mismatch | Self::Worker(_) => ErrorCode::Internal,
        }
    }
}
