//! What a handler knows about a request besides its message, and what it may add to a reply.

use http::HeaderMap;
use tokio::time::Instant;

use crate::Tenants;

/// A request without its message.
#[derive(Clone, Debug)]
pub struct RequestContext {
    /// Whose data.
    pub tenants: Tenants,
    /// All request headers.
    pub headers: HeaderMap,
    /// When the client stops waiting; the handler's future is dropped then. `None`: it waits for ever.
    pub deadline: Option<Instant>,
    /// The client takes label names of any UTF-8 (capability `allow-utf8-labelnames`).
    pub utf8_label_names: bool,
    /// The client asks that what the query did be kept (`X-Pyroscope-Collect-Diagnostics: true`).
    pub collect_diagnostics: bool,
}

/// A reply with headers of its own.
#[derive(Clone, Debug, Default)]
pub struct Reply<M> {
    /// The message.
    pub message: M,
    /// Sent before the message, in every protocol.
    pub headers: HeaderMap,
}

impl<M> From<M> for Reply<M> {
    fn from(message: M) -> Self {
        Self { message, headers: HeaderMap::new() }
    }
}
