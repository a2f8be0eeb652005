//! `querier.v1.QuerierService` on the public port: messages to inputs, answers to messages, no logic.

use flamelake_api::google::v1 as pprof;
use flamelake_api::querier::v1;
use flamelake_api::types::v1 as types;
use flamelake_model::StatusError;
use flamelake_model::query::{GoPgo, TimeSpan};
use flamelake_rpc::{Idempotent, Reply, RequestContext, RpcRouter};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::check::{HeatmapInput, SampleFilterInput, SeriesInput, StacktracesInput};
use crate::service::{Answer, Caller};
use crate::{AsyncQueries, Querier, about};

/// Names the blocks that an answer had to leave out.
pub(crate) const PARTIAL_HEADER: HeaderName = HeaderName::from_static("x-flamelake-partial");
/// The only method that may be answered later.
pub(crate) const STACKTRACES: &str = "SelectMergeStacktraces";
/// Most bytes of that header.
const PARTIAL_HEADER_BYTES_MAX: usize = 2048;

/// Registers a method: the handler runs in its turn, within the time limit, and its gaps become a header.
macro_rules! method {
    ($router:expr, $querier:expr, $name:literal, $request:ty, $response:ty, $handler:expr) => {{
        let querier = $querier.clone();
        $router.unary_with_headers::<$request, $response, _, _>(
            concat!("/querier.v1.QuerierService/", $name),
            Idempotent::Yes,
            move |context, request| {
                let querier = querier.clone();
                async move {
                    let caller = caller(&context);
                    let answer = querier.run(&caller, $name, $handler(&querier, &caller, request)).await?;
                    Ok::<_, StatusError>(reply(answer))
                }
            },
        )
    }};
}

impl Querier {
    /// The methods of the public query service; without `later` no query is answered later. `has_rules`: recording rules are served beside it.
    pub fn rpc(&self, later: Option<AsyncQueries>, has_rules: bool) -> RpcRouter {
        let router = about::rpc(has_rules);
        let router =
            method!(router, self, "ProfileTypes", v1::ProfileTypesRequest, v1::ProfileTypesResponse, profile_types);
        let router =
            method!(router, self, "LabelNames", types::LabelNamesRequest, types::LabelNamesResponse, label_names);
        let router =
            method!(router, self, "LabelValues", types::LabelValuesRequest, types::LabelValuesResponse, label_values);
        let router = method!(router, self, "Series", v1::SeriesRequest, v1::SeriesResponse, series_labels);
        let router = self.stacktraces(router, later);
        let router = method!(
            router,
            self,
            "SelectMergeSpanProfile",
            v1::SelectMergeSpanProfileRequest,
            v1::SelectMergeSpanProfileResponse,
            merge_span_profile
        );
        let router =
            method!(router, self, "SelectMergeProfile", v1::SelectMergeProfileRequest, pprof::Profile, merge_profile);
        let router =
            method!(router, self, "SelectSeries", v1::SelectSeriesRequest, v1::SelectSeriesResponse, select_series);
        let router =
            method!(router, self, "SelectHeatmap", v1::SelectHeatmapRequest, v1::SelectHeatmapResponse, select_heatmap);
        let router = method!(
            router,
            self,
            "GetProfileStats",
            types::GetProfileStatsRequest,
            types::GetProfileStatsResponse,
            profile_stats
        );
        let router =
            method!(router, self, "AnalyzeQuery", v1::AnalyzeQueryRequest, v1::AnalyzeQueryResponse, analyze_query);
        method!(router, self, "Diff", v1::DiffRequest, v1::DiffResponse, diff)
    }

    fn stacktraces(&self, router: RpcRouter, later: Option<AsyncQueries>) -> RpcRouter {
        let querier = self.clone();
        let path = "/querier.v1.QuerierService/SelectMergeStacktraces";
        router.unary_with_headers(
            path,
            Idempotent::Yes,
            move |context, mut request: v1::SelectMergeStacktracesRequest| {
                let (querier, later) = (querier.clone(), later.clone());
                async move {
                    let caller = caller(&context);
                    let wanted = request.r#async.take();
                    let Some(wanted) = wanted.filter(|wanted| wanted.r#type == v1::AsyncQueryType::Force as i32) else {
                        let call = merge_stacktraces(&querier, &caller, request);
                        return Ok(reply(Box::pin(querier.run(&caller, STACKTRACES, call)).await?));
                    };
                    let later = later.ok_or_else(|| {
                        StatusError::unimplemented(
                            "asynchronous queries are off (query-frontend.async-queries-enabled): ask without async",
                        )
                    })?;
                    let tenant = context.tenants.exactly_one("an asynchronous query")?;
                    Ok(reply(later.answer(tenant, caller, request, wanted).await?))
                }
            },
        )
    }
}

