//! Totals over time: profiles to buckets, grouped by label values; exemplars on request.
//!
//! A bucket is named by its right edge `t` and holds `(t - step, t]`, the first one `[start - step, start]` (contract `query.md`
//! section 4, SelectSeries). Times are compared in nanoseconds, so a profile a nanosecond after `t` is in the next bucket.

mod points;

use std::collections::HashMap;

use flamelake_block::reader::SeriesEntry;
use flamelake_block::rows::ProfileRow;
use flamelake_model::Label;
use flamelake_model::query::{
    ExemplarKind, PartialQuery, PartialTimeSeries, QueryStats, SampleFilter, TimeSeriesQuery,
};

use self::points::Points;
use crate::bounds::{check_exemplar_candidates, check_points};
use crate::call_site::CallSite;
use crate::grid::Grid;
use crate::labels::annotation;
use crate::sample_filter::RowFilter;
use crate::select::{SERIES_PER_CALL, SelectedPartition, SeriesFilter, select};
use crate::stack_sums::foreign_stack;
use crate::{ProfileSource, SourceError};
use flamelake_block::pause::pause;

/// The points of every group, sorted by group.
pub(crate) async fn time_series(
    source: &dyn ProfileSource,
    query: &PartialQuery,
    series_query: &TimeSeriesQuery,
    stats: &mut QueryStats,
) -> Result<Vec<PartialTimeSeries>, SourceError> {
    let filter = SeriesFilter::for_values(query);
    let mut buckets = Buckets::new(series_query);
    for partition in select(source, &filter).await? {
        buckets.enter(&partition);
        if series_query.filter.call_site.is_empty() {
            sum_profiles(source, &partition, &filter, &mut buckets, stats).await?;
        } else {
            sum_samples(source, &partition, &filter, &series_query.filter, &mut buckets, stats).await?;
        }
    }
    Ok(buckets.finish())
}

/// Adds profile totals: samples are not touched.
async fn sum_profiles(
    source: &dyn ProfileSource,
    partition: &SelectedPartition,
    filter: &SeriesFilter<'_>,
    buckets: &mut Buckets<'_>,
    stats: &mut QueryStats,
) -> Result<(), SourceError> {
    for series in partition.series.chunks(SERIES_PER_CALL) {
        let mut sink = |series: u32, profiles: &[ProfileRow]| {
            stats.profiles += profiles.len() as u64;
            profiles.iter().for_each(|profile| buckets.add(series, profile, profile.total));
        };
        source.profiles(partition.part, series, filter.from, filter.to, &mut sink).await?;
        buckets.check()?;
        pause().await;
    }
    Ok(())
}

/// Adds the samples below the call site; profiles without any do not count.
async fn sum_samples(
    source: &dyn ProfileSource,
    partition: &SelectedPartition,
    filter: &SeriesFilter<'_>,
    sample_filter: &SampleFilter,
    buckets: &mut Buckets<'_>,
    stats: &mut QueryStats,
) -> Result<(), SourceError> {
    let symbols = source.symbols(partition.part, flamelake_block::reader::SymbolDetail::Functions).await?;
    let site = CallSite::resolve(&*symbols, &sample_filter.call_site);
    if site.is_empty() {
        return Ok(());
    }
    let (rows, stacks) = (RowFilter::new(&SampleFilter::default()), symbols.stack_count());
    let mut in_range = true;
    for series in partition.series.chunks(SERIES_PER_CALL) {
        let mut sink = |batch: flamelake_block::reader::SampleBatch<'_>| {
            for profile in batch.profiles {
                stats.profiles += 1;
                stats.samples += u64::from(profile.samples_end.saturating_sub(profile.samples_start));
                let mut sum = None;
                rows.each_sample(&batch, profile, |stack, value| {
                    in_range &= stack < stacks;
                    if stack < stacks && site.takes(symbols.function_node(stack)) {
                        sum = Some(sum.unwrap_or(0_i64).wrapping_add(value));
                    }
                });
                if let Some(sum) = sum {
                    buckets.add(batch.series, profile, sum);
                }
            }
        };
        source.samples(partition.part, series, filter.from, filter.to, rows.columns(), &mut sink).await?;
        buckets.check()?;
        pause().await;
    }
    if in_range { Ok(()) } else { Err(foreign_stack(source)) }
}

/// All groups so far, and the series of the partition at hand.
struct Buckets<'a> {
    query: &'a TimeSeriesQuery,
    grid: Grid,
    groups: HashMap<Vec<Option<String>>, usize>,
    points: Vec<Points>,
    /// Of the partition at hand.
    entries: std::sync::Arc<[SeriesEntry]>,
    /// Group of each of its series.
    group_of: HashMap<u32, usize>,
    /// What was noted at the push of those of its series that are not simply kept.
    annotation_of: HashMap<u32, Label>,
    /// Number of the labels kept for exemplars of each of its series.
    exemplars: bool,
}

impl<'a> Buckets<'a> {
    fn new(query: &'a TimeSeriesQuery) -> Self {
        Self {
            query,
            grid: Grid::new(query.selection.range, query.step_ms),
            groups: HashMap::new(),
            points: Vec::new(),
            entries: std::sync::Arc::new([]),
            group_of: HashMap::new(),
            annotation_of: HashMap::new(),
            exemplars: query.exemplars == ExemplarKind::Individual,
        }
    }

    /// Assigns the partition's series to groups.
    fn enter(&mut self, partition: &SelectedPartition) {
        self.entries = partition.entries.clone();
        self.group_of.clear();
        self.annotation_of.clear();
        for &series in &partition.series {
            let labels = &self.entries[series as usize].labels;
            let key = self.query.group_by.iter().map(|name| labels.get(name).map(str::to_owned)).collect();
            let next = self.groups.len();
            let group = *self.groups.entry(key).or_insert(next);
            if group == next {
                self.points.push(Points::default());
            }
            self.group_of.insert(series, group);
            if let Some(annotation) = annotation(labels) {
                self.annotation_of.insert(series, annotation);
            }
        }
    }

    fn add(&mut self, series: u32, profile: &ProfileRow, value: i64) {
        let (Some(&group), Some(bucket)) = (self.group_of.get(&series), self.grid.bucket(profile.time_ns)) else {
            return;
        };
        let points = &mut self.points[group];
        points.add(bucket, value);
        if let Some(annotation) = self.annotation_of.get(&series) {
            points.annotate(bucket, annotation);
        }
        if self.exemplars {
            points.nominate(bucket, profile, value, &self.entries[series as usize].labels);
        }
    }

    fn check(&self) -> Result<(), SourceError> {
        check_points(self.points.iter().map(Points::len).sum())?;
        check_exemplar_candidates(self.points.iter().map(Points::candidates).sum())
    }

    fn finish(mut self) -> Vec<PartialTimeSeries> {
        let mut series: Vec<PartialTimeSeries> = self
            .groups
            .into_iter()
            .map(|(group, at)| {
                let points = std::mem::take(&mut self.points[at]).finish(&self.grid, &self.query.group_by);
                PartialTimeSeries { group, points }
            })
            .filter(|series| !series.points.is_empty())
            .collect();
        series.sort_by(|left, right| left.group.cmp(&right.group));
        series
    }
}
