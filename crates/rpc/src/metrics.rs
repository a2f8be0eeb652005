//! What a port tells about its requests.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::{MatchedPath, State};
use axum::middleware::Next;
use axum::response::IntoResponse as _;
use bytes::Bytes;
use flamelake_model::{ErrorCode, StatusError};
use flamelake_runtime::clock::SharedClock;
use flamelake_telemetry::{self as telemetry, Exemplars};
use http::{Method, Request, Response, StatusCode, header};
use http_body::{Frame, SizeHint};
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntGauge, IntGaugeVec, Opts, Registry};
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use crate::HttpError;
use crate::bounded_body::{BodyFault, BodyShare};

const DURATION_SECONDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0];

/// Metrics of all ports of a process. Clones share them.
#[derive(Clone, Debug)]
pub struct ServerMetrics {
    clock: SharedClock,
    exemplars: Exemplars,
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
        let bytes = prometheus::exponential_buckets(1024.0, 4.0, 10)?;
        let metrics = Self {
            clock,
            exemplars: Exemplars::default(),
            duration: HistogramVec::new(
                HistogramOpts::new("flamelake_request_duration_seconds", "Time until a request's answer began.")
                    .buckets(DURATION_SECONDS.to_vec()),
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

    /// Notes the traces of requests there.
    pub fn with_exemplars(mut self, exemplars: Exemplars) -> Self {
        self.exemplars = exemplars;
        self
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

/// Measures a request and makes it a span; the outermost layer but for nothing.
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
    let span = span_of(&request, method, route);
    let share = request.extensions().get::<Arc<BodyShare>>().cloned();

    let response = next.run(request.map(|body| Body::new(Counted::new(body, received)))).instrument(span.clone()).await;
    let response = match share.and_then(|share| share.fault()) {
        Some(fault) => fault_of_client(fault, response),
        None => response,
    };

    drop(inflight);
    let elapsed = metrics.clock.monotonic().saturating_sub(started).as_secs_f64();
    let status = outcome(&response);
    metrics.duration.with_label_values(&[method, route, status.as_str()]).observe(elapsed);
    if let Some(trace) = telemetry::trace_of(&span) {
        span.record("http.response.status_code", status.as_u16());
        if status.is_server_error() {
            span.record("otel.status_code", "ERROR");
        }
        let labels = [("method", method), ("route", route), ("status_code", status.as_str())];
        let unix_seconds = metrics.clock.unix_nanos() as f64 / 1e9;
        let name = "flamelake_request_duration_seconds";
        metrics.exemplars.note(name, &labels, &DURATION_SECONDS, elapsed, trace, unix_seconds);
    }
    let sent = metrics.response_bytes.with_label_values(&[method, route]);
    response.map(|body| Body::new(Counted::new(body, sent)))
}

/// Continues the trace of the caller, if it has one.
fn span_of(request: &Request<Body>, method: &'static str, route: &str) -> Span {
    let span = tracing::trace_span!(
        target: telemetry::SPAN,
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
    );
    telemetry::continue_trace(&span, |name| request.headers().get(name)?.to_str().ok());
    span
}

fn is_grpc(response: &Response<Body>) -> bool {
    let content_type = response.headers().get(header::CONTENT_TYPE);
    content_type.is_some_and(|text| text.as_bytes().starts_with(b"application/grpc"))
}

/// A body that could not be read is not our failure, whatever the handler made of it.
fn fault_of_client(fault: BodyFault, mut response: Response<Body>) -> Response<Body> {
    if is_grpc(&response) {
        // What it says stands in its trailers; it is counted as a call that its client gave up.
        if fault != BodyFault::NoRoom {
            response.extensions_mut().insert(ErrorCode::Canceled);
        }
        return response;
    }
    let error = match fault {
        BodyFault::NoRoom => {
            let text = "too many bytes of requests are being received: send it again later";
            HttpError::from(StatusError::unavailable(text))
        }
        _ if !response.status().is_server_error() => return response,
        BodyFault::Slow => {
            let text = "the body did not come in time: send it again";
            HttpError {
                status: StatusCode::REQUEST_TIMEOUT,
                error: StatusError::new(ErrorCode::DeadlineExceeded, text),
            }
        }
        BodyFault::Broken => HttpError::from(StatusError::invalid_argument("the body breaks off, or is none")),
    };
    error.into_response()
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
