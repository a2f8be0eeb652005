//! The socket: accepts connections, speaks HTTP/1.1 and HTTP/2 on them, with or without TLS, and drains them on shutdown.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use flamelake_model::{Coded, ErrorCode};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use tracing::{debug, warn};

use crate::bounded_body::{BodyBudget, BoundedBody};
use crate::first_bytes::FirstBytes;
use crate::tls::ListenTls;
use crate::{ServerConfig, ServerMetrics};

/// After a failed accept (usually: out of file descriptors) nothing is accepted for this long.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Flow-control windows of HTTP/2: large enough that a push of some megabytes does not wait for round trips.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;

/// A port that listens.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    config: ServerConfig,
    bodies: Arc<BodyBudget>,
    metrics: ServerMetrics,
    tls: Option<Arc<ListenTls>>,
}

/// Why a port does not listen.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address is taken, not ours or not allowed.
    #[error("listen on {address}")]
    Bind {
        /// As given.
        address: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Coded for ServerError {
    fn code(&self) -> ErrorCode {
        ErrorCode::Unavailable
    }
}

impl Server {
    /// Listens on `host:port`; port 0 takes a free one.
    pub async fn bind(address: &str, config: ServerConfig, metrics: ServerMetrics) -> Result<Self, ServerError> {
        let error = |source| ServerError::Bind { address: address.to_owned(), source };
        let listener = TcpListener::bind(address).await.map_err(error)?;
        Self::from_listener(listener, config, metrics).map_err(error)
    }

    /// Serves an existing listener.
    pub fn from_listener(listener: TcpListener, config: ServerConfig, metrics: ServerMetrics) -> io::Result<Self> {
        let bodies = BodyBudget::new(config.bodies_bytes_max, config.body_idle_timeout, config.body_timeout);
        Ok(Self { address: listener.local_addr()?, listener, config, bodies, metrics, tls: None })
    }

    /// Speaks TLS, and nothing else; `None` = plain text.
    pub fn with_tls(mut self, tls: Option<Arc<ListenTls>>) -> Self {
        self.tls = tls;
        self
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown`, then lets requests in flight finish for at most [`ServerConfig::drain_timeout`].
    pub async fn run(self, app: Router, shutdown: CancellationToken) {
        let permits = Arc::new(Semaphore::new(self.config.connections_max));
        let mut connections = JoinSet::new();
        while let Some((stream, permit)) = self.next_connection(&permits, &shutdown).await {
            while connections.try_join_next().is_some() {}
            connections.spawn(self.connection(stream, permit, app.clone(), shutdown.clone()));
        }
        drop(self.listener);
        let drained =
            tokio::time::timeout(self.config.drain_timeout, async { while connections.join_next().await.is_some() {} });
        if drained.await.is_err() {
            warn!(address = %self.address, connections = connections.len(), "requests in flight were cut off at shutdown");
        }
    }

    /// `None` once shutdown began.
    async fn next_connection(
        &self,
        permits: &Arc<Semaphore>,
        shutdown: &CancellationToken,
    ) -> Option<(TcpStream, OwnedSemaphorePermit)> {
        let accept = async {
            let permit = Arc::clone(permits).acquire_owned().await.expect("this semaphore is never closed");
            loop {
                match self.listener.accept().await {
                    Ok((stream, _)) => return (stream, permit),
                    Err(error) => {
                        warn!(address = %self.address, %error, "accept failed");
                        tokio::time::sleep(ACCEPT_RETRY).await;
                    }
                }
            }
        };
        shutdown.run_until_cancelled(accept).await
    }

    fn connection(
        &self,
        stream: TcpStream,
        permit: OwnedSemaphorePermit,
        app: Router,
        shutdown: CancellationToken,
    ) -> impl Future<Output = ()> + Send + use<> {
        let builder = self.builder();
        let guard = self.metrics.connection();
        let failed = self.metrics.handshakes_failed();
        let bodies = Arc::clone(&self.bodies);
        let tls = self.tls.clone();
        let patience = self.config.header_read_timeout;
        async move {
            // Without it a small reply may wait for the client's delayed acknowledgement.
            if let Err(error) = stream.set_nodelay(true) {
                debug!(%error, "set TCP_NODELAY");
            }
            match tls {
                None => talk(stream, patience, builder, app, bodies, shutdown).await,
                Some(tls) => match shutdown.run_until_cancelled(tls.accept(stream)).await {
                    Some(Ok(stream)) => talk(stream, patience, builder, app, bodies, shutdown).await,
                    Some(Err(error)) => {
                        debug!(%error, "no TLS connection");
                        failed.inc();
                    }
                    None => {}
                },
            }
            drop((guard, permit));
        }
    }

    fn builder(&self) -> auto::Builder<TokioExecutor> {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(self.config.header_read_timeout);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(self.config.streams_max)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .keep_alive_interval(self.config.keep_alive_interval)
            .keep_alive_timeout(self.config.keep_alive_interval);
        builder
    }
}

/// All requests of a connection.
async fn talk<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    first_bytes_within: Duration,
    builder: auto::Builder<TokioExecutor>,
    app: Router,
    bodies: Arc<BodyBudget>,
    shutdown: CancellationToken,
) {
    let service = TowerToHyperService::new(tower::service_fn(move |request: Request<Incoming>| {
        serve(app.clone(), Arc::clone(&bodies), request)
    }));
    let connection = builder.serve_connection(TokioIo::new(FirstBytes::within(stream, first_bytes_within)), service);
    let mut connection = std::pin::pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        debug!(%error, "connection ended early");
    }
}

/// One request; its body counts against the bound until it is answered.
async fn serve(
    app: Router,
    bodies: Arc<BodyBudget>,
    request: Request<Incoming>,
) -> Result<Response<Body>, std::convert::Infallible> {
    let share = bodies.share();
    let (mut head, body) = request.into_parts();
    let body = BoundedBody::new(body, Arc::clone(&share), head.version, &head.headers);
    // For whoever measures the answer.
    head.extensions.insert(share);
    app.oneshot(Request::from_parts(head, body)).await
}
