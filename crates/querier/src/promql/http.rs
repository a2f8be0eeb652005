//! The routes under `/prometheus`, as clients of Prometheus' HTTP API know them. Every GET may be a POST with a form.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use flamelake_model::{ErrorCode, StatusError};
use flamelake_rpc::Tenancy;
use futures::future::BoxFuture;
use http::{HeaderMap, StatusCode, header};
use tower_http::compression::CompressionLayer;

use super::document::{Answer as Evaluated, json_text};
use super::federate;
use super::labels::{self, LabelQuestion};
use super::metrics::Metric;
use super::params::{Params, invalid};
use super::parse::{parse, parse_selector};
use super::plan::LOOKBACK_MS;
use super::query::{Question, ask};
use super::source::Stored;
use super::values::Steps;
use crate::Querier;
use crate::rpc::{PARTIAL_HEADER, partial_header};
use crate::service::{Answer, Caller};

/// Largest form.
const FORM_BYTES_MAX: usize = 1 << 20;
/// What we speak: features of Prometheus' API are told by its version.
const API_VERSION: &str = "3.0.0";

#[derive(Clone, Debug)]
pub(super) struct Prometheus {
    pub(super) querier: Querier,
    tenancy: Tenancy,
}

/// One request.
pub(super) struct Call {
    pub(super) caller: Caller,
    pub(super) params: Params,
}

/// An error as Prometheus tells it.
#[derive(Debug)]
pub(super) struct ApiError {
    status: u16,
    kind: &'static str,
    error: StatusError,
}

