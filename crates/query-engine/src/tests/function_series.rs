//! Functions over time: single answers, and equality with sums taken stack by stack.

use std::collections::{BTreeMap, BTreeSet};

use flamelake_model::function_series::{
    FunctionMatch, FunctionRegex, FunctionSeries, FunctionSeriesQuery, PartialFunctionSeries,
};

use super::*;

fn question(start: i64, end: i64, step_ms: i64, group_by: &[&str]) -> FunctionSeriesQuery {
    FunctionSeriesQuery {
        selection: selection("{}", start, end),
        filter: SampleFilter::default(),
        functions: FunctionMatch::All,
        group_by: group_by.iter().map(|name| (*name).to_owned()).collect(),
        step_ms,
    }
}

fn answer(profiles: &[TestProfile], query: FunctionSeriesQuery) -> FunctionSeries {
    match ask(profiles, &PartialQuery::FunctionSeries(query)).result {
        PartialResult::FunctionSeries(series) => series,
        other => panic!("no functions: {other:?}"),
    }
}

fn group_text(group: &[Option<String>]) -> String {
    group.iter().map(|value| value.as_deref().unwrap_or("-")).collect::<Vec<_>>().join(",")
}

/// A line a function as `group/function time=self/total`, then the totals.
fn lines(series: &FunctionSeries) -> Vec<String> {
    let function = |series: &PartialFunctionSeries| {
        let points = series.points.iter().map(|at| format!(" {}={}/{}", at.timestamp, at.self_value, at.total));
        format!("{}/{}{}", group_text(&series.group), series.function, points.collect::<String>())
    };
    let totals = series.totals.iter().map(|totals| {
        let points = totals.points.iter().map(|at| format!(" {}={}", at.timestamp, at.value));
        format!("{}{}", group_text(&totals.group), points.collect::<String>())
    });
    series.functions.iter().map(function).chain(totals).collect()
}

#[test]
fn functions_sum_their_samples_by_bucket() {
    assert_eq!(
        lines(&answer(&fleet(), question(100, 300, 100, &[]))),
        [
            "/inlined 200=0/7",
            "/leaf 200=7/7",
            "/main 100=0/5 200=0/18",
            "/other 200=11/11",
            "/work 100=5/5 200=0/7",
            " 100=5 200=18"
        ],
        "stacks without names and values that are not above 0 do not count"
    );
    assert_eq!(
        lines(&answer(&fleet(), question(200, 250, 100, &["pod"])))[..3],
        ["-/main 200=0/11", "-/other 200=11/11", "p1/main 200=0/5"],
        "one step before the start counts"
    );
    assert_eq!(lines(&answer(&fleet(), question(150, 199, 10, &[]))), [""; 0]);
}

#[test]
fn recursion_counts_once_a_stack() {
    let fleet = [profile(
        1,
        100,
        labels("a", CPU, &[]),
        &[("a;b;a;b", 1), ("a;a", 2), ("b;a", 4), ("c;b+b;a+c", 8), ("a", 16), ("b;c;d;c;b", 32)],
    )];
    assert_eq!(
        lines(&answer(&fleet, question(100, 100, 50, &[]))),
        ["/a 100=22/31", "/b 100=33/45", "/c 100=8/40", "/d 100=0/32", " 100=63"]
    );
}

#[test]
fn functions_are_chosen_by_name_and_totals_count_all() {
    let of = |functions| lines(&answer(&fleet(), FunctionSeriesQuery { functions, ..question(200, 200, 50, &[]) }));
    let names = ["leaf", "nope", "wor"].map(str::to_owned);
    assert_eq!(of(FunctionMatch::Names(names.into())), ["/leaf 200=7/7", " 200=18"]);
    assert_eq!(of(FunctionMatch::Names(BTreeSet::new())), [" 200=18"]);
    let regex = FunctionMatch::Regex(FunctionRegex::new(".*or.*|m").unwrap());
    assert_eq!(of(regex), ["/work 200=0/7", " 200=18"]);
}

