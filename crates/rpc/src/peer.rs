//! Calls between Flamelake processes: channels to peers, the version handshake, deadlines.
//!
//! A rolling upgrade mixes neighbouring versions: a caller says which protocol it speaks, and a server refuses what it does not
//! understand before it looks at the message.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use flamelake_config::ByteSize;
use flamelake_model::{ErrorCode, StatusError};
use parking_lot::Mutex;
use tonic::metadata::{Ascii, MetadataKey, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::code::{from_grpc_status, to_grpc_status};
use crate::tls::{PeerTls, PeerTlsConfig};

/// What this program speaks.
const PROTOCOL: u32 = 1;
/// The oldest protocol that it understands.
const PROTOCOL_OLDEST: u32 = 1;
const PROTOCOL_HEADER: &str = "flamelake-protocol";

flamelake_config::section! {
    /// Calls between roles of a cluster.
    pub struct PeerConfig {
        /// How long a connection to another process may take to open.
        "rpc.connect-timeout" => pub connect_timeout: Duration = Duration::from_secs(2),
        /// A silent connection is pinged this often, and dropped when no answer comes for as long again.
        "rpc.keep-alive-interval" => pub keep_alive_interval: Duration = Duration::from_secs(10),
        /// Connections to each peer; calls take turns on them.
        "rpc.connections-per-peer" => pub connections_per_peer: usize = 2,
        /// Largest message between roles. Partial answers travel in pieces of 1 MiB and are bounded together by this.
        "rpc.message-bytes-max" => pub message_bytes_max: ByteSize = ByteSize(256 << 20),
        /// How long a write to an ingester may take.
        "rpc.append-timeout" => pub append_timeout: Duration = Duration::from_secs(30),
        /// How long a question to an ingester or a store-gateway may take.
        "rpc.query-timeout" => pub query_timeout: Duration = Duration::from_secs(60),
        nested {
            /// TLS of these calls.
            pub tls: PeerTlsConfig,
        }
    }
}

/// Channels to other processes by address, opened when they are first used. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Peers {
    config: Arc<PeerConfig>,
    tls: Option<Arc<PeerTls>>,
    channels: Arc<Mutex<HashMap<String, Arc<Turns>>>>,
}

#[derive(Debug)]
struct Turns {
    channels: Vec<Channel>,
    next: AtomicUsize,
}

impl Peers {
    /// Knows nobody yet; calls go in plain text.
    pub fn new(config: PeerConfig) -> Self {
        Self { config: Arc::new(config), tls: None, channels: Arc::default() }
    }

    /// Calls go over TLS; `None` = in plain text.
    pub fn with_tls(mut self, tls: Option<Arc<PeerTls>>) -> Self {
        self.tls = tls;
        self
    }

    /// How calls are bounded.
    pub fn config(&self) -> &PeerConfig {
        &self.config
    }

    /// A channel to `host:port`; it connects by itself, again after a failure. `invalid_argument` if that is no address.
    pub fn channel(&self, address: &str) -> Result<Channel, StatusError> {
        let mut channels = self.channels.lock();
        let turns = match channels.get(address) {
            Some(known) => Arc::clone(known),
            None => {
                let turns = Arc::new(self.open(address)?);
                channels.insert(address.to_owned(), Arc::clone(&turns));
                turns
            }
        };
        let turn = turns.next.fetch_add(1, Ordering::Relaxed);
        Ok(turns.channels[turn % turns.channels.len()].clone())
    }

    /// Closes the channels to everybody else: those who left.
    pub fn keep_only(&self, is_member: impl Fn(&str) -> bool) {
        self.channels.lock().retain(|address, _| is_member(address));
    }

    fn open(&self, address: &str) -> Result<Turns, StatusError> {
        let config = &self.config;
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|error| StatusError::invalid_argument(format!("address of a peer {address:?}: {error}")))?
            .connect_timeout(config.connect_timeout)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(config.keep_alive_interval)
            .keep_alive_timeout(config.keep_alive_interval)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(4 << 20);
        let channel = |_| match &self.tls {
            None => endpoint.connect_lazy(),
            Some(tls) => {
                let tls = Arc::clone(tls);
                endpoint.connect_with_connector_lazy(tower::service_fn(move |uri| {
                    let tls = Arc::clone(&tls);
                    async move { tls.connect(uri).await }
                }))
            }
        };
        let channels = (0..config.connections_per_peer.clamp(1, 64)).map(channel).collect();
        Ok(Turns { channels, next: AtomicUsize::new(0) })
    }
}

