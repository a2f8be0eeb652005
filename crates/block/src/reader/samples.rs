//! Sample columns of a partition: kept decoded if small, else read by row ranges in bounded batches.

use std::ops::Range;

use arrow_array::types::{Int64Type, UInt32Type, UInt64Type};
use arrow_array::{Array, FixedSizeBinaryArray};

use super::index::PartitionIndex;
use super::table_reader::Columns;
use super::{ReadError, SampleBatch, SampleColumns};
use crate::rows::ProfileRow;

/// Decoded columns of some rows.
#[derive(Debug, Default)]
pub(super) struct Samples {
    pub(super) stacks: Vec<u32>,
    /// Multiplied by the series' scale.
    pub(super) values: Vec<i64>,
    /// Empty: none.
    pub(super) spans: Vec<u64>,
    /// Empty: none.
    pub(super) traces: Vec<[u8; 16]>,
}

/// Names of the columns to read.
pub(super) fn column_names(columns: SampleColumns) -> Vec<&'static str> {
    let mut names = vec!["stack", "value"];
    names.extend(columns.spans.then_some("span_id"));
    names.extend(columns.traces.then_some("trace_id"));
    names
}

impl Samples {
    /// Values are still to be multiplied. Every stack is below `stack_count`.
    pub(super) fn decode(columns: &Columns<'_>, wanted: SampleColumns, stack_count: u32) -> Result<Self, ReadError> {
        let stacks = columns.numbers::<UInt32Type>("stack")?;
        // One pass without branches; a scan that stops early is slower.
        if stacks.iter().copied().max().is_some_and(|stack| stack >= stack_count) {
            return Err(columns.damaged("a sample has an unknown stack"));
        }
        Ok(Self {
            stacks,
            values: columns.numbers::<Int64Type>("value")?,
            spans: if wanted.spans { columns.numbers_or::<UInt64Type>("span_id", 0)? } else { Vec::new() },
            traces: if wanted.traces { traces(columns)? } else { Vec::new() },
        })
    }

    pub(super) fn multiply(&mut self, rows: Range<usize>, scale: i64) {
        if scale != 1 {
            self.values[rows].iter_mut().for_each(|value| *value = value.wrapping_mul(scale));
        }
    }

    /// Hands on the profiles of one series, whose samples are the rows `rows` here; their sample ranges count from `first`.
    pub(super) fn emit(
        &self,
        series: u32,
        profiles: &[ProfileRow],
        rows: Range<usize>,
        sink: &mut (dyn FnMut(SampleBatch<'_>) + Send),
    ) {
        let Some(first) = profiles.first().map(|row| row.samples_start) else {
            return;
        };
        let rebase = |row: &ProfileRow| ProfileRow {
            samples_start: row.samples_start - first,
            samples_end: row.samples_end - first,
            ..*row
        };
        let profiles: Vec<ProfileRow> = profiles.iter().map(rebase).collect();
        sink(SampleBatch {
            series,
            profiles: &profiles,
            stacks: &self.stacks[rows.clone()],
            values: &self.values[rows.clone()],
            spans: self.spans.get(rows.clone()).unwrap_or_default(),
            traces: self.traces.get(rows).unwrap_or_default(),
        });
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.stacks.capacity() * size_of::<u32>()
            + self.values.capacity() * size_of::<i64>()
            + self.spans.capacity() * size_of::<u64>()
            + self.traces.capacity() * 16
    }
}

fn traces(columns: &Columns<'_>) -> Result<Vec<[u8; 16]>, ReadError> {
    let parts = columns.parts::<FixedSizeBinaryArray>("trace_id")?;
    if parts.iter().all(|part| part.null_count() == part.len()) {
        return Ok(Vec::new());
    }
    let id = |id: Option<&[u8]>| id.map_or(Some([0; 16]), |id| id.try_into().ok());
    let ids: Option<Vec<[u8; 16]>> = parts.into_iter().flat_map(|part| part.iter()).map(id).collect();
    ids.ok_or_else(|| columns.damaged("a trace id is not 16 bytes"))
}

/// Some profiles of one series, to be read together.
#[derive(Debug)]
pub(super) struct Piece<'a> {
    pub(super) series: u32,
    pub(super) profiles: &'a [ProfileRow],
}

impl Piece<'_> {
    /// Its samples, counted from the partition's first.
    pub(super) fn rows(&self) -> Range<u64> {
        match (self.profiles.first(), self.profiles.last()) {
            (Some(first), Some(last)) => u64::from(first.samples_start)..u64::from(last.samples_end),
            _ => 0..0,
        }
    }
}

/// Cuts the wanted profiles into batches of at most `rows_max` samples (one profile may have more), in order of rows.
pub(super) fn batches<'a>(wanted: Vec<Piece<'a>>, rows_max: u64) -> Vec<Vec<Piece<'a>>> {
    let mut out: Vec<Vec<Piece<'a>>> = Vec::new();
    let mut room = 0_u64;
    for piece in wanted {
        let mut rest = piece.profiles;
        while !rest.is_empty() {
            if room == 0 {
                out.push(Vec::new());
                room = rows_max;
            }
            let start = u64::from(rest[0].samples_start);
            let fitting = rest.partition_point(|row| u64::from(row.samples_end) - start <= room);
            let is_new = out.last().is_some_and(Vec::is_empty);
            let taken = if is_new { fitting.max(1) } else { fitting };
            if taken == 0 {
                room = 0;
                continue;
            }
            let (now, later) = rest.split_at(taken);
            let piece = Piece { series: piece.series, profiles: now };
            room = room.saturating_sub(piece.rows().end - piece.rows().start);
            out.last_mut().expect("pushed above").push(piece);
            rest = later;
        }
    }
    out
}

/// Multiplies all samples of a partition by their series' scales.
pub(super) fn multiply_all(samples: &mut Samples, index: &PartitionIndex) {
    for (series, scale) in index.scales.iter().enumerate() {
        samples.multiply(index.samples_of(series), *scale);
    }
}
