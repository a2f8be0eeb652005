//! Plain routes. The legacy ones: GETs for flame graphs as one JSON document or as Graphviz text, and for labels (contract `query.md`
//! section 7), which ask what the RPC methods ask; and our own, in files of their own. Here are only parameters and documents.

mod time;
mod question;
mod timeline;
pub(crate) mod flamebearer;
mod pgo;
mod functions;
mod function_index;
mod compare;

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use flamelake_api::types::v1 as types;
use flamelake_model::{StatusError, TimestampMs, label_name};
use flamelake_rpc::{HttpError, Tenancy};
use http::{HeaderMap, header};
use serde::Serialize;
use tower_http::compression::CompressionLayer;

use self::flamebearer::Document;
use self::question::LegacyQuery;
use self::timeline::{Axis, BARS, step_seconds};
use crate::check::{SampleFilterInput, SeriesInput, StacktracesInput};
use crate::error::QuerierError;
use crate::merge::off_reactor;
use crate::rpc::{PARTIAL_HEADER, partial_header};
use crate::service::{Answer, Caller, joined};
use crate::{Querier, about};

/// Most `groupBy` parameters that are looked at; the question itself refuses more than it can take.
const GROUP_BY_MAX: usize = 256;

#[derive(Clone)]
struct Legacy {
    querier: Querier,
    tenancy: Tenancy,
}

impl Querier {
    /// The plain routes of the public port.
    pub fn http(&self, tenancy: Tenancy) -> Router {
        let legacy = Arc::new(Legacy { querier: self.clone(), tenancy });
        // Packed by itself.
        let packed = Router::new().route("/api/v1/pgo/go", get(pgo::go)).with_state(Arc::clone(&legacy));
        Router::new()
            .route("/pyroscope/render", get(render))
            .route("/pyroscope/render-diff", get(render_diff))
            .route("/pyroscope/label-names", get(label_names))
            .route("/pyroscope/label-values", get(label_values))
            .route("/api/v1/compare", post(compare::compare))
            .route("/api/v1/functions", get(function_index::list))
            .route("/api/v1/functions/series", get(functions::series))
            .route("/api/v1/tenant_limits", get(tenant_limits))
            .layer(CompressionLayer::new().gzip(true).no_br().no_deflate().no_zstd())
            .with_state(legacy)
            .merge(packed)
            .merge(self.prometheus(tenancy))
    }
}

impl Legacy {
    fn caller(&self, headers: &HeaderMap) -> Result<Caller, StatusError> {
        let tenants = self.tenancy.tenants(headers)?.as_slice().to_vec();
        // These routes are older than label names of any UTF-8.
        Ok(Caller { tenants, utf8_label_names: false })
    }
}

/// The query string. Of parameters given twice the first counts; what does not decode is read as far as it does.
struct Params(Vec<(String, String)>);

