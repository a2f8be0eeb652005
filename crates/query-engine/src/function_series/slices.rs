//! How a partition is read: which buckets of which groups at a time.
//!
//! Profile rows tell how many samples each cell has before any sample is read. Neighbouring cells, in order of time, are read together
//! until they have [`SLICE_SAMPLES_MAX`] samples; a cell alone holds at most a sum for each function node, however many samples it has.

use std::collections::BTreeMap;

use flamelake_block::pause::pause;
use flamelake_block::rows::ProfileRow;
use flamelake_model::TimestampNs;

use super::Groups;
use crate::bounds::check_function_points;
use crate::grid::Grid;
use crate::sample_filter::RowFilter;
use crate::select::{SERIES_PER_CALL, SelectedPartition, SeriesFilter};
use crate::{ProfileSource, SourceError};

/// Samples of a slice of several cells: their sums take 64 MiB at the very most. Tests have more slices than one.
const SLICE_SAMPLES_MAX: u64 = if cfg!(test) { 8 } else { 512 * 1024 };

/// One bucket of one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cell {
    pub(super) bucket: u64,
    pub(super) group: u32,
}

/// Cells that are read together: neighbours in order of time.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Slice {
    /// Sorted, never empty.
    pub(super) cells: Vec<Cell>,
}

impl Slice {
    /// Number of a cell in the slice.
    pub(super) fn find(&self, cell: Cell) -> Option<usize> {
        self.cells.binary_search(&cell).ok()
    }

    /// Whether the slice may have cells of a group.
    pub(super) fn has_group(&self, group: u32) -> bool {
        match (self.cells.first(), self.cells.last()) {
            (Some(first), Some(last)) if first.bucket == last.bucket => (first.group..=last.group).contains(&group),
            _ => true,
        }
    }

    /// First and last instant.
    pub(super) fn instants(&self, grid: Grid) -> (TimestampNs, TimestampNs) {
        let edge = |cell: Option<&Cell>| grid.instants(cell.map_or(0, |cell| cell.bucket));
        (edge(self.cells.first()).0, edge(self.cells.last()).1)
    }
}

/// The slices of one partition, in order of time.
pub(super) struct Slices {
    /// Samples of each cell.
    cells: std::iter::Peekable<std::collections::btree_map::IntoIter<Cell, u64>>,
    /// Slices never have more than one bucket.
    by_bucket: bool,
}

impl Slices {
    /// Counts the samples of each cell from profile rows.
    pub(super) async fn plan(
        source: &dyn ProfileSource,
        partition: &SelectedPartition,
        filter: &SeriesFilter<'_>,
        rows: &RowFilter,
        grid: Grid,
        groups: &Groups,
        by_bucket: bool,
    ) -> Result<Self, SourceError> {
        let mut cells: BTreeMap<Cell, u64> = BTreeMap::new();
        for series in partition.series.chunks(SERIES_PER_CALL) {
            let mut sink = |series: u32, profiles: &[ProfileRow]| {
                let Some(group) = groups.get(series) else { return };
                for profile in profiles.iter().filter(|profile| rows.takes_profile(profile)) {
                    if let Some(bucket) = grid.bucket(profile.time_ns) {
                        let samples = u64::from(profile.samples_end.saturating_sub(profile.samples_start));
                        *cells.entry(Cell { bucket, group }).or_default() += samples;
                    }
                }
            };
            source.profiles(partition.part, series, filter.from, filter.to, &mut sink).await?;
            check_function_points(cells.len())?;
            pause().await;
        }
        Ok(Self::of(cells, by_bucket))
    }

    fn of(cells: BTreeMap<Cell, u64>, by_bucket: bool) -> Self {
        Self { cells: cells.into_iter().peekable(), by_bucket }
    }
}

impl Iterator for Slices {
    type Item = Slice;

    fn next(&mut self) -> Option<Slice> {
        let (first, mut samples) = self.cells.next()?;
        let mut cells = vec![first];
        let by_bucket = self.by_bucket;
        while let Some((cell, more)) = self.cells.next_if(|(cell, more)| {
            samples.saturating_add(*more) <= SLICE_SAMPLES_MAX && (cell.bucket == first.bucket || !by_bucket)
        }) {
            samples += more;
            cells.push(cell);
        }
        Some(Slice { cells })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Slices as `bucket.group` lists.
    fn slices(cells: &[(u64, u32, u64)], by_bucket: bool) -> Vec<String> {
        let cells = cells.iter().map(|&(bucket, group, samples)| (Cell { bucket, group }, samples)).collect();
        let cell = |cell: &Cell| format!("{}.{}", cell.bucket, cell.group);
        let slice = |slice: Slice| slice.cells.iter().map(cell).collect::<Vec<_>>().join(" ");
        Slices::of(cells, by_bucket).map(slice).collect()
    }

    #[test]
    fn neighbours_are_read_together_until_they_are_too_many() {
        let half = SLICE_SAMPLES_MAX / 2;
        let cells =
            [(1, 0, half), (1, 1, 1), (4, 0, half - 1), (5, 0, 1), (6, 0, 9 * half), (6, 1, half), (6, 2, half)];
        assert_eq!(slices(&cells, false), ["1.0 1.1 4.0", "5.0", "6.0", "6.1 6.2"]);
        assert_eq!(slices(&cells, true), ["1.0 1.1", "4.0", "5.0", "6.0", "6.1 6.2"]);
        assert_eq!(slices(&[], true), [""; 0]);
    }

    #[test]
    fn slices_of_one_bucket_need_only_the_series_of_their_groups() {
        let slice = |cells: &[(u64, u32)]| Slice {
            cells: cells.iter().map(|&(bucket, group)| Cell { bucket, group }).collect(),
        };
        let has = |slice: &Slice| [0, 1, 2, 3].map(|group| slice.has_group(group));
        assert_eq!(has(&slice(&[(7, 1), (7, 2)])), [false, true, true, false]);
        assert_eq!(has(&slice(&[(7, 1), (8, 0)])), [true; 4]);
    }
}
