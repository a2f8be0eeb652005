//! Flame graphs: stack sums folded into function nodes, propagated once, names last.

use flamelake_block::reader::SymbolDetail;
use flamelake_model::query::{PartialQuery, QueryStats, SampleFilter};
use flamelake_model::tree::Tree;
use flamelake_symbols::SymbolSource;

use crate::call_site::CallSite;
use crate::select::{SeriesFilter, select};
use crate::stack_sums::{StackSums, sum_stacks};
use crate::{ProfileSource, SourceError};
use flamelake_block::pause::pause;

/// The exact tree of function names over all matching samples above 0.
pub(crate) async fn tree(
    source: &dyn ProfileSource,
    query: &PartialQuery,
    filter: &SampleFilter,
    stats: &mut QueryStats,
) -> Result<Tree, SourceError> {
    let series_filter = SeriesFilter::for_values(query);
    let mut tree = Tree::default();
    for partition in select(source, &series_filter).await? {
        let symbols = source.symbols(partition.part, SymbolDetail::Functions).await?;
        let site = CallSite::resolve(&*symbols, &filter.call_site);
        if site.is_empty() {
            continue;
        }
        let stacks = symbols.stack_count();
        let sums = sum_stacks(source, &partition, &series_filter, filter, stacks, true, stats).await?;
        let nodes = FunctionNodes::fold(&*symbols, &site, &sums);
        nodes.merge_into(&mut tree, &*symbols);
        pause().await;
    }
    Ok(tree)
}

/// Self values of function nodes, dense.
struct FunctionNodes {
    selfs: Vec<i64>,
    /// The node or one below it has a value.
    live: Vec<bool>,
}

impl FunctionNodes {
    fn fold(symbols: &dyn SymbolSource, site: &CallSite, sums: &StackSums) -> Self {
        let count = symbols.function_node_count() as usize;
        let mut nodes = Self { selfs: vec![0; count], live: vec![false; count] };
        sums.each(|stack, sum| {
            let node = symbols.function_node(stack);
            // Stacks without any name end in the root: they are in no flame graph.
            if node != 0 && site.takes(node) {
                nodes.selfs[node as usize] = nodes.selfs[node as usize].wrapping_add(sum);
                nodes.live[node as usize] = true;
            }
        });
        // Parents have smaller ids, so one pass down reaches every ancestor.
        for node in (1..count).rev() {
            if nodes.live[node] {
                nodes.live[symbols.function_node_parent(node as u32) as usize] = true;
            }
        }
        nodes
    }

    fn merge_into(&self, tree: &mut Tree, symbols: &dyn SymbolSource) {
        let live = (1..self.selfs.len()).filter(|node| self.live[*node]).map(|node| node as u32);
        tree.merge_nodes(live.map(|node| {
            let name = symbols.name(symbols.function_node_name(node));
            (node, symbols.function_node_parent(node), name, self.selfs[node as usize])
        }));
    }
}
