//! Bounds of a port.

use std::time::Duration;

/// What a port takes and for how long it waits.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Connections served at once; further ones wait in the listen queue.
    pub connections_max: usize,
    /// Requests served at once on one HTTP/2 connection.
    pub streams_max: u32,
    /// How long a connection may take to send the head of its first or next request, idle time included.
    pub header_read_timeout: Duration,
    /// How long a request may stall in the middle of its body.
    pub body_idle_timeout: Duration,
    /// How long a request may take to send its body, however steadily.
    pub body_timeout: Duration,
    /// Bytes of request bodies in memory at the same time, all connections of the port together; more is refused with `unavailable`.
    pub bodies_bytes_max: usize,
    /// How often a silent HTTP/2 peer is pinged; it is dropped when it does not answer for as long again.
    pub keep_alive_interval: Duration,
    /// How long requests in flight may go on after shutdown began.
    pub drain_timeout: Duration,
    /// Bytes of an RPC message, before and after decompression, where a method has no bound of its own.
    pub body_bytes_max: usize,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            connections_max: 16_384,
            streams_max: 1_024,
            header_read_timeout: Duration::from_secs(120),
            body_idle_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(300),
            bodies_bytes_max: 1 << 30,
            keep_alive_interval: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(30),
            body_bytes_max: 64 << 20,
        }
    }
}
