//! Requests to documents, over an ingester that holds two profiles.

use std::sync::Arc;

use async_trait::async_trait;
use axum::body::Body;
use flamelake_api::roles::{
    Alone, AppendRequest, IngesterApi, IngesterQuery, Member, StoreGatewayApi, StoreGatewayQuery,
};
use flamelake_catalog::CatalogState;
use flamelake_config::Limits;
use flamelake_model::query::{
    PartialAnswer, PartialPoint, PartialQuery, PartialResult, PartialTimeSeries, QueryStats, TimeSpan,
};
use flamelake_model::tree::Tree;
use flamelake_model::{TenantId, TimestampNs};
use flamelake_pprof::PprofBuilder;
use flamelake_runtime::clock::SystemClock;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use prometheus::Registry;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::*;
use crate::QuerierConfig;
use crate::plan::Catalog;

const CPU: &str = "process_cpu%3Acpu%3Ananoseconds%3Acpu%3Ananoseconds";

/// No blocks.
struct Empty;

#[async_trait]
impl Catalog for Empty {
    async fn load(&self, _tenant: &TenantId) -> Result<Arc<CatalogState>, StatusError> {
        Ok(Arc::default())
    }
}

/// Answers each kind of question with the same data.
struct Fixed;

fn result(query: &PartialQuery) -> PartialResult {
    match query {
        PartialQuery::Tree { selection, .. } => {
            let mut tree = Tree::default();
            if !selection.selector.to_string().contains("nothing") {
                tree.add(["main", "a"], 3);
                tree.add(["main", "b"], 4);
            }
            PartialResult::Tree(tree)
        }
        PartialQuery::TimeSeries(series) => {
            let timestamp = TimestampMs(1_015_000);
            let point = PartialPoint { timestamp, sum: 7, profiles: 2, exemplars: Vec::new(), annotations: Vec::new() };
            let group = series.group_by.iter().map(|_| Some("p1".to_owned())).collect();
            PartialResult::TimeSeries(vec![PartialTimeSeries { group, points: vec![point] }])
        }
        PartialQuery::LabelNames(selection) => {
            PartialResult::Strings([format!("{}", selection.selector), "pod".to_owned()].into())
        }
        PartialQuery::LabelValues { name, .. } => PartialResult::Strings([format!("{name}-1")].into()),
        PartialQuery::TimeSpan(_) => {
            PartialResult::TimeSpan(Some(TimeSpan { min: TimestampNs(5_000_000), max: TimestampNs(9_000_000) }))
        }
        PartialQuery::Pprof { .. } => PartialResult::Pprof(PprofBuilder::new().encode(None)),
        other => PartialResult::empty(other),
    }
}

#[async_trait]
impl IngesterApi for Fixed {
    async fn append(&self, _request: AppendRequest) -> Result<Vec<Result<(), StatusError>>, StatusError> {
        Err(StatusError::unimplemented("only reads"))
    }

    async fn query(&self, request: IngesterQuery) -> Result<PartialAnswer, StatusError> {
        let stats = QueryStats { set_aside: vec!["block X: cut".to_owned()], ..QueryStats::default() };
        Ok(PartialAnswer { result: result(&request.query), stats })
    }

    async fn flush(&self, _tenant: Option<TenantId>) -> Result<(), StatusError> {
        Err(StatusError::unimplemented("only reads"))
    }
}

#[async_trait]
impl StoreGatewayApi for Fixed {
    async fn query(&self, request: StoreGatewayQuery) -> Result<PartialAnswer, StatusError> {
        Ok(PartialAnswer { result: PartialResult::empty(&request.query), stats: QueryStats::default() })
    }
}

fn querier() -> Querier {
    let limits = Limits {
        max_query_lookback: std::time::Duration::ZERO,
        max_query_length: std::time::Duration::ZERO,
        retention_period: std::time::Duration::ZERO,
        ..Limits::default()
    };
    Querier::with_catalog(
        QuerierConfig::default(),
        Arc::new(Alone(Member { name: "one".to_owned(), api: Arc::new(Fixed) as Arc<dyn IngesterApi> })),
        Arc::new(Fixed),
        Arc::new(Empty),
        Arc::new(Arc::new(limits)),
        SystemClock::shared(),
        &Registry::new(),
    )
}

async fn send(method: &str, path: &str, headers: &[(&str, &str)]) -> (StatusCode, HeaderMap, Vec<u8>) {
    let request = headers
        .iter()
        .fold(Request::builder().method(method).uri(path), |request, (name, value)| request.header(*name, *value));
    let routes = querier().http(Tenancy::Multi);
    let response = routes.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    (parts.status, parts.headers, body.collect().await.unwrap().to_bytes().to_vec())
}

async fn get_json(path: &str) -> (u16, Value) {
    let (status, _, body) = send("GET", path, &[("x-scope-orgid", "t")]).await;
    (status.as_u16(), serde_json::from_slice(&body).unwrap_or_default())
}

#[tokio::test]
async fn a_flame_graph_with_its_timelines() {
    let path = format!("/pyroscope/render?query={CPU}%7B%7D&from=1000&until=1060&groupBy=pod");
    let (status, document) = get_json(&path).await;
    let timeline = json!({ "startTime": 990, "samples": [0, 7, 0, 0], "durationDelta": 15, "watermarks": null });
    let expected = json!({
        "version": 1,
        "flamebearer": {
            "names": ["total", "main", "b", "a"],
            "levels": [[0, 7, 0, 0], [0, 7, 0, 1], [0, 3, 3, 3, 0, 4, 4, 2]],
            "numTicks": 7,
            "maxSelf": 4,
        },
        "metadata": {
            "format": "single", "spyName": "", "sampleRate": 1_000_000_000, "units": "samples", "name": "cpu",
        },
        "timeline": timeline,
        "groups": { "p1": timeline },
        "heatmap": null,
    });
    assert_eq!((status, document), (200, expected));
}

