//! The public port over real sockets: every protocol, every refusal (contract `wire.md` section 8).

mod support;
mod connect;
mod grpc;
mod server;
mod tls;
