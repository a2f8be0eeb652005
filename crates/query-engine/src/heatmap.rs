//! Heatmaps: profiles or spans to dots, grouped by label values. Cells are counted at the root, which alone knows the rows.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use flamelake_block::reader::{SampleBatch, SampleColumns, SeriesEntry};
use flamelake_block::rows::ProfileRow;
use flamelake_model::heatmap::{DOTS_MAX, Dot, DotKey, DotKind, HeatmapDots, HeatmapQuery};
use flamelake_model::query::{PartialQuery, QueryStats};
use flamelake_model::{Labels, ProfileId, TimestampNs};

use crate::bounds::check_dots;
use crate::labels::public;
use crate::select::{SERIES_PER_CALL, SelectedPartition, SeriesFilter, select};
use crate::{ProfileSource, SourceError};
use flamelake_block::pause::pause;

/// The dots of every group, sorted by group.
pub(crate) async fn heatmap(
    source: &dyn ProfileSource,
    query: &PartialQuery,
    heatmap_query: &HeatmapQuery,
    stats: &mut QueryStats,
) -> Result<Vec<HeatmapDots>, SourceError> {
    let filter = SeriesFilter::for_values(query);
    let mut groups = Groups::new(heatmap_query);
    for partition in select(source, &filter).await? {
        groups.enter(&partition);
        match heatmap_query.kind {
            DotKind::Profile => profiles(source, &partition, &filter, &mut groups, stats).await?,
            DotKind::Span => spans(source, &partition, &filter, &mut groups, stats).await?,
        }
    }
    Ok(groups.finish())
}

async fn profiles(
    source: &dyn ProfileSource,
    partition: &SelectedPartition,
    filter: &SeriesFilter<'_>,
    groups: &mut Groups<'_>,
    stats: &mut QueryStats,
) -> Result<(), SourceError> {
    for series in partition.series.chunks(SERIES_PER_CALL) {
        let mut sink = |series: u32, profiles: &[ProfileRow]| {
            stats.profiles += profiles.len() as u64;
            for profile in profiles {
                let key = DotKey {
                    time: TimestampNs(profile.time_ns),
                    profile_id: profile.id,
                    span_id: 0,
                    trace_id: [0; 16],
                };
                groups.add(series, key, profile.total);
            }
        };
        source.profiles(partition.part, series, filter.from, filter.to, &mut sink).await?;
        check_dots(groups.count)?;
        pause().await;
    }
    Ok(())
}

async fn spans(
    source: &dyn ProfileSource,
    partition: &SelectedPartition,
    filter: &SeriesFilter<'_>,
    groups: &mut Groups<'_>,
    stats: &mut QueryStats,
) -> Result<(), SourceError> {
    let columns = SampleColumns { spans: true, traces: true };
    for series in partition.series.chunks(SERIES_PER_CALL) {
        let mut sink = |batch: SampleBatch<'_>| {
            for profile in batch.profiles {
                stats.profiles += 1;
                stats.samples += u64::from(profile.samples_end.saturating_sub(profile.samples_start));
                each_span(&batch, profile, |key, value| groups.add(batch.series, key, value));
            }
        };
        source.samples(partition.part, series, filter.from, filter.to, columns, &mut sink).await?;
        check_dots(groups.count)?;
        pause().await;
    }
    Ok(())
}

/// Calls `take` for each sample of a profile that was taken in a span: 0 is no span.
fn each_span(batch: &SampleBatch<'_>, profile: &ProfileRow, mut take: impl FnMut(DotKey, i64)) {
    for at in profile.samples_start as usize..profile.samples_end as usize {
        let (Some(&span_id), Some(&value)) = (batch.spans.get(at), batch.values.get(at)) else { return };
        if span_id != 0 {
            let trace_id = batch.traces.get(at).copied().unwrap_or_default();
            let time = TimestampNs(profile.time_ns);
            take(DotKey { time, profile_id: ProfileId([0; 16]), span_id, trace_id }, value);
        }
    }
}

/// All groups so far, and the series of the partition at hand.
struct Groups<'a> {
    query: &'a HeatmapQuery,
    groups: HashMap<Vec<Option<String>>, usize>,
    dots: Vec<BTreeMap<DotKey, Dot>>,
    count: usize,
    /// Group of each series of the partition at hand, and the labels of its dots.
    series: HashMap<u32, (usize, Labels)>,
}

impl<'a> Groups<'a> {
    fn new(query: &'a HeatmapQuery) -> Self {
        Self { query, groups: HashMap::new(), dots: Vec::new(), count: 0, series: HashMap::new() }
    }

    /// Assigns the partition's series to groups.
    fn enter(&mut self, partition: &SelectedPartition) {
        self.series.clear();
        let entries: &Arc<[SeriesEntry]> = &partition.entries;
        for &series in &partition.series {
            let labels = &entries[series as usize].labels;
            let key = self.query.group_by.iter().map(|name| labels.get(name).map(str::to_owned)).collect();
            let next = self.groups.len();
            let group = *self.groups.entry(key).or_insert(next);
            if group == next {
                self.dots.push(BTreeMap::new());
            }
            let of_dots =
                if self.query.labels { public(&labels.without(&self.query.group_by)) } else { Labels::default() };
            self.series.insert(series, (group, of_dots));
        }
    }

    fn add(&mut self, series: u32, key: DotKey, value: i64) {
        let Some((group, labels)) = self.series.get(&series) else { return };
        let dot = Dot { key, value, labels: labels.clone() };
        match self.dots[*group].get_mut(&key) {
            Some(known) => known.add(&dot),
            // One too many is enough to refuse the question after this call.
            None if self.count > DOTS_MAX => {}
            None => {
                self.count += 1;
                self.dots[*group].insert(key, dot);
            }
        }
    }

    fn finish(mut self) -> Vec<HeatmapDots> {
        let mut groups: Vec<HeatmapDots> = self
            .groups
            .into_iter()
            .map(|(group, at)| HeatmapDots { group, dots: std::mem::take(&mut self.dots[at]).into_values().collect() })
            .filter(|group| !group.dots.is_empty())
            .collect();
        groups.sort_by(|left, right| left.group.cmp(&right.group));
        groups
    }
}
