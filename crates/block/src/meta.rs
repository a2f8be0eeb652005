//! `block.json`: what a planner and a reader need to know of a block without opening its files.

use serde::{Deserialize, Serialize};
pub use ulid::Ulid;

/// The version that this code writes and reads.
pub const VERSION: u32 = 1;
/// Name of the file.
pub const META_FILE: &str = "block.json";
/// How the file begins; the checksum covers everything after the comma that follows it.
const PREFIX: &str = "{\"crc32c\":\"";

/// Consecutive rows of one table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowRange {
    /// Row number of the first in its file.
    pub first: u64,
    /// How many.
    pub count: u64,
}

/// Where a partition's rows lie in each table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "names are those of the tables")]
pub struct PartitionTables {
    pub series: RowRange,
    pub profiles: RowRange,
    pub samples: RowRange,
    pub stacks: RowRange,
    pub fnstacks: RowRange,
    pub frames: RowRange,
    pub functions: RowRange,
    #[serde(default, skip_serializing_if = "RowRange::is_empty")]
    pub rollups: RowRange,
    #[serde(default, skip_serializing_if = "RowRange::is_empty")]
    pub rollup_samples: RowRange,
}

impl RowRange {
    /// No rows?
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// One file of a block.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileMeta {
    /// Name in the block's folder.
    pub name: String,
    /// Size.
    pub bytes: u64,
    /// Rows in all.
    pub rows: u64,
    /// Where the page indexes and the footer begin; they reach to the end of the file.
    pub footer_start: u64,
    /// Bytes that one checksum covers, at least 1.
    pub checksum_chunk_bytes: u64,
    /// CRC-32C of each chunk, eight lower-case hex digits each, back to back.
    pub crc32c: String,
}

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
    /// Build ids, as mappings have them, of binaries with locations that have no lines (`docs/formats/debuginfo.md`); sorted, at most 1,024.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub native_build_ids: Vec<String>,
    /// Its rows in each file.
    #[serde(default)]
    pub tables: PartitionTables,
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

/// See the module. Unknown fields are ignored, an unknown version is an error.
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
    /// The Parquet files.
    #[serde(default)]
    pub files: Vec<FileMeta>,
}

/// A `block.json` that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MetaError {
    /// Bytes are missing or changed.
    #[error("checksum differs")]
    Checksum,
    /// Not the fields we expect.
    #[error("parse: {0}")]
    Json(#[from] serde_json::Error),
    /// Written by a newer program.
    #[error("version {0} is not known, this program reads version {VERSION}: upgrade it")]
    Version(u32),
}

/// Puts the CRC-32C of all that follows in front of the fields of a JSON object.
pub fn with_checksum(json: &[u8]) -> Vec<u8> {
    let rest = json.strip_prefix(b"{").unwrap_or(json);
    let mut out = format!("{PREFIX}{:08x}\",", crc32c::crc32c(rest)).into_bytes();
    out.extend_from_slice(rest);
    out
}

/// Is the checksum right with which the JSON object begins? `None` if it begins with none.
pub fn check_checksum(bytes: &[u8]) -> Option<bool> {
    let digits = bytes.strip_prefix(PREFIX.as_bytes())?.get(..10)?;
    let rest = &bytes[PREFIX.len() + 10..];
    Some(digits == format!("{:08x}\",", crc32c::crc32c(rest)).as_bytes())
}

impl BlockMeta {
    /// The bytes of `block.json`.
    pub fn to_json(&self) -> Vec<u8> {
        with_checksum(&serde_json::to_vec(self).expect("strings, numbers and lists always serialise"))
    }

    /// Reads the bytes of `block.json` and checks checksum and version.
    pub fn from_json(bytes: &[u8]) -> Result<Self, MetaError> {
        /// Read first: other versions may have other fields.
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        if check_checksum(bytes) != Some(true) {
            return Err(MetaError::Checksum);
        }
        let Version { version } = serde_json::from_slice(bytes)?;
        if version != VERSION {
            return Err(MetaError::Version(version));
        }
        Ok(serde_json::from_slice(bytes)?)
    }

    /// A file by name.
    pub fn file(&self, name: &str) -> Option<&FileMeta> {
        self.files.iter().find(|file| file.name == name)
    }
}
