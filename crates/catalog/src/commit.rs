//! One step of the chain, as asked for and as stored (docs/formats/catalog.md).

use std::collections::BTreeMap;
use std::sync::Arc;

use flamelake_block::meta::{BlockMeta, Ulid, check_checksum, with_checksum};
use serde::{Deserialize, Serialize};

/// Highest format this binary reads.
pub(crate) const FORMAT: u32 = 1;

/// What a writer wants changed, in one step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Commit {
    /// Blocks that become live; their files are durable already.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<Arc<BlockMeta>>,
    /// Live blocks that go.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<Ulid>,
    /// Per log `(from, to)`: rows with `from < seq <= to` of this tenant lie in `add`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub covered: BTreeMap<String, (u64, u64)>,
    /// From now on no block with an id at or below it can be added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub floor: Option<Ulid>,
    /// Removed blocks whose files are deleted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub forget: Vec<Ulid>,
    /// Logs of which no object is left.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub drop_logs: Vec<String>,
}

impl Commit {
    /// Does it change nothing?
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Reads a stored commit and tells what it changes; for any bytes, an error at worst.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        StoredCommit::parse(bytes).map(|stored| stored.commit)
    }
}

/// A commit as it lies in the bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredCommit {
    /// 1.
    pub format: u32,
    /// The version it makes.
    pub version: u64,
    /// Drawn by the writer, so that it knows its own.
    pub id: Ulid,
    /// The writer's clock, Unix milliseconds.
    pub at_ms: i64,
    /// What changes.
    #[serde(flatten)]
    pub commit: Commit,
}

impl StoredCommit {
    /// Reads the object; for any bytes, an error at worst.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        check_format(bytes)?;
        serde_json::from_slice(bytes).map_err(|error| error.to_string())
    }

    /// The object.
    pub fn to_bytes(&self) -> Vec<u8> {
        with_checksum(&serde_json::to_vec(self).expect("strings and numbers only"))
    }
}

/// Refuses damage, and what a later version wrote, before its fields confuse anyone.
pub(crate) fn check_format(bytes: &[u8]) -> Result<(), String> {
    // Early objects have no checksum.
    if check_checksum(bytes) == Some(false) {
        return Err("its checksum differs".to_owned());
    }
    let format = format_of(bytes)?;
    if format == FORMAT { Ok(()) } else { Err(format!("format is {format}, this binary reads {FORMAT}")) }
}

/// Is this whole, and of a later version? Then nothing is damaged, and nothing may be mended.
pub(crate) fn is_newer(bytes: &[u8]) -> bool {
    check_checksum(bytes) != Some(false) && format_of(bytes).is_ok_and(|format| format > FORMAT)
}

fn format_of(bytes: &[u8]) -> Result<u32, String> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let Format { format } = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    Ok(format)
}
