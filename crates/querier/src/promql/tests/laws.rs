//! Push-down changes no answer.

use flamelake_model::Labels;
use proptest::prelude::*;

use super::memory::Memory;
use super::script::{run, same};
use crate::promql::metrics::Metric;
use crate::promql::plan::LOOKBACK_MS;
use crate::promql::query::Question;
use crate::promql::values::{Point, Steps};

/// Samples at any millisecond of half an hour.
fn points() -> impl Strategy<Value = Vec<Point>> {
    prop::collection::btree_map(0_i64..1_800_000, -1_000_000_i64..1_000_000_000, 0..40)
        .prop_map(|points| points.into_iter().map(|(at, value)| (at, value as f64)).collect())
}

fn memory() -> impl Strategy<Value = Memory> {
    let series = |(a, b, points): (u8, u8, Vec<Point>)| {
        let labels =
            Labels::from_pairs([("a", format!("{a}")), ("b", format!("{b}")), ("profile_type", "t".to_owned())]);
        (labels, points)
    };
    prop::collection::vec((0_u8..3, 0_u8..3, points()).prop_map(series), 1..8).prop_map(|all| {
        // A label set is there once.
        let distinct: std::collections::BTreeMap<_, _> = all.into_iter().collect();
        Memory(distinct.into_iter().map(|(labels, points)| (Metric::Profile, labels, points)).collect())
    })
}

fn query() -> impl Strategy<Value = String> {
    let function = prop::sample::select(vec!["sum_over_time", "increase", "rate", "present_over_time"]);
    let grouping =
        prop::sample::select(vec!["", " by (a)", " by (profile_type, b)", " without (a)", " without (b, c)"]);
    let shape = prop::sample::select(vec![
        "sum GROUP (CALL)",
        "CALL",
        "max GROUP (CALL)",
        "sum GROUP ((CALL)) / on () group_left () sum(CALL)",
        "max_over_time(sum GROUP (CALL)[10m:STEP])",
        "topk(1, sum GROUP (CALL))",
    ]);
    let span = || prop::sample::select(vec!["1ms", "7s", "30s", "1m", "90s", "5m", "17m"]);
    let shift =
        prop::sample::select(vec!["", " offset 1m", " offset -13s", " @ 900", " @ end()", " @ start() offset 1s"]);
    (function, grouping, shape, span(), span(), shift).prop_map(|(function, grouping, shape, range, step, shift)| {
        let step = if step == "1ms" { "3m" } else { step };
        let call = format!("{function}(flamelake_profile_value[{range}]{shift})");
        shape.replace(" GROUP", grouping).replace("CALL", &call).replace("STEP", step)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]
    #[test]
    fn push_down_changes_no_answer(
        memory in memory(),
        query in query(),
        start in 0_i64..1_000_000,
        length in 0_i64..900_000,
        step in prop::sample::select(vec![1_000_i64, 15_000, 17_001, 60_000, 600_000]),
        instant in any::<bool>(),
    ) {
        let steps = if instant { Steps::once(start) } else { Steps::new(start, start + length, step) };
        let question = |push_down| Question {
            query: query.clone(), steps, instant, lookback_ms: LOOKBACK_MS, samples_max: 1_000_000, range_ms_max: 0, push_down,
        };
        let (plain, pushed) = (run(&memory, question(false)).unwrap(), run(&memory, question(true)).unwrap());
        prop_assert!(same(&plain, &pushed), "{query} at {steps:?}:\nplain  {plain:?}\npushed {pushed:?}");
        if !query.contains("rate") && !query.contains('/') {
            prop_assert_eq!(plain, pushed);
        }
    }
}
