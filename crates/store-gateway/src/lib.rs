//! The store-gateway: answers questions from committed blocks, for exactly the blocks that are named or not at all.
//!
//! Promises: each named block is read once and counted once, is set aside as damaged and named in the stats, or fails the question;
//! open blocks are kept in a cache bounded by bytes; reading is bounded by a number of blocks at once. It keeps no state that a
//! restart would lose. It knows nothing of catalogs, heads, rings or the public API: the caller says which blocks.

mod config;
mod service;
mod block_cache;
mod query;
mod error;
mod metrics;
mod rpc;

pub use config::StoreGatewayConfig;
pub use error::StoreGatewayError;
pub use rpc::{RemoteStoreGateway, StoreGatewayRpc, store_gateway_service};
pub use service::{StoreGateway, StoreGatewayDeps};