impl Querier {
    /// The routes of Prometheus' HTTP API.
    pub(crate) fn prometheus(&self, tenancy: Tenancy) -> Router {
        let state = Arc::new(Prometheus { querier: self.clone(), tenancy });
        Router::new()
            .route("/prometheus/api/v1/query", get(query).post(query))
            .route("/prometheus/api/v1/query_range", get(query_range).post(query_range))
            .route("/prometheus/api/v1/labels", get(label_names).post(label_names))
            .route("/prometheus/api/v1/label/{name}/values", get(label_values))
            .route("/prometheus/api/v1/series", get(series).post(series))
            .route("/prometheus/api/v1/metadata", get(metadata))
            .route("/prometheus/api/v1/format_query", get(format_query).post(format_query))
            .route("/prometheus/api/v1/query_exemplars", get(query_exemplars).post(query_exemplars))
            .route("/prometheus/api/v1/rules", get(async || document(r#"{"groups":[]}"#)))
            .route("/prometheus/api/v1/alerts", get(async || document(r#"{"alerts":[]}"#)))
            .route("/prometheus/api/v1/status/buildinfo", get(async || document(&build_info())))
            .route("/prometheus/federate", get(federate::federate))
            .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
            .layer(CompressionLayer::new().gzip(true).no_br().no_deflate().no_zstd())
            .with_state(state)
    }
}

impl Prometheus {
    pub(super) fn call(&self, headers: &HeaderMap, address: Option<&str>, form: &[u8]) -> Result<Call, ApiError> {
        let tenants = self.tenancy.tenants(headers)?.as_slice().to_vec();
        Ok(Call { caller: Caller { tenants, utf8_label_names: true }, params: Params::new(address, form) })
    }

    /// Runs a call in its turn, within its own time limit and the server's.
    pub(super) async fn run<T>(
        &self,
        call: &Call,
        method: &'static str,
        work: BoxFuture<'_, Result<T, StatusError>>,
    ) -> Result<T, ApiError> {
        let timeout = call.params.duration("timeout")?;
        let mut begun = false;
        let begin = async {
            begun = true;
            work.await
        };
        let limited = async {
            let Some(ms) = timeout else { return begin.await };
            let timeout = Duration::from_millis(u64::try_from(ms).unwrap_or_default());
            tokio::select! {
                biased;
                result = begin => result,
                () = self.querier.sleep(timeout) => {
                    Err(StatusError::new(ErrorCode::DeadlineExceeded, format!("the query took longer than {timeout:?}, its own timeout")))
                }
            }
        };
        let result = self.querier.run(&call.caller, method, limited).await;
        result.map_err(|error| match error.code {
            // The line was full: that says nothing against the query.
            ErrorCode::ResourceExhausted if !begun => ApiError::new(503, "unavailable", error),
            _ => error.into(),
        })
    }

    pub(super) fn question(&self, call: &Call, query: &str, steps: Steps, instant: bool) -> Result<Question, ApiError> {
        let lookback_ms = call.params.duration("lookback_delta")?.filter(|ms| *ms > 0).unwrap_or(LOOKBACK_MS);
        let length = self.querier.limits(&call.caller).length;
        let range_ms_max = i64::try_from(length.as_millis()).unwrap_or(i64::MAX);
        if range_ms_max > 0 && steps.last() - steps.start > range_ms_max {
            return Err(StatusError::invalid_argument(format!(
                "the query time range exceeds the limit (max_query_length, actual: {}, limit: {}): shorten the range",
                super::ast::Span(steps.last() - steps.start),
                super::ast::Span(range_ms_max)
            ))
            .into());
        }
        Ok(Question {
            query: query.to_owned(),
            steps,
            instant,
            lookback_ms,
            samples_max: self.querier.promql_samples_max(),
            range_ms_max,
            push_down: true,
        })
    }
}

impl ApiError {
    fn new(status: u16, kind: &'static str, error: StatusError) -> Self {
        Self { status, kind, error }
    }
}

impl From<StatusError> for ApiError {
    fn from(error: StatusError) -> Self {
        let (status, kind) = match error.code {
            ErrorCode::InvalidArgument | ErrorCode::OutOfRange => (400, "bad_data"),
            ErrorCode::FailedPrecondition | ErrorCode::ResourceExhausted | ErrorCode::Unimplemented => {
                (422, "execution")
            }
            ErrorCode::DeadlineExceeded => (503, "timeout"),
            ErrorCode::Canceled => (503, "canceled"),
            ErrorCode::Unavailable | ErrorCode::Aborted => (503, "unavailable"),
            ErrorCode::NotFound => (404, "not_found"),
            ErrorCode::Unauthenticated => (401, "bad_data"),
            ErrorCode::PermissionDenied => (403, "bad_data"),
            ErrorCode::Internal | ErrorCode::Unknown | ErrorCode::DataLoss | ErrorCode::AlreadyExists => {
                (500, "internal")
            }
        };
        Self::new(status, kind, error)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let text =
            format!(r#"{{"status":"error","errorType":"{}","error":{}}}"#, self.kind, json_text(&self.error.message));
        let mut response = (status, [(header::CONTENT_TYPE, "application/json")], text).into_response();
        response.extensions_mut().insert(self.error.code);
        response
    }
}

/// A good answer.
fn document(data: &str) -> Response {
    written(format!(r#"{{"status":"success","data":{data}}}"#))
}

fn written(text: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

/// A good answer that says what it leaves out, in its own way and in ours.
fn answer(data: &str, set_aside: &[String], cut: bool) -> Response {
    let gaps = set_aside.iter().map(|gap| format!("the answer leaves out {gap}"));
    let cut = cut.then(|| "results truncated due to limit".to_owned());
    let warnings: Vec<String> = gaps.chain(cut).map(|warning| json_text(&warning)).collect();
    let mut response = if warnings.is_empty() {
        document(data)
    } else {
        written(format!(r#"{{"status":"success","data":{data},"warnings":[{}]}}"#, warnings.join(",")))
    };
    if let Some(value) = partial_header(set_aside) {
        response.headers_mut().insert(PARTIAL_HEADER, value);
    }
    response
}

fn in_query(error: StatusError) -> ApiError {
    match error.code {
        ErrorCode::InvalidArgument => invalid("query", &error.message).into(),
        _ => error.into(),
    }
}

async fn query(
    State(state): State<Arc<Prometheus>>,
    headers: HeaderMap,
    RawQuery(address): RawQuery,
    form: Bytes,
) -> Result<Response, ApiError> {
    let call = state.call(&headers, address.as_deref(), &form)?;
    let at = call.params.time("time", state.querier.now().0)?;
    evaluated(&state, &call, "promql-query", Steps::once(at), true).await
}

async fn query_range(
    State(state): State<Arc<Prometheus>>,
    headers: HeaderMap,
    RawQuery(address): RawQuery,
    form: Bytes,
) -> Result<Response, ApiError> {
    let call = state.call(&headers, address.as_deref(), &form)?;
    let steps = call.params.steps()?;
    evaluated(&state, &call, "promql-range", steps, false).await
}

async fn evaluated(
    state: &Prometheus,
    call: &Call,
    method: &'static str,
    steps: Steps,
    instant: bool,
) -> Result<Response, ApiError> {
    let limit = call.params.limit()?;
    let text = call.params.get("query");
    // What is no query takes no place in the line.
    parse(text).map_err(in_query)?;
    let question = state.question(call, text, steps, instant)?;
    let source = Stored { querier: &state.querier, caller: &call.caller };
    let work = ask(&source, question, move |evaluated: Evaluated| evaluated.data(limit));
    let Answer { value: (data, cut), set_aside } = state.run(call, method, Box::pin(work)).await?;
    Ok(answer(&data, &set_aside, cut))
}

async fn label_names(
    State(state): State<Arc<Prometheus>>,
    headers: HeaderMap,
    RawQuery(address): RawQuery,
    form: Bytes,
) -> Result<Response, ApiError> {
    let call = state.call(&headers, address.as_deref(), &form)?;
    let question = LabelQuestion::new(&state.querier, &call.params)?;
    let names = labels::names(&state.querier, &call.caller, &question);
    let names = state.run(&call, "promql-labels", Box::pin(names)).await?;
    strings(&call, names)
}

async fn label_values(
    State(state): State<Arc<Prometheus>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    RawQuery(address): RawQuery,
) -> Result<Response, ApiError> {
    let call = state.call(&headers, address.as_deref(), &[])?;
    let name = labels::unescape(&name);
    if name.is_empty() {
        return Err(StatusError::invalid_argument("invalid label name: \"\"").into());
    }
    let question = LabelQuestion::new(&state.querier, &call.params)?;
    let values = labels::values(&state.querier, &call.caller, &question, &name);
    let values = state.run(&call, "promql-label-values", Box::pin(values)).await?;
    strings(&call, values)
}

async fn series(
    State(state): State<Arc<Prometheus>>,
    headers: HeaderMap,
    RawQuery(address): RawQuery,
    form: Bytes,
) -> Result<Response, ApiError> {
    let call = state.call(&headers, address.as_deref(), &form)?;
    let question = LabelQuestion::new(&state.querier, &call.params)?;
    if question.selectors.is_empty() {
        return Err(StatusError::invalid_argument("no match[] parameter provided").into());
    }
    let sets = labels::series(&state.querier, &call.caller, &question);
    let sets = state.run(&call, "promql-series", Box::pin(sets)).await?;
    strings_written(&call, sets, |set| set.to_owned())
}

fn strings(call: &Call, answer: Answer<Vec<String>>) -> Result<Response, ApiError> {
    strings_written(call, answer, json_text)
}

fn strings_written(
    call: &Call,
    strings: Answer<Vec<String>>,
    write: impl Fn(&str) -> String,
) -> Result<Response, ApiError> {
    let limit = call.params.limit()?;
    let written: Vec<String> = strings.value.iter().take(limit).map(|text| write(text)).collect();
    Ok(answer(&format!("[{}]", written.join(",")), &strings.set_aside, strings.value.len() > limit))
}

async fn metadata(
    State(state): State<Arc<Prometheus>>,
    headers: HeaderMap,
    RawQuery(address): RawQuery,
) -> Result<Response, ApiError> {
    let call = state.call(&headers, address.as_deref(), &[])?;
    let (limit, wanted) = (call.params.limit()?, call.params.get("metric"));
    let metrics = Metric::ALL.into_iter().filter(|metric| wanted.is_empty() || metric.name() == wanted).take(limit);
    let texts: Vec<String> = metrics
        .map(|metric| {
            let help = json_text(metric.help());
            format!(r#""{}":[{{"type":"gauge","help":{help},"unit":""}}]"#, metric.name())
        })
        .collect();
    Ok(document(&format!("{{{}}}", texts.join(","))))
}

async fn format_query(
    State(state): State<Arc<Prometheus>>,
    headers: HeaderMap,
    RawQuery(address): RawQuery,
    form: Bytes,
) -> Result<Response, ApiError> {
    let call = state.call(&headers, address.as_deref(), &form)?;
    let query = parse(call.params.get("query")).map_err(in_query)?;
    Ok(document(&json_text(&query.root.to_string())))
}

/// There are none by label: profiles are found by their id.
async fn query_exemplars(
    State(state): State<Arc<Prometheus>>,
    headers: HeaderMap,
    RawQuery(address): RawQuery,
    form: Bytes,
) -> Result<Response, ApiError> {
    let call = state.call(&headers, address.as_deref(), &form)?;
    parse(call.params.get("query")).map_err(in_query)?;
    Ok(document("[]"))
}

/// Clients tell by it which requests are understood.
fn build_info() -> String {
    let build = flamelake_telemetry::BuildInfo::current();
    serde_json::json!({
        "application": "Flamelake",
        "version": API_VERSION,
        "revision": build.revision,
        "branch": "",
        "buildUser": "",
        "buildDate": "",
        "goVersion": "",
    })
    .to_string()
}

/// `match[]` parameters.
pub(super) fn selectors(params: &Params) -> Result<Vec<super::ast::VectorSelector>, StatusError> {
    let parse = |text: &str| parse_selector(text).map_err(|error| invalid("match[]", &error.message));
    params.all("match[]").map(parse).collect()
}
