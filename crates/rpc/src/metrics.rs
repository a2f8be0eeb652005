//! What a port tells about its requests.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::{MatchedPath, State};
use axum::middleware::Next;
use bytes::Bytes;
use flamelake_model::ErrorCode;
use flamelake_runtime::clock::SharedClock;
use http::{Method, Request, Response, StatusCode};
use http_body::{Frame, SizeHint};
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntGauge, IntGaugeVec, Opts, Registry};

/// Metrics of all ports of a process. Clones share them.
#[derive(Clone, Debug)]
pub struct ServerMetrics {
    clock: SharedClock,
    duration: HistogramVec,
    request_bytes: HistogramVec,
    response_bytes: HistogramVec,
    inflight: IntGaugeVec,
    connections: IntGauge,
    panics: IntCounter,
    handshakes_failed: IntCounter,
}

impl ServerMetrics {
    /// Registers them; the error names a metric that is registered already.
    pub fn register(registry: &Registry, clock: SharedClock) -> Result<Self, prometheus::Error> {
        let seconds = vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0];
        let bytes = prometheus::exponential_buckets(1024.0, 4.0, 10)?;
        let metrics = Self {
            clock,
            duration: HistogramVec::new(
                HistogramOpts::new("flamelake_request_duration_seconds", "Time until a request's answer began.")
                    .buckets(seconds),
                &["method", "route", "status_code"],
            )?,
            request_bytes: HistogramVec::new(
                HistogramOpts::new("flamelake_request_message_bytes", "Bytes of request bodies as sent.")
                    .buckets(bytes.clone()),
                &["method", "route"],
            )?,
            response_bytes: HistogramVec::new(
                HistogramOpts::new("flamelake_response_message_bytes", "Bytes of response bodies as sent.")
                    .buckets(bytes),
                &["method", "route"],
            )?,
            inflight: IntGaugeVec::new(
                Opts::new("flamelake_inflight_requests", "Requests that have no answer yet."),
                &["method", "route"],
            )?,
            connections: IntGauge::new("flamelake_tcp_connections", "Open connections.")?,
            panics: IntCounter::new("flamelake_panics_total", "Handlers that panicked.")?,
            handshakes_failed: IntCounter::new(
                "flamelake_tls_handshakes_failed_total",
                "Connections to a port with TLS that were closed before a request: no TLS, no trusted certificate, too slow.",
            )?,
        };
        registry.register(Box::new(metrics.duration.clone()))?;
        registry.register(Box::new(metrics.request_bytes.clone()))?;
        registry.register(Box::new(metrics.response_bytes.clone()))?;
        registry.register(Box::new(metrics.inflight.clone()))?;
        registry.register(Box::new(metrics.connections.clone()))?;
        registry.register(Box::new(metrics.panics.clone()))?;
        registry.register(Box::new(metrics.handshakes_failed.clone()))?;
        Ok(metrics)
    }

    pub(crate) fn panics(&self) -> IntCounter {
        self.panics.clone()
    }

    pub(crate) fn handshakes_failed(&self) -> IntCounter {
        self.handshakes_failed.clone()
    }

    pub(crate) fn connection(&self) -> GaugeGuard {
        GaugeGuard::new(self.connections.clone())
    }
}

/// Counts one for as long as it lives.
#[derive(Debug)]
pub(crate) struct GaugeGuard(IntGauge);

impl GaugeGuard {
    fn new(gauge: IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Measures a request; the outermost layer but for nothing.
pub(crate) async fn measure(
    State(metrics): State<ServerMetrics>,
    request: Request<Body>,
    next: Next,
) -> Response<Body> {
    let method = method_label(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("other", MatchedPath::as_str);
    let inflight = GaugeGuard::new(metrics.inflight.with_label_values(&[method, route]));
    let received = metrics.request_bytes.with_label_values(&[method, route]);
    let started = metrics.clock.monotonic();

    let response = next.run(request.map(|body| Body::new(Counted::new(body, received)))).await;

    drop(inflight);
    let elapsed = metrics.clock.monotonic().saturating_sub(started);
    let status = outcome(&response);
    metrics.duration.with_label_values(&[method, route, status.as_str()]).observe(elapsed.as_secs_f64());
    let sent = metrics.response_bytes.with_label_values(&[method, route]);
    response.map(|body| Body::new(Counted::new(body, sent)))
}

/// gRPC answers 200 to everything; its failures are counted by the status that Connect would have used.
fn outcome(response: &Response<Body>) -> StatusCode {
    match response.extensions().get::<ErrorCode>() {
        Some(code) if response.status().is_success() => crate::code::http_status(*code),
        _ => response.status(),
    }
}

/// Methods are any text that a client likes; labels must not be.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        _ => "other",
    }
}

/// A body that tells its size to a histogram when it is over.
struct Counted {
    body: Body,
    bytes: usize,
    histogram: Histogram,
}

impl Counted {
    fn new(body: Body, histogram: Histogram) -> Self {
        Self { body, bytes: 0, histogram }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.histogram.observe(self.bytes as f64);
    }
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame {
            self.bytes += frame.data_ref().map_or(0, Bytes::len);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
