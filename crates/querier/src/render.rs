//! Exact answers to what clients draw: cut once, laid out, encoded. All of it takes CPU: call it off the async threads.

use flamelake_api::google::v1 as pprof;
use flamelake_api::querier::v1;
use flamelake_model::flamegraph::FlameGraph;
use flamelake_model::flamegraph_diff::FlameGraphDiff;
use flamelake_model::tree::Tree;
use flamelake_model::{ProfileType, StatusError, TimestampMs};
use flamelake_pprof::{DOT_NODES_DEFAULT, DOT_SOURCE_NODES, PprofBuilder, PprofMeta};
use prost::Message as _;

use crate::error::QuerierError;

/// A flame graph of at most `max_nodes` nodes (ties stay).
pub(crate) fn flamegraph(tree: &Tree, max_nodes: Option<usize>) -> v1::FlameGraph {
    let FlameGraph { names, levels, total, max_self } = FlameGraph::new(&tree.view(max_nodes));
    v1::FlameGraph { names, levels: levels.into_iter().map(level).collect(), total, max_self }
}

/// Tree bytes of at most `max_nodes` nodes (ties stay).
pub(crate) fn tree_bytes(tree: &Tree, max_nodes: Option<usize>) -> Vec<u8> {
    tree.view(max_nodes).to_bytes()
}

/// Two exact trees, cut as one.
pub(crate) fn diff(left: &Tree, right: &Tree, max_nodes: Option<usize>) -> Result<v1::FlameGraphDiff, StatusError> {
    let graph = FlameGraphDiff::new(left, right, max_nodes)?;
    Ok(v1::FlameGraphDiff {
        names: graph.names,
        levels: graph.levels.into_iter().map(level).collect(),
        total: graph.total,
        max_self: graph.max_self,
        left_ticks: graph.left_ticks,
        right_ticks: graph.right_ticks,
    })
}

/// A merged profile of the answered type; an empty message when there are no samples.
pub(crate) fn profile(
    bytes: &[u8],
    profile_type: &ProfileType,
    end: TimestampMs,
    max_nodes: Option<usize>,
) -> Result<pprof::Profile, StatusError> {
    let mut builder = read(bytes)?;
    if builder.is_empty() {
        return Ok(pprof::Profile::default());
    }
    if let Some(max_nodes) = max_nodes {
        builder.truncate(max_nodes);
    }
    let encoded = builder.encode(Some(&PprofMeta::of(profile_type, end)));
    pprof::Profile::decode(encoded.as_slice()).map_err(|_| StatusError::from_coded(&QuerierError::Mismatch))
}

/// Graphviz text; empty when there are no samples.
pub(crate) fn dot(bytes: &[u8], profile_type: &ProfileType, max_nodes: Option<usize>) -> Result<String, StatusError> {
    let mut builder = read(bytes)?;
    let max_nodes = max_nodes.unwrap_or(DOT_NODES_DEFAULT);
    builder.truncate(max_nodes.max(DOT_SOURCE_NODES));
    Ok(flamelake_pprof::dot(&builder, &profile_type.to_string(), &profile_type.sample_unit, max_nodes))
}

fn read(bytes: &[u8]) -> Result<PprofBuilder, StatusError> {
    let mut builder = PprofBuilder::new();
    builder.merge_encoded(bytes).map_err(|_| StatusError::from_coded(&QuerierError::Mismatch))?;
    Ok(builder)
}

fn level(values: Vec<i64>) -> v1::Level {
    v1::Level { values }
}
