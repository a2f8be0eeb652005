//! The way out: merging, truncation, PGO shaping, the written message, DOT.

use flamelake_model::query::GoPgo;
use flamelake_model::{ProfileType, TimestampMs};
use flamelake_pprof::frame::Line;
use flamelake_pprof::{FunctionParts, MappingParts, PprofBuilder, PprofMeta, dot};
use proptest::prelude::*;
use prost::Message;

use crate::message::Profile;

fn feed(builder: &mut PprofBuilder, folded: &str) {
    for line in folded.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (stack, value) = line.rsplit_once(' ').unwrap();
        let mapping = builder.mapping(MappingParts { filename: "app", has_functions: true, ..MappingParts::default() });
        let mut locations = Vec::new();
        for frame in stack.split(';').rev() {
            let inner_first = frame.split(" > ").collect::<Vec<_>>().into_iter().rev();
            let lines: Vec<Line> = inner_first
                .map(|name| {
                    let function = FunctionParts { name, system_name: name, filename: "f.go", start_line: 1 };
                    Line { function: builder.function(function), line: name.len() as i64 }
                })
                .collect();
            locations.push(builder.location(mapping, 0, false, &lines));
        }
        builder.sample(&locations, value.parse().unwrap());
    }
}

fn built(folded: &str) -> PprofBuilder {
    let mut builder = PprofBuilder::new();
    feed(&mut builder, folded);
    builder
}

fn read(builder: &PprofBuilder) -> Profile {
    Profile::decode(builder.encode(None).as_slice()).unwrap()
}

fn folded(builder: &PprofBuilder) -> String {
    read(builder).folded().join("\n")
}

#[test]
fn equal_stacks_are_summed() {
    let builder = built("a;b 1\na;c > d 2\na;b 4\nz 0");
    assert_eq!(folded(&builder), "a;b 5\na;c > d 2");
    let written = read(&builder);
    assert_eq!(written.functions().len(), 4, "z has no value and is not written");
    assert!(written.functions().values().all(|count| *count == 1));
}

#[test]
fn metadata_follow_the_profile_type() {
    let of = |id: &str| PprofMeta::of(&ProfileType::parse(id).unwrap(), TimestampMs(1234));
    let written = built("a 1").encode(Some(&of("memory:inuse_space:bytes:space:bytes")));
    let profile = Profile::decode(written.as_slice()).unwrap();
    let value_type = |t: &crate::message::ValueType| format!("{}:{}", profile.text(t.kind), profile.text(t.unit));
    assert_eq!(value_type(&profile.sample_type[0]), "inuse_space:bytes");
    assert_eq!(value_type(profile.period_type.as_ref().unwrap()), "space:bytes");
    assert_eq!(profile.text(profile.default_sample_type), "inuse_space");
    assert_eq!((profile.period, profile.time_nanos, profile.duration_nanos), (524_288, 1_234_000_000, 0));
    assert_eq!(of("process_cpu:cpu:nanoseconds:cpu:nanoseconds").period, 1_000_000_000);
    assert_eq!(of("block:delay:nanoseconds::").period, 1);
    let profile = Profile::decode(built("a 1").encode(Some(&of("block:delay:nanoseconds::"))).as_slice()).unwrap();
    assert_eq!(profile.period_type, Some(crate::message::ValueType { kind: 0, unit: 0 }), "present with index 0");
}

#[test]
fn nothing_is_no_bytes() {
    assert!(PprofBuilder::new().encode(Some(&PprofMeta::default())).is_empty());
    assert!(PprofBuilder::new().merge_encoded(&[]).is_ok());
    assert!(PprofBuilder::new().merge_encoded(&[0xff]).is_err());
}

#[test]
fn encoded_partials_merge() {
    let parts = ["a;b 1\na;c 2", "a;c 3\nx > y;z 4", ""];
    let mut merged = PprofBuilder::new();
    parts.iter().for_each(|part| merged.merge_encoded(&built(part).encode(None)).unwrap());
    assert_eq!(folded(&merged), folded(&built(&parts.join("\n"))));
}

#[test]
fn mappings_are_equal_by_pages_offset_and_binary() {
    let mut builder = PprofBuilder::new();
    let parts = |start, limit, filename, build_id| MappingParts {
        memory_start: start,
        memory_limit: limit,
        filename,
        build_id,
        ..MappingParts::default()
    };
    let first = builder.mapping(parts(0x1000, 0x1800, "app", ""));
    let moved = builder.mapping(parts(0x5000, 0x5fff, "app", ""));
    let by_id = builder.mapping(parts(0x1000, 0x1800, "app", "id"));
    let same_id = builder.mapping(parts(0x1000, 0x1800, "renamed", "id"));
    let larger = builder.mapping(parts(0x1000, 0x2001, "app", ""));
    assert_eq!(by_id, same_id);
    let a = builder.location(first, 0x1234, false, &[]);
    let b = builder.location(moved, 0x5234, false, &[]);
    assert_eq!(a, b, "the same place in the binary");
    assert_ne!(a, builder.location(by_id, 0x1234, false, &[]));
    assert_ne!(a, builder.location(larger, 0x1234, false, &[]));
    builder.sample(&[a], 1);
    let written = read(&builder);
    assert_eq!((written.mapping.len(), written.location[0].address), (1, 0x1234));
}

