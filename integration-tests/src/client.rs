//! A client that speaks every public protocol, so that one question can be asked in all of them.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use flate2::Compression;
use prost::Message;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tonic::codec::CompressionEncoding;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;

/// How a call travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Connect unary, JSON.
    ConnectJson,
    /// Connect unary, JSON, body gzipped.
    ConnectJsonGzip,
    /// Connect unary, binary.
    ConnectProto,
    /// Connect unary, binary, body gzipped.
    ConnectProtoGzip,
    /// gRPC over cleartext HTTP/2.
    Grpc,
    /// The same with gzip both ways.
    GrpcGzip,
    /// gRPC-Web over HTTP/1.1.
    GrpcWeb,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::ConnectJson,
        Self::ConnectJsonGzip,
        Self::ConnectProto,
        Self::ConnectProtoGzip,
        Self::Grpc,
        Self::GrpcGzip,
        Self::GrpcWeb,
    ];
}

/// What the server refused with, in Connect's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RpcError {
    /// `invalid_argument` and so on.
    pub code: String,
    /// Its text.
    pub message: String,
}

impl std::fmt::Display for RpcError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for RpcError {}

/// The outer error: the server did not answer, or not in its protocol.
pub type Answer<T> = anyhow::Result<Result<T, RpcError>>;

/// Talks to one server as one tenant. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    tenant: Option<String>,
    authorization: Option<String>,
}

impl Client {
    /// Of a base URL without a slash at its end; sends no tenant.
    pub fn new(base: &str) -> Self {
        Self::of(base, reqwest::Client::builder())
    }

    /// The same over TLS (not gRPC), trusting only the authorities of a PEM file.
    pub fn trusting(base: &str, authorities: &Path) -> anyhow::Result<Self> {
        let authorities = reqwest::Certificate::from_pem_bundle(&std::fs::read(authorities)?)?;
        Ok(Self::of(base, reqwest::Client::builder().tls_certs_only(authorities)))
    }

    fn of(base: &str, http: reqwest::ClientBuilder) -> Self {
        let http =
            http.timeout(Duration::from_secs(120)).no_proxy().build().expect("a client without proxies can be built");
        Self { http, base: base.to_owned(), tenant: None, authorization: None }
    }

    /// Sends this `X-Scope-OrgID`.
    pub fn with_tenant(mut self, tenant: &str) -> Self {
        self.tenant = Some(tenant.to_owned());
        self
    }

    /// Sends this `Authorization`.
    pub fn with_authorization(mut self, value: &str) -> Self {
        self.authorization = Some(value.to_owned());
        self
    }

    /// Status of a GET.
    pub async fn get_status(&self, path: &str) -> anyhow::Result<u16> {
        Ok(self.request(reqwest::Method::GET, path).send().await?.status().as_u16())
    }

    /// Text of a GET.
    pub async fn get_text(&self, path: &str) -> anyhow::Result<String> {
        Ok(self.request(reqwest::Method::GET, path).send().await?.text().await?)
    }

    /// Body of a GET that must succeed.
    pub async fn get_bytes(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        Ok(self.request(reqwest::Method::GET, path).send().await?.error_for_status()?.bytes().await?.to_vec())
    }

