//! Connect unary calls with protobuf bodies.

use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use bytes::Bytes;
use prost::Message;
use reqwest::header;
use serde::Deserialize;

use flamelake_config::Secret;

use super::Target;

/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(300);

const UPLOAD_OFFSET: &str = "upload-offset";

/// A server, seen from outside.
#[derive(Clone, Debug)]
pub(super) struct Client {
    base: String,
    tenant: Option<String>,
    basic: Option<(String, Secret)>,
    http: reqwest::Client,
}

/// An error as the server words it.
#[derive(Debug, Deserialize)]
struct ServerError {
    code: String,
    #[serde(default)]
    message: String,
}

/// What a call came to.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// The server said no.
    #[error("{message} ({code})")]
    Refused {
        /// Of Connect.
        code: String,
        /// Its words.
        message: String,
    },
    /// The server was not reached, or answered something else than its API.
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

impl CallError {
    /// May the same request succeed a moment later?
    pub(super) fn is_passing(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code == "unavailable" || code == "resource_exhausted")
    }
}

/// What all requests have in common: credentials, authorities, a time limit.
fn builder(target: &Target) -> anyhow::Result<reqwest::ClientBuilder> {
    let mut headers = header::HeaderMap::new();
    if let Some(token) = &target.token {
        let value = header::HeaderValue::from_str(&format!("Bearer {}", token.expose()));
        let mut value = value.map_err(|_| anyhow!("--token holds characters that no token has"))?;
        value.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, value);
    }
    let mut http = reqwest::Client::builder().timeout(TIMEOUT).default_headers(headers);
    if let Some(file) = &target.tls_ca {
        let pem = std::fs::read(file).with_context(|| format!("--tls-ca {}", file.display()))?;
        let authorities = reqwest::Certificate::from_pem_bundle(&pem);
        http = http.tls_certs_only(authorities.with_context(|| format!("--tls-ca {}", file.display()))?);
    }
    if let Some(file) = &target.tls_cert {
        let pem = std::fs::read(file).with_context(|| format!("--tls-cert {}", file.display()))?;
        let identity = reqwest::Identity::from_pem(&pem);
        http = http.identity(identity.with_context(|| format!("--tls-cert {}", file.display()))?);
    }
    Ok(http)
}

impl Client {
    pub(super) fn new(target: &Target) -> anyhow::Result<Self> {
        let url = &target.url;
        let base = if url.contains("://") { url.clone() } else { format!("http://{url}") };
        let is_plain = base.starts_with("http://") && target.tls_ca.is_none();
        let http = match builder(target)?.build() {
            // A machine without any authority can still talk to its own server.
            Err(_) if is_plain => builder(target)?.tls_certs_only([]).build()?,
            built => built.context(
                "TLS cannot be set up: install the package ca-certificates, or name the server's authority by --tls-ca",
            )?,
        };
        Ok(Self { base: base.trim_end_matches('/').to_owned(), tenant: target.tenant.clone(), basic: None, http })
    }

    /// The same with basic authentication.
    pub(super) fn with_basic(self, user: String, password: Secret) -> Self {
        Self { basic: Some((user, password)), ..self }
    }

    /// Calls `package.Service/Method`.
    pub(super) async fn call<Answer: Message + Default>(
        &self,
        method: &str,
        request: &impl Message,
    ) -> Result<Answer, CallError> {
        let bytes = self.call_raw(method, request.encode_to_vec()).await?;
        let answer = Answer::decode(bytes).with_context(|| format!("{method}: the server's answer is not understood"));
        Ok(answer?)
    }

