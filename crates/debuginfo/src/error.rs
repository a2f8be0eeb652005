//! What can go wrong with a binary or its table.

use flamelake_model::{Coded, ErrorCode, StatusError};

/// Why a binary gives no table.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// Not what it should be.
    #[error("this is no ELF file that can be read: {0}")]
    Elf(#[from] object::Error),
    /// Another binary.
    #[error(
        "the file bears the build id {found}, not {claimed}: upload the file that the process runs, or its debug file"
    )]
    OtherBinary {
        /// As the uploader says.
        claimed: String,
        /// As the file says.
        found: String,
    },
    /// Nothing to name addresses by.
    #[error(
        "the file has neither debug information nor function symbols: upload the one that was not stripped, or its debug file"
    )]
    NoSymbols,
    /// A bound.
    #[error("{what} ({found}) are more than {max}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much.
        found: u64,
        /// How much may be.
        max: u64,
    },
    /// Of the Parquet writer.
    #[error("write the table: {0}")]
    Table(#[from] parquet::errors::ParquetError),
    /// Of Arrow.
    #[error("write the table: {0}")]
    Arrow(#[from] arrow_schema::ArrowError),
}

impl Coded for ConvertError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Elf(_) | Self::OtherBinary { .. } | Self::NoSymbols => ErrorCode::InvalidArgument,
            Self::TooLarge { .. } => ErrorCode::ResourceExhausted,
            Self::Table(_) | Self::Arrow(_) => ErrorCode::Internal,
        }
    }
}

/// Where an object is not what was written.
pub(crate) fn damaged(key: &str, why: impl std::fmt::Display) -> StatusError {
    StatusError::new(ErrorCode::DataLoss, format!("{key}: {why}"))
}
