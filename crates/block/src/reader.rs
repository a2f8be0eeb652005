//! Block files to rows. PLACEHOLDER.

use std::sync::Arc;

use flamelake_model::{Labels, TenantId, TimestampNs};
use flamelake_object_storage::Bucket;
use flamelake_symbols::SymbolSource;

use crate::meta::{BlockMeta, Ulid};
use crate::rows::ProfileRow;

/// One series of a partition of a block.
#[derive(Clone, Debug)]
pub struct SeriesEntry {
    /// Full labels.
    pub labels: Labels,
    /// Earliest profile.
    pub min_time: TimestampNs,
    /// Latest profile.
    pub max_time: TimestampNs,
}

/// How much of the symbols is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SymbolDetail {
    /// The function tree and names: flame graphs.
    Functions,
    /// Locations, functions and mappings too: pprof. On less detail, `location`, `function` and `mapping` of the source panic.
    Locations,
}

/// Optional sample columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SampleColumns {
    /// Read span ids.
    pub spans: bool,
    /// Read trace ids.
    pub traces: bool,
}

/// Some samples of one series, whole profiles.
#[derive(Clone, Copy, Debug)]
pub struct SampleBatch<'a> {
    /// Index into the partition's series.
    pub series: u32,
    /// The profiles; their sample ranges index the slices below.
    pub profiles: &'a [ProfileRow],
    /// Stack ids.
    pub stacks: &'a [u32],
    /// Values (already multiplied by the series' scale).
    pub values: &'a [i64],
    /// Span ids; empty when not asked for or absent (= none).
    pub spans: &'a [u64],
    /// Trace ids; empty when not asked for or absent (= none).
    pub traces: &'a [[u8; 16]],
}

/// A block that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The store did not give the bytes.
    #[error("read {file} of block {block}")]
    Storage {
        /// Which file.
        file: String,
        /// Which block.
        block: Ulid,
        /// Why.
        #[source]
        source: flamelake_object_storage::StorageError,
    },
    /// The bytes are not what the format says: damage.
    #[error("{file} of block {block} is damaged: {reason}")]
    Damaged {
        /// Which file.
        file: String,
        /// Which block.
        block: Ulid,
        /// What is wrong.
        reason: String,
    },
}

/// An open block: its meta and decoded parts that are kept. Shared by queries.
#[derive(Debug)]
pub struct BlockReader {
    meta: BlockMeta,
    _bucket: Bucket,
}

impl BlockReader {
    /// Reads `block.json` and checks it.
    pub async fn open(_bucket: Bucket, _tenant: &TenantId, _ulid: Ulid) -> Result<Self, ReadError> {
        unimplemented!()
    }

    /// What `block.json` says.
    pub fn meta(&self) -> &BlockMeta {
        &self.meta
    }

    /// Series of a partition in order of labels; decoded once and kept.
    pub async fn series(&self, _part: u16) -> Result<Arc<[SeriesEntry]>, ReadError> {
        unimplemented!()
    }

    /// Profiles of some series within `[from, to]` ns: calls `sink(series, rows)` per series; sample ranges are the block's own row numbers, not meaningful to the caller.
    pub async fn profiles(
        &self,
        _part: u16,
        _series: &[u32],
        _from: TimestampNs,
        _to: TimestampNs,
        _sink: &mut (dyn FnMut(u32, &[ProfileRow]) + Send),
    ) -> Result<(), ReadError> {
        unimplemented!()
    }

    /// Samples of some series within `[from, to]` ns, in batches.
    pub async fn samples(
        &self,
        _part: u16,
        _series: &[u32],
        _from: TimestampNs,
        _to: TimestampNs,
        _columns: SampleColumns,
        _sink: &mut (dyn FnMut(SampleBatch<'_>) + Send),
    ) -> Result<(), ReadError> {
        unimplemented!()
    }

    /// Symbols of a partition; decoded once per detail and kept.
    pub async fn symbols(&self, _part: u16, _detail: SymbolDetail) -> Result<Arc<dyn SymbolSource>, ReadError> {
        unimplemented!()
    }

    /// Memory that the kept decoded parts hold, for a cache's weigher.
    pub fn memory_bytes(&self) -> usize {
        unimplemented!()
    }
}