#[test]
fn light_leaf_parts_become_other() {
    let text = "a;b;c 1\na;b 2\na;d 300\ne 4";
    let cut = |max_nodes| {
        let mut builder = built(text);
        builder.truncate(max_nodes);
        folded(&builder)
    };
    // Totals: a 303, d 300, e 4, b 3, c 1.
    assert_eq!(cut(0), "a;b 2\na;b;c 1\na;d 300\ne 4");
    assert_eq!(cut(5), cut(0));
    assert_eq!(cut(3), "a;d 300\na;other 3\ne 4");
    assert_eq!(cut(2), "a;d 300\na;other 3\nother 4");
    assert_eq!(cut(1), "a;other 303\nother 4");
    let mut builder = built(text);
    builder.truncate(2);
    let written = read(&builder);
    let last = written.function.last().unwrap();
    assert_eq!((written.text(last.name), written.text(last.system_name)), ("other".to_owned(), "other".to_owned()));
    assert_eq!(written.location.last().unwrap().mapping_id, 1);
}

#[test]
fn ties_stay_and_inlined_functions_count() {
    let mut builder = built("a 5\nb 5\nc 5\nd 1");
    builder.truncate(2);
    assert_eq!(folded(&builder), "a 5\nb 5\nc 5\nother 1");
    let mut builder = built("a;x > y 1\na;x 9");
    builder.truncate(2);
    assert_eq!(folded(&builder), "a;other 1\na;x 9", "a location goes whole");
}

#[test]
fn pgo_keeps_leaves_and_aggregates_callees() {
    let shape = |keep_locations, aggregate_callees| {
        let mut builder = PprofBuilder::with_go_pgo(Some(GoPgo { keep_locations, aggregate_callees }));
        feed(&mut builder, "main;a;leaf 1\nmain;b;leaf 2\nleaf 4");
        builder
    };
    assert_eq!(folded(&shape(1, false)), "leaf 7");
    assert_eq!(folded(&shape(2, false)), "a;leaf 1\nb;leaf 2\nleaf 4");
    assert_eq!(folded(&shape(0, false)), "leaf 4\nmain;a;leaf 1\nmain;b;leaf 2");
    let written = read(&shape(1, true));
    assert_eq!((written.folded().join(""), written.location[0].line[0].line), ("leaf 7".to_owned(), 0));
    let mut merged = PprofBuilder::new();
    merged.merge_encoded(&shape(2, true).encode(None)).unwrap();
    assert_eq!(folded(&merged), folded(&shape(2, true)));
}

#[test]
fn dot_draws_functions_and_calls() {
    let builder = built("main;a;leaf 10\nmain;b \"q\" 30");
    let text = dot(&builder, "process_cpu:cpu", "nanoseconds", 100);
    assert!(text.starts_with("digraph \"process_cpu:cpu\" {\nnode [style=filled fillcolor=\"#f8f8f8\"]\n"), "{text}");
    assert!(text.contains("N1 [label=\"main\\n0ns (0.00%)\\nof 40ns (100.00%)\""), "{text}");
    assert!(text.contains("N1 -> N2 [label=\" 30ns\""), "{text}");
    assert!(text.contains("b \\\"q\\\""), "{text}");
    assert!(text.ends_with("}\n"));
    let small = dot(&builder, "t", "count", 2);
    assert!(!small.contains("N3") && !small.contains("leaf"), "{small}");
    assert_eq!(dot(&PprofBuilder::new(), "t", "count", 9), "");
}

#[test]
fn dot_bridges_what_it_leaves_out() {
    let builder = built("main;thin;fat 10\nfat 90\nmain 20");
    let text = dot(&builder, "t", "count", 2);
    assert!(text.contains("N2 -> N1 [label=\" 10\"") || text.contains("style=\"dotted\""), "{text}");
}

fn folded_text() -> impl Strategy<Value = String> {
    let stack = proptest::collection::vec(prop_oneof!["[a-e]", "[a-c] > [a-c]"], 1..6);
    proptest::collection::vec((stack, 1..50i64), 0..20)
        .prop_map(|lines| lines.iter().map(|(stack, value)| format!("{} {value}\n", stack.join(";"))).collect())
}

proptest! {
    #[test]
    fn merging_does_not_depend_on_parts_or_order(a in folded_text(), b in folded_text(), c in folded_text()) {
        let merge = |parts: &[&PprofBuilder]| {
            let mut merged = PprofBuilder::new();
            parts.iter().for_each(|part| merged.merge_encoded(&part.encode(None)).unwrap());
            merged
        };
        let (a, b, c) = (&built(&a), &built(&b), &built(&c));
        let all = folded(&merge(&[a, b, c]));
        prop_assert_eq!(&all, &folded(&merge(&[c, a, b])));
        prop_assert_eq!(&all, &folded(&merge(&[&merge(&[a, b]), c])));
    }

    #[test]
    fn truncation_keeps_the_total(text in folded_text(), max_nodes in 1..20usize) {
        let total = |builder: &PprofBuilder| read(builder).sample.iter().map(|sample| sample.value[0]).sum::<i64>();
        let mut builder = built(&text);
        let before = if builder.is_empty() { 0 } else { total(&builder) };
        builder.truncate(max_nodes);
        prop_assert_eq!(if builder.is_empty() { 0 } else { total(&builder) }, before);
    }
}
