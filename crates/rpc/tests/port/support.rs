//! An echo service on a free port, and the plainest client there is.

use std::future::ready;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use bytes::Bytes;
use flamelake_model::{ErrorCode, StatusError};
use flamelake_rpc::tls::ListenTls;
use flamelake_rpc::{
    App, Health, HttpError, Idempotent, Reply, RequestContext, RpcRouter, Server, ServerConfig, ServerMetrics, Tenancy,
};
use flamelake_runtime::clock::SystemClock;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Version};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use prometheus::{Registry, TextEncoder};
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Echo {
    #[prost(string, tag = "1")]
    pub(crate) text: String,
    #[prost(int64, tag = "2")]
    pub(crate) number: i64,
    #[prost(bytes = "bytes", tag = "3")]
    pub(crate) data: Bytes,
}

pub(crate) const ECHO: &str = "/test.v1.EchoService/Echo";
pub(crate) const WRITE: &str = "/test.v1.EchoService/Write";
pub(crate) const WHO: &str = "/test.v1.EchoService/Who";
pub(crate) const OPEN: &str = "/test.v1.EchoService/Open";
pub(crate) const FAIL: &str = "/test.v1.EchoService/Fail";
pub(crate) const PANIC: &str = "/test.v1.EchoService/Panic";
pub(crate) const HANG: &str = "/test.v1.EchoService/Hang";
pub(crate) const HEADERS: &str = "/test.v1.EchoService/Headers";
pub(crate) const SMALL: &str = "/test.v1.EchoService/Small";
pub(crate) const NOT_BUILT: &str = "/test.v1.EchoService/NotBuilt";

pub(crate) const SMALL_BYTES_MAX: usize = 10_000;

fn echo_service() -> RpcRouter {
    let echo = |_: RequestContext, request: Echo| ready(Ok::<_, StatusError>(request));
    RpcRouter::new()
        .known_methods([(NOT_BUILT, true), (ECHO, true)])
        .unary(ECHO, Idempotent::Yes, echo)
        .unary(WRITE, Idempotent::No, echo)
        .unary(SMALL, Idempotent::No, echo)
        .unary(WHO, Idempotent::Yes, |context, _: Echo| ready(Ok(who(&context))))
        .unary_without_tenant(OPEN, Idempotent::Yes, |context, _: Echo| ready(Ok(who(&context))))
        .unary(FAIL, Idempotent::Yes, |_, request: Echo| ready(Err::<Echo, _>(fail(&request))))
        .unary(PANIC, Idempotent::Yes, |_, request: Echo| async move {
            assert!(request.text != "panic", "the test asked for it");
            Ok(Echo::default())
        })
        .unary(HANG, Idempotent::Yes, |_, _: Echo| std::future::pending::<Result<Echo, StatusError>>())
        .unary_with_headers(HEADERS, Idempotent::Yes, |_, message: Echo| {
            let headers = HeaderMap::from_iter([(HeaderName::from_static("x-extra"), HeaderValue::from_static("7"))]);
            ready(Ok(Reply { message, headers }))
        })
        .body_limit(SMALL, SMALL_BYTES_MAX)
}

fn who(context: &RequestContext) -> Echo {
    let tenants: Vec<_> = context.tenants.iter().map(|tenant| tenant.as_str()).collect();
    let text = format!("{} {} {}", tenants.join("|"), context.utf8_label_names, context.collect_diagnostics);
    Echo { text, number: i64::from(context.deadline.is_some()), ..Echo::default() }
}

fn fail(request: &Echo) -> StatusError {
    let number = u8::try_from(request.number).unwrap_or_default();
    StatusError::new(flamelake_rpc::code::from_grpc_number(number).unwrap_or(ErrorCode::Unknown), request.text.clone())
}

