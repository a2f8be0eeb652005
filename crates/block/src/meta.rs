//! `block.json`: what a planner and a reader need to know of a block without opening its files.

use serde::{Deserialize, Serialize};
pub use ulid::Ulid;

/// One partition (service) of a block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionMeta {
    /// Dense index, column `part` of every table.
    pub part: u16,
    /// Label `service_name`.
    pub service_name: String,
    /// Distinct profile type ids, sorted.
    pub profile_types: Vec<String>,
    /// Earliest profile, nanoseconds.
    pub min_time_ns: i64,
    /// Latest profile, nanoseconds.
    pub max_time_ns: i64,
    /// Series (label set with type).
    pub series: u64,
    /// Rows of `profiles`.
    pub profiles: u64,
    /// Rows of `samples`.
    pub samples: u64,
}

/// Which part of an ingester's log a block covers: rows with `from < seq <= to`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LogRange {
    /// `<ingester>/<epoch>`.
    pub log: String,
    /// Exclusive start.
    pub from: u64,
    /// Inclusive end.
    pub to: u64,
}

/// See the module. The formats helper extends it (files with sizes and checksums, byte ranges).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockMeta {
    /// Format version, 1.
    pub version: u32,
    /// The block's id; also its folder.
    pub ulid: Ulid,
    /// Tenant it belongs to.
    pub tenant: String,
    /// Earliest profile, nanoseconds.
    pub min_time_ns: i64,
    /// Latest profile, nanoseconds.
    pub max_time_ns: i64,
    /// Sum of all file sizes.
    pub bytes: u64,
    /// Compaction level; 0 = cut from a head.
    pub level: u32,
    /// Log rows it was cut from, for a rebuild of the catalog.
    pub log_ranges: Vec<LogRange>,
    /// Blocks it was merged from.
    pub sources: Vec<Ulid>,
    /// Partitions in order of `part`.
    pub partitions: Vec<PartitionMeta>,
}