#[test]
fn filters_restrict_functions_and_totals() {
    let mut fleet = fleet();
    fleet[0].samples[0].span = 42;
    fleet[1].samples[0].trace = [9; 16];
    let of = |filter| lines(&answer(&fleet, FunctionSeriesQuery { filter, ..question(300, 300, 1000, &[]) }));
    let call_site = vec!["main".to_owned(), "work".to_owned()];
    let below = of(SampleFilter { call_site, ..SampleFilter::default() });
    assert_eq!(below, ["/inlined 300=0/7", "/leaf 300=7/7", "/main 300=0/12", "/work 300=5/12", " 300=12"]);
    let span = of(SampleFilter { span_ids: vec![42], ..SampleFilter::default() });
    assert_eq!(span, ["/main 300=0/5", "/work 300=5/5", " 300=5"]);
    let trace = of(SampleFilter { trace_ids: vec![[9; 16]], ..SampleFilter::default() });
    assert_eq!(trace[1..], ["/leaf 300=7/7", "/main 300=0/7", "/work 300=0/7", " 300=7"]);
    let id = of(SampleFilter { profile_ids: vec![id(3)], ..SampleFilter::default() });
    assert_eq!(id, ["/main 300=0/11", "/other 300=11/11", " 300=11"]);
}

/// The sums, stack by stack.
fn brute_force(profiles: &[TestProfile], query: &FunctionSeriesQuery) -> Vec<String> {
    let (start, last, step) = (query.selection.range.start().0, query.last_point().0, query.step_ms);
    let mut functions: BTreeMap<(String, String), BTreeMap<i64, (i64, i64)>> = BTreeMap::new();
    let mut totals: BTreeMap<String, BTreeMap<i64, i64>> = BTreeMap::new();
    for profile in profiles {
        let at = profile.time_ns / 1_000_000;
        let bucket = if at <= start { start } else { start + (at - start + step - 1) / step * step };
        let is_cpu = profile.labels.get(label_name::PROFILE_TYPE) == Some(CPU);
        if !is_cpu || !query.selection.selector.matches(&profile.labels) || at < start - step || bucket > last {
            continue;
        }
        let group = group_text(&[profile.labels.get("pod").map(str::to_owned)]);
        for sample in profile.samples.iter().filter(|sample| sample.value > 0 && takes(&query.filter, sample)) {
            let stack: Vec<&str> = sample.stack.iter().flat_map(|location| location.split('+')).collect();
            let is_below = stack.len() >= query.filter.call_site.len()
                && stack.iter().zip(&query.filter.call_site).all(|(name, wanted)| name == wanted);
            let (Some(leaf), true) = (stack.last(), is_below) else { continue };
            *totals.entry(group.clone()).or_default().entry(bucket).or_default() += sample.value;
            for name in stack.iter().collect::<BTreeSet<_>>().into_iter().filter(|name| query.functions.matches(name)) {
                let function = functions.entry((group.clone(), (*name).to_owned())).or_default();
                let (self_value, total) = function.entry(bucket).or_default();
                *total += sample.value;
                *self_value += if name == leaf { sample.value } else { 0 };
            }
        }
    }
    let functions = functions.into_iter().map(|((group, name), points)| {
        let points = points.into_iter().map(|(at, (self_value, total))| format!(" {at}={self_value}/{total}"));
        format!("{group}/{name}{}", points.collect::<String>())
    });
    let totals = totals.into_iter().map(|(group, points)| {
        format!("{group}{}", points.into_iter().map(|(at, value)| format!(" {at}={value}")).collect::<String>())
    });
    functions.chain(totals).collect()
}

fn takes(filter: &SampleFilter, sample: &TestSample) -> bool {
    (filter.span_ids.is_empty() || filter.span_ids.contains(&sample.span))
        && (filter.trace_ids.is_empty() || filter.trace_ids.contains(&sample.trace))
}

pub(super) fn any_functions() -> impl Strategy<Value = FunctionMatch> {
    prop_oneof![
        Just(FunctionMatch::All),
        proptest::collection::btree_set("[a-e]", 0..3).prop_map(FunctionMatch::Names),
        Just(FunctionMatch::Regex(FunctionRegex::new("[bc]").unwrap())),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn sums_are_those_of_the_stacks(
        pushes in proptest::collection::vec(any_push(), 1..20),
        query in any_query(),
        functions in any_functions(),
        step_ms in 1_i64..400,
        filter in any_filter(),
    ) {
        let profiles: Vec<TestProfile> = pushes.into_iter().flatten().collect();
        let selection = Selection { profile_type: Some(ProfileType::parse(CPU).unwrap()), ..query.selection().clone() };
        let query = FunctionSeriesQuery { selection, filter, functions, group_by: vec!["pod".to_owned()], step_ms };
        prop_assert_eq!(lines(&answer(&profiles, query.clone())), brute_force(&profiles, &query));
    }
}
