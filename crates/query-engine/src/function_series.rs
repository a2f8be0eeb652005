//! Totals of functions over time: samples summed by bucket and function node, then each bucket propagated once over the nodes that it
//! touched. Stacks are never walked sample by sample.
//!
//! A partition is read in slices, see `slices`, so that the sums in memory stay few whatever the range is. Steps that may hold whole
//! rollups are read bucket by bucket, because a rollup counts only where it lies in one bucket whole.

mod slices;
mod fold;
mod cells;

use std::collections::HashMap;

use flamelake_block::pause::{SAMPLES_BETWEEN_PAUSES, pause};
use flamelake_block::reader::{SampleBatch, SymbolDetail};
use flamelake_model::function_series::{FunctionSeries, FunctionSeriesQuery};
use flamelake_model::query::{PartialQuery, QueryStats};
use flamelake_symbols::SymbolSource;

use self::cells::Cells;
use self::fold::Fold;
use self::slices::{Cell, Slice, Slices};
use crate::call_site::CallSite;
use crate::grid::Grid;
use crate::sample_filter::RowFilter;
use crate::select::{SERIES_PER_CALL, SelectedPartition, SeriesFilter, select};
use crate::stack_sums::{StackSums, foreign_stack};
use crate::{ProfileSource, SourceError};

/// Steps from here on may have whole rollups in a bucket: the shortest sum five minutes and begin at an edge, which belongs to the
/// bucket before.
const ROLLUP_STEP_MS: i64 = 600_000;

/// The points of every function and group, and the totals that they have shares of.
pub(crate) async fn function_series(
    source: &dyn ProfileSource,
    query: &PartialQuery,
    asked: &FunctionSeriesQuery,
    stats: &mut QueryStats,
) -> Result<FunctionSeries, SourceError> {
    let filter = SeriesFilter::for_values(query);
    let grid = Grid::new(asked.selection.range, asked.step_ms);
    let rows = RowFilter::new(&asked.filter);
    let by_rollups = rows.takes_all() && asked.step_ms >= ROLLUP_STEP_MS;
    let mut cells = Cells::new(grid);
    for partition in select(source, &filter).await? {
        let symbols = source.symbols(partition.part, SymbolDetail::Functions).await?;
        let site = CallSite::resolve(&*symbols, &asked.filter.call_site);
        if site.is_empty() {
            continue;
        }
        let groups = Groups::of(&partition, &asked.group_by, &mut cells);
        let slices = Slices::plan(source, &partition, &filter, &rows, grid, &groups, by_rollups).await?;
        let reading =
            Reading { source, partition: &partition, symbols: &*symbols, site, rows: &rows, grid, groups, by_rollups };
        let mut fold = Fold::new(&*symbols, &asked.functions);
        cells.enter(&*symbols);
        for slice in slices {
            let sums = reading.sum(&slice, stats).await?;
            let mut since_pause = 0;
            for (cell, sums) in slice.cells.iter().zip(sums) {
                since_pause += fold.run(&sums);
                cells.add(*cell, &fold, &*symbols)?;
                if since_pause >= SAMPLES_BETWEEN_PAUSES {
                    pause().await;
                    since_pause = 0;
                }
            }
            pause().await;
        }
    }
    cells.finish()
}

/// Number of the group of each selected series of a partition.
struct Groups(HashMap<u32, u32>);

impl Groups {
    fn of(partition: &SelectedPartition, group_by: &[String], cells: &mut Cells) -> Self {
        let group = |&series: &u32| {
            let labels = &partition.entries[series as usize].labels;
            (series, cells.group(group_by.iter().map(|name| labels.get(name).map(str::to_owned)).collect()))
        };
        Self(partition.series.iter().map(group).collect())
    }

    fn get(&self, series: u32) -> Option<u32> {
        self.0.get(&series).copied()
    }
}

/// How one partition is read.
struct Reading<'a> {
    source: &'a dyn ProfileSource,
    partition: &'a SelectedPartition,
    symbols: &'a dyn SymbolSource,
    site: CallSite,
    rows: &'a RowFilter,
    grid: Grid,
    groups: Groups,
    by_rollups: bool,
}

impl Reading<'_> {
    /// Sums of the slice's cells by function node, in the order of its cells.
    async fn sum(&self, slice: &Slice, stats: &mut QueryStats) -> Result<Vec<StackSums>, SourceError> {
        let (stacks, nodes) = (self.symbols.stack_count(), self.symbols.function_node_count());
        let mut sums: Vec<StackSums> = slice.cells.iter().map(|_| StackSums::new(nodes)).collect();
        let mut in_range = true;
        let wanted = |series: &&u32| self.groups.get(**series).is_some_and(|group| slice.has_group(group));
        let series: Vec<u32> = self.partition.series.iter().filter(wanted).copied().collect();
        for series in series.chunks(SERIES_PER_CALL) {
            let mut sink = |batch: SampleBatch<'_>| {
                let Some(group) = self.groups.get(batch.series) else { return };
                for profile in batch.profiles.iter().filter(|profile| self.rows.takes_profile(profile)) {
                    let bucket = self.grid.bucket(profile.time_ns);
                    let Some(cell) = bucket.and_then(|bucket| slice.find(Cell { bucket, group })) else { continue };
                    stats.profiles += 1;
                    stats.samples += u64::from(profile.samples_end.saturating_sub(profile.samples_start));
                    self.rows.each_sample(&batch, profile, |stack, value| {
                        in_range &= stack < stacks;
                        if value <= 0 || stack >= stacks {
                            return;
                        }
                        let node = self.symbols.function_node(stack);
                        // Stacks without any name end in the root: they are in no flame graph.
                        if node != 0 && self.site.takes(node) {
                            sums[cell].add(node, value);
                        }
                    });
                }
            };
            let (part, (from, to)) = (self.partition.part, slice.instants(self.grid));
            if self.by_rollups {
                self.source.summed(part, series, from, to, &mut sink).await?;
            } else {
                self.source.samples(part, series, from, to, self.rows.columns(), &mut sink).await?;
            }
            pause().await;
        }
        if in_range { Ok(sums) } else { Err(foreign_stack(self.source)) }
    }
}