fn caller(context: &RequestContext) -> Caller {
    Caller { tenants: context.tenants.as_slice().to_vec(), utf8_label_names: context.utf8_label_names }
}

fn reply<T>(answer: Answer<T>) -> Reply<T> {
    let mut headers = HeaderMap::new();
    if let Some(value) = partial_header(&answer.set_aside) {
        headers.insert(PARTIAL_HEADER, value);
    }
    Reply { message: answer.value, headers }
}

pub(crate) fn partial_header(set_aside: &[String]) -> Option<HeaderValue> {
    if set_aside.is_empty() {
        return None;
    }
    let text = set_aside.join("; ");
    let plain = text.chars().map(|char| if char == ' ' || char.is_ascii_graphic() { char } else { '?' });
    HeaderValue::try_from(plain.take(PARTIAL_HEADER_BYTES_MAX).collect::<String>()).ok()
}

async fn profile_types(
    querier: &Querier,
    caller: &Caller,
    request: v1::ProfileTypesRequest,
) -> Result<Answer<v1::ProfileTypesResponse>, StatusError> {
    let found = querier.profile_types(caller, request.start, request.end).await?;
    Ok(found.map(|found| v1::ProfileTypesResponse { profile_types: found.iter().map(Into::into).collect() }))
}

async fn label_names(
    querier: &Querier,
    caller: &Caller,
    request: types::LabelNamesRequest,
) -> Result<Answer<types::LabelNamesResponse>, StatusError> {
    Ok(querier.label_names(caller, request).await?.map(|names| types::LabelNamesResponse { names }))
}

async fn label_values(
    querier: &Querier,
    caller: &Caller,
    request: types::LabelValuesRequest,
) -> Result<Answer<types::LabelValuesResponse>, StatusError> {
    Ok(querier.label_values(caller, request).await?.map(|names| types::LabelValuesResponse { names }))
}

async fn series_labels(
    querier: &Querier,
    caller: &Caller,
    request: v1::SeriesRequest,
) -> Result<Answer<v1::SeriesResponse>, StatusError> {
    let sets = querier.series_labels(caller, request).await?;
    Ok(sets.map(|sets| v1::SeriesResponse { labels_set: sets.iter().map(Into::into).collect() }))
}

pub(crate) async fn merge_stacktraces(
    querier: &Querier,
    caller: &Caller,
    request: v1::SelectMergeStacktracesRequest,
) -> Result<Answer<v1::SelectMergeStacktracesResponse>, StatusError> {
    use v1::ProfileFormat;
    let format = ProfileFormat::try_from(request.format).unwrap_or(ProfileFormat::Flamegraph);
    let input = stacktraces_input(request);
    let empty = v1::SelectMergeStacktracesResponse::default;
    Ok(match format {
        ProfileFormat::Unspecified | ProfileFormat::Flamegraph => querier
            .flamegraph(caller, &input)
            .await?
            .map(|graph| v1::SelectMergeStacktracesResponse { flamegraph: Some(graph), ..empty() }),
        ProfileFormat::Tree => querier
            .tree_bytes(caller, &input)
            .await?
            .map(|tree| v1::SelectMergeStacktracesResponse { tree: tree.into(), ..empty() }),
        ProfileFormat::Dot => {
            querier.dot(caller, &input).await?.map(|dot| v1::SelectMergeStacktracesResponse { dot, ..empty() })
        }
        ProfileFormat::Pprof => querier.pprof(caller, &input).await?.map(|profile| {
            let pprof = Some(v1::PprofProfile { profile: Some(profile) });
            v1::SelectMergeStacktracesResponse { pprof, ..empty() }
        }),
    })
}

async fn merge_span_profile(
    querier: &Querier,
    caller: &Caller,
    request: v1::SelectMergeSpanProfileRequest,
) -> Result<Answer<v1::SelectMergeSpanProfileResponse>, StatusError> {
    let wants_tree = request.format == v1::ProfileFormat::Tree as i32;
    let input = StacktracesInput {
        profile_type: request.profile_type_id,
        label_selector: request.label_selector,
        start: request.start,
        end: request.end,
        max_nodes: request.max_nodes.unwrap_or_default(),
        filter: SampleFilterInput { span_ids: request.span_selector, ..SampleFilterInput::default() },
    };
    let empty = v1::SelectMergeSpanProfileResponse::default;
    if wants_tree {
        let tree = querier.tree_bytes(caller, &input).await?;
        return Ok(tree.map(|tree| v1::SelectMergeSpanProfileResponse { tree: tree.into(), ..empty() }));
    }
    let graph = querier.flamegraph(caller, &input).await?;
    Ok(graph.map(|graph| v1::SelectMergeSpanProfileResponse { flamegraph: Some(graph), ..empty() }))
}