    /// The same with headers.
    pub async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> anyhow::Result<Vec<u8>> {
        let mut request = self.request(reqwest::Method::GET, path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Ok(request.send().await?.error_for_status()?.bytes().await?.to_vec())
    }

    /// Status of an empty POST.
    pub async fn post_status(&self, path: &str) -> anyhow::Result<u16> {
        Ok(self.request(reqwest::Method::POST, path).send().await?.status().as_u16())
    }

    /// The same, and what the answer says it leaves out.
    pub async fn json_or_partial(&self, method: &str, request: &Value) -> anyhow::Result<(u16, Option<String>, Value)> {
        let request = self.request(reqwest::Method::POST, &format!("/{method}")).json(request);
        let response = request.send().await?;
        let partial = response.headers().get("x-flamelake-partial").and_then(|value| value.to_str().ok());
        let partial = partial.map(str::to_owned);
        Ok((response.status().as_u16(), partial, response.json().await?))
    }

    /// A raw POST: status, content type, body.
    pub async fn post(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> anyhow::Result<(u16, String, Vec<u8>)> {
        let mut request = self.request(reqwest::Method::POST, path).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await?;
        let header = |name| response.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
        let (status, content_type, encoding) =
            (response.status().as_u16(), header(CONTENT_TYPE), header(CONTENT_ENCODING));
        let body = response.bytes().await?.to_vec();
        let body = if encoding == "gzip" { gunzip(&body)? } else { body };
        Ok((status, content_type, body))
    }

    /// Connect with JSON as a person would write it: status and body.
    pub async fn json(&self, method: &str, request: &Value) -> anyhow::Result<(u16, Value)> {
        let body = request.to_string().into_bytes();
        let (status, _, body) = self.post(&format!("/{method}"), &[("content-type", "application/json")], body).await?;
        Ok((status, serde_json::from_slice(&body).with_context(|| format!("{method}: {status}, not JSON"))?))
    }

    /// Any unary method (`querier.v1.QuerierService/Series`) over any protocol.
    pub async fn call<Req, Resp>(&self, protocol: Protocol, method: &str, request: &Req) -> Answer<Resp>
    where
        Req: Message + Serialize + Clone + 'static,
        Resp: Message + DeserializeOwned + Default + 'static,
    {
        let path = format!("/{method}");
        match protocol {
            Protocol::ConnectJson => self.connect_json(&path, request, false).await,
            Protocol::ConnectJsonGzip => self.connect_json(&path, request, true).await,
            Protocol::ConnectProto => self.connect_proto(&path, request, false).await,
            Protocol::ConnectProtoGzip => self.connect_proto(&path, request, true).await,
            Protocol::Grpc => self.grpc(&path, request, false).await,
            Protocol::GrpcGzip => self.grpc(&path, request, true).await,
            Protocol::GrpcWeb => self.grpc_web(&path, request).await,
        }
    }

    async fn connect_json<Req: Serialize, Resp: DeserializeOwned>(
        &self,
        path: &str,
        request: &Req,
        zip: bool,
    ) -> Answer<Resp> {
        let (status, body) = self.connect(path, "application/json", serde_json::to_vec(request)?, zip).await?;
        if status != 200 {
            return Ok(Err(connect_error(&body)?));
        }
        Ok(Ok(serde_json::from_slice(&body).context("an answer in JSON")?))
    }

    async fn connect_proto<Req: Message, Resp: Message + Default>(
        &self,
        path: &str,
        request: &Req,
        zip: bool,
    ) -> Answer<Resp> {
        let (status, body) = self.connect(path, "application/proto", request.encode_to_vec(), zip).await?;
        if status != 200 {
            return Ok(Err(connect_error(&body)?));
        }
        Ok(Ok(Resp::decode(body.as_slice()).context("an answer in protobuf")?))
    }

    async fn connect(
        &self,
        path: &str,
        content_type: &str,
        body: Vec<u8>,
        zip: bool,
    ) -> anyhow::Result<(u16, Vec<u8>)> {
        let plain = [("content-type", content_type)];
        let zipped = [plain[0], ("content-encoding", "gzip"), ("accept-encoding", "gzip")];
        let (status, _, body) =
            if zip { self.post(path, &zipped, gzip(&body)).await? } else { self.post(path, &plain, body).await? };
        Ok((status, body))
    }

    async fn grpc<Req, Resp>(&self, path: &str, request: &Req, zip: bool) -> Answer<Resp>
    where
        Req: Message + Clone + 'static,
        Resp: Message + Default + 'static,
    {
        let channel = Channel::from_shared(self.base.clone())?.connect().await?;
        let mut grpc =
            tonic::client::Grpc::new(channel).max_decoding_message_size(1 << 30).max_encoding_message_size(1 << 30);
        if zip {
            grpc = grpc.send_compressed(CompressionEncoding::Gzip).accept_compressed(CompressionEncoding::Gzip);
        }
        let mut message = tonic::Request::new(request.clone());
        if let Some(tenant) = &self.tenant {
            message.metadata_mut().insert("x-scope-orgid", tenant.parse()?);
        }
        if let Some(authorization) = &self.authorization {
            message.metadata_mut().insert("authorization", authorization.parse()?);
        }
        grpc.ready().await?;
        let codec = tonic_prost::ProstCodec::<Req, Resp>::default();
        Ok(match grpc.unary(message, PathAndQuery::try_from(path)?, codec).await {
            Ok(response) => Ok(response.into_inner()),
            Err(status) => {
                Err(RpcError { code: grpc_code(status.code() as i32), message: status.message().to_owned() })
            }
        })
    }

    async fn grpc_web<Req: Message, Resp: Message + Default>(&self, path: &str, request: &Req) -> Answer<Resp> {
        let message = request.encode_to_vec();
        let mut body = vec![0];
        body.extend((message.len() as u32).to_be_bytes());
        body.extend(message);
        let request = self
            .request(reqwest::Method::POST, path)
            .header(CONTENT_TYPE, "application/grpc-web+proto")
            .header("x-grpc-web", "1")
            .body(body);
        let response = request.send().await?;
        let header = |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let mut trailers = [header("grpc-status"), header("grpc-message")];
        let body = response.bytes().await?;
        let mut rest = &body[..];
        let mut answer = None;
        while rest.len() >= 5 {
            let (flag, length) = (rest[0], u32::from_be_bytes([rest[1], rest[2], rest[3], rest[4]]) as usize);
            let frame = rest.get(5..5 + length).context("a gRPC-Web frame is cut short")?;
            rest = &rest[5 + length..];
            if flag & 0x80 == 0 {
                answer = Some(Resp::decode(frame)?);
                continue;
            }
            for line in std::str::from_utf8(frame)?.lines() {
                let (name, value) = line.split_once(':').context("a trailer line")?;
                match name {
                    "grpc-status" => trailers[0] = Some(value.trim().to_owned()),
                    "grpc-message" => trailers[1] = Some(value.trim().to_owned()),
                    _ => {}
                }
            }
        }
        let [status, text] = trailers;
        match status.context("no grpc-status")?.parse()? {
            0 => Ok(Ok(answer.context("status 0 without a message")?)),
            code => Ok(Err(RpcError { code: grpc_code(code), message: percent_decoded(&text.unwrap_or_default()) })),
        }
    }

    fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        let request = match &self.tenant {
            Some(tenant) => request.header("x-scope-orgid", tenant),
            None => request,
        };
        match &self.authorization {
            Some(value) => request.header("authorization", value),
            None => request,
        }
    }
}

fn connect_error(body: &[u8]) -> anyhow::Result<RpcError> {
    let body: Value = serde_json::from_slice(body).context("an error body in JSON")?;
    let text = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(RpcError { code: text("code"), message: text("message") })
}

/// gRPC's number as Connect's name (contract `wire.md` section 8.3).
fn grpc_code(code: i32) -> String {
    const NAMES: [&str; 17] = [
        "ok",
        "canceled",
        "unknown",
        "invalid_argument",
        "deadline_exceeded",
        "not_found",
        "already_exists",
        "permission_denied",
        "resource_exhausted",
        "failed_precondition",
        "aborted",
        "out_of_range",
        "unimplemented",
        "internal",
        "unavailable",
        "data_loss",
        "unauthenticated",
    ];
    usize::try_from(code).ok().and_then(|code| NAMES.get(code)).map_or_else(|| code.to_string(), |n| (*n).to_owned())
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%').and_then(|h| u8::from_str_radix(h, 16).ok());
        out.push(hex.unwrap_or(bytes[at]));
        at += if hex.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Gzip at the default level.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("a Vec takes every byte");
    encoder.finish().expect("a Vec takes every byte")
}

fn gunzip(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut out = Vec::new();
    flate2::read::GzDecoder::new(bytes).read_to_end(&mut out)?;
    Ok(out)
}