/// A request that says which protocol it is in, how long its caller waits, and which trace it belongs to.
pub fn request<T>(message: T, timeout: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert(PROTOCOL_HEADER, MetadataValue::from(PROTOCOL));
    if !timeout.is_zero() {
        request.set_timeout(timeout);
    }
    flamelake_telemetry::trace_headers(|name, value| {
        let name = MetadataKey::<Ascii>::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, MetadataValue::try_from(value)) {
            request.metadata_mut().insert(name, value);
        }
    });
    request
}

/// Checks the caller's protocol and hands out the message and how long the caller waits.
pub fn accept<T>(request: Request<T>) -> Result<(T, Option<Duration>), Status> {
    let header = request.metadata().get(PROTOCOL_HEADER).and_then(|value| value.to_str().ok());
    match header.and_then(|text| text.parse::<u32>().ok()) {
        Some(protocol) if (PROTOCOL_OLDEST..=PROTOCOL).contains(&protocol) => {}
        Some(protocol) => {
            return Err(Status::failed_precondition(format!(
                "protocol {protocol} is not spoken here ({PROTOCOL_OLDEST} to {PROTOCOL}): upgrade one version at a time"
            )));
        }
        None => {
            return Err(Status::failed_precondition(format!(
                "header {PROTOCOL_HEADER} is missing: only Flamelake processes call this port"
            )));
        }
    }
    let timeout = request.metadata().get("grpc-timeout").and_then(|value| parse_timeout(value.to_str().ok()?));
    Ok((request.into_inner(), timeout))
}

/// `<digits><unit>` of the gRPC specification.
fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number = digits.parse::<u64>().ok().filter(|_| digits.len() <= 8)?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

/// Ends the work when its caller no longer waits.
pub async fn within<T>(
    timeout: Option<Duration>,
    work: impl Future<Output = Result<T, StatusError>>,
) -> Result<T, Status> {
    let done = match timeout {
        None => work.await,
        Some(timeout) => tokio::time::timeout(timeout, work).await.unwrap_or_else(|_| {
            Err(StatusError::new(ErrorCode::DeadlineExceeded, format!("not done within the caller's {timeout:?}")))
        }),
    };
    done.map_err(|error| to_grpc_status(&error))
}

/// Did the call surely not leave this process, because there is no connection?
pub fn is_not_sent(status: &Status) -> bool {
    use std::io::ErrorKind as Kind;
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            let kinds =
                [Kind::ConnectionRefused, Kind::HostUnreachable, Kind::NetworkUnreachable, Kind::AddrNotAvailable];
            return kinds.contains(&io.kind());
        }
        cause = error.source();
    }
    false
}

/// What a failed call tells its caller, with the peer's name. A peer that cannot be reached is `unavailable`.
pub fn call_error(peer: &str, status: &Status) -> StatusError {
    let mut error = from_grpc_status(status);
    let is_transport = std::error::Error::source(status).is_some();
    if is_transport && matches!(error.code, ErrorCode::Unknown | ErrorCode::Internal | ErrorCode::Canceled) {
        error.code = ErrorCode::Unavailable;
    }
    error.message = format!("{peer}: {}", error.message);
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_grpc_writes_them() {
        let table = [("5S", 5_000), ("250m", 250), ("2M", 120_000), ("1H", 3_600_000), ("3000u", 3)];
        for (text, millis) in table {
            assert_eq!(parse_timeout(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for bad in ["", "S", "5", "5x", "123456789S", "-1S", "é"] {
            assert_eq!(parse_timeout(bad), None, "{bad}");
        }
    }

    #[test]
    fn other_protocols_are_refused_with_the_remedy() {
        let ours = request((), Duration::from_secs(3));
        assert_eq!(accept(ours).unwrap().1, Some(Duration::from_secs(3)));
        let mut newer = request((), Duration::ZERO);
        newer.metadata_mut().insert(PROTOCOL_HEADER, MetadataValue::from(99));
        assert!(accept(newer).unwrap_err().message().contains("one version at a time"));
        assert_eq!(accept(Request::new(())).unwrap_err().code(), tonic::Code::FailedPrecondition);
    }
}
