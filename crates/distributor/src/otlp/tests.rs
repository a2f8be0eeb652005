//! Requests of each layout to pprof, and what is refused.

use flamelake_pprof::Decoder;
use flamelake_testkit::fuzz;

use super::older::{Dictionary7, Location7, Profile7, Profile9, Sample7, Sample9};
use super::wire::{
    AnyValue, Attribute, Dictionary, Function, KeyValue, Line, Link, Location, Mapping, RawResourceProfiles,
    RawScopeProfiles, Resource, Sample, Stack, ValueType,
};
use super::*;
use flamelake_api::google::v1 as pprof;

const NOW: i64 = 77;

fn strings() -> Vec<String> {
    let texts = [
        "",
        "samples",
        "count",
        "cpu",
        "nanoseconds",
        "main",
        "work",
        "main.go",
        "thread.name",
        "service.name",
        "off_cpu",
        "a.out",
        "process.executable.build_id.gnu",
    ];
    texts.map(str::to_owned).to_vec()
}

fn any(text: &str) -> Option<AnyValue> {
    Some(AnyValue { string_value: Some(text.to_owned()), ..AnyValue::default() })
}

fn key_value(key: &str, value: &str) -> KeyValue {
    KeyValue { key: key.to_owned(), value: any(value) }
}

