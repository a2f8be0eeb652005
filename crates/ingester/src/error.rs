//! What the ingester tells its callers.

use flamelake_model::{Coded, ErrorCode, StatusError, TenantId};

/// A refused append, query, flush or start.
#[derive(Debug, thiserror::Error)]
pub enum IngesterError {
    /// The head is full and flushing has not made room yet.
    #[error(
        "the ingester holds {held} of at most {max} bytes of recent profiles: push again later, or raise ingester.head-bytes-max"
    )]
    HeadFull {
        /// Bytes held or reserved.
        held: u64,
        /// The bound.
        max: u64,
    },
    /// Too many tenants.
    #[error("the ingester already serves {max} tenants: raise ingester.tenants-max or add ingesters")]
    TooManyTenants {
        /// The bound.
        max: usize,
    },
    /// The first push of this profile failed with this; its retry shares the outcome.
    #[error("{0}")]
    FirstPush(StatusError),
    /// Rows above the caller's watermark have left memory, or its catalog version is older than this ingester's start.
    #[error(
        "catalog version {version} of tenant {tenant} is too old for this ingester: read a newer one and ask again"
    )]
    StaleCatalog {
        /// Whose catalog.
        tenant: TenantId,
        /// The version asked with.
        version: u64,
    },
    /// The process is stopping.
    #[error("the ingester is shutting down: push to another, or again after its restart")]
    ShuttingDown,
    /// A frame that does not decode.
    #[error("frame of tenant {tenant}")]
    Frame {
        /// Whose.
        tenant: TenantId,
        /// Why.
        #[source]
        source: flamelake_pprof::frame::FrameError,
    },
    /// The log failed.
    #[error("write the log")]
    Journal(#[from] flamelake_journal::JournalError),
    /// The catalog failed.
    #[error("catalog of tenant {tenant}")]
    Catalog {
        /// Whose.
        tenant: TenantId,
        /// Why.
        #[source]
        source: flamelake_catalog::CatalogError,
    },
    /// A block could not be encoded.
    #[error("cut the head of tenant {tenant} into a block")]
    WriteBlock {
        /// Whose.
        tenant: TenantId,
        /// Why.
        #[source]
        source: flamelake_block::writer::WriteError,
    },
    /// A block could not be uploaded.
    #[error("upload a block of tenant {tenant}")]
    Upload {
        /// Whose.
        tenant: TenantId,
        /// Why.
        #[source]
        source: flamelake_object_storage::StorageError,
    },
    /// What was logged before a purge is not all gone.
    #[error("log {log} still holds rows from before: ask again in a while")]
    LogStays {
        /// `<ingester>/<epoch>`.
        log: String,
    },
    /// A bug of ours: a background task ended by panic.
    #[error("{what} ended unexpectedly")]
    TaskFailed {
        /// Which task.
        what: &'static str,
    },
}

impl Coded for IngesterError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::HeadFull { .. } | Self::TooManyTenants { .. } => ErrorCode::ResourceExhausted,
            Self::FirstPush(error) => error.code,
            // Surely not stored: a distributor asks another ingester.
            Self::StaleCatalog { .. } | Self::ShuttingDown => ErrorCode::FailedPrecondition,
            Self::Frame { .. } => ErrorCode::InvalidArgument,
            Self::Journal(error) => error.code(),
            Self::Catalog { source, .. } => source.code(),
            Self::Upload { source, .. } => source.code(),
            Self::LogStays { .. } => ErrorCode::Unavailable,
            Self::WriteBlock { .. } | Self::TaskFailed { .. } => ErrorCode::Internal,
        }
    }
}
