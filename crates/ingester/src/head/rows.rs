//! The rows of one series in chunks: columnar, append-only, shared with snapshots by copy-on-write of the last chunk only.
//!
//! Invariant: the samples of a profile lie in one chunk, so that a reader gets them as one slice.

use std::sync::Arc;

use flamelake_block::rows::ProfileRow;
use flamelake_model::Labels;

/// A full chunk is never written again; a snapshot makes at most this many samples be copied by the next write.
const CHUNK_SAMPLES: usize = 4096;
const CHUNK_PROFILES: usize = 256;

/// Some profiles of a series, in order of arrival.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chunk {
    /// Their sample ranges index the columns below.
    pub(crate) profiles: Vec<ProfileRow>,
    /// Log position of each profile.
    pub(crate) seqs: Vec<u64>,
    pub(crate) stacks: Vec<u32>,
    pub(crate) values: Vec<i64>,
    /// Empty, or as long as `stacks`.
    pub(crate) spans: Vec<u64>,
    /// Empty, or as long as `stacks`.
    pub(crate) traces: Vec<[u8; 16]>,
}

/// One profile's share in a series, as it is appended. Samples ascend by stack.
#[derive(Debug, Default)]
pub(crate) struct NewProfile {
    /// Its sample range is set by the chunk.
    pub(crate) row: Option<ProfileRow>,
    pub(crate) stacks: Vec<u32>,
    pub(crate) values: Vec<i64>,
    pub(crate) spans: Vec<u64>,
    pub(crate) traces: Vec<[u8; 16]>,
}

impl NewProfile {
    pub(crate) fn clear(&mut self) {
        self.row = None;
        self.stacks.clear();
        self.values.clear();
        self.spans.clear();
        self.traces.clear();
    }
}

impl Chunk {
    fn has_room(&self, samples: usize) -> bool {
        self.profiles.len() < CHUNK_PROFILES && (self.stacks.is_empty() || self.stacks.len() + samples <= CHUNK_SAMPLES)
    }

    fn append(&mut self, seq: u64, mut row: ProfileRow, new: &NewProfile) {
        row.samples_start = self.stacks.len() as u32;
        row.samples_end = row.samples_start + new.stacks.len() as u32;
        pad(&mut self.spans, self.stacks.len(), &new.spans, new.stacks.len());
        pad(&mut self.traces, self.stacks.len(), &new.traces, new.stacks.len());
        self.stacks.extend_from_slice(&new.stacks);
        self.values.extend_from_slice(&new.values);
        self.profiles.push(row);
        self.seqs.push(seq);
    }

    fn bytes(&self) -> usize {
        self.profiles.capacity() * (size_of::<ProfileRow>() + 8)
            + self.stacks.capacity() * 4
            + self.values.capacity() * 8
            + self.spans.capacity() * 8
            + self.traces.capacity() * 16
    }
}

/// Appends an optional column: it starts to exist, padded with "none", with the first profile that has it.
fn pad<T: Clone + Default>(column: &mut Vec<T>, rows_before: usize, new: &[T], new_rows: usize) {
    if column.is_empty() && new.is_empty() {
        return;
    }
    column.resize(rows_before, T::default());
    column.extend_from_slice(new);
    column.resize(rows_before + new_rows, T::default());
}

/// All rows of one series in one generation.
#[derive(Clone, Debug)]
pub(crate) struct SeriesHead {
    pub(crate) labels: Labels,
    pub(crate) chunks: Vec<Arc<Chunk>>,
    pub(crate) min_time_ns: i64,
    pub(crate) max_time_ns: i64,
}

impl SeriesHead {
    pub(crate) fn new(labels: Labels) -> Self {
        Self { labels, chunks: Vec::new(), min_time_ns: i64::MAX, max_time_ns: i64::MIN }
    }

    /// Appends a profile; tells by how many bytes the series grew.
    pub(crate) fn append(&mut self, seq: u64, new: &NewProfile) -> usize {
        let Some(row) = new.row else { return 0 };
        self.min_time_ns = self.min_time_ns.min(row.time_ns);
        self.max_time_ns = self.max_time_ns.max(row.time_ns);
        if !self.chunks.last().is_some_and(|chunk| chunk.has_room(new.stacks.len())) {
            self.chunks.push(Arc::default());
        }
        let chunk = Arc::make_mut(self.chunks.last_mut().expect("pushed above if there was none"));
        let before = chunk.bytes();
        chunk.append(seq, row, new);
        chunk.bytes() - before
    }

    /// Memory of a series without rows.
    pub(crate) fn base_bytes(&self) -> usize {
        size_of::<Self>() + 64 + self.labels.iter().map(|l| 64 + l.name.len() + l.value.len()).sum::<usize>()
    }
}