fn of(r#type: i32, unit: i32) -> Option<ValueType> {
    Some(ValueType { type_strindex: r#type, unit_strindex: unit })
}

fn functions() -> Vec<Function> {
    let function = |name| Function { name_strindex: name, filename_strindex: 7, ..Function::default() };
    vec![Function::default(), function(5), function(6)]
}

/// The stack `work` below `main`, attributes `thread.name`, `service.name`, and the build id, one link.
fn dictionary() -> Dictionary {
    let location = |function_index| Location {
        mapping_index: 1,
        address: 16,
        lines: vec![Line { function_index, line: 3 }],
        ..Location::default()
    };
    let attribute = |key_strindex, value| Attribute { key_strindex, value: any(value) };
    Dictionary {
        mapping_table: vec![
            Mapping::default(),
            Mapping { memory_limit: 4096, filename_strindex: 11, attribute_indices: vec![3], ..Mapping::default() },
        ],
        location_table: vec![Location::default(), location(1), location(2)],
        function_table: functions(),
        link_table: vec![Link::default(), Link { trace_id: vec![0xab; 16], span_id: vec![1, 2, 3, 4, 5, 6, 7, 8] }],
        string_table: strings(),
        attribute_table: vec![Attribute::default(), attribute(8, "t1"), attribute(9, "other"), attribute(12, "b1")],
        stack_table: vec![Stack::default(), Stack { location_indices: vec![2, 1] }],
    }
}

fn raw(dictionary: Vec<u8>, profiles: Vec<Vec<u8>>) -> RawExport {
    let resource = Resource { attributes: vec![key_value("service.name", "shop"), key_value("region", "eu")] };
    let scope = RawScopeProfiles { scope: None, profiles: profiles.into_iter().map(Into::into).collect() };
    let resource = RawResourceProfiles { resource: Some(resource), scope_profiles: vec![scope] };
    RawExport { resource_profiles: vec![resource], dictionary: Some(dictionary.into()), told: 0 }
}

fn cpu(samples: Vec<Sample>) -> Profile {
    let (sample_type, period_type) = (of(1, 2), of(3, 4));
    Profile { sample_type, samples, time_unix_nano: 5, duration_nano: 6, period_type, period: 10, ..Profile::default() }
}

fn newest_raw(samples: Vec<Sample>) -> RawExport {
    raw(dictionary().encode_to_vec(), vec![cpu(samples).encode_to_vec()])
}

/// `labels | type | stack value labels, …` of each series.
fn text(batch: &PushBatch) -> Vec<String> {
    let series = |series: &crate::PushSeries| {
        let profile = pprof::Profile::decode(series.profiles[0].content.clone().into_pprof()).unwrap();
        Decoder::default().decode(&series.profiles[0].content.clone().into_pprof(), 0).unwrap();
        let string = |index: i64| profile.string_table[index as usize].as_str();
        let name = |location: &u64| {
            let location = &profile.location[*location as usize - 1];
            location.line.first().map_or("?", |line| string(profile.function[line.function_id as usize - 1].name))
        };
        let sample = |sample: &pprof::Sample| {
            let stack: Vec<&str> = sample.location_id.iter().rev().map(name).collect();
            let labels = sample.label.iter().map(|label| format!(" {}={}", string(label.key), string(label.str)));
            format!("{} {}{}", stack.join(";"), sample.value[0], labels.collect::<String>())
        };
        let labels: Vec<String> = series.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let of = &profile.sample_type[0];
        let samples: Vec<String> = profile.sample.iter().map(sample).collect();
        format!("{} | {}:{} | {}", labels.join(","), string(of.r#type), string(of.unit), samples.join(", "))
    };
    batch.series.iter().map(series).collect()
}

fn converted(raw: &RawExport) -> Vec<String> {
    text(&batch(raw, NOW).unwrap())
}

const LABELS: &str = "__delta__=false,__otel__=true,__name__=process_cpu,service.name=shop,region=eu";

#[test]
fn samples_become_cpu_time_by_service() {
    let sample = |values: &[i64], attribute_indices: &[i32], link_index| Sample {
        stack_index: 1,
        values: values.to_vec(),
        attribute_indices: attribute_indices.to_vec(),
        link_index,
        timestamps_unix_nano: vec![1, 2, 3],
    };
    let raw = newest_raw(vec![sample(&[2], &[1], 1), sample(&[], &[2], 0)]);
    let trace = "ab".repeat(16);
    assert_eq!(
        converted(&raw),
        [
            format!("{LABELS},service_name=other | cpu:nanoseconds | main;work 30"),
            format!(
                "{LABELS},service_name=shop | cpu:nanoseconds | main;work 20 thread.name=t1 span_id=0102030405060708 trace_id={trace}"
            ),
        ]
    );
    let batch = batch(&raw, NOW).unwrap();
    let profile = pprof::Profile::decode(batch.series[0].profiles[0].content.clone().into_pprof()).unwrap();
    assert_eq!((profile.time_nanos, profile.duration_nanos, profile.period), (5, 6, 10));
    let mapping = &profile.mapping[0];
    assert!(mapping.has_functions && mapping.has_filenames && mapping.has_line_numbers && !mapping.has_inline_frames);
    assert_eq!(profile.string_table[mapping.build_id as usize], "b1");
}

#[test]
fn waiting_is_summed_and_other_types_are_named_by_their_period() {
    let samples = vec![Sample { stack_index: 1, values: vec![3, 4], ..Sample::default() }];
    let off_cpu = Profile { sample_type: of(10, 4), samples, ..Profile::default() };
    let samples = vec![Sample { stack_index: 1, values: vec![9], ..Sample::default() }];
    let other = Profile { sample_type: of(3, 2), samples, ..cpu(Vec::new()) };
    let raw = raw(dictionary().encode_to_vec(), vec![off_cpu.encode_to_vec(), other.encode_to_vec()]);
    let lines = converted(&raw);
    assert!(
        lines[0].contains("__name__=off_cpu,") && lines[0].ends_with("off_cpu:nanoseconds | main;work 7"),
        "{lines:?}"
    );
    assert!(lines[1].contains("__name__=cpu,") && lines[1].ends_with("cpu:count | main;work 9"), "{lines:?}");
    let profile =
        pprof::Profile::decode(batch(&raw, NOW).unwrap().series[0].profiles[0].content.clone().into_pprof()).unwrap();
    assert_eq!((profile.time_nanos, profile.duration_nanos), (NOW, 10_000_000_000));
}

fn of_1_9() -> RawExport {
    let sample = |values: &[i64], link_index| Sample9 {
        stack_index: 1,
        values: values.to_vec(),
        link_index,
        ..Sample9::default()
    };
    let profile = Profile9 {
        sample_type: of(1, 2),
        samples: vec![sample(&[200], 1), sample(&[300], 0)],
        time_unix_nano: 5,
        duration_nano: 6,
        period_type: of(3, 4),
        period: 10,
    };
    raw(dictionary().encode_to_vec(), vec![profile.encode_to_vec()])
}

fn of_1_7() -> RawExport {
    let location =
        |function_index| Location7 { mapping_index: None, address: 16, lines: vec![Line { function_index, line: 3 }] };
    let tables = Dictionary7 {
        mapping_table: Vec::new(),
        location_table: vec![location(1), location(2)],
        function_table: functions(),
        link_table: vec![Link { trace_id: Vec::new(), span_id: vec![8; 8] }],
        string_table: strings(),
        attribute_table: vec![key_value("thread.name", "t7")],
    };
    let sample = |length, values: &[i64], link_index| Sample7 {
        locations_start_index: 2 - length,
        locations_length: length,
        values: values.to_vec(),
        attribute_indices: vec![0],
        link_index,
        timestamps_unix_nano: Vec::new(),
    };
    let profile = Profile7 {
        sample_types: vec![of(1, 2).unwrap(), of(10, 4).unwrap()],
        samples: vec![sample(2, &[2, 5], Some(0)), sample(1, &[3, 6], None)],
        location_indices: vec![1, 0],
        time_nanos: 5,
        duration_nanos: 6,
        period_type: of(3, 4),
        period: 10,
    };
    raw(tables.encode_to_vec(), vec![profile.encode_to_vec()])
}

#[test]
fn older_layouts_are_told_apart() {
    assert_eq!(
        converted(&of_1_9()),
        [format!(
            "{LABELS},service_name=shop | cpu:nanoseconds | main;work 2000 span_id=0102030405060708 trace_id={}, main;work 3000",
            "ab".repeat(16)
        )]
    );
    let lines = converted(&of_1_7());
    assert!(
        lines[0].ends_with(
            "cpu:nanoseconds | main;work 20 thread.name=t7 span_id=0808080808080808, main 30 thread.name=t7"
        ),
        "{lines:?}"
    );
    assert!(
        lines[1].ends_with(
            "off_cpu:nanoseconds | main;work 5 thread.name=t7 span_id=0808080808080808, main 6 thread.name=t7"
        ),
        "{lines:?}"
    );
}

/// The last column: what stack 1 stores, by the period of 10.
#[test]
fn small_values_of_1_9_are_no_attributes() {
    let stored = |raw: &RawExport| converted(raw)[0].rsplit(" | ").next().unwrap().to_owned();
    let old = |tables: Dictionary, values: &[i64], attributes: &[i32], link_index, moments| {
        let sample = Sample9 {
            stack_index: 1,
            values: values.to_vec(),
            attribute_indices: attributes.to_vec(),
            link_index,
            timestamps_unix_nano: vec![1; moments],
        };
        let (sample_type, period_type) = (of(1, 2), of(3, 4));
        let profile = Profile9 { sample_type, samples: vec![sample], period_type, period: 10, ..Profile9::default() };
        stored(&raw(tables.encode_to_vec(), vec![profile.encode_to_vec()]))
    };
    let trace = "ab".repeat(16);
    let linked = format!("main;work 10 span_id=0102030405060708 trace_id={trace}");
    assert_eq!(old(dictionary(), &[1], &[], 1, 0), linked);
    assert_eq!(old(dictionary(), &[1], &[], 1, 1), linked);
    assert_eq!(old(dictionary(), &[1], &[1], 0, 1), "main;work 10 thread.name=t1");
    // Nothing but wire type 2 in field 2: values, if mappings alone name attributes.
    let mut tables = dictionary();
    tables.attribute_table.drain(1..3);
    tables.mapping_table[1].attribute_indices = vec![1];
    assert_eq!(old(tables, &[1], &[], 0, 1), "main;work 10");
}

#[test]
fn attributes_and_moments_alone_are_1_10() {
    let sample = |attributes: &[i32], moments| Sample {
        stack_index: 1,
        attribute_indices: attributes.to_vec(),
        timestamps_unix_nano: vec![1; moments],
        ..Sample::default()
    };
    assert_eq!(
        converted(&newest_raw(vec![sample(&[1], 3)])),
        [format!("{LABELS},service_name=shop | cpu:nanoseconds | main;work 30 thread.name=t1")]
    );
}

#[test]
fn json_has_the_newest_layout() {
    let raw: RawExport = serde_json::from_value(serde_json::json!({
        "unknown": 1,
        "resourceProfiles": [{
            "resource": { "attributes": [{ "key": "process.executable.name", "value": { "stringValue": "a.out" } },
                                         { "key": "n", "value": { "intValue": "7" } }] },
            "scopeProfiles": [{ "profiles": [{
                "sampleType": { "typeStrindex": 1, "unitStrindex": 2 },
                "periodType": { "typeStrindex": 3, "unitStrindex": 4 },
                "period": "10",
                "samples": [{ "stackIndex": 1, "values": ["2"], "linkIndex": 1 }],
            }] }],
        }],
        "dictionary": {
            "stringTable": ["", "samples", "count", "cpu", "nanoseconds", "main"],
            "functionTable": [{}, { "nameStrindex": 5 }],
            "locationTable": [{}, { "address": "16", "lines": [{ "functionIndex": 1, "line": 3 }] }],
            "linkTable": [{}, { "traceId": "", "spanId": "AQIDBAUGBwg=" }],
            "stackTable": [{}, { "locationIndices": [1] }],
        },
    }))
    .unwrap();
    assert_eq!(
        converted(&raw),
        [concat!(
            "__delta__=false,__otel__=true,__name__=process_cpu,process.executable.name=a.out,n=7,service_name=unknown_service:a.out",
            " | cpu:nanoseconds | main 20 span_id=0102030405060708"
        )]
    );
}

#[test]
fn json_with_the_names_of_1_7_is_1_7() {
    let raw: RawExport = serde_json::from_value(serde_json::json!({
        "resourceProfiles": [{
            "resource": { "attributes": [{ "key": "service.name", "value": { "stringValue": "shop" } }] },
            "scopeProfiles": [{ "profiles": [{
                "sampleType": [{ "typeStrindex": 1, "unitStrindex": 2 }],
                "sample": [{ "locationsStartIndex": 1, "locationsLength": 2, "value": ["2"], "attributeIndices": [0], "linkIndex": 0 }],
                "locationIndices": [0, 1, 0],
                "timeNanos": "5",
                "periodType": { "typeStrindex": 3, "unitStrindex": 4 },
                "period": "10",
            }] }],
        }],
        "dictionary": {
            "stringTable": ["", "samples", "count", "cpu", "nanoseconds", "main", "work"],
            "functionTable": [{ "nameStrindex": 5 }, { "nameStrindex": 6 }],
            "locationTable": [{ "line": [{ "functionIndex": 0 }] }, { "line": [{ "functionIndex": 1 }] }],
            "linkTable": [{ "traceId": "abababababababababababababababab", "spanId": "0102030405060708" }],
            "attributeTable": [{ "key": "thread.name", "value": { "stringValue": "t1" } }],
        },
    }))
    .unwrap();
    let trace = "ab".repeat(16);
    let labels = "__delta__=false,__otel__=true,__name__=process_cpu,service.name=shop,service_name=shop";
    assert_eq!(
        converted(&raw),
        [format!("{labels} | cpu:nanoseconds | main;work 20 thread.name=t1 span_id=0102030405060708 trace_id={trace}")]
    );
    assert_eq!(batch(&raw, NOW).unwrap().series.len(), 1);
}

#[test]
fn json_says_its_layout_where_protobuf_cannot() {
    // As protobuf, moments and one small number would be values of 1.9.
    let mut raw = newest_raw(vec![Sample {
        stack_index: 1,
        attribute_indices: vec![1],
        timestamps_unix_nano: vec![1, 2, 3],
        ..Sample::default()
    }]);
    raw.told = wire::TOLD_1_10;
    assert_eq!(
        converted(&raw),
        [format!("{LABELS},service_name=shop | cpu:nanoseconds | main;work 30 thread.name=t1")]
    );
}

#[test]
fn what_is_refused_says_why() {
    let sample = || Sample { stack_index: 1, values: vec![1], ..Sample::default() };
    let refused = |raw: &RawExport| batch(raw, NOW).unwrap_err().message;
    let with = |change: fn(&mut Sample)| {
        let mut changed = sample();
        change(&mut changed);
        refused(&newest_raw(vec![changed, sample()]))
    };
    assert!(refused(&RawExport::default()).contains("no resource profiles"));
    let bare = RawExport { dictionary: None, ..newest_raw(vec![sample()]) };
    assert!(refused(&bare).contains("no dictionary"));
    assert!(with(|sample| sample.stack_index = 2).contains("stack_index 2 is out of range"));
    assert!(with(|sample| sample.link_index = -1).contains("link_index -1 is out of range"));
    assert!(with(|sample| sample.attribute_indices = vec![9]).contains("attribute_indices 9 is out of range"));
    assert!(with(|sample| sample.values.clear()).contains("neither values nor timestamps"));
    assert!(with(|sample| sample.values.push(1)).contains("a sample has 2 values"));
    let untyped = Profile { samples: vec![sample()], ..Profile::default() };
    assert!(
        refused(&raw(dictionary().encode_to_vec(), vec![untyped.encode_to_vec()])).contains("sample type is missing")
    );
}

#[test]
fn a_small_request_cannot_name_endless_locations() {
    let mut tables = dictionary();
    tables.stack_table[1].location_indices = vec![1; 1 << 20];
    let samples = vec![Sample { stack_index: 1, values: vec![1], ..Sample::default() }; 17];
    let error = batch(&raw(tables.encode_to_vec(), vec![cpu(samples).encode_to_vec()]), NOW).unwrap_err();
    assert!(error.message.contains("locations: send fewer at once"), "{}", error.message);
}

#[test]
fn shared_tables_cannot_be_written_out_endlessly() {
    let mut tables = dictionary();
    tables.string_table[5] = "x".repeat(4 << 20);
    let sample = Sample { stack_index: 1, values: vec![1], ..Sample::default() };
    let profiles = vec![cpu(vec![sample]).encode_to_vec(); 65];
    let error = batch(&raw(tables.encode_to_vec(), profiles), NOW).unwrap_err();
    assert!(error.message.contains("send fewer at once"), "{}", error.message);
}

#[test]
fn fuzz_otlp() {
    let samples = vec![Sample {
        stack_index: 1,
        values: vec![2],
        attribute_indices: vec![1],
        link_index: 1,
        ..Sample::default()
    }];
    let corpus: Vec<Vec<u8>> =
        [newest_raw(samples), of_1_9(), of_1_7()].iter().map(prost::Message::encode_to_vec).collect();
    fuzz::run("otlp", &corpus, |bytes| {
        let Ok(raw) = RawExport::decode(bytes) else { return };
        if let Ok(batch) = batch(&raw, NOW) {
            for series in &batch.series {
                pprof::Profile::decode(series.profiles[0].content.clone().into_pprof()).unwrap();
            }
        }
    });
}

/// The request of a collector in the field; it lies outside of the repository.
#[test]
fn a_recorded_request_is_taken() {
    let Some(shared) = flamelake_testkit::shared_dir("a_recorded_request_is_taken") else { return };
    let file = shared.join("corpus/otlp/otel-ebpf-profile.pb.bin");
    let Ok(bytes) = std::fs::read(file) else { return };
    let batch = batch(&RawExport::decode(bytes.as_slice()).unwrap(), NOW).unwrap();
    let lines = text(&batch);
    assert!(lines.iter().any(|line| line.contains("__name__=off_cpu,")), "{}", lines[0]);
    assert!(lines.iter().any(|line| line.contains("| cpu:nanoseconds |")), "{}", lines[0]);
}
