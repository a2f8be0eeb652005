//! Rows to block files. PLACEHOLDER.

use bytes::Bytes;
use flamelake_model::TenantId;

use crate::meta::{BlockMeta, LogRange, Ulid};
use crate::rows::PartitionRows;

/// What a block is besides its rows.
#[derive(Clone, Debug)]
pub struct BlockIdentity {
    /// Its id.
    pub ulid: Ulid,
    /// Its tenant.
    pub tenant: TenantId,
    /// Compaction level.
    pub level: u32,
    /// Log rows covered.
    pub log_ranges: Vec<LogRange>,
    /// Blocks merged.
    pub sources: Vec<Ulid>,
}

/// A finished block: files in memory (`block.json` last) and its meta.
#[derive(Debug)]
pub struct FinishedBlock {
    /// What `block.json` says.
    pub meta: BlockMeta,
    /// (file name, bytes), in upload order.
    pub files: Vec<(String, Bytes)>,
}

/// A block that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The Parquet library refused.
    #[error("write table {table} of block {block}")]
    Table {
        /// Which table.
        table: &'static str,
        /// Which block.
        block: Ulid,
        /// Why.
        #[source]
        source: parquet::errors::ParquetError,
    },
}

/// Encodes a block. CPU-bound: call it off the async threads. Partitions are taken one at a time, so that the caller can build them lazily.
pub fn write_block(
    _identity: BlockIdentity,
    _partitions: impl Iterator<Item = PartitionRows>,
) -> Result<FinishedBlock, WriteError> {
    unimplemented!()
}

/// `tenants/<tenant>/blocks/<ulid>/`: the folder of a block in the bucket.
pub fn block_folder(tenant: &TenantId, ulid: Ulid) -> String {
    format!("tenants/{tenant}/blocks/{ulid}/")
}