#[tokio::test]
async fn max_nodes_cuts_once_and_keeps_its_bounds() {
    let levels = async |parameters: &str| {
        let path = format!("/pyroscope/render?query={CPU}&from=1000&until=1060{parameters}");
        let (status, document) = get_json(&path).await;
        (status, document["flamebearer"]["names"].to_string())
    };
    let all = r#"["total","main","b","a"]"#.to_owned();
    assert_eq!(levels("").await, (200, all.clone()));
    assert_eq!(levels("&max-nodes=2").await, (200, r#"["total","main","other","b"]"#.to_owned()));
    assert_eq!(levels("&max-nodes=3&maxNodes=2").await, (200, r#"["total","main","other","b"]"#.to_owned()));
    assert_eq!(levels("&max-nodes=many").await, (200, all));
    assert_eq!(levels("&max-nodes=99999999").await.0, 400);
    assert_eq!(levels("&max-nodes=-1").await.0, 400);
}

#[tokio::test]
async fn two_sides_as_septuples() {
    let side = |side: &str, selector: &str| format!("{side}Query={CPU}{selector}&{side}From=1000&{side}Until=1060");
    let path = format!("/pyroscope/render-diff?{}&{}", side("left", ""), side("right", "%7Ba%3D%22nothing%22%7D"));
    let (status, document) = get_json(&path).await;
    assert_eq!(status, 200);
    assert_eq!(document["metadata"]["format"], "double");
    assert_eq!(document["flamebearer"]["levels"][1], json!([0, 7, 0, 0, 0, 0, 1]));
    assert_eq!((&document["leftTicks"], &document["rightTicks"]), (&json!(7), &Value::Null));
    assert_eq!(document["timeline"], Value::Null);
}

#[tokio::test]
async fn mistakes_have_codes_in_json() {
    for (path, status, message) in [
        ("render?from=1&until=2".to_owned(), 400, "\"query\" is required"),
        (format!("render?query={CPU}%7B&from=1&until=2"), 400, "failed to parse \"query\": "),
        (format!("render?query={CPU}&from=0&until=2"), 400, "missing time range"),
        (format!("render?query={CPU}&from=3&until=2"), 400, "query start time is after end time"),
        ("render-diff".to_owned(), 400, "\"leftQuery\" is required"),
        (format!("render-diff?leftQuery={CPU}"), 400, "\"rightQuery\" is required"),
        (format!("render-diff?leftQuery={CPU}&rightQuery=a:b:c:d:e"), 400, "profile types must match"),
        ("label-values".to_owned(), 400, "label parameter is required"),
    ] {
        let (answered, body) = get_json(&format!("/pyroscope/{path}")).await;
        assert_eq!((answered, &body["code"]), (status, &json!("invalid_argument")), "{path}");
        assert!(body["message"].as_str().unwrap().starts_with(message), "{path}: {body}");
    }
    assert_eq!(send("GET", "/pyroscope/render", &[]).await.0, StatusCode::UNAUTHORIZED);
    let post = send("POST", "/pyroscope/render", &[("x-scope-orgid", "t")]).await;
    assert_eq!(post.0, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn labels_of_the_last_hour() {
    assert_eq!(get_json("/pyroscope/label-values?label=__name__").await, (200, json!(["__profile_type__-1"])));
    assert_eq!(get_json("/pyroscope/label-values?label=pod").await, (200, json!(["pod-1"])));
    assert_eq!(get_json("/pyroscope/label-names").await, (200, json!(["pod"])));
    assert_eq!(get_json("/pyroscope/label-names?query=%7B").await.0, 400);
}

#[tokio::test]
async fn graphviz_without_samples_is_no_text() {
    let path = format!("/pyroscope/render?query={CPU}&from=1000&until=1060&format=dot");
    let (status, headers, body) = send("GET", &path, &[("x-scope-orgid", "t")]).await;
    assert_eq!((status, body), (StatusCode::OK, Vec::new()));
    assert!(headers[header::CONTENT_TYPE].to_str().unwrap().starts_with("text/plain"));
}

#[tokio::test]
async fn answers_are_compressed_and_name_their_gaps() {
    let path = format!("/pyroscope/render?query={CPU}&from=1000&until=1060");
    let headers = [("x-scope-orgid", "t"), ("accept-encoding", "gzip")];
    let (_, headers, body) = send("GET", &path, &headers).await;
    assert_eq!(headers[header::CONTENT_ENCODING], "gzip");
    assert_eq!(body[..2], [0x1f, 0x8b]);
    assert_eq!(headers[PARTIAL_HEADER], "block X: cut");
}

#[tokio::test]
async fn stats_tell_first_and_last_profile_of_one_tenant() {
    let caller = |tenants: &str| Caller { tenants: TenantId::parse_list(tenants).unwrap(), utf8_label_names: false };
    let span = querier().time_span(&caller("t")).await.unwrap().value;
    assert_eq!(span, Some(TimeSpan { min: TimestampNs(5_000_000), max: TimestampNs(9_000_000) }));
    let error = querier().time_span(&caller("a|b")).await.unwrap_err();
    assert_eq!(error.code, flamelake_model::ErrorCode::InvalidArgument);
}
