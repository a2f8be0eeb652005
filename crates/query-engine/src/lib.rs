//! One engine over any source of profiles, head or block: select series, filter rows, aggregate by integer ids, name last.
//!
//! No I/O of its own, no wire types; answers are exact partial results of `model::query`.

mod source;

pub use source::{PartitionInfo, ProfileSource, SourceError};