async fn merge_profile(
    querier: &Querier,
    caller: &Caller,
    request: v1::SelectMergeProfileRequest,
) -> Result<Answer<pprof::Profile>, StatusError> {
    let (call_site, go_pgo) = stack_trace_selector(request.stack_trace_selector);
    let filter = SampleFilterInput {
        profile_ids: request.profile_id_selector,
        trace_ids: request.trace_id_selector,
        span_ids: Vec::new(),
        call_site,
        go_pgo,
    };
    let input = StacktracesInput {
        profile_type: request.profile_type_id,
        label_selector: request.label_selector,
        start: request.start,
        end: request.end,
        max_nodes: request.max_nodes.unwrap_or_default(),
        filter,
    };
    querier.pprof(caller, &input).await
}

async fn select_series(
    querier: &Querier,
    caller: &Caller,
    request: v1::SelectSeriesRequest,
) -> Result<Answer<v1::SelectSeriesResponse>, StatusError> {
    let input = SeriesInput {
        profile_type: request.profile_type_id,
        label_selector: request.label_selector,
        start: request.start,
        end: request.end,
        group_by: request.group_by,
        step: request.step,
        average: request.aggregation == Some(types::TimeSeriesAggregationType::Average as i32),
        call_site: stack_trace_selector(request.stack_trace_selector).0,
        limit: request.limit.unwrap_or_default(),
        exemplar_type: request.exemplar_type,
    };
    Ok(querier.series(caller, &input).await?.map(|series| v1::SelectSeriesResponse { series }))
}

async fn select_heatmap(
    querier: &Querier,
    caller: &Caller,
    request: v1::SelectHeatmapRequest,
) -> Result<Answer<v1::SelectHeatmapResponse>, StatusError> {
    let input = HeatmapInput {
        profile_type: request.profile_type_id,
        label_selector: request.label_selector,
        start: request.start,
        end: request.end,
        step: request.step,
        group_by: request.group_by,
        query_type: request.query_type,
        exemplar_type: request.exemplar_type,
        limit: request.limit.unwrap_or_default(),
    };
    Ok(querier.heatmap(caller, &input).await?.map(|series| v1::SelectHeatmapResponse { series }))
}

async fn profile_stats(
    querier: &Querier,
    caller: &Caller,
    _request: types::GetProfileStatsRequest,
) -> Result<Answer<types::GetProfileStatsResponse>, StatusError> {
    let stats = |span: TimeSpan| types::GetProfileStatsResponse {
        data_ingested: true,
        oldest_profile_time: span.min.to_ms().0,
        newest_profile_time: span.max.to_ms().0,
    };
    Ok(querier.time_span(caller).await?.map(|span| span.map(stats).unwrap_or_default()))
}

/// Always empty, as clients expect of one tier of storage: there is no second one to weigh it against.
async fn analyze_query(
    _querier: &Querier,
    _caller: &Caller,
    _request: v1::AnalyzeQueryRequest,
) -> Result<Answer<v1::AnalyzeQueryResponse>, StatusError> {
    Ok(Answer::default())
}

async fn diff(
    querier: &Querier,
    caller: &Caller,
    request: v1::DiffRequest,
) -> Result<Answer<v1::DiffResponse>, StatusError> {
    let left = stacktraces_input(request.left.unwrap_or_default());
    let right = stacktraces_input(request.right.unwrap_or_default());
    let graph = querier.diff(caller, &left, &right).await?;
    Ok(graph.map(|graph| v1::DiffResponse { flamegraph: Some(graph) }))
}

fn stacktraces_input(request: v1::SelectMergeStacktracesRequest) -> StacktracesInput {
    let (call_site, go_pgo) = stack_trace_selector(request.stack_trace_selector);
    let filter = SampleFilterInput {
        profile_ids: request.profile_id_selector,
        span_ids: request.span_selector,
        trace_ids: request.trace_id_selector,
        call_site,
        go_pgo,
    };
    StacktracesInput {
        profile_type: request.profile_type_id,
        label_selector: request.label_selector,
        start: request.start,
        end: request.end,
        max_nodes: request.max_nodes.unwrap_or_default(),
        filter,
    }
}

fn stack_trace_selector(selector: Option<types::StackTraceSelector>) -> (Vec<String>, Option<GoPgo>) {
    let Some(selector) = selector else { return (Vec::new(), None) };
    let call_site = selector.call_site.into_iter().map(|location| location.name).collect();
    let go_pgo = selector
        .go_pgo
        .map(|pgo| GoPgo { keep_locations: pgo.keep_locations, aggregate_callees: pgo.aggregate_callees });
    (call_site, go_pgo)
}

#[cfg(test)]
mod tests;
