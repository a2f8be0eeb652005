//! The engine over sources in memory: single answers, and the law that layout does not matter (promise P8).

mod double;
mod function_index;
mod function_series;

use flamelake_model::function_index::FunctionIndexQuery;
use flamelake_model::function_series::FunctionRegex;
use flamelake_model::heatmap::{Dot, DotKind, HeatmapDots, HeatmapQuery};
use flamelake_model::query::{
    ExemplarKind, FunctionSeriesQuery, GoPgo, PartialAnswer, PartialQuery, PartialResult, PartialTimeSeries,
    SampleFilter, Selection, TimeSeriesQuery,
};
use flamelake_model::selector::Selector;
use flamelake_model::{Labels, ProfileId, ProfileType, TimeRange, TimestampMs, label_name};
use futures::executor::block_on;
use proptest::prelude::*;

use self::double::{MemorySource, TestProfile, TestSample};
use crate::{Merger, execute};

const CPU: &str = "process_cpu:cpu:nanoseconds:cpu:nanoseconds";
const HEAP: &str = "memory:inuse_space:bytes:space:bytes";

fn labels(service: &str, type_id: &str, more: &[(&str, &str)]) -> Labels {
    let name = type_id.split(':').next().unwrap();
    let own = [(label_name::SERVICE_NAME, service), (label_name::PROFILE_TYPE, type_id), (label_name::NAME, name)];
    Labels::from_pairs(own.iter().chain(more).copied())
}

fn id(number: u8) -> ProfileId {
    ProfileId([number; 16])
}

fn profile(number: u8, time_ms: i64, labels: Labels, samples: &[(&str, i64)]) -> TestProfile {
    let samples = samples.iter().map(|(stack, value)| TestSample::new(stack, *value)).collect();
    TestProfile { labels, time_ns: time_ms * 1_000_000, id: id(number), samples }
}

fn selection(selector: &str, start: i64, end: i64) -> Selection {
    Selection {
        profile_type: Some(ProfileType::parse(CPU).unwrap()),
        selector: Selector::parse(selector).unwrap(),
        range: TimeRange::new(TimestampMs(start), TimestampMs(end)).unwrap(),
    }
}

fn untyped(selector: &str, start: i64, end: i64) -> Selection {
    Selection { profile_type: None, ..selection(selector, start, end) }
}

fn ask(profiles: &[TestProfile], query: &PartialQuery) -> PartialAnswer {
    block_on(execute(&MemorySource::new(profiles), query)).unwrap()
}

/// Sorted folded stacks with their own values.
fn folded(answer: &PartialAnswer) -> Vec<String> {
    let PartialResult::Tree(tree) = &answer.result else { panic!("not a tree: {answer:?}") };
    tree.stacks().into_iter().map(|(stack, value)| format!("{stack} {value}")).collect()
}

