//! The protocol engine: `connectrpc` through its byte-level [`Dispatcher`]. Nothing outside of this file names that crate.
//!
//! The engine frames, decompresses, negotiates replies and keeps deadlines; messages stay prost and pbjson
//! (`crate::codec`). What it does differently from the contract, [`crate::service`] settles before a request gets here.

use std::any::Any;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use axum::body::Body;
use bytes::Bytes;
use connectrpc::compression::{CompressionPolicy, CompressionProvider, CompressionRegistry, GzipProvider};
use connectrpc::dispatcher::{
    Dispatcher, MethodDescriptor, RequestStream, StreamingResult, UnaryResult, unimplemented_streaming,
    unimplemented_unary,
};
use connectrpc::{CodecFormat, ConnectError, ConnectRpcBody, ConnectRpcService, EncodedResponse, Limits, Payload};
use flamelake_model::{ErrorCode, StatusError};
use futures::FutureExt as _;
use http::{HeaderMap, HeaderName, Request, Response};
use tower::Service as _;
use tracing::error;

use crate::accept::Capabilities;
use crate::codec::Codec;
use crate::metrics::ServerMetrics;
use crate::router::{Route, RpcRouter};
use crate::{RequestContext, Tenancy, Tenants};

const DIAGNOSTICS_HEADER: HeaderName = HeaderName::from_static("x-pyroscope-collect-diagnostics");

/// Room for gRPC framing above a message limit, so that the limit means the message in every protocol.
const FRAMING_BYTES_MAX: usize = 1024;

/// How a call ended, told to the outside of the engine: gRPC answers 200 to everything. 0 is `ok`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome(Arc<AtomicU8>);

impl Outcome {
    pub(crate) fn code(&self) -> Option<ErrorCode> {
        crate::code::from_grpc_number(self.0.load(Ordering::Relaxed))
    }
}

/// All RPC methods of a port.
#[derive(Clone)]
pub(crate) struct Engine {
    service: ConnectRpcService<Methods>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Engine").field(&self.service.dispatcher().routes.len()).finish()
    }
}

impl Engine {
    pub(crate) fn new(router: RpcRouter, tenancy: Tenancy, body_bytes_max: usize, metrics: ServerMetrics) -> Self {
        let compression = CompressionRegistry::new().register(Gzip(GzipProvider::default()));
        let methods = Methods {
            routes: router.routes.into_iter().map(|(path, route)| (bare(path), route)).collect(),
            limits: router.body_bytes_max.into_iter().map(|(path, bytes)| (bare(path), message_limit(bytes))).collect(),
            tenancy,
            metrics,
        };
        let service = ConnectRpcService::new(methods)
            .with_limits(message_limit(body_bytes_max))
            .with_compression(compression)
            .with_compression_policy(CompressionPolicy::default().with_min_size(0));
        Self { service }
    }

    /// Serves a request whose path is one of the router's.
    pub(crate) async fn call(&self, request: Request<Body>) -> Response<Body> {
        match self.service.clone().call(request).await {
            Ok(response) => response.map(into_axum),
            Err(never) => match never {},
        }
    }
}

/// An error before the engine is asked, in the shape that the request's protocol wants.
pub(crate) fn error_response(error: &StatusError, request_headers: &HeaderMap) -> Response<Body> {
    connect_error(error).into_http_response(request_headers).map(into_axum)
}

fn into_axum(body: ConnectRpcBody) -> Body {
    match body {
        // Unwrapped, because only the inner body knows its length; else every reply would go out in chunks.
        ConnectRpcBody::Full(body) => Body::new(body),
        body => Body::new(body),
    }
}

