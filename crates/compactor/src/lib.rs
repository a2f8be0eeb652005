//! The compactor: merging of blocks, retention by whole blocks, deletes by selector, and sweeping of files that no catalog version needs.
//!
//! It owns no state: what it does twice or too late costs work, never data, because the catalog decides (architecture section 5).

mod config;
mod ownership;
mod service;
mod plan;
mod compact;
mod merge;
mod delete;
mod retention;
mod status;
mod error;
mod metrics;

pub use config::CompactorConfig;
pub use delete::{DeleteError, DeleteRequest, DeleteState, DeleteStatus, Receipt, delete_routes};
pub use error::MergeError;
pub use ownership::{Ownership, OwnsAll};
pub use plan::{Job, PlanLimits, plan};
pub use service::{Compactor, CompactorDeps};
pub use status::{CompactorRpc, CompactorStatus, MergeStatus, SetAside, compactor_service, status_routes};
