//! Merged profiles: sums by stack id, then the locations of the stacks that have a value.

use flamelake_block::reader::SymbolDetail;
use flamelake_model::query::{GoPgo, PartialQuery, QueryStats, SampleFilter};
use flamelake_pprof::frame::Line;
use flamelake_pprof::{FunctionParts, MappingParts, MappingRef, PprofBuilder};
use flamelake_symbols::SymbolSource;

use crate::call_site::CallSite;
use crate::select::{SeriesFilter, select};
use crate::stack_sums::{StackSums, sum_stacks};
use crate::{ProfileSource, SourceError};
use flamelake_block::pause::pause;

/// An uncompressed `google.v1.Profile`; no bytes when nothing matched.
pub(crate) async fn pprof(
    source: &dyn ProfileSource,
    query: &PartialQuery,
    filter: &SampleFilter,
    go_pgo: Option<GoPgo>,
    stats: &mut QueryStats,
) -> Result<Vec<u8>, SourceError> {
    let series_filter = SeriesFilter::for_values(query);
    let mut builder = PprofBuilder::with_go_pgo(go_pgo);
    // Shaping for PGO looks at whole profiles (contract `query.md` section 4, stack_trace_selector).
    let call_site: &[String] = if go_pgo.is_some() { &[] } else { &filter.call_site };
    for partition in select(source, &series_filter).await? {
        let symbols = source.symbols(partition.part, SymbolDetail::Locations).await?;
        let site = CallSite::resolve(&*symbols, call_site);
        if site.is_empty() {
            continue;
        }
        let stacks = symbols.stack_count();
        let sums = sum_stacks(source, &partition, &series_filter, filter, stacks, false, stats).await?;
        Translation::new(&*symbols).add(&sums, &site, &mut builder);
        pause().await;
    }
    Ok(if builder.is_empty() { Vec::new() } else { builder.encode(None) })
}

/// Ids of one partition's symbols to those of a builder, each translated when it is first met.
struct Translation<'a> {
    symbols: &'a dyn SymbolSource,
    mappings: Vec<Option<MappingRef>>,
    functions: Vec<Option<u32>>,
    locations: Vec<Option<u32>>,
}

impl<'a> Translation<'a> {
    fn new(symbols: &'a dyn SymbolSource) -> Self {
        Self { symbols, mappings: Vec::new(), functions: Vec::new(), locations: Vec::new() }
    }

    fn add(&mut self, sums: &StackSums, site: &CallSite, builder: &mut PprofBuilder) {
        let mut locations = Vec::new();
        sums.each(|stack, sum| {
            if !site.takes(self.symbols.function_node(stack)) {
                return;
            }
            locations.clear();
            // From the leaf to the root, as pprof lists them.
            let mut node = stack;
            while node != 0 {
                locations.push(self.location(self.symbols.stack_location(node), builder));
                node = self.symbols.stack_parent(node);
            }
            builder.sample(&locations, sum);
        });
    }

    fn location(&mut self, location: u32, builder: &mut PprofBuilder) -> u32 {
        if let Some(known) = slot(&mut self.locations, location) {
            return *known;
        }
        let view = self.symbols.location(location);
        let mapping = self.mapping(view.mapping, builder);
        let lines: Vec<Line> = view
            .lines
            .iter()
            .map(|line| Line { function: self.function(line.function, builder), line: line.line })
            .collect();
        let new = builder.location(mapping, view.address, view.is_folded, &lines);
        *slot(&mut self.locations, location) = Some(new);
        new
    }

    fn mapping(&mut self, mapping: u32, builder: &mut PprofBuilder) -> MappingRef {
        if let Some(known) = slot(&mut self.mappings, mapping) {
            return *known;
        }
        let view = self.symbols.mapping(mapping);
        let new = builder.mapping(MappingParts {
            memory_start: view.memory_start,
            memory_limit: view.memory_limit,
            file_offset: view.file_offset,
            filename: view.filename,
            build_id: view.build_id,
            has_functions: view.has_functions,
            has_filenames: view.has_filenames,
            has_line_numbers: view.has_line_numbers,
            has_inline_frames: view.has_inline_frames,
        });
        *slot(&mut self.mappings, mapping) = Some(new);
        new
    }

    fn function(&mut self, function: u32, builder: &mut PprofBuilder) -> u32 {
        if let Some(known) = slot(&mut self.functions, function) {
            return *known;
        }
        let view = self.symbols.function(function);
        let new = builder.function(FunctionParts {
            name: view.name,
            system_name: view.system_name,
            filename: view.filename,
            start_line: view.start_line,
        });
        *slot(&mut self.functions, function) = Some(new);
        new
    }
}

fn slot<T: Copy>(slots: &mut Vec<Option<T>>, id: u32) -> &mut Option<T> {
    let id = id as usize;
    if slots.len() <= id {
        slots.resize(id + 1, None);
    }
    &mut slots[id]
}