impl Params {
    fn new(query: Option<String>) -> Self {
        let query = query.unwrap_or_default();
        Self(url::form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    fn get(&self, name: &str) -> &str {
        self.all(name).next().unwrap_or_default()
    }

    fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// What does not parse is 0: the default.
    fn max_nodes(&self) -> i64 {
        let given = ["maxNodes", "max-nodes"].map(|name| self.get(name)).into_iter().find(|text| !text.is_empty());
        given.and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// Both ends of a range; each is now if it is not given.
    fn range(&self, from: &str, until: &str, now: TimestampMs) -> (TimestampMs, TimestampMs) {
        (time::parse(self.get(from), now), time::parse(self.get(until), now))
    }

    /// `from` and `until`; the first is so long ago if it is not given, the second now.
    fn range_since(&self, since: &str, now: TimestampMs) -> (TimestampMs, TimestampMs) {
        let (from, until) = self.range("from", "until", now);
        (if self.get("from").is_empty() { time::parse(since, now) } else { from }, until)
    }
}

/// One side's question.
fn stacktraces(query: &LegacyQuery, (from, until): (TimestampMs, TimestampMs), max_nodes: i64) -> StacktracesInput {
    StacktracesInput {
        profile_type: query.profile_type.to_string(),
        label_selector: query.selector.clone(),
        start: from.0,
        end: until.0,
        max_nodes,
        filter: SampleFilterInput::default(),
    }
}

async fn tenant_limits(State(legacy): State<Arc<Legacy>>, headers: HeaderMap) -> Result<Response, HttpError> {
    let tenants = legacy.tenancy.tenants(&headers)?;
    let limits = legacy.querier.limits_of(tenants.exactly_one("limits")?);
    Ok(Json(about::limits(&limits)).into_response())
}

async fn render(
    State(legacy): State<Arc<Legacy>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, HttpError> {
    let (caller, params, querier) = (legacy.caller(&headers)?, Params::new(query), &legacy.querier);
    let query = LegacyQuery::parse("query", params.get("query"))?;
    let (from, until) = params.range("from", "until", querier.now().0);
    let stacktraces = stacktraces(&query, (from, until), params.max_nodes());
    if params.get("format") == "dot" {
        let text = querier.run(&caller, "render", querier.dot(&caller, &stacktraces)).await?;
        return Ok(answer(text, |text| ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()));
    }
    let step = step_seconds(from, until, BARS);
    let axis = Axis::new(from, until, step);
    let series = SeriesInput {
        profile_type: stacktraces.profile_type.clone(),
        label_selector: stacktraces.label_selector.clone(),
        start: from.0,
        end: until.0,
        group_by: params.all("groupBy").take(GROUP_BY_MAX).map(str::to_owned).collect(),
        step: step as f64,
        average: params.get("aggregation") == "avg",
        ..SeriesInput::default()
    };
    let both =
        async { futures::try_join!(querier.flamegraph(&caller, &stacktraces), querier.series(&caller, &series)) };
    let (graph, points) = Box::pin(querier.run(&caller, "render", both)).await?;
    let set_aside = joined(graph.set_aside, points.set_aside);
    let (graph, points) = (graph.value, points.value);
    let document = move || {
        let groups = series.group_by.first().map(|label| axis.groups(label, &points)).transpose()?;
        Ok(Document::single(graph, &query.profile_type, axis.timeline(&points)?, groups))
    };
    json(Answer { value: document, set_aside }).await
}

async fn render_diff(
    State(legacy): State<Arc<Legacy>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, HttpError> {
    let (caller, params, querier) = (legacy.caller(&headers)?, Params::new(query), &legacy.querier);
    let left = LegacyQuery::parse("leftQuery", params.get("leftQuery"))?;
    let right = LegacyQuery::parse("rightQuery", params.get("rightQuery"))?;
    if left.profile_type != right.profile_type {
        return Err(StatusError::invalid_argument("profile types must match").into());
    }
    let (now, max_nodes) = (querier.now().0, params.max_nodes());
    let left_input = stacktraces(&left, params.range("leftFrom", "leftUntil", now), max_nodes);
    let right_input = stacktraces(&right, params.range("rightFrom", "rightUntil", now), max_nodes);
    let graph = querier.run(&caller, "render-diff", querier.diff(&caller, &left_input, &right_input)).await?;
    json(graph.map(|graph| move || Ok(Document::double(graph, &left.profile_type)))).await
}

/// Values of a label; of `__name__`, the ids of profile types. Without a range, of the last hour.
async fn label_values(
    State(legacy): State<Arc<Legacy>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, HttpError> {
    let (caller, params, querier) = (legacy.caller(&headers)?, Params::new(query), &legacy.querier);
    let name = match params.get("label") {
        "" => return Err(StatusError::invalid_argument("label parameter is required").into()),
        label_name::NAME => label_name::PROFILE_TYPE.to_owned(),
        name => name.to_owned(),
    };
    let (start, end, matchers) = label_question(&params, querier);
    let request = types::LabelValuesRequest { name, start, end, matchers };
    let values = querier.run(&caller, "label-values", querier.label_values(&caller, request)).await?;
    json(values.map(|values| move || Ok(values))).await
}

/// Names of labels. Without a range, of the last hour.
async fn label_names(
    State(legacy): State<Arc<Legacy>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, HttpError> {
    let (caller, params, querier) = (legacy.caller(&headers)?, Params::new(query), &legacy.querier);
    let (start, end, matchers) = label_question(&params, querier);
    let request = types::LabelNamesRequest { start, end, matchers };
    let names = querier.run(&caller, "label-names", querier.label_names(&caller, request)).await?;
    json(names.map(|names| move || Ok(names))).await
}

/// Range and matchers of a question about labels: what is not given does not restrict it beyond the last hour.
fn label_question(params: &Params, querier: &Querier) -> (i64, i64, Vec<String>) {
    let now = querier.now();
    let (start, end) = if params.get("from").is_empty() && params.get("until").is_empty() {
        now.last_hour()
    } else {
        let (from, until) = params.range("from", "until", now.0);
        (from.0, until.0)
    };
    let matchers = params.all("query").filter(|text| !text.is_empty()).map(str::to_owned).collect();
    (start, end, matchers)
}

/// Builds and writes a document where it holds up no socket.
async fn json<T, F>(document: Answer<F>) -> Result<Response, HttpError>
where
    T: Serialize,
    F: FnOnce() -> Result<T, StatusError> + Send + 'static,
{
    let Answer { value: build, set_aside } = document;
    let written = off_reactor(move || {
        let document = build()?;
        serde_json::to_vec(&document).map_err(|_| StatusError::from_coded(&QuerierError::Mismatch))
    });
    let value = written.await??;
    Ok(answer(Answer { value, set_aside }, |bytes| {
        ([(header::CONTENT_TYPE, "application/json")], bytes).into_response()
    }))
}

/// A response that names what it leaves out.
fn answer<T>(answer: Answer<T>, respond: impl FnOnce(T) -> Response) -> Response {
    let mut response = respond(answer.value);
    if let Some(value) = partial_header(&answer.set_aside) {
        response.headers_mut().insert(PARTIAL_HEADER, value);
    }
    response
}

#[cfg(test)]
mod tests;
