//! Rows as they enter and leave a block (and a head): columnar, per series.

use std::sync::Arc;

use flamelake_model::{Labels, ProfileId};
use flamelake_symbols::SymbolSource;

/// One stored profile of one series (one sample type).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProfileRow {
    /// When, nanoseconds.
    pub time_ns: i64,
    /// Which.
    pub id: ProfileId,
    /// Nanoseconds covered.
    pub duration_ns: i64,
    /// Sampling period.
    pub period: i64,
    /// Wrapping sum of its values.
    pub total: i64,
    /// First of its samples in the columns at hand.
    pub samples_start: u32,
    /// One past its last sample.
    pub samples_end: u32,
}

/// All rows of one series, profiles ascending by (time, id), samples of a profile ascending by stack.
#[derive(Clone, Debug, Default)]
pub struct SeriesRows {
    /// Full labels, those of the sample type included.
    pub labels: Labels,
    /// Profiles.
    pub profiles: Vec<ProfileRow>,
    /// Stack of each sample (ids of the partition's symbols).
    pub stacks: Vec<u32>,
    /// Value of each sample.
    pub values: Vec<i64>,
    /// Span of each sample, 0 = none; empty if no sample has one.
    pub spans: Vec<u64>,
    /// Trace of each sample, zeros = none; empty if no sample has one.
    pub traces: Vec<[u8; 16]>,
}

/// All rows of one partition, as a writer takes them.
pub struct PartitionRows {
    /// Label `service_name`.
    pub service_name: String,
    /// The symbols that `stacks` refer to; only referenced ones are written.
    pub symbols: Arc<dyn SymbolSource>,
    /// In any order; the writer sorts by labels.
    pub series: Vec<SeriesRows>,
}

impl std::fmt::Debug for PartitionRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PartitionRows")
            .field("service_name", &self.service_name)
            .field("series", &self.series.len())
            .finish()
    }
}
