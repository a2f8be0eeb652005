//! The compactor: retention by whole blocks, and sweeping of files that no catalog version needs. Merging of blocks comes with the
//! cluster issue.
//!
//! It owns no state: what it does twice or too late costs work, never data, because the catalog decides (architecture section 5).

mod config;
mod service;
mod retention;
mod metrics;

pub use config::CompactorConfig;
pub use service::{Compactor, CompactorDeps};
