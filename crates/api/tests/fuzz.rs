//! Mutated requests: an error or a message, and the message survives both of its forms.

use flamelake_api::push::v1::{PushRequest, RawProfileSeries, RawSample};
use flamelake_api::querier::v1::{
    AnalyzeQueryRequest, AsyncQueryRequest, DiffRequest, ProfileTypesRequest, SelectHeatmapRequest,
    SelectMergeProfileRequest, SelectMergeSpanProfileRequest, SelectMergeStacktracesRequest, SelectSeriesRequest,
    SeriesRequest,
};
use flamelake_api::types::v1::{
    GetProfileStatsRequest, GoPgo, LabelNamesRequest, LabelPair, LabelValuesRequest, Location, StackTraceSelector,
};
use flamelake_testkit::{ProfileBuilder, fuzz};
use prost::Message;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Fuzzes a request in both of its forms, starting from these.
fn check<M: Message + Default + Clone + Serialize + DeserializeOwned>(name: &str, good: &[M]) {
    let mut json: Vec<Vec<u8>> = good.iter().map(|message| serde_json::to_vec(message).unwrap()).collect();
    json.push(br#"{"unknown":[{"a":null},1e3,"x"],"start":"1","end":2,"step":"NaN"}"#.to_vec());
    fuzz::run(&format!("{name} as JSON"), &json, |bytes| {
        let Ok(message) = serde_json::from_slice::<M>(bytes) else { return };
        let binary = message.encode_to_vec();
        assert_eq!(M::decode(binary.as_slice()).unwrap().encode_to_vec(), binary);
        same_as_json(&message, &binary);
    });
    let binary: Vec<Vec<u8>> = good.iter().map(Message::encode_to_vec).collect();
    fuzz::run(&format!("{name} as protobuf"), &binary, |bytes| {
        if let Ok(message) = M::decode(bytes) {
            same_as_json(&message, &message.encode_to_vec());
        }
    });
}

/// Compared by bytes. What has no JSON is left out: we write no requests. That is an enum's unknown number, which is an error, and a
/// double that is no number, which becomes a null that nobody reads.
fn same_as_json<M: Message + Default + Serialize + DeserializeOwned>(message: &M, binary: &[u8]) {
    let Ok(json) = serde_json::to_string(message) else { return };
    if json.contains(":null") {
        return;
    }
    let again: M = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json}"));
    // The one double may lose its last bit, as serde_json reads it.
    if !json.contains("\"step\":") {
        assert_eq!(again.encode_to_vec(), binary, "{json}");
    }
}

const TYPE: &str = "process_cpu:cpu:nanoseconds:cpu:nanoseconds";
const SELECTOR: &str = "{service_name=\"shop\", pod=~\"a|b\"}";

fn stack() -> StackTraceSelector {
    StackTraceSelector {
        call_site: vec![Location { name: "main".to_owned() }, Location { name: "wörk".to_owned() }],
        go_pgo: Some(GoPgo { keep_locations: 3, aggregate_callees: true }),
    }
}

fn stacktraces() -> SelectMergeStacktracesRequest {
    SelectMergeStacktracesRequest {
        profile_type_id: TYPE.to_owned(),
        label_selector: SELECTOR.to_owned(),
        start: 1_700_000_000_000,
        end: i64::MAX,
        max_nodes: Some(-1),
        format: 2,
        stack_trace_selector: Some(stack()),
        profile_id_selector: vec!["00000000-0000-0000-0000-000000000007".to_owned()],
        r#async: Some(AsyncQueryRequest { request_id: "1".to_owned(), r#type: 1 }),
        trace_id_selector: vec!["0".repeat(32)],
        span_selector: vec!["f".repeat(16), String::new()],
    }
}

#[test]
fn fuzz_push_request() {
    let raw_profile = ProfileBuilder::cpu().folded("main;a 1").gzip().into();
    let sample = RawSample { raw_profile, id: "7".to_owned() };
    let labels = vec![LabelPair { name: "service_name".to_owned(), value: "shop \u{1F600}".to_owned() }];
    let series = RawProfileSeries { labels, samples: vec![sample, RawSample::default()], annotations: Vec::new() };
    check("push", &[PushRequest { series: vec![series, RawProfileSeries::default()] }]);
}

#[test]
fn fuzz_merge_requests() {
    check("stack traces", &[stacktraces()]);
    check("diff", &[DiffRequest { left: Some(stacktraces()), right: Some(SelectMergeStacktracesRequest::default()) }]);
    let span = SelectMergeSpanProfileRequest {
        profile_type_id: TYPE.to_owned(),
        label_selector: SELECTOR.to_owned(),
        span_selector: vec!["a".repeat(16)],
        start: i64::MIN,
        max_nodes: Some(0),
        ..Default::default()
    };
    check("span profile", &[span]);
    let profile = SelectMergeProfileRequest {
        profile_type_id: TYPE.to_owned(),
        end: 5,
        stack_trace_selector: Some(stack()),
        ..Default::default()
    };
    check("profile", &[profile]);
}

#[test]
fn fuzz_series_requests() {
    let series = SelectSeriesRequest {
        profile_type_id: TYPE.to_owned(),
        group_by: vec!["pod".to_owned(), String::new()],
        step: 15.5,
        aggregation: Some(1),
        stack_trace_selector: Some(stack()),
        limit: Some(5),
        exemplar_type: 1,
        ..Default::default()
    };
    let odd = SelectSeriesRequest { step: f64::MIN_POSITIVE, ..Default::default() };
    check("select series", &[series, odd]);
    let heatmap = SelectHeatmapRequest { step: 1e300, query_type: 2, limit: Some(i64::MAX), ..Default::default() };
    check("heatmap", &[heatmap]);
}

#[test]
fn fuzz_label_requests() {
    let (matchers, start, end) = (vec![SELECTOR.to_owned(), "{}".to_owned()], 1, 2);
    check("label names", &[LabelNamesRequest { matchers: matchers.clone(), start, end }]);
    check("label values", &[LabelValuesRequest { name: "pod".to_owned(), matchers: matchers.clone(), start, end }]);
    check("series", &[SeriesRequest { matchers, label_names: vec!["pod".to_owned()], start, end }]);
    check("profile types", &[ProfileTypesRequest { start, end }]);
    check("profile stats", &[GetProfileStatsRequest {}]);
    check("analyze", &[AnalyzeQueryRequest { start, end, query: SELECTOR.to_owned() }]);
}
