//! The ingester: makes frames durable, keeps the recent head in memory, answers for it, and cuts it into blocks.
//!
//! Promises: what `append` acknowledged is in the log and in the head (P1, P3); `query` answers exactly the rows above the given
//! watermarks (P2); queries work on immutable snapshots and hold up no writer; memory and queues are bounded (P5).
//! It knows nothing of pprof, HTTP or who routes to it: frames come in, partial results go out.

mod config;
mod service;
mod open_log;
mod append;
mod dedup;
mod head;
mod flush;
mod recovery;
mod query;
mod error;
mod metrics;
mod rpc;

pub use config::IngesterConfig;
pub use error::IngesterError;
pub use rpc::{IngesterRpc, RemoteIngester, ingester_service};
pub use service::{Ingester, IngesterDeps, NoRing, Registrar};