/// What of a pprof tells its samples.
#[derive(Clone, PartialEq, prost::Message)]
struct Profile {
    #[prost(message, repeated, tag = "2")]
    sample: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    string_table: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Sample {
    #[prost(uint64, repeated, tag = "1")]
    location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    value: Vec<i64>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Location {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(message, repeated, tag = "4")]
    line: Vec<Line>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Line {
    #[prost(uint64, tag = "1")]
    function_id: u64,
    #[prost(int64, tag = "2")]
    line: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Function {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "2")]
    name: i64,
}

impl Profile {
    fn location_text(&self, id: u64) -> String {
        let location = self.location.iter().find(|location| location.id == id).unwrap();
        let line = |line: &Line| {
            let function = self.function.iter().find(|function| function.id == line.function_id).unwrap();
            format!("{}:{}", self.string_table[function.name as usize], line.line)
        };
        location.line.iter().map(line).collect::<Vec<_>>().join("+")
    }
}

/// Samples of a pprof as stacks, leaf first, inlined functions innermost first, with lines; sorted.
fn pprof_meaning(bytes: &[u8]) -> Vec<String> {
    let profile = <Profile as prost::Message>::decode(bytes).unwrap();
    let sample = |sample: &Sample| {
        let stack: Vec<String> = sample.location_id.iter().map(|id| profile.location_text(*id)).collect();
        format!("{} {}", stack.join(";"), sample.value[0])
    };
    let mut lines: Vec<String> = profile.sample.iter().map(sample).collect();
    lines.sort();
    lines
}

fn pprof(filter: SampleFilter, go_pgo: Option<GoPgo>) -> Vec<String> {
    let query = PartialQuery::Pprof { selection: selection("{}", 0, 1000), filter, go_pgo };
    match ask(&fleet(), &query).result {
        PartialResult::Pprof(bytes) => pprof_meaning(&bytes),
        other => panic!("no pprof: {other:?}"),
    }
}

#[test]
fn profiles_keep_locations_with_their_inlined_functions() {
    let all = pprof(SampleFilter::default(), None);
    assert_eq!(all, [" 3", "leaf:1;inlined:1+work:1;main:1 7", "other:1;main:1 11", "work:1;main:1 5"]);
    let call_site = vec!["main".to_owned(), "work".to_owned()];
    let below = pprof(SampleFilter { call_site, ..SampleFilter::default() }, None);
    assert_eq!(below, ["leaf:1;inlined:1+work:1;main:1 7", "work:1;main:1 5"]);
    let none = SampleFilter { call_site: vec!["nope".to_owned()], ..SampleFilter::default() };
    assert_eq!(pprof(none, None), [""; 0]);
}

#[test]
fn pgo_keeps_the_leaf_side_and_ignores_the_call_site() {
    let filter = SampleFilter { call_site: vec!["nope".to_owned()], ..SampleFilter::default() };
    let shaped = pprof(filter, Some(GoPgo { keep_locations: 1, aggregate_callees: true }));
    assert_eq!(shaped, [" 3", "leaf:0 7", "other:0 11", "work:0 5"]);
}

fn tree_query(selector: &str, filter: SampleFilter) -> PartialQuery {
    PartialQuery::Tree { selection: selection(selector, 0, 1_000_000), filter }
}

fn strings(answer: PartialAnswer) -> Vec<String> {
    match answer.result {
        PartialResult::Strings(found) => found.into_iter().collect(),
        PartialResult::LabelSets(found) => found.iter().map(ToString::to_string).collect(),
        other => panic!("not about labels: {other:?}"),
    }
}

fn fleet() -> Vec<TestProfile> {
    vec![
        profile(1, 100, labels("a", CPU, &[("pod", "p1")]), &[("main;work", 5), ("main;idle", 0), ("", 3)]),
        profile(2, 200, labels("a", CPU, &[("pod", "p2")]), &[("main;work+inlined;leaf", 7)]),
        profile(3, 200, labels("b", CPU, &[("zone", "z")]), &[("main;other", 11)]),
        profile(4, 300, labels("a", HEAP, &[("pod", "p1")]), &[("main;alloc", 1000)]),
        profile(5, 200, labels("a", CPU, &[("pod", "p1"), (label_name::SAMPLED, "true")]), &[("main", 999)]),
    ]
}

#[test]
fn trees_hold_positive_values_by_function_name() {
    let all = ask(&fleet(), &tree_query("{}", SampleFilter::default()));
    assert_eq!(folded(&all), ["main;other 11", "main;work 5", "main;work;inlined;leaf 7"]);
    let one = ask(&fleet(), &tree_query("{pod=\"p2\"}", SampleFilter::default()));
    assert_eq!(folded(&one), ["main;work;inlined;leaf 7"]);
    assert_eq!(one.stats.profiles, 1);
}

#[test]
fn call_sites_keep_whole_stacks_and_count_inlined_frames() {
    let site = |names: &[&str]| {
        let call_site = names.iter().map(|name| (*name).to_owned()).collect();
        folded(&ask(&fleet(), &tree_query("{}", SampleFilter { call_site, ..SampleFilter::default() })))
    };
    assert_eq!(site(&["main", "work"]), ["main;work 5", "main;work;inlined;leaf 7"]);
    assert_eq!(site(&["main", "work", "inlined"]), ["main;work;inlined;leaf 7"]);
    assert_eq!(site(&["work"]), [""; 0]);
    assert_eq!(site(&["main", "work", "leaf"]), [""; 0]);
}

#[test]
fn ids_restrict_profiles_and_samples() {
    let mut fleet = fleet();
    fleet[0].samples[0].span = 42;
    fleet[2].samples[0].trace = [9; 16];
    let ask = |filter| folded(&ask(&fleet, &tree_query("{}", filter)));
    let filter = SampleFilter { profile_ids: vec![id(2), id(77)], ..SampleFilter::default() };
    assert_eq!(ask(filter), ["main;work;inlined;leaf 7"]);
    assert_eq!(ask(SampleFilter { span_ids: vec![7, 42], ..SampleFilter::default() }), ["main;work 5"]);
    assert_eq!(ask(SampleFilter { trace_ids: vec![[9; 16]], ..SampleFilter::default() }), ["main;other 11"]);
    let nothing = SampleFilter { span_ids: vec![0], ..SampleFilter::default() };
    assert_eq!(ask(nothing), [""; 0], "0 is no span: it does not mean untagged samples");
    let nothing = SampleFilter { trace_ids: vec![[0; 16]], ..SampleFilter::default() };
    assert_eq!(ask(nothing), [""; 0]);
}

#[test]
fn labels_come_from_metadata() {
    let names = PartialQuery::LabelNames(untyped("{service_name=\"b\"}", 0, 1000));
    assert_eq!(strings(ask(&fleet(), &names)), ["__name__", "__profile_type__", "service_name", "zone"]);
    let values = |name: &str, selector: &str| {
        strings(ask(
            &fleet(),
            &PartialQuery::LabelValues { selection: untyped(selector, 0, 1000), name: name.to_owned() },
        ))
    };
    assert_eq!(values("pod", "{}"), ["p1", "p2"]);
    assert_eq!(values("pod", "{pod!=\"p1\"}"), ["p2"]);
    assert_eq!(values("service_name", "{}"), ["a", "b"]);
    assert_eq!(values("__profile_type__", "{}"), [HEAP, CPU]);
    assert_eq!(values("__profile_type__", "{service_name=\"b\"}"), [CPU]);
    assert_eq!(values("nope", "{}"), [""; 0]);
}

#[test]
fn summaries_and_series_give_the_same_label_sets() {
    let sets = |selector: &str, names: &[&str]| {
        let label_names = names.iter().map(|name| (*name).to_owned()).collect();
        strings(ask(&fleet(), &PartialQuery::Series { selection: untyped(selector, 0, 1000), label_names }))
    };
    for names in [vec!["service_name", "__profile_type__"], vec!["__name__"], vec!["service_name"]] {
        // The second selector is as wide, but opens the series.
        assert_eq!(sets("{}", &names), sets("{service_name=~\".+\"}", &names), "{names:?}");
    }
    assert_eq!(sets("{}", &["zone", "nope"]), ["{zone=\"z\"}"], "empty sets are left out");
    assert_eq!(sets("{service_name=\"b\"}", &[]).len(), 1);
}

#[test]
fn metadata_outside_the_range_does_not_count() {
    let values = PartialQuery::LabelValues { selection: untyped("{}", 0, 150), name: "service_name".to_owned() };
    assert_eq!(strings(ask(&fleet(), &values)), ["a"]);
}

fn series_query(start: i64, end: i64, step_ms: i64, group_by: &[&str]) -> TimeSeriesQuery {
    TimeSeriesQuery {
        selection: selection("{}", start, end),
        filter: SampleFilter::default(),
        group_by: group_by.iter().map(|name| (*name).to_owned()).collect(),
        step_ms,
        exemplars: ExemplarKind::Individual,
    }
}

fn series(profiles: &[TestProfile], query: TimeSeriesQuery) -> Vec<PartialTimeSeries> {
    match ask(profiles, &PartialQuery::TimeSeries(query)).result {
        PartialResult::TimeSeries(series) => series,
        other => panic!("no series: {other:?}"),
    }
}

fn points(series: &[PartialTimeSeries]) -> Vec<String> {
    let line = |series: &PartialTimeSeries| {
        let group: Vec<&str> = series.group.iter().map(|value| value.as_deref().unwrap_or("-")).collect();
        let points = series.points.iter().map(|point| format!(" {}={}/{}", point.timestamp, point.sum, point.profiles));
        format!("{}:{}", group.join(","), points.collect::<String>())
    };
    series.iter().map(line).collect()
}

#[test]
fn series_sum_profile_totals_into_buckets() {
    assert_eq!(points(&series(&fleet(), series_query(100, 300, 100, &[]))), [": 100=8/1 200=18/2"]);
    let grouped = series(&fleet(), series_query(200, 250, 100, &["pod", "zone"]));
    assert_eq!(
        points(&grouped),
        ["-,z: 200=11/1", "p1,-: 200=8/1", "p2,-: 200=7/1"],
        "one step before the start counts"
    );
    assert_eq!(points(&series(&fleet(), series_query(150, 199, 10, &[]))), [""; 0]);
}

#[test]
fn series_below_a_call_site_sum_its_samples() {
    let mut query = series_query(100, 300, 100, &[]);
    query.filter.call_site = vec!["main".to_owned(), "work".to_owned()];
    assert_eq!(points(&series(&fleet(), query)), [": 100=5/1 200=7/1"]);
}

#[test]
fn exemplars_sum_a_profile_over_its_series() {
    let fleet = [
        profile(1, 100, labels("a", CPU, &[("pod", "p"), ("core", "0")]), &[("main", 6)]),
        profile(1, 100, labels("a", CPU, &[("pod", "p"), ("core", "1")]), &[("main", 5)]),
        profile(2, 90, labels("a", CPU, &[("pod", "p"), ("core", "1")]), &[("main", 10)]),
    ];
    let series = series(&fleet, series_query(100, 100, 50, &["pod"]));
    let exemplar = series[0].points[0].exemplar().unwrap();
    assert_eq!((exemplar.value, exemplar.profile_id, exemplar.timestamp), (11, id(1), TimestampMs(100)));
    assert_eq!(exemplar.labels, labels("a", CPU, &[]), "neither the group's label nor the one that differs");
}

#[test]
fn what_sampling_noted_is_an_annotation_and_no_label() {
    let kept = |rule: &str| labels("a", CPU, &[("pod", "p"), (label_name::SAMPLED_BY, rule)]);
    let fleet = [
        profile(1, 100, labels("a", CPU, &[("pod", "p")]), &[("main", 6)]),
        profile(2, 150, kept("half"), &[("main", 5)]),
        profile(3, 160, kept("tenth"), &[("main", 4)]),
        profile(4, 170, kept("half"), &[("main", 9)]),
    ];
    let series = series(&fleet, series_query(100, 200, 100, &["pod"]));
    assert_eq!(points(&series), ["p: 100=6/1 200=18/3"]);
    let noted = |at: usize| {
        let annotations = series[0].points[at].annotations.iter();
        annotations.map(|label| format!("{}={}", label.name, label.value)).collect::<Vec<_>>()
    };
    assert_eq!(noted(0), [""; 0]);
    assert_eq!(noted(1), ["pyroscope.ingest.sampled=half", "pyroscope.ingest.sampled=tenth"]);
    assert_eq!(series[0].points[1].exemplar().unwrap().labels, labels("a", CPU, &[]));
    let names = PartialQuery::LabelNames(untyped("{}", 0, 1000));
    assert_eq!(strings(ask(&fleet, &names)), ["__name__", "__profile_type__", "pod", "service_name"]);
    let name = label_name::SAMPLED_BY.to_owned();
    let values = PartialQuery::LabelValues { selection: untyped("{}", 0, 1000), name: name.clone() };
    assert_eq!(strings(ask(&fleet, &values)), [""; 0]);
    for label_names in [vec![], vec!["service_name".to_owned(), "pod".to_owned(), name]] {
        let sets = strings(ask(&fleet, &PartialQuery::Series { selection: untyped("{}", 0, 1000), label_names }));
        assert_eq!(sets.len(), 1, "{sets:?}");
    }
}

#[test]
fn of_equal_exemplars_the_smallest_id_wins() {
    for order in [[3, 4], [4, 3]] {
        let fleet = order.map(|number| profile(number, 100, labels("a", CPU, &[]), &[("main", 5)]));
        let series = series(&fleet, series_query(100, 100, 50, &[]));
        assert_eq!(series[0].points[0].exemplar().unwrap().profile_id, id(3));
    }
}

fn dots(profiles: &[TestProfile], kind: DotKind, group_by: &[&str]) -> Vec<String> {
    let query = PartialQuery::Heatmap(HeatmapQuery {
        selection: selection("{}", 100, 200),
        group_by: group_by.iter().map(|name| (*name).to_owned()).collect(),
        step_ms: 50,
        kind,
        labels: true,
    });
    let PartialResult::Heatmap(groups) = ask(profiles, &query).result else { panic!("no heatmap") };
    let dot = |dot: &Dot| {
        let (key, pod) = (dot.key, dot.labels.get("pod").unwrap_or("-"));
        format!(" {}#{}/{}/{}={}{pod}", key.time.to_ms(), key.profile_id.0[15], key.span_id, key.trace_id[0], dot.value)
    };
    let line = |group: &HeatmapDots| {
        let values: Vec<&str> = group.group.iter().map(|value| value.as_deref().unwrap_or("-")).collect();
        format!("{}:{}", values.join(","), group.dots.iter().map(dot).collect::<String>())
    };
    groups.iter().map(line).collect()
}

#[test]
fn heatmaps_have_a_dot_for_each_profile_and_read_one_step_before_the_start() {
    let fleet = [
        profile(1, 49, labels("a", CPU, &[("pod", "p")]), &[("main", 1)]),
        profile(2, 50, labels("a", CPU, &[("pod", "p")]), &[("main", 2)]),
        profile(3, 200, labels("a", CPU, &[("pod", "p"), ("core", "0")]), &[("main", 3)]),
        profile(3, 200, labels("a", CPU, &[("pod", "q"), ("core", "1")]), &[("main", 4)]),
        profile(4, 201, labels("a", CPU, &[("pod", "p")]), &[("main", 5)]),
    ];
    assert_eq!(dots(&fleet, DotKind::Profile, &[]), [": 50#2/0/0=2p 200#3/0/0=7-"]);
    assert_eq!(dots(&fleet, DotKind::Profile, &["pod"]), ["p: 50#2/0/0=2- 200#3/0/0=3-", "q: 200#3/0/0=4-"]);
    assert_eq!(dots(&fleet, DotKind::Span, &[]), [""; 0]);
}

#[test]
fn heatmaps_of_spans_sum_the_samples_of_a_span() {
    let mut profile = profile(1, 100, labels("a", CPU, &[("pod", "p")]), &[("main", 1), ("x", 2), ("y", 4), ("z", 8)]);
    for (sample, (span, trace)) in profile.samples.iter_mut().zip([(0, 0), (7, 1), (7, 1), (7, 2)]) {
        (sample.span, sample.trace) = (span, [trace; 16]);
    }
    assert_eq!(dots(&[profile], DotKind::Span, &[]), [": 100#0/7/1=6p 100#0/7/2=8p"]);
}

#[test]
fn time_spans_are_those_of_partitions() {
    let span =
        |profiles: &[TestProfile], start, end| match ask(profiles, &PartialQuery::TimeSpan(untyped("{}", start, end)))
            .result
        {
            PartialResult::TimeSpan(span) => span.map(|span| (span.min.to_ms().0, span.max.to_ms().0)),
            other => panic!("no time span: {other:?}"),
        };
    assert_eq!(span(&[], 1, 1_000), None);
    let fleet = [100, 300].map(|at| profile(1, at, labels("a", CPU, &[]), &[("main", 1)]));
    assert_eq!(span(&fleet, 1, 1_000), Some((100, 300)));
    assert_eq!(span(&fleet, 301, 1_000), None);
}

fn any_stack() -> impl Strategy<Value = String> {
    proptest::collection::vec(prop_oneof!["[a-d]", "[a-d]\\+[a-d]"], 0..5).prop_map(|frames| frames.join(";"))
}

fn any_sample() -> impl Strategy<Value = TestSample> {
    (any_stack(), -2_i64..50, 0_u64..3, 0_u8..3).prop_map(|(stack, value, span, trace)| TestSample {
        span,
        trace: [trace; 16],
        ..TestSample::new(&stack, value)
    })
}

/// One pushed profile: an id, a time, and one or two series.
fn any_push() -> impl Strategy<Value = Vec<TestProfile>> {
    let samples = || proptest::collection::vec(any_sample(), 1..6);
    let place = (0_u8..3, 0_u8..3, any::<bool>());
    (any::<[u8; 16]>(), 0_i64..2_000, place, samples(), samples(), any::<bool>()).prop_map(
        |(id, time_ms, (service, pod, heap), first, second, both)| {
            let (service, pod) = (format!("s{service}"), format!("p{pod}"));
            let type_id = if heap { HEAP } else { CPU };
            let one = |core: &str, samples: Vec<TestSample>| TestProfile {
                labels: labels(&service, type_id, &[("pod", &pod), ("core", core)]),
                time_ns: time_ms * 1_000_000,
                id: ProfileId(id),
                samples,
            };
            let mut push = vec![one("0", first)];
            if both {
                push.push(one("1", second));
            }
            push
        },
    )
}

fn any_filter() -> impl Strategy<Value = SampleFilter> {
    let call_site = proptest::collection::vec("[a-d]", 0..3);
    (call_site, 0_u64..3, 0_u8..3).prop_map(|(call_site, span, trace)| SampleFilter {
        profile_ids: Vec::new(),
        span_ids: if span > 0 { vec![span] } else { Vec::new() },
        trace_ids: if trace > 0 { vec![[trace; 16]] } else { Vec::new() },
        call_site,
    })
}

fn any_query() -> impl Strategy<Value = PartialQuery> {
    let selector = prop_oneof![
        Just("{}"),
        Just("{service_name=\"s1\"}"),
        Just("{pod!=\"p0\"}"),
        Just("{core=\"1\",service_name=~\"s[01]\"}")
    ];
    let range = (0_i64..1_500, 0_i64..1_000);
    (selector, any_filter(), range, 0_u8..13, 1_i64..400, any::<bool>(), function_series::any_functions()).prop_map(
        |(selector, filter, (start, length), kind, step_ms, flag, functions)| {
            let typed = selection(selector, start, start + length);
            // Label answers are as fine as a series' time span, which the layout changes: ask them for all time.
            let all = untyped(selector, 0, 10_000);
            match kind {
                0 => PartialQuery::LabelNames(all),
                1 => PartialQuery::LabelValues {
                    selection: all,
                    name: if flag { "pod" } else { "service_name" }.to_owned(),
                },
                2 => PartialQuery::Series {
                    selection: all,
                    label_names: if flag { Vec::new() } else { vec!["service_name".to_owned(), "pod".to_owned()] },
                },
                3 => PartialQuery::Tree { selection: typed, filter },
                4 => PartialQuery::Pprof { selection: typed, filter, go_pgo: None },
                5 => {
                    let go_pgo = Some(GoPgo { keep_locations: 2, aggregate_callees: flag });
                    PartialQuery::Pprof { selection: typed, filter, go_pgo }
                }
                6 => PartialQuery::TimeSpan(all),
                7 | 8 => PartialQuery::Heatmap(HeatmapQuery {
                    selection: typed,
                    group_by: vec!["pod".to_owned()],
                    step_ms,
                    kind: if kind == 7 { DotKind::Profile } else { DotKind::Span },
                    labels: flag,
                }),
                9 | 10 => PartialQuery::FunctionSeries(FunctionSeriesQuery {
                    selection: typed,
                    filter,
                    functions,
                    group_by: if flag { vec!["pod".to_owned()] } else { Vec::new() },
                    step_ms,
                }),
                // Functions are as fine as partitions: with a selector of series the layout may change which are found.
                11 => PartialQuery::Functions(FunctionIndexQuery {
                    selection: untyped("{service_name=~\"s[01]\"}", 0, 10_000),
                    functions: FunctionRegex::containing(if flag { "" } else { "B" }).unwrap(),
                    limit: step_ms as usize % 4 + 1,
                }),
                _ => PartialQuery::TimeSeries(TimeSeriesQuery {
                    selection: typed,
                    filter: SampleFilter { call_site: filter.call_site, ..SampleFilter::default() },
                    group_by: vec!["pod".to_owned()],
                    step_ms,
                    exemplars: if flag { ExemplarKind::Individual } else { ExemplarKind::None },
                }),
            }
        },
    )
}

/// An answer as text that is equal for equal answers.
fn meaning(answer: &PartialAnswer) -> String {
    match &answer.result {
        PartialResult::Tree(_) => folded(answer).join("\n"),
        PartialResult::Pprof(bytes) => pprof_meaning(bytes).join("\n"),
        // Types and times are those of the partitions that a function lies in.
        PartialResult::Functions(index) => {
            let places = index.functions().iter().map(|(name, places)| (name, places.keys().collect::<Vec<_>>()));
            format!("{:?} {}", places.collect::<Vec<_>>(), index.more)
        }
        other => format!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_answer_does_not_depend_on_the_layout(
        pushes in proptest::collection::vec((any_push(), 0_usize..4), 1..20),
        query in any_query(),
    ) {
        let whole: Vec<TestProfile> = pushes.iter().flat_map(|(push, _)| push.clone()).collect();
        let expected = ask(&whole, &query);
        let mut merger = Merger::new(&query);
        for place in 0..4 {
            let part: Vec<TestProfile> =
                pushes.iter().filter(|(_, at)| *at == place).flat_map(|(push, _)| push.clone()).collect();
            merger.add(ask(&part, &query)).unwrap();
        }
        let merged = merger.finish().unwrap();
        prop_assert_eq!(meaning(&merged), meaning(&expected));
    }
}
