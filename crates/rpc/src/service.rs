//! The door of an RPC path: settles method, content type, encodings and timeouts as the contract has them, then asks the
//! engine (contract `wire.md` 8.1 and 8.2).

use std::time::Duration;

use axum::body::Body;
use axum::response::IntoResponse as _;
use flamelake_model::{ErrorCode, StatusError};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};

use crate::connect::{self, Engine, Outcome};
use crate::content_type::{ACCEPT_POST, ContentType, Protocol};

const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("connect-protocol-version");
const TIMEOUT: HeaderName = HeaderName::from_static("connect-timeout-ms");
const TIMEOUT_CHARS_MAX: usize = 10;

/// Of a request that is refused unread, this much is swallowed so that an HTTP/1 client sees the answer.
const DRAIN_BYTES_MAX: usize = 1 << 20;
/// An error's text is bounded where it is made.
const ERROR_BYTES_MAX: usize = 1 << 20;
const DRAIN_TIME_MAX: Duration = Duration::from_secs(1);

/// Answers a request to the path of an RPC method; `get` says whether Connect GET is allowed there.
///
/// `otlp`: binary messages may be called as OTLP over HTTP calls them.
pub(crate) async fn serve(engine: Engine, get: bool, otlp: bool, request: Request<Body>) -> Response<Body> {
    match *request.method() {
        Method::POST => post(engine, otlp, request).await,
        Method::GET if get => engine.call(request).await,
        _ => {
            let allow = if get { "GET, POST" } else { "POST" };
            refuse(request, (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, allow)]).into_response()).await
        }
    }
}

async fn post(engine: Engine, otlp: bool, mut request: Request<Body>) -> Response<Body> {
    let parse = if otlp { ContentType::parse_otlp } else { ContentType::parse };
    let Some(content_type) = parse(request.headers()) else {
        let accept_post = (HeaderName::from_static("accept-post"), ACCEPT_POST);
        return refuse(request, (StatusCode::UNSUPPORTED_MEDIA_TYPE, [accept_post]).into_response()).await;
    };
    let canonical = HeaderValue::from_static(content_type.canonical);
    request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type.engine));
    match content_type.protocol {
        Protocol::Connect if otlp && content_type.canonical != "application/proto" => {
            plain_errors(connect_unary(engine, request, canonical).await).await
        }
        Protocol::Connect => connect_unary(engine, request, canonical).await,
        Protocol::Grpc | Protocol::GrpcWeb => grpc(engine, request, canonical).await,
    }
}

async fn connect_unary(engine: Engine, mut request: Request<Body>, canonical: HeaderValue) -> Response<Body> {
    if let Err(error) = check_connect_headers(request.headers_mut()) {
        let response = connect::error_response(&error, request.headers());
        return refuse(request, response).await;
    }
    let mut response = engine.call(request).await;
    if response.status() == StatusCode::OK {
        response.headers_mut().insert(header::CONTENT_TYPE, canonical);
    }
    response
}

/// Over HTTP the errors of OTLP are plain text (contract `ingest.md` section 5).
async fn plain_errors(response: Response<Body>) -> Response<Body> {
    if response.status() == StatusCode::OK {
        return response;
    }
    let (status, code) = (response.status(), response.extensions().get::<ErrorCode>().copied());
    let body = Limited::new(response.into_body(), ERROR_BYTES_MAX).collect().await;
    let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let message = serde_json::from_slice::<serde_json::Value>(&body).ok();
    let message = message.and_then(|body| Some(body.get("message")?.as_str()?.to_owned())).unwrap_or_default();
    let mut response = (status, message).into_response();
    if let Some(code) = code {
        response.extensions_mut().insert(code);
    }
    response
}

async fn grpc(engine: Engine, mut request: Request<Body>, canonical: HeaderValue) -> Response<Body> {
    let outcome = Outcome::default();
    request.extensions_mut().insert(outcome.clone());
    let mut response = engine.call(request).await;
    response.headers_mut().insert(header::CONTENT_TYPE, canonical);
    if let Some(code) = outcome.code().or_else(|| grpc_status(response.headers())) {
        response.extensions_mut().insert(code);
    }
    response
}

/// Of an answer that the engine gave without asking a handler.
fn grpc_status(headers: &HeaderMap) -> Option<ErrorCode> {
    crate::code::from_grpc_number(headers.get("grpc-status")?.to_str().ok()?.parse().ok()?)
}

fn check_connect_headers(headers: &mut HeaderMap) -> Result<(), StatusError> {
    check_version(headers)?;
    check_timeout(headers)?;
    let gzip_request = check_encoding(headers)?;
    let gzip_reply = gzip_request || accepts_gzip(headers);
    // The engine negotiates by its own rules; one word leaves it no choice.
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(if gzip_reply { "gzip" } else { "identity" }));
    Ok(())
}

fn check_version(headers: &HeaderMap) -> Result<(), StatusError> {
    match headers.get(PROTOCOL_VERSION) {
        Some(version) if version != "1" => Err(StatusError::invalid_argument(format!(
            "connect-protocol-version must be \"1\": got {:?}",
            String::from_utf8_lossy(version.as_bytes())
        ))),
        _ => Ok(()),
    }
}

fn check_timeout(headers: &HeaderMap) -> Result<(), StatusError> {
    let Some(timeout) = headers.get(TIMEOUT) else { return Ok(()) };
    let text = timeout.to_str().unwrap_or_default();
    let millis = (text.len() <= TIMEOUT_CHARS_MAX).then(|| text.parse::<i64>().ok()).flatten();
    match millis {
        Some(millis) if millis > 0 => Ok(()),
        Some(_) => Err(StatusError::new(ErrorCode::DeadlineExceeded, "the request's timeout had run out already")),
        None => Err(StatusError::invalid_argument(format!(
            "connect-timeout-ms must be a whole number of at most {TIMEOUT_CHARS_MAX} characters: got {text:?}"
        ))),
    }
}

/// Tells whether the request is compressed.
fn check_encoding(headers: &mut HeaderMap) -> Result<bool, StatusError> {
    match headers.get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"identity") => Ok(false),
        Some(b"gzip") => Ok(true),
        Some(b"") => {
            headers.remove(header::CONTENT_ENCODING);
            Ok(false)
        }
        Some(other) => Err(StatusError::unimplemented(format!(
            "unknown compression {:?}: supported encodings are gzip",
            String::from_utf8_lossy(other)
        ))),
    }
}

/// `q` weights are read, although the reference knows none, because HTTP libraries send them: `gzip;q=0` is a no.
pub(crate) fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split([',', ' '])).any(|offer| {
        let (name, weight) = offer.split_once(';').unwrap_or((offer, "q=1"));
        let weight = weight.trim().strip_prefix("q=").and_then(|q| q.parse::<f32>().ok());
        name.trim() == "gzip" && weight.is_none_or(|q| q > 0.0)
    })
}

/// Reads a bounded part of the body before the answer goes out.
pub(crate) async fn refuse(request: Request<Body>, response: Response<Body>) -> Response<Body> {
    let body = Limited::new(request.into_body(), DRAIN_BYTES_MAX);
    let _ = tokio::time::timeout(DRAIN_TIME_MAX, body.collect()).await;
    response
}