    /// The same with bytes.
    pub(super) async fn call_raw(&self, method: &str, body: Vec<u8>) -> Result<Bytes, CallError> {
        let mut request = self
            .http
            .post(format!("{}/{method}", self.base))
            .header(header::CONTENT_TYPE, "application/proto")
            .header("connect-protocol-version", "1")
            .body(body);
        if let Some((user, password)) = &self.basic {
            request = request.basic_auth(user, Some(password.expose()));
        }
        if let Some(tenant) = &self.tenant {
            request = request.header("x-scope-orgid", tenant);
        }
        let response = request.send().await.map_err(|error| self.unreachable(error))?;
        let status = response.status();
        let is_proto = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/proto");
        let bytes = response.bytes().await.with_context(|| format!("{}: the answer broke off", self.base))?;
        match serde_json::from_slice::<ServerError>(&bytes) {
            _ if status.is_success() && is_proto => Ok(bytes),
            Ok(ServerError { code, message }) => Err(CallError::Refused { code, message }),
            Err(_) => Err(anyhow!("{} answers {status}: is it Flamelake's public port?", self.base).into()),
        }
    }

    /// Posts a body of any kind; a refusal is told as that of a call.
    pub(super) async fn post_body(&self, path: &str, content_type: &str, body: Bytes) -> Result<Bytes, CallError> {
        let request =
            self.http.post(format!("{}/{path}", self.base)).header(header::CONTENT_TYPE, content_type).body(body);
        self.posted(request).await
    }

    /// Posts bytes of an upload from this offset on.
    pub(super) async fn post_at(&self, path: &str, offset: u64, body: Bytes) -> Result<Bytes, CallError> {
        self.posted(self.http.post(format!("{}/{path}", self.base)).header(UPLOAD_OFFSET, offset).body(body)).await
    }

    /// How far an upload has come; `None` if none is under way.
    pub(super) async fn upload_offset(&self, path: &str) -> Result<Option<u64>, CallError> {
        let mut request = self.http.head(format!("{}/{path}", self.base));
        if let Some(tenant) = &self.tenant {
            request = request.header("x-scope-orgid", tenant);
        }
        let response = request.send().await.map_err(|error| self.unreachable(error))?;
        Ok(response.headers().get(UPLOAD_OFFSET).and_then(|offset| offset.to_str().ok()?.parse().ok()))
    }

    async fn posted(&self, mut request: reqwest::RequestBuilder) -> Result<Bytes, CallError> {
        if let Some(tenant) = &self.tenant {
            request = request.header("x-scope-orgid", tenant);
        }
        let response = request.send().await.map_err(|error| self.unreachable(error))?;
        let status = response.status();
        let bytes = response.bytes().await.with_context(|| format!("{}: the answer broke off", self.base))?;
        match serde_json::from_slice::<ServerError>(&bytes) {
            _ if status.is_success() => Ok(bytes),
            Ok(ServerError { code, message }) => Err(CallError::Refused { code, message }),
            Err(_) => Err(anyhow!("{} answers {status}: is it Flamelake's public port?", self.base).into()),
        }
    }

    /// A plain page; the error carries what the server said.
    pub(super) async fn get_text(&self, path: &str) -> anyhow::Result<String> {
        self.plain(self.http.get(format!("{}/{path}", self.base))).await
    }

    /// Posts a form that is encoded already.
    pub(super) async fn post_form(&self, path: &str, form: &str) -> anyhow::Result<String> {
        let request = self.http.post(format!("{}/{path}", self.base));
        self.plain(request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(form.to_owned()))
            .await
    }

    /// Posts JSON.
    pub(super) async fn post_json(&self, path: &str, json: String) -> anyhow::Result<String> {
        let request = self.http.post(format!("{}/{path}", self.base));
        self.plain(request.header(header::CONTENT_TYPE, "application/json").body(json)).await
    }

    async fn plain(&self, mut request: reqwest::RequestBuilder) -> anyhow::Result<String> {
        if let Some(tenant) = &self.tenant {
            request = request.header("x-scope-orgid", tenant);
        }
        let response = request.send().await.map_err(|error| self.unreachable(error))?;
        let status = response.status();
        let text = response.text().await.with_context(|| format!("{}: the answer broke off", self.base))?;
        if status.is_success() { Ok(text) } else { bail!("{} ({status})", text.trim()) }
    }

    fn unreachable(&self, error: reqwest::Error) -> anyhow::Error {
        let mut cause: &dyn std::error::Error = &error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        anyhow!("cannot reach {}: {cause}; name another server with --url", self.base)
    }
}
