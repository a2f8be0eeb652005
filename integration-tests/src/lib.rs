//! The real server under test: starts, breaks and asks the binary `flamelake` over its public ports.
//!
//! Knows no crate of the server: only the wire. The binary is `FLAMELAKE_BIN`, else `release/flamelake` in the target folder;
//! `make test` builds it first.

#![expect(clippy::disallowed_methods, reason = "it measures and waits for real processes")]

pub mod server;
pub mod client;
pub mod cluster;
pub mod answers;
pub mod pushes;
pub mod faults;
pub mod wire;
pub mod prometheus;
pub mod bad_s3;
pub mod ledger;
pub mod golden;

pub use answers::{Tree, tree_of};
pub use client::{Client, Protocol, RpcError};
pub use pushes::{cpu_profile, now_ns, push_cpu, push_request};
pub use server::{Server, ServerOptions};

/// Prints why a test does nothing.
#[expect(clippy::print_stderr, reason = "a skipped test must say so")]
pub fn skip(who: &str, why: impl std::fmt::Display) {
    eprintln!("SKIPPED {who}: {why}");
}
