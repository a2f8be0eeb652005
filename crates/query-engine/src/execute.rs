//! The door: one question to one source.

use flamelake_model::query::{PartialAnswer, PartialQuery, PartialResult, QueryStats, Selection, TimeSpan};

use crate::select::SeriesFilter;
use crate::{ProfileSource, SourceError, function_series, functions, heatmap, labels, pprof, time_series, tree};

/// Answers a question from one source. Dropping the future cancels it at its next pause or read.
///
/// Errors: [`SourceError::Damaged`] when the source cannot be read, `resource_exhausted` when the answer would pass a bound.
pub async fn execute(source: &dyn ProfileSource, query: &PartialQuery) -> Result<PartialAnswer, SourceError> {
    let mut stats = QueryStats::default();
    let result = match query {
        PartialQuery::LabelNames(selection) => PartialResult::Strings(labels::names(source, query, selection).await?),
        PartialQuery::LabelValues { selection, name } => {
            PartialResult::Strings(labels::values(source, query, selection, name).await?)
        }
        PartialQuery::Series { selection, label_names } => {
            PartialResult::LabelSets(labels::series(source, query, selection, label_names).await?)
        }
        PartialQuery::Tree { filter, .. } => PartialResult::Tree(tree::tree(source, query, filter, &mut stats).await?),
        PartialQuery::Pprof { filter, go_pgo, .. } => {
            PartialResult::Pprof(pprof::pprof(source, query, filter, *go_pgo, &mut stats).await?)
        }
        PartialQuery::TimeSeries(series) => {
            PartialResult::TimeSeries(time_series::time_series(source, query, series, &mut stats).await?)
        }
        PartialQuery::FunctionSeries(series) => {
            PartialResult::FunctionSeries(function_series::function_series(source, query, series, &mut stats).await?)
        }
        PartialQuery::Functions(asked) => PartialResult::Functions(functions::functions(source, query, asked).await?),
        PartialQuery::Heatmap(heatmap) => {
            PartialResult::Heatmap(heatmap::heatmap(source, query, heatmap, &mut stats).await?)
        }
        PartialQuery::TimeSpan(selection) => PartialResult::TimeSpan(time_span(source, query, selection)),
    };
    Ok(PartialAnswer { result, stats })
}

/// From what partitions say of themselves: no series is looked at.
fn time_span(source: &dyn ProfileSource, query: &PartialQuery, selection: &Selection) -> Option<TimeSpan> {
    let filter = SeriesFilter::for_labels(query, selection);
    let spans = source.partitions().into_iter().filter(|partition| filter.admits(partition));
    spans
        .map(|partition| Some(TimeSpan { min: partition.min_time, max: partition.max_time }))
        .fold(None, TimeSpan::join)
}
