//! The values every part of Flamelake speaks in: tenants, labels, selectors, profile types, time, trees, series, queries.
//!
//! Pure values. No I/O, no async, no wire types, no storage layout: those live in `api`, `block` and `journal`.

mod error_code;
mod tenant;
mod time;
mod labels;
mod profile_type;
mod profile_id;
pub mod selector;
pub mod relabel;
pub mod usage_group;
pub mod recording_rule;
pub mod tree;
pub mod flamegraph;
pub mod flamegraph_diff;
pub mod query;
pub mod time_series;
pub mod function_series;
pub mod function_index;
pub mod compare;
pub mod heatmap;

pub use error_code::{Coded, ErrorCode, StatusError};
pub use labels::{Label, Labels, LabelsBuilder, label_name};
pub use profile_id::ProfileId;
pub use profile_type::{ProfileType, ProfileTypeError};
pub use tenant::{TenantId, TenantIdError};
pub use time::{TimeRange, TimeRangeError, TimestampMs, TimestampNs};
