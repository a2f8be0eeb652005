//! The log: what makes a batch durable before it is acknowledged (promise P1; architecture section 4).
//!
//! Reading order: [`Segment`] is what is written; [`log`] says what a log does, [`file_log`] and [`object_log`] do it on a disk and in a
//! bucket, and one suite (feature `test-suite`) holds both to it; [`Journal`] is the open epoch with its group commit; [`OldEpoch`] replays.
//!
//! Knows nothing of heads, blocks or catalogs, and does not look into frames: who applies and who covers is told through [`Apply`]
//! and [`Journal::delete_covered`].

mod config;
mod error;
mod segment;
pub mod log;
pub mod file_log;
pub mod object_log;
mod journal;
mod old_epoch;
mod metrics;
mod open;
#[cfg(any(test, feature = "test-suite"))]
pub mod suite;

pub use config::JournalConfig;
pub use error::JournalError;
pub use file_log::FileLogStore;
pub use journal::{Apply, Journal};
pub use log::{LogId, LogStore};
pub use metrics::JournalMetrics;
pub use object_log::ObjectLogStore;
pub use old_epoch::{OldEpoch, SegmentStream, older_epochs};
pub use open::open_log_store;
pub use segment::{JournalEntry, Segment, SegmentError};
