//! The generated JSON against the rules of proto3 JSON as the reference serves it (contract `wire.md` 8.6).

use bytes::Bytes;
use flamelake_api::push::v1::{PushRequest, PushResponse, RawProfileSeries, RawSample};
use flamelake_api::querier::v1::{
    FlameGraph, FlameGraphDiff, Level, ProfileFormat, QueryScope, SelectMergeStacktracesRequest,
    SelectMergeStacktracesResponse, SelectSeriesRequest,
};
use flamelake_api::settings::v1::Setting;
use flamelake_api::types::v1::{LabelPair, Point, ProfileType, TimeSeriesAggregationType};
use flamelake_api::vcs::v1::GetFileResponse;
use flamelake_api::version::v1::VersionResponse;
use flamelake_api::{FILE_DESCRIPTOR_SET, METHODS, debuginfo};
use serde::Serialize;
use serde::de::DeserializeOwned;

fn writes(message: &impl Serialize, json: &str) {
    assert_eq!(serde_json::to_string(message).unwrap(), json);
}

fn reads<M: DeserializeOwned + PartialEq + std::fmt::Debug>(json: &str, message: &M) {
    assert_eq!(&serde_json::from_str::<M>(json).unwrap(), message, "{json}");
}

fn refuses<M: DeserializeOwned + std::fmt::Debug>(json: &str) {
    assert!(serde_json::from_str::<M>(json).is_err(), "{json}");
}

