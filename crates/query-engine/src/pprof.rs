//! Merged profiles: sums by stack id, then the locations of each stack.

use flamelake_block::reader::SymbolDetail;
use flamelake_model::query::{GoPgo, PartialQuery, QueryStats, SampleFilter, Selection};

use crate::call_site::CallSite;
use crate::pause::pause;
use crate::select::{SeriesFilter, select};
use crate::stack_sums::sum_stacks;
use crate::{ProfileSource, SourceError};

/// An uncompressed `google.v1.Profile`; no bytes when nothing matched.
pub(crate) async fn pprof(
    source: &dyn ProfileSource,
    query: &PartialQuery,
    _selection: &Selection,
    filter: &SampleFilter,
    go_pgo: Option<GoPgo>,
    stats: &mut QueryStats,
) -> Result<Vec<u8>, SourceError> {
    let series_filter = SeriesFilter::for_values(query);
    for partition in select(source, &series_filter).await? {
        let symbols = source.symbols(partition.part, SymbolDetail::Locations).await?;
        let call_site: &[String] = if go_pgo.is_some() { &[] } else { &filter.call_site };
        let site = CallSite::resolve(&*symbols, call_site);
        if site.is_empty() {
            continue;
        }
        let stacks = symbols.stack_count();
        let sums = sum_stacks(source, &partition, &series_filter, filter, stacks, false, stats).await?;
        sums.each(|stack, _sum| {
            let _ = site.takes(symbols.function_node(stack));
        });
        pause().await;
    }
    Ok(Vec::new())
}
