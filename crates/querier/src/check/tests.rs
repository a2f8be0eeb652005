//! Each row of the contract's tables (`query.md` sections 2, 5 and 10): request → question or error.

use std::time::Duration;

use flamelake_model::heatmap::DotKind;
use flamelake_model::query::ExemplarKind;
use flamelake_model::{ErrorCode, StatusError, TimestampMs};

use super::*;

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
const NOW: i64 = 1_795_363_200_000;
const CPU: &str = "process_cpu:cpu:nanoseconds:cpu:nanoseconds";

fn limits() -> QueryLimits {
    QueryLimits {
        lookback: Duration::from_secs(7 * 24 * 3600),
        length: Duration::from_secs(24 * 3600),
        nodes_default: 8192,
        nodes_max: 1_048_576,
        nodes_on_merge_profile: false,
        concurrency: 0,
    }
}

fn with_limits<T>(limits: &QueryLimits, call: impl FnOnce(Checker<'_>) -> T) -> T {
    call(Checker { limits, now: Now(TimestampMs(NOW)) })
}

fn check<T>(call: impl FnOnce(Checker<'_>) -> T) -> T {
    with_limits(&limits(), call)
}

/// The range of a label call as text, or the error's.
fn range(start: i64, end: i64) -> Result<String, String> {
    range_within(&limits(), start, end)
}

fn range_within(limits: &QueryLimits, start: i64, end: i64) -> Result<String, String> {
    match with_limits(limits, |checker| checker.labels(start, end, &[], || Ok(()))) {
        Ok(None) => Ok("empty".to_owned()),
        Ok(Some(selection)) => Ok(format!("{}..{}", selection.range.start().0 - NOW, selection.range.end().0 - NOW)),
        Err(error) => {
            assert_eq!(error.code, ErrorCode::InvalidArgument);
            Err(error.message)
        }
    }
}

fn stacktraces(profile_type: &str, selector: &str) -> StacktracesInput {
    StacktracesInput {
        profile_type: profile_type.to_owned(),
        label_selector: selector.to_owned(),
        start: NOW - HOUR,
        end: NOW,
        ..StacktracesInput::default()
    }
}

fn series_input(step: f64) -> SeriesInput {
    SeriesInput {
        profile_type: CPU.to_owned(),
        label_selector: "{}".to_owned(),
        start: NOW - HOUR,
        end: NOW,
        step,
        ..SeriesInput::default()
    }
}

fn invalid<T: std::fmt::Debug>(result: Result<T, StatusError>) -> String {
    let error = result.unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidArgument, "{}", error.message);
    error.message
}

#[test]
fn ranges_need_both_ends() {
    for (start, end) in [(0, 0), (0, NOW), (NOW, 0)] {
        assert_eq!(range(start, end), Err("missing time range in the query".to_owned()));
    }
}

#[test]
fn ranges_do_not_run_backwards() {
    assert_eq!(range(NOW, NOW - 1), Err("query start time is after end time".to_owned()));
    assert_eq!(range(NOW, NOW), Ok("0..0".to_owned()), "zero length is legal");
}

#[test]
fn ranges_before_the_look_back_are_empty() {
    assert_eq!(range(NOW - 9 * DAY, NOW - 8 * DAY), Ok("empty".to_owned()));
    assert_eq!(range(NOW - 8 * DAY, NOW - 7 * DAY - 1), Ok("empty".to_owned()));
    assert_eq!(range(NOW - 8 * DAY, NOW - 7 * DAY), Ok(format!("{}..{}", -7 * DAY, -7 * DAY)), "the edge counts");
}

#[test]
fn starts_before_the_look_back_are_raised_before_the_length_is_measured() {
    assert_eq!(range(NOW - 30 * DAY, NOW - 6 * DAY), Ok(format!("{}..{}", -7 * DAY, -6 * DAY)));
}

#[test]
fn ranges_longer_than_the_limit_are_refused() {
    assert_eq!(range(NOW - DAY, NOW), Ok(format!("{}..0", -DAY)), "the limit itself is allowed");
    let message = range(NOW - DAY - 1, NOW).unwrap_err();
    let expected = "the query time range exceeds the limit (max_query_length, actual: 24h0m0.001s, limit: 24h0m0s)";
    assert!(message.starts_with(expected), "{message}");
}

#[test]
fn zero_switches_a_range_limit_off() {
    let off = QueryLimits { lookback: Duration::ZERO, length: Duration::ZERO, ..limits() };
    assert_eq!(range_within(&off, 1, NOW), Ok(format!("{}..0", 1 - NOW)));
}

#[test]
fn an_empty_range_hides_every_later_mistake() {
    let old = StacktracesInput { start: 1, end: 2, max_nodes: -1, ..stacktraces("bad", "bad{") };
    assert!(check(|checker| checker.tree(&old)).unwrap().is_none());
    assert!(check(|checker| checker.pprof(&old)).unwrap().is_none());
    let old = SeriesInput { start: 1, end: 2, profile_type: "bad".to_owned(), ..series_input(0.0) };
    assert!(check(|checker| checker.series(&old)).unwrap().is_none());
    let labels = check(|checker| checker.labels(1, 2, &["{".to_owned()], || Err(StatusError::internal("not reached"))));
    assert!(labels.unwrap().is_none());
}

#[test]
fn profile_types_without_a_range_are_those_of_the_last_hour() {
    let selection = check(|checker| checker.profile_types(0, 0)).unwrap().unwrap();
    assert_eq!((selection.range.start().0, selection.range.end().0), (NOW - HOUR, NOW));
    assert_eq!(invalid(check(|checker| checker.profile_types(0, NOW))), "missing time range in the query");
}

#[test]
fn names_come_after_the_range_and_before_the_matchers() {
    let bad = ["{".to_owned()];
    let named = || Err(StatusError::invalid_argument("name is required"));
    assert_eq!(invalid(check(|checker| checker.labels(NOW, NOW, &bad, named))), "name is required");
    let named = || Err(StatusError::invalid_argument("name is required"));
    assert_eq!(invalid(check(|checker| checker.labels(0, 0, &bad, named))), "missing time range in the query");
    assert!(
        invalid(check(|checker| checker.labels(NOW, NOW, &bad, || Ok(()))))
            .starts_with("failed to parse label selector")
    );
}

#[test]
fn selectors_are_parsed_and_quoted() {
    for bad in [
        "",
        "{",
        "{a}",
        "{a=\"b\"",
        "{a=~\"(\"}",
        "rate({})",
        "{,}",
        "{a=\"b\",,}",
        "not a selector",
        "{a=\"b\"} offset 5m",
    ] {
        let message = invalid(check(|checker| checker.tree(&stacktraces(CPU, bad))));
        assert!(message.starts_with(&format!("parsing label selector {bad:?}: ")), "{message}");
    }
    for good in ["{}", "{service_name=\"x\",}", "process_cpu{}", "{\"a.b\"=\"c\"}"] {
        assert!(check(|checker| checker.tree(&stacktraces(CPU, good))).is_ok(), "{good}");
    }
}

#[test]
fn profile_types_have_five_parts_or_six() {
    for (bad, parts) in [("", 1), ("cpu", 1), ("a:b:c:d", 4), ("a:b:c:d:e:f:g", 7)] {
        let expected = format!(
            "profile-type selection must be of the form \
             <name>:<sample-type>:<sample-unit>:<period-type>:<period-unit>(:delta), got({parts}): {bad:?}"
        );
        assert_eq!(invalid(check(|checker| checker.tree(&stacktraces(bad, "{")))), expected, "before the selector");
        assert_eq!(invalid(check(|checker| checker.pprof(&stacktraces(bad, "{")))), expected);
        let series = SeriesInput { profile_type: bad.to_owned(), ..series_input(0.0) };
        assert_eq!(invalid(check(|checker| checker.series(&series))), expected, "before the step");
    }
    for good in ["::::", "unknown:x:y:z:w", "a:b:c:d:e:delta"] {
        assert!(check(|checker| checker.tree(&stacktraces(good, "{}"))).unwrap().is_some());
    }
}

fn nodes(asked: i64, limits: &QueryLimits) -> Result<Option<usize>, String> {
    let input = StacktracesInput { max_nodes: asked, ..stacktraces("bad type", "{}") };
    match with_limits(limits, |checker| checker.tree(&StacktracesInput { profile_type: CPU.to_owned(), ..input })) {
        Ok(question) => Ok(question.unwrap().max_nodes.0),
        Err(error) => Err(error.message),
    }
}

#[test]
fn max_nodes_default_and_cap() {
    let limits = limits();
    assert_eq!(nodes(0, &limits), Ok(Some(8192)));
    assert_eq!(nodes(1, &limits), Ok(Some(1)));
    assert_eq!(nodes(1_048_576, &limits), Ok(Some(1_048_576)));
    assert_eq!(
        nodes(1_048_577, &limits),
        Err("max flamegraph nodes limit 1048577 is greater than allowed 1048576".to_owned())
    );
    assert_eq!(nodes(-1, &limits), Err("max flamegraph nodes limit must be set (max allowed 1048576)".to_owned()));
    let uncapped = QueryLimits { nodes_max: 0, ..limits.clone() };
    assert_eq!(nodes(-1, &uncapped), Ok(None));
    assert_eq!(nodes(i64::MAX, &uncapped), Ok(Some(i64::MAX as usize)));
    let no_default = QueryLimits { nodes_default: 0, ..limits };
    assert_eq!(nodes(0, &no_default), Ok(None));
}

#[test]
fn max_nodes_come_before_the_type() {
    let input = StacktracesInput { max_nodes: -1, ..stacktraces("bad", "{") };
    assert!(invalid(check(|checker| checker.tree(&input))).starts_with("max flamegraph nodes"));
    assert!(
        invalid(check(|checker| checker.tree(&StacktracesInput { start: 0, ..input }))).starts_with("missing time")
    );
}

#[test]
fn merged_profiles_are_cut_only_when_asked() {
    let pprof = |asked, limits: &QueryLimits| {
        let input = StacktracesInput { max_nodes: asked, ..stacktraces(CPU, "{}") };
        with_limits(limits, |checker| checker.pprof(&input)).map(|question| question.unwrap().max_nodes.0)
    };
    assert_eq!(pprof(0, &limits()), Ok(None));
    assert_eq!(pprof(-1, &limits()), Ok(None));
    assert_eq!(pprof(5, &limits()), Ok(Some(5)));
    assert_eq!(pprof(2_000_000, &limits()), Ok(Some(2_000_000)));
    let enforced = QueryLimits { nodes_on_merge_profile: true, ..limits() };
    assert_eq!(pprof(0, &enforced), Ok(Some(8192)));
    assert!(invalid(pprof(2_000_000, &enforced)).contains("is greater than allowed"));
}

#[test]
fn steps_are_at_least_a_millisecond() {
    for bad in [0.0, -1.0, 0.0001, f64::NAN, f64::NEG_INFINITY] {
        let input = SeriesInput { label_selector: "{".to_owned(), ..series_input(bad) };
        assert_eq!(invalid(check(|checker| checker.series(&input))), "step must be >= 1ms", "{bad}");
    }
    for (step, ms) in [(0.001, 1), (0.0015, 1), (15.0, 15_000), (1e9, 1_000_000_000_000), (f64::INFINITY, i64::MAX)] {
        assert_eq!(check(|checker| checker.series(&series_input(step))).unwrap().unwrap().query.step_ms, ms);
    }
}

#[test]
fn exemplar_types() {
    let kind = |number| {
        let input = SeriesInput { exemplar_type: number, ..series_input(1.0) };
        check(|checker| checker.series(&input)).map(|question| question.unwrap().query.exemplars)
    };
    assert_eq!(kind(0), Ok(ExemplarKind::None));
    assert_eq!(kind(1), Ok(ExemplarKind::None));
    assert_eq!(kind(2), Ok(ExemplarKind::Individual));
    assert_eq!(kind(3).unwrap_err().code, ErrorCode::Unimplemented);
    assert_eq!(kind(9).unwrap_err().code, ErrorCode::InvalidArgument);
}

#[test]
fn groups_are_unique_and_limits_positive() {
    let group_by = ["b", "a", "b"].map(str::to_owned).to_vec();
    let input = SeriesInput { group_by, limit: -3, ..series_input(1.0) };
    let question = check(|checker| checker.series(&input)).unwrap().unwrap();
    assert_eq!(question.query.group_by, ["b", "a"]);
    assert_eq!(question.limit, None);
    let input = SeriesInput { limit: 3, ..series_input(1.0) };
    assert_eq!(check(|checker| checker.series(&input)).unwrap().unwrap().limit, Some(3));
}

fn filtered(filter: SampleFilterInput) -> Result<SampleFilter, StatusError> {
    let input = StacktracesInput { filter, ..stacktraces(CPU, "{}") };
    check(|checker| checker.tree(&input)).map(|question| question.unwrap().filter)
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn spans_are_sixteen_hex_characters() {
    let span = |id: &str| filtered(SampleFilterInput { span_ids: texts(&[id]), ..SampleFilterInput::default() });
    assert_eq!(span("0000000000000001").unwrap().span_ids, [1 << 56]);
    assert_eq!(span("DEADbeef00000001").unwrap().span_ids, [u64::from_le_bytes([0xde, 0xad, 0xbe, 0xef, 0, 0, 0, 1])]);
    for bad in ["xyz", "00000000000000", "000000000000000g", "00000000000000001", "+000000000000001", ""] {
        assert!(invalid(span(bad)).contains("span id"), "{bad}");
    }
}

#[test]
fn traces_are_thirty_two_hex_characters() {
    let trace = |id: &str| filtered(SampleFilterInput { trace_ids: texts(&[id]), ..SampleFilterInput::default() });
    let mut bytes = [0; 16];
    bytes[15] = 0xa1;
    assert_eq!(trace("000000000000000000000000000000A1").unwrap().trace_ids, [bytes]);
    for bad in ["", "00", "deadbeef00000001"] {
        assert!(invalid(trace(bad)).contains("trace id"), "{bad}");
    }
}

#[test]
fn profile_ids_are_uuids_in_any_form() {
    let profile = |id: &str| filtered(SampleFilterInput { profile_ids: texts(&[id]), ..SampleFilterInput::default() });
    for good in [
        "00112233-4455-6677-8899-aabbccddeeff",
        "00112233445566778899AABBCCDDEEFF",
        "{00112233-4455-6677-8899-aabbccddeeff}",
        "urn:uuid:00112233-4455-6677-8899-aabbccddeeff",
    ] {
        assert_eq!(profile(good).unwrap().profile_ids[0].to_string(), "00112233-4455-6677-8899-aabbccddeeff");
    }
    for bad in ["", "nope", "0011"] {
        assert!(invalid(profile(bad)).contains("profile id"), "{bad}");
    }
}

#[test]
fn spans_and_traces_exclude_each_other_before_the_range() {
    let filter =
        SampleFilterInput { span_ids: texts(&["x"]), trace_ids: texts(&["y"]), ..SampleFilterInput::default() };
    let input = StacktracesInput { start: 0, filter, ..stacktraces(CPU, "{}") };
    assert!(invalid(check(|checker| checker.tree(&input))).contains("cannot be combined"));
}

#[test]
fn diffs_look_at_both_types_first() {
    let (good, bad) = (stacktraces(CPU, "{}"), StacktracesInput { start: 0, ..stacktraces("bad", "{}") });
    assert!(invalid(Checker::diff_types(&good, &bad)).contains("profile-type"));
    assert!(Checker::diff_types(&good, &stacktraces("a:b:c:d:e", "{}")).is_ok(), "they need not be equal");
    let asked = |nodes| StacktracesInput { max_nodes: nodes, ..stacktraces(CPU, "{}") };
    assert_eq!(check(|checker| checker.diff_nodes(&asked(7), &asked(9))).unwrap().0, Some(9));
    assert_eq!(check(|checker| checker.diff_nodes(&asked(0), &asked(0))).unwrap().0, Some(8192));
}

fn heatmap_input() -> HeatmapInput {
    let (start, end) = (NOW - 1_000, NOW);
    let (profile_type, label_selector) = (CPU.to_owned(), "{}".to_owned());
    HeatmapInput { profile_type, label_selector, start, end, step: 15.0, query_type: 1, ..HeatmapInput::default() }
}

#[test]
fn heatmaps_are_checked_in_order() {
    let input = heatmap_input();
    let (start, end) = (input.start, input.end);
    for (input, message) in [
        (HeatmapInput { step: 0.0, limit: -1, ..input.clone() }, "step must be >= 1ms"),
        (HeatmapInput { limit: -1, start: end, ..input.clone() }, "limit must not be negative"),
        (HeatmapInput { end: start, profile_type: "x".to_owned(), ..input.clone() }, "start must be before end"),
        (HeatmapInput { start: 0, profile_type: "x".to_owned(), ..input.clone() }, "missing time range"),
        (
            HeatmapInput { profile_type: "x".to_owned(), label_selector: "{".to_owned(), ..input.clone() },
            "profile-type",
        ),
        (HeatmapInput { label_selector: "{".to_owned(), query_type: 0, ..input.clone() }, "parsing label selector"),
        (HeatmapInput { query_type: 0, exemplar_type: 9, ..input.clone() }, "query_type is required"),
        (HeatmapInput { query_type: 3, ..input.clone() }, "unknown heatmap query type"),
        (HeatmapInput { exemplar_type: 3, ..input.clone() }, "span exemplars are only"),
        (HeatmapInput { query_type: 2, exemplar_type: 2, ..input.clone() }, "individual exemplars are only"),
        (HeatmapInput { exemplar_type: 4, ..input.clone() }, "unknown exemplar type"),
    ] {
        let error = invalid(check(|checker| checker.heatmap(&input)));
        assert!(error.contains(message), "{message}: {error}");
    }
}

#[test]
fn heatmaps_know_what_a_dot_is_and_what_it_carries() {
    for (query_type, exemplar_type, kind, labels) in [
        (1, 0, DotKind::Profile, false),
        (1, 1, DotKind::Profile, false),
        (1, 2, DotKind::Profile, true),
        (2, 1, DotKind::Span, false),
        (2, 3, DotKind::Span, true),
    ] {
        let input = HeatmapInput { query_type, exemplar_type, limit: 3, ..heatmap_input() };
        let question = check(|checker| checker.heatmap(&input)).unwrap().unwrap();
        assert_eq!((question.query.kind, question.query.labels, question.query.step_ms), (kind, labels, 15_000));
        assert_eq!(question.limit, Some(3));
    }
    let old = HeatmapInput { start: 1, end: 2, profile_type: "x".to_owned(), ..heatmap_input() };
    assert!(check(|checker| checker.heatmap(&old)).unwrap().is_none(), "before the look-back");
}

fn functions(functions: FunctionsInput) -> FunctionSeriesInput {
    let SeriesInput { profile_type, label_selector, start, end, step, .. } = series_input(15.0);
    FunctionSeriesInput { profile_type, label_selector, start, end, step, functions, ..FunctionSeriesInput::default() }
}

#[test]
fn functions_are_checked_as_series_are() {
    let good = functions(FunctionsInput::Names(vec!["f".to_owned(), "f".to_owned()]));
    let good = FunctionSeriesInput { group_by: vec!["pod".to_owned(); 2], ..good };
    let query = check(|checker| checker.function_series(&good)).unwrap().unwrap();
    assert_eq!((query.step_ms, query.group_by.len()), (15_000, 1));
    assert!(query.functions.matches("f") && !query.functions.matches("g"));
    let refused = |input: FunctionSeriesInput| invalid(check(|checker| checker.function_series(&input)));
    let of = |wanted| functions(wanted);
    assert_eq!(refused(FunctionSeriesInput { step: 0.0, ..of(FunctionsInput::All) }), "step must be >= 1ms");
    assert!(refused(of(FunctionsInput::Regex("(".to_owned()))).contains("missing closing )"));
    assert!(refused(of(FunctionsInput::Names(vec![String::new(); 10_001]))).contains("use a regular expression"));
    assert!(refused(FunctionSeriesInput { end: 0, ..of(FunctionsInput::All) }).contains("missing time range"));
    let old = FunctionSeriesInput { start: 1, end: 2, ..of(FunctionsInput::Regex("(".to_owned())) };
    assert!(check(|checker| checker.function_series(&old)).unwrap().is_none());
}

#[test]
fn functions_are_looked_for_like_labels() {
    let input = |profile_type: &str, selector: &str, name| FunctionIndexInput {
        profile_type: profile_type.to_owned(),
        label_selector: selector.to_owned(),
        start: NOW - HOUR,
        end: NOW,
        name,
        limit: 5,
    };
    let containing = || NameInput::Containing("Cart".to_owned());
    let query = check(|checker| checker.function_index(&input("", "{}", containing()))).unwrap().unwrap();
    assert!(query.selection.profile_type.is_none() && query.functions.is_match("shop.cart.add"));
    let typed = check(|checker| checker.function_index(&input(CPU, "{a=\"b\"}", containing()))).unwrap().unwrap();
    assert_eq!(typed.selection.profile_type.unwrap().to_string(), CPU);
    let refused = |input: FunctionIndexInput| invalid(check(|checker| checker.function_index(&input)));
    assert!(refused(input("x", "{}", containing())).contains("profile-type"));
    assert!(refused(input("", "{", containing())).contains("failed to parse label selector"));
    assert!(refused(input("", "{}", NameInput::Regex("(".to_owned()))).contains("missing closing )"));
}
