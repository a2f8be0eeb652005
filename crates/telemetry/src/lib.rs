//! How the process tells about itself: logs, traces, metrics, build info. No product knowledge.

mod build_info;
mod config;
mod logfmt;
mod logs;
mod spans;
mod exemplars;
mod metrics;
mod process;

pub use build_info::BuildInfo;
pub use config::TelemetryConfig;
pub use exemplars::{Exemplars, OPEN_METRICS};
pub use logs::{TelemetryError, TelemetryGuard, init};
pub use metrics::{encode, new_registry};
pub use spans::{SPAN, TraceIds, continue_trace, trace_headers, trace_of};
