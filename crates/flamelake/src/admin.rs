//! Plain HTTP routes for operators (contract query.md section 9, operations.md 1.4 and 1.5).

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use flamelake_api::google::api::HttpBody;
use flamelake_api::roles::IngesterApi;
use flamelake_api::status::v1 as status;
use flamelake_model::{StatusError, TenantId};
use flamelake_rpc::{HttpError, Idempotent, RpcRouter};
use flamelake_runtime::Readiness;
use flamelake_telemetry::{BuildInfo, Exemplars, OPEN_METRICS};
use prometheus::Registry;
use serde::Deserialize;
use serde_json::json;

/// What the routes tell about.
#[derive(Clone)]
pub(crate) struct Admin {
    pub(crate) readiness: Arc<Readiness>,
    pub(crate) registry: Registry,
    /// Of traced requests.
    pub(crate) exemplars: Exemplars,
    /// The ingester of this process.
    pub(crate) ingester: Option<Arc<dyn IngesterApi>>,
    /// The resolved configuration, what differs from the defaults, and the defaults, as YAML without secrets.
    pub(crate) config: Arc<ConfigTexts>,
}

#[derive(Debug)]
pub(crate) struct ConfigTexts {
    pub(crate) all: String,
    pub(crate) diff: String,
    pub(crate) defaults: String,
}

/// The routes that change something.
pub(crate) fn operator_routes(admin: Admin) -> Router {
    Router::new().route("/ingester/flush", post(flush)).with_state(admin)
}

/// What anybody may ask, from the first moment on.
pub(crate) fn starting_routes(admin: Admin) -> Router {
    Router::new()
        .route("/ready", get(ready))
        .route("/healthz", get(async || "ok\n"))
        .route("/metrics", get(metrics))
        .with_state(admin)
}

/// The routes that only look.
pub(crate) fn routes(admin: Admin) -> Router {
    starting_routes(admin.clone()).merge(looking_routes(admin))
}

/// The same as methods (`status.v1.StatusService`), for those who speak gRPC or Connect.
pub(crate) fn rpc(config: &ConfigTexts) -> RpcRouter {
    let texts = [
        ("/status.v1.StatusService/GetConfig", config.all.clone()),
        ("/status.v1.StatusService/GetDiffConfig", config.diff.clone()),
        ("/status.v1.StatusService/GetDefaultConfig", config.defaults.clone()),
    ];
    let router = RpcRouter::new().unary_without_tenant(
        "/status.v1.StatusService/GetBuildInfo",
        Idempotent::Yes,
        |_, _: status::GetBuildInfoRequest| async {
            let build = BuildInfo::current();
            let data = status::GetBuildInfoData {
                version: build.version.to_owned(),
                revision: build.revision.to_owned(),
                ..status::GetBuildInfoData::default()
            };
            Ok(status::GetBuildInfoResponse { status: "success".to_owned(), data: Some(data) })
        },
    );
    texts.into_iter().fold(router, |router, (path, text)| {
        let data = axum::body::Bytes::from(text);
        router.unary_without_tenant(path, Idempotent::Yes, move |_, _: status::GetConfigRequest| {
            let data = data.clone();
            async move { Ok(HttpBody { content_type: YAML.to_owned(), data, extensions: Vec::new() }) }
        })
    })
}

fn looking_routes(admin: Admin) -> Router {
    Router::new()
        .route("/config", get(config))
        .route("/api/v1/status/config", get(async |State(admin): State<Admin>| yaml(&admin.config.all)))
        .route("/api/v1/status/config/diff", get(async |State(admin): State<Admin>| yaml(&admin.config.diff)))
        .route("/api/v1/status/config/default", get(async |State(admin): State<Admin>| yaml(&admin.config.defaults)))
        .route("/api/v1/status/buildinfo", get(build_info))
        .with_state(admin)
}

async fn ready(State(admin): State<Admin>) -> Response {
    match admin.readiness.check() {
        Ok(()) => "ready\n".into_response(),
        Err(missing) => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}\n", missing.join(", "))).into_response()
        }
    }
}

/// Prometheus text; OpenMetrics where it says more, and is taken.
async fn metrics(State(admin): State<Admin>, headers: HeaderMap) -> Result<Response, HttpError> {
    let text =
        flamelake_telemetry::encode(&admin.registry).map_err(|error| StatusError::internal(error.to_string()))?;
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accepted.contains("application/openmetrics-text") && !admin.exemplars.is_empty() {
        return Ok(([(header::CONTENT_TYPE, OPEN_METRICS)], admin.exemplars.open_metrics(&text)).into_response());
    }
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

#[derive(Deserialize)]
struct ConfigMode {
    #[serde(default)]
    mode: String,
}

async fn config(State(admin): State<Admin>, Query(query): Query<ConfigMode>) -> Result<Response, HttpError> {
    match query.mode.as_str() {
        "" => Ok(yaml(&admin.config.all)),
        "diff" => Ok(yaml(&admin.config.diff)),
        "defaults" => Ok(yaml(&admin.config.defaults)),
        other => Err(StatusError::invalid_argument(format!("mode {other:?} is unknown: use diff or defaults")).into()),
    }
}

const YAML: &str = "text/plain; charset=utf-8";

fn yaml(text: &str) -> Response {
    ([(header::CONTENT_TYPE, YAML)], text.to_owned()).into_response()
}

/// Indented for who accepts `application/json+pretty`.
async fn build_info(headers: HeaderMap) -> Response {
    let build = BuildInfo::current();
    let told = json!({"status": "success", "data": {
        "version": build.version, "revision": build.revision, "branch": "", "buildUser": "", "buildDate": "", "goVersion": "",
    }});
    let is_pretty =
        |value: &axum::http::HeaderValue| value.to_str().is_ok_and(|text| text.contains("application/json+pretty"));
    if headers.get_all(header::ACCEPT).iter().any(is_pretty) {
        return ([(header::CONTENT_TYPE, "application/json+pretty")], format!("{told:#}")).into_response();
    }
    Json(told).into_response()
}

#[derive(Deserialize)]
struct FlushScope {
    tenant: Option<String>,
}

/// Cuts the heads and answers when their blocks are committed; the status reflects the result.
async fn flush(State(admin): State<Admin>, Query(scope): Query<FlushScope>) -> Result<Response, HttpError> {
    let tenant = scope.tenant.as_deref().map(TenantId::parse).transpose();
    let tenant = tenant.map_err(|error| StatusError::invalid_argument(error.to_string()))?;
    let Some(ingester) = &admin.ingester else {
        return Err(StatusError::unimplemented("no ingester runs in this process: ask one that --target names").into());
    };
    ingester.flush(tenant).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
