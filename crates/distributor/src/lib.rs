//! Accepts profiles: decode, validate, limit, split, route. What it acknowledges, an ingester has made durable.
//!
//! Stateless but for rate-limit buckets and counters. Knows nothing of logs, heads, blocks or queries: it meets ingesters only
//! through `api::roles`, and hands them normalised frames, never pprof.

mod service;
mod rpc;
mod otlp;
mod http;
mod decode;
mod batch;
mod push;
mod route;
mod heat;
mod prepare;
mod limits;
mod labels;
mod relabel;
mod usage;
mod costs;
mod service_version;
mod profile_id;
mod rate_limit;
mod active_series;
mod inflight;
mod config;
mod metrics;
mod refusals;
mod error;

pub use batch::{Content, PushBatch, PushSeries, RawProfile};
pub use config::DistributorConfig;
pub use error::{PushError, Reason};
pub use http::{read_body, routes};
pub use route::{RouteDeps, RoutedIngesters};
pub use rpc::{read_otlp, register};
pub use service::{Distributor, DistributorDeps, Distributors};
