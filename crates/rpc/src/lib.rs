//! The ports: Connect, gRPC, gRPC-Web and plain HTTP on one socket, tenants, deadlines, limits and error tables.
//!
//! Knows no message and no role: handlers and paths are handed in. What goes out as an error is decided in [`code`] alone.

pub mod code;
mod tenant;
mod accept;
mod context;
mod codec;
mod router;
mod content_type;
mod connect;
mod service;
mod http_error;
mod health;
mod reflection;
mod config;
mod metrics;
pub mod auth;
mod app;
mod bounded_body;
mod first_bytes;
pub mod tls;
mod server;
pub mod peer;

pub use app::App;
pub use config::ServerConfig;
pub use context::{Reply, RequestContext};
pub use health::Health;
pub use http_error::HttpError;
pub use metrics::ServerMetrics;
pub use router::{Idempotent, RpcRouter};
pub use server::{Server, ServerError};
pub use tenant::{TENANT_HEADER, Tenancy, Tenants};