/// The engine names paths without their leading slash.
fn bare(path: &'static str) -> &'static str {
    path.strip_prefix('/').unwrap_or(path)
}

fn message_limit(bytes_max: usize) -> Limits {
    Limits::unlimited()
        .with_max_request_body_size(bytes_max.saturating_add(FRAMING_BYTES_MAX))
        .with_max_message_size(bytes_max)
}

struct Methods {
    routes: HashMap<&'static str, Route>,
    limits: HashMap<&'static str, Limits>,
    tenancy: Tenancy,
    metrics: ServerMetrics,
}

impl Methods {
    fn context(&self, route: &Route, mut context: connectrpc::RequestContext) -> Result<RequestContext, StatusError> {
        let deadline = context.deadline().map(tokio::time::Instant::from_std);
        let headers = std::mem::take(context.headers_mut());
        let tenants = if route.wants_tenant { self.tenancy.tenants(&headers)? } else { Tenants::none() };
        let capabilities = Capabilities::from_headers(&headers).map_err(StatusError::invalid_argument)?;
        let diagnostics = headers.get(DIAGNOSTICS_HEADER);
        Ok(RequestContext {
            tenants,
            deadline,
            utf8_label_names: capabilities.utf8_label_names,
            collect_diagnostics: diagnostics.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true")),
            headers,
        })
    }
}

impl Dispatcher for Methods {
    fn lookup(&self, path: &str) -> Option<MethodDescriptor> {
        let descriptor = MethodDescriptor::unary(self.routes.get(path)?.idempotent);
        Some(match self.limits.get(path) {
            Some(limits) => descriptor.with_limits(*limits),
            None => descriptor,
        })
    }

    fn call_unary(
        &self,
        path: &str,
        context: connectrpc::RequestContext,
        request: Payload,
        format: CodecFormat,
    ) -> UnaryResult {
        let Some(route) = self.routes.get(path) else { return unimplemented_unary(path) };
        let outcome = context.extensions().get::<Outcome>().cloned();
        let Some(handler) = route.handler.clone() else {
            return failed(StatusError::unimplemented(format!("{path} is not built or switched off here")), outcome);
        };
        let context = match self.context(route, context) {
            Ok(context) => context,
            Err(error) => return failed(error, outcome),
        };
        let (codec, body, path, panics) =
            (codec(format), request.bytes().clone(), path.to_owned(), self.metrics.panics());
        Box::pin(async move {
            // The handler is called inside of the guard: decoding and everything before its first await may panic too.
            match AssertUnwindSafe(async move { handler(context, body, codec).await }).catch_unwind().await {
                Ok(Ok((body, headers))) => Ok(encoded(body, headers)),
                Ok(Err(error)) => Err(finish(&error, outcome)),
                Err(panic) => {
                    panics.inc();
                    error!(path, panic = panic_text(&*panic), "handler panicked");
                    Err(finish(&panicked(), outcome))
                }
            }
        })
    }

    fn call_server_streaming(
        &self,
        path: &str,
        _: connectrpc::RequestContext,
        _: Bytes,
        _: CodecFormat,
    ) -> StreamingResult {
        unimplemented_streaming(path)
    }

    fn call_client_streaming(
        &self,
        path: &str,
        _: connectrpc::RequestContext,
        _: RequestStream,
        _: CodecFormat,
    ) -> UnaryResult {
        unimplemented_unary(path)
    }

    fn call_bidi_streaming(
        &self,
        path: &str,
        _: connectrpc::RequestContext,
        _: RequestStream,
        _: CodecFormat,
    ) -> StreamingResult {
        unimplemented_streaming(path)
    }
}

fn codec(format: CodecFormat) -> Codec {
    match format {
        CodecFormat::Json => Codec::Json,
        _ => Codec::Proto,
    }
}

fn encoded(body: Bytes, headers: HeaderMap) -> EncodedResponse {
    let mut response = EncodedResponse::new(body.into());
    response.headers = headers;
    response
}

fn failed(error: StatusError, outcome: Option<Outcome>) -> UnaryResult {
    Box::pin(std::future::ready(Err(finish(&error, outcome))))
}

fn finish(error: &StatusError, outcome: Option<Outcome>) -> ConnectError {
    if let Some(outcome) = outcome {
        outcome.0.store(error.code as u8, Ordering::Relaxed);
    }
    connect_error(error)
}

fn connect_error(error: &StatusError) -> ConnectError {
    let code =
        connectrpc::ErrorCode::from_grpc_code(u32::from(error.code as u8)).unwrap_or(connectrpc::ErrorCode::Unknown);
    let mut told =
        ConnectError::new(code, error.message.clone()).with_http_status(crate::code::http_status(error.code));
    told.message = told.message.filter(|message| !message.is_empty());
    told
}

/// What a client reads when a handler of ours panicked; the log has the rest.
pub(crate) fn panicked() -> StatusError {
    StatusError::new(ErrorCode::Internal, "a bug in the server stopped this request; its log has the details")
}

/// The text of a panic, if it has one.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text")
}

/// Gzip that reads files of several members; the engine's own reader stops after the first, losing data silently.
struct Gzip(GzipProvider);

impl CompressionProvider for Gzip {
    fn name(&self) -> &'static str {
        "gzip"
    }

    fn compress(&self, data: &[u8]) -> Result<Bytes, ConnectError> {
        self.0.compress(data)
    }

    fn decompressor<'a>(&self, data: &'a [u8]) -> Result<Box<dyn std::io::Read + 'a>, ConnectError> {
        Ok(Box::new(flate2::bufread::MultiGzDecoder::new(data)))
    }
}
