//! The catalog: which blocks of a tenant count, and up to where each log lies in blocks (promise P2; architecture section 5).
//!
//! A chain of commits, each an object whose name can be taken once; a [`CatalogState`] is what the chain up to a version says.
//! [`CatalogStore::load`] confirms and [`CatalogStore::commit`] extends it; both judge by what is stored, never by who they think won.
//!
//! Knows nothing of heads and rings, and does not open blocks.

mod config;
mod error;
mod commit;
mod state;
mod keys;
mod cache;
mod store;
mod load;
mod rescue;
mod write;
mod sweep;
mod metrics;
#[cfg(test)]
mod fuzz;

pub use commit::{Commit, StoredCommit};
pub use config::CatalogConfig;
pub use error::CatalogError;
pub use flamelake_block::meta::{LogRange, Ulid};
pub use state::{CatalogState, InvalidCommit};
pub use store::CatalogStore;
pub use sweep::SweepReport;
pub use write::CommitOutcome;
