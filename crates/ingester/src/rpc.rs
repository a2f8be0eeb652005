//! The ingester over gRPC: both ends of `flamelake.ingester.v1`. No logic: each end turns messages into calls of `IngesterApi`.

mod client;
mod server;

pub use client::RemoteIngester;
pub use server::{IngesterRpc, ingester_service};
