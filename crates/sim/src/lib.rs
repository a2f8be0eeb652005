//! A deterministic simulation of a cluster: the real journal, catalog, ring and roles in processes that are simulated, over a network,
//! an object store and an etcd that are simulated, with faults drawn from a seed (`docs/simulation.md`).
//!
//! One thread, one queue of events, one generator: a seed always tells the same story, to the byte. A *process* is a tokio runtime of a
//! single thread, without timers and I/O of its own: dropping it kills the process at whatever await point its tasks stand, not running
//! it freezes it. Time, randomness, the store, etcd and peers come in through the traits that the server uses.
//!
//! Never shipped in the server. Knows the roles, as `flamelake` does, because it builds them.

mod world;
mod process;
mod clock;
mod store;
mod etcd;
mod cluster;
mod life;
mod ledger;
mod plant;
mod plan;
mod driver;

pub use driver::{Report, run, run_traced};
pub use plant::Plant;
