//! One engine over any source of profiles, head or block: select series, filter rows, aggregate by integer ids, name last.
//!
//! No I/O of its own, no wire types; answers are exact partial results of `model::query`: they do not depend on how the rows are
//! spread over sources (promise P8). Work is proportional to the rows in range plus the function nodes of the touched partitions,
//! never to samples times depth, and label questions never open rows (performance.md section 3.10).

mod source;
mod block_source;
mod execute;
mod select;
mod labels;
mod sample_filter;
mod call_site;
mod stack_sums;
mod tree;
mod pprof;
mod grid;
mod time_series;
mod function_series;
mod functions;
mod heatmap;
mod merge;
mod bounds;

pub use execute::execute;
pub use merge::Merger;
pub use source::{PartitionInfo, ProfileSource, SourceError, each_function};

#[cfg(test)]
mod tests;
