//! What can go wrong with a log. Cheap to clone, because one failed write fails all that waited for it.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flamelake_model::{Coded, ErrorCode};
use flamelake_object_storage::StorageError;

/// See the variants; each names the log, file or object.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JournalError {
    /// Too much waits already.
    #[error("the log's queue is full ({limit}): try again")]
    QueueFull {
        /// The limit that was met.
        limit: &'static str,
    },
    /// A single push larger than a segment may be.
    #[error("a push of {bytes} bytes does not fit the log, at most {bytes_max} do: send less at once")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// What fits.
        bytes_max: usize,
    },
    /// The disk or the quota is full.
    #[error("no space left for the log {log}: free some space, pushes go on by themselves")]
    OutOfSpace {
        /// `<ingester>/<epoch>`, or the file or folder.
        log: String,
    },
    /// More log is uncovered than allowed.
    #[error(
        "{bytes} bytes of log are not yet in blocks, log.bytes-max is {bytes_max}: look why blocks cannot be written"
    )]
    UncoveredFull {
        /// Bytes uncovered.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// A sync failed, so nothing more is written to this epoch. The next push begins a new one.
    #[error("writing to the log {log} failed, its epoch ended: {reason}")]
    EpochEnded {
        /// `<ingester>/<epoch>`.
        log: String,
        /// What failed.
        reason: String,
    },
    /// Somebody took the log over, or this process slept too long.
    #[error("the log {log} is sealed: this ingester must begin a new epoch")]
    Sealed {
        /// `<ingester>/<epoch>`.
        log: String,
    },
    /// The journal is being stopped.
    #[error("the log is closed")]
    Closed,
    /// The entry is durable and could not be applied.
    #[error("segment {seq} of the log {log} is durable and could not be applied")]
    Apply {
        /// `<ingester>/<epoch>`.
        log: String,
        /// Its number.
        seq: u64,
    },
    /// Another process holds the folder.
    #[error("the log folder {} is in use by another process: stop it, or give this one its own log.url", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// The configuration is wrong.
    #[error("log configuration: {reason}")]
    Config {
        /// What and how.
        reason: String,
    },
    /// Stored log that was acknowledged cannot be read.
    #[error("log {place} is damaged at offset {offset}: {reason}")]
    Damaged {
        /// File or object.
        place: String,
        /// Bytes from its start.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// Numbers in the middle of a log are free: damage, unless blocks cover them. Then a put that landed long after its timeout has taken
    /// a name anew that had been deleted with them.
    #[error("segments {from} to {to} of the log {log} are missing")]
    Missing {
        /// `<ingester>/<epoch>`.
        log: String,
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
    /// A listed segment was gone when it was read: it has been covered meanwhile if the watermarks say so.
    #[error("segment {seq} of the log {log} vanished: read the watermarks again")]
    Vanished {
        /// `<ingester>/<epoch>`.
        log: String,
        /// Its number.
        seq: u64,
    },
    /// The store contradicts itself about the name of a segment, and has done so for long.
    #[error(
        "the store refuses to create {key} because it exists, and says that it does not exist when it is read: remove what is left of it there (docs/operations/runbooks/bucket-down.md)"
    )]
    Contradiction {
        /// Key of the object.
        key: String,
    },
    /// A file of the log.
    #[error("{operation} {}", path.display())]
    Io {
        /// e.g. `open`.
        operation: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// An object of the log.
    #[error("object store of the log")]
    Storage(#[source] Arc<StorageError>),
}

impl JournalError {
    pub(crate) fn io(operation: &'static str, path: &Path, source: std::io::Error) -> Self {
        match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::OutOfSpace { log: path.display().to_string() },
            _ => Self::Io { operation, path: path.to_owned(), source: Arc::new(source) },
        }
    }
}

impl From<StorageError> for JournalError {
    fn from(error: StorageError) -> Self {
        Self::Storage(Arc::new(error))
    }
}

impl Coded for JournalError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::QueueFull { .. }
            | Self::EpochEnded { .. }
            | Self::Sealed { .. }
            | Self::Closed
            | Self::Io { .. }
            | Self::Contradiction { .. } => ErrorCode::Unavailable,
            Self::OutOfSpace { .. } | Self::UncoveredFull { .. } | Self::TooLarge { .. } => {
                ErrorCode::ResourceExhausted
            }
            Self::Apply { .. } => ErrorCode::Internal,
            Self::Locked { .. } | Self::Config { .. } => ErrorCode::FailedPrecondition,
            Self::Damaged { .. } | Self::Missing { .. } => ErrorCode::DataLoss,
            Self::Vanished { .. } => ErrorCode::Aborted,
            Self::Storage(error) => error.code(),
        }
    }
}