#[test]
fn names_are_protobufs_not_rusts() {
    let request = SelectMergeStacktracesRequest {
        profile_type_id: "a:b:c:d:e".to_owned(),
        label_selector: "{}".to_owned(),
        ..SelectMergeStacktracesRequest::default()
    };
    writes(&request, r#"{"profileTypeID":"a:b:c:d:e","labelSelector":"{}"}"#);
    reads(r#"{"profileTypeID":"a:b:c:d:e","labelSelector":"{}"}"#, &request);
    reads(r#"{"profile_typeID":"a:b:c:d:e","label_selector":"{}"}"#, &request);
    reads(r#"{"profileTypeId":"a:b:c:d:e","LabelSelector":"{}"}"#, &SelectMergeStacktracesRequest::default());
    writes(&ProfileType { id: "x".to_owned(), ..ProfileType::default() }, r#"{"ID":"x"}"#);
    writes(&VersionResponse { querier_api: 1 }, r#"{"QuerierAPI":"1"}"#);
    writes(&GetFileResponse { url: "u".to_owned(), ..GetFileResponse::default() }, r#"{"URL":"u"}"#);
    writes(&Setting { modified_at: 1, ..Setting::default() }, r#"{"modifiedAt":"1"}"#);
    writes(
        &FlameGraphDiff { left_ticks: 1, right_ticks: 2, ..FlameGraphDiff::default() },
        r#"{"leftTicks":"1","rightTicks":"2"}"#,
    );
}

#[test]
fn int64_is_text_on_the_way_out_and_anything_on_the_way_in() {
    let graph = FlameGraph {
        names: vec!["total".to_owned()],
        levels: vec![Level { values: vec![0, 100, -1, i64::MIN] }],
        total: 100,
        max_self: 0,
    };
    let json = r#"{"names":["total"],"levels":[{"values":["0","100","-1","-9223372036854775808"]}],"total":"100"}"#;
    writes(&graph, json);
    reads(json, &graph);
    reads(r#"{"names":["total"],"levels":[{"values":[0,100,-1,-9223372036854775808]}],"total":100}"#, &graph);
    writes(
        &QueryScope { sample_count: u64::MAX, ..QueryScope::default() },
        r#"{"sampleCount":"18446744073709551615"}"#,
    );
    for bad in [r#"{"total":"1.5"}"#, r#"{"total":1.5}"#, r#"{"total":9223372036854775808}"#, r#"{"total":" 1"}"#] {
        refuses::<FlameGraph>(bad);
    }
}

#[test]
fn defaults_are_left_out_but_set_optionals_are_not() {
    writes(&PushResponse {}, "{}");
    writes(&SelectMergeStacktracesResponse::default(), "{}");
    let request = SelectSeriesRequest {
        aggregation: Some(TimeSeriesAggregationType::Sum as i32),
        limit: Some(0),
        step: 15.5,
        ..SelectSeriesRequest::default()
    };
    writes(&request, r#"{"step":15.5,"aggregation":"TIME_SERIES_AGGREGATION_TYPE_SUM","limit":"0"}"#);
    let response = SelectMergeStacktracesResponse { flamegraph: Some(FlameGraph::default()), ..Default::default() };
    writes(&response, r#"{"flamegraph":{}}"#);
}

#[test]
fn enums_are_names_or_numbers_and_unknown_names_are_ignored() {
    let tree = SelectMergeStacktracesRequest {
        format: ProfileFormat::Tree as i32,
        ..SelectMergeStacktracesRequest::default()
    };
    writes(&tree, r#"{"format":"PROFILE_FORMAT_TREE"}"#);
    reads(r#"{"format":"PROFILE_FORMAT_TREE"}"#, &tree);
    reads(r#"{"format":2}"#, &tree);
    reads(r#"{"format":"PROFILE_FORMAT_HOLOGRAM"}"#, &SelectMergeStacktracesRequest::default());
    refuses::<SelectMergeStacktracesRequest>(r#"{"format":[]}"#);
}

#[test]
fn unknown_fields_are_ignored_and_doubled_ones_are_not() {
    reads(r#"{"value":1,"new":{"a":[1,{"b":null}]}}"#, &Point { value: 1.0, ..Point::default() });
    refuses::<Point>(r#"{"value":1,"value":2}"#);
    refuses::<Point>(r#"{"value":1}x"#);
    reads(r#"{"exemplars":[],"timestamp":"5"}"#, &Point { timestamp: 5, ..Point::default() });
}

#[test]
fn doubles_have_three_special_texts() {
    let value = |json: &str| serde_json::from_str::<Point>(json).unwrap().value;
    assert!(value(r#"{"value":"NaN"}"#).is_nan());
    assert_eq!(value(r#"{"value":"-Infinity"}"#), f64::NEG_INFINITY);
    assert_eq!(value(r#"{"value":"1e3"}"#), 1000.0);
}

#[test]
fn bytes_take_every_base64() {
    let request = PushRequest {
        series: vec![RawProfileSeries {
            labels: vec![LabelPair { name: "a".to_owned(), value: "b".to_owned() }],
            samples: vec![RawSample { raw_profile: Bytes::from_static(&[0xfb, 0xff, 0xbf, 0x01]), id: "7".to_owned() }],
            annotations: Vec::new(),
        }],
    };
    let json = |bytes: &str| {
        format!(
            r#"{{"series":[{{"labels":[{{"name":"a","value":"b"}}],"samples":[{{"rawProfile":"{bytes}","ID":"7"}}]}}]}}"#
        )
    };
    writes(&request, &json("+/+/AQ=="));
    for bytes in ["+/+/AQ==", "+/+/AQ", "-_-_AQ==", "-_-_AQ"] {
        reads(&json(bytes), &request);
    }
    refuses::<PushRequest>(&json("*"));
}

#[test]
fn timestamps_are_rfc_3339() {
    let json = r#"{"state":"STATE_UPLOADED","startedAt":"2026-08-01T00:00:00+00:00","sizeBytes":"9"}"#;
    let object: debuginfo::v1alpha1::ObjectMetadata = serde_json::from_str(json).unwrap();
    assert_eq!((object.state, object.size_bytes), (1, 9));
    assert_eq!(object.started_at.unwrap().seconds, 1_785_542_400);
}

#[test]
fn a_pushed_profile_is_a_slice_of_the_body() {
    let sample = RawSample { raw_profile: vec![7; 100].into(), id: String::new() };
    let body = Bytes::from(prost::Message::encode_to_vec(&sample));
    let read: RawSample = prost::Message::decode(body.clone()).unwrap();
    assert!(body.as_ptr_range().contains(&read.raw_profile.as_ptr()));
}

#[test]
fn the_method_table_is_the_contract() {
    let public = METHODS.iter().filter(|method| method.service == "querier.v1.QuerierService").collect::<Vec<_>>();
    assert_eq!(public.len(), 12);
    assert!(public.iter().all(|method| method.no_side_effects));
    let push = METHODS.iter().find(|method| method.path == "/push.v1.PusherService/Push").unwrap();
    assert_eq!((push.name, push.no_side_effects), ("Push", false));
    let unique: std::collections::BTreeSet<_> = METHODS.iter().map(|method| method.path).collect();
    assert_eq!(unique.len(), METHODS.len());
    let set: prost_types::FileDescriptorSet = prost::Message::decode(FILE_DESCRIPTOR_SET).unwrap();
    assert!(set.file.iter().any(|file| file.package() == "querier.v1"));
}
