//! pprof bytes to normalised frames and back. No I/O, no async.

mod error;
pub mod inflate;
mod reader;
pub mod scan;
pub mod frame;
mod series_labels;

pub use error::{DecodeError, RejectReason};
pub use series_labels::series_labels;