fn plain_routes() -> Router {
    Router::new()
        .route("/plain", get(|| async { "fine" }))
        .route("/plain/error", post(|| async { HttpError::new(StatusCode::UNPROCESSABLE_ENTITY, "no such format") }))
        .route("/plain/panic", get(|| async { panic!("the test asked for it") as &'static str }))
        .route(
            "/plain/slow",
            get(|| async {
                tokio::time::sleep(Duration::from_millis(300)).await;
                "slow but done"
            }),
        )
}

/// A running server; stops when dropped.
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    pub(crate) health: Health,
    pub(crate) shutdown: CancellationToken,
    pub(crate) registry: Registry,
    pub(crate) running: JoinHandle<()>,
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl TestServer {
    pub(crate) async fn start(tenancy: Tenancy) -> Self {
        Self::start_with(tenancy, ServerConfig::default()).await
    }

    pub(crate) async fn start_with(tenancy: Tenancy, config: ServerConfig) -> Self {
        Self::start_as(tenancy, config, None).await
    }

    pub(crate) async fn start_with_tls(tenancy: Tenancy, tls: Arc<ListenTls>) -> Self {
        Self::start_as(tenancy, ServerConfig::default(), Some(tls)).await
    }

    async fn start_as(tenancy: Tenancy, config: ServerConfig, tls: Option<Arc<ListenTls>>) -> Self {
        let registry = Registry::new();
        let metrics = ServerMetrics::register(&registry, SystemClock::shared()).unwrap();
        let health = Health::new();
        let app = App::new().rpc(echo_service()).plain(plain_routes()).health(&health);
        let app = app.reflection(tonic_health::pb::FILE_DESCRIPTOR_SET).build(&config, tenancy, &metrics).unwrap();
        let server = Server::bind("127.0.0.1:0", config, metrics).await.unwrap().with_tls(tls);
        let (address, shutdown) = (server.local_addr(), CancellationToken::new());
        let running = tokio::spawn(server.run(app, shutdown.clone()));
        Self { address, health, shutdown, registry, running }
    }

    pub(crate) fn metrics(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap()
    }

    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = self.metrics();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        value.unwrap_or_default()
    }

    pub(crate) async fn send(&self, request: TestRequest) -> Answer {
        request.send(self.address).await
    }
}

/// A request in the making.
pub(crate) struct TestRequest {
    method: Method,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
    version: Version,
}

/// A reply, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: HeaderMap,
}

impl TestRequest {
    pub(crate) fn new(method: Method, path: &str) -> Self {
        Self { method, path: path.to_owned(), headers: Vec::new(), body: Bytes::new(), version: Version::HTTP_11 }
    }

    pub(crate) fn json(path: &str, body: &str) -> Self {
        Self::post(path, "application/json", body.as_bytes().to_vec())
    }

    pub(crate) fn proto(path: &str, message: &Echo) -> Self {
        Self::post(path, "application/proto", prost::Message::encode_to_vec(message))
    }

    pub(crate) fn post(path: &str, content_type: &str, body: Vec<u8>) -> Self {
        Self { body: body.into(), ..Self::new(Method::POST, path).header("content-type", content_type) }
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(crate) fn gzipped(mut self) -> Self {
        self.body = gzip(&self.body).into();
        self.header("content-encoding", "gzip")
    }

    pub(crate) fn http2(self) -> Self {
        Self { version: Version::HTTP_2, ..self }
    }

    async fn send(self, address: SocketAddr) -> Answer {
        let mut request = Request::builder().method(self.method).uri(format!("http://{address}{}", self.path));
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(self.body)).unwrap();
        let client = Client::builder(TokioExecutor::new()).http2_only(self.version == Version::HTTP_2).build_http();
        let (head, body) = client.request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap();
        let trailers = body.trailers().cloned().unwrap_or_default();
        Answer { status: head.status.as_u16(), headers: head.headers, body: body.to_bytes(), trailers }
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn echo_json(&self) -> Echo {
        assert_eq!(self.status, 200, "{}", self.text());
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn echo_proto(&self) -> Echo {
        assert_eq!(self.status, 200, "{}", self.text());
        prost::Message::decode(self.body.clone()).unwrap()
    }

    /// Status, code and message of a Connect or plain HTTP error.
    pub(crate) fn error(&self) -> (u16, String, String) {
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        let error: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
        (self.status, text("code"), text("message"))
    }
}

pub(crate) fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn gunzip(data: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    flate2::read::MultiGzDecoder::new(data).read_to_end(&mut plain).unwrap();
    plain
}

pub(crate) fn echo(text: &str) -> Echo {
    Echo { text: text.to_owned(), ..Echo::default() }
}
