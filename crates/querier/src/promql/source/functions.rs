//! Samples of functions: one matcher goes to the store, the others are looked at here, and functions that no label tells apart are one series.

use std::collections::{BTreeMap, BTreeSet};

use flamelake_model::function_series::{
    FunctionMatch, FunctionPoint, FunctionRegex, FunctionSeries, FunctionSeriesQuery, PartialFunctionSeries,
};
use flamelake_model::query::{SampleFilter, Selection};
use flamelake_model::selector::{MatchOp, Matcher};
use flamelake_model::{LabelsBuilder, StatusError, TimestampMs};

use super::{Load, Stored};
use crate::promql::metrics::{FUNCTION, Metric};
use crate::promql::plan::Wanted;
use crate::promql::values::RangeSeries;
use crate::service::Answer;

impl Stored<'_> {
    /// Series of the functions of a question, by stored and shown `names` of labels.
    pub(super) async fn functions(
        &self,
        load: &Load,
        selection: Selection,
        names: &[(String, String)],
    ) -> Result<Answer<Vec<RangeSeries>>, StatusError> {
        let first = selection.range.start();
        let query = FunctionSeriesQuery {
            selection,
            filter: SampleFilter::default(),
            functions: function_match(&load.selected.function)?,
            group_by: names.iter().map(|(stored, _)| stored.clone()).collect(),
            step_ms: load.bucket_ms,
        };
        let answer = self.querier.ask_functions(self.caller, query).await?;
        Ok(answer.map(|answer| series(load, names, answer, first)))
    }
}

/// A question that takes at least what all matchers take.
fn function_match(matchers: &[Matcher]) -> Result<FunctionMatch, StatusError> {
    let with = |op: MatchOp| matchers.iter().find(|matcher| matcher.op() == op);
    if let Some(matcher) = with(MatchOp::Equal) {
        return Ok(FunctionMatch::Names(BTreeSet::from([matcher.value().to_owned()])));
    }
    match with(MatchOp::Matches) {
        Some(matcher) => FunctionRegex::new(matcher.value()).map(FunctionMatch::Regex),
        None => Ok(FunctionMatch::All),
    }
}

/// Points after the first edge of the grid, summed where labels are equal.
fn series(load: &Load, names: &[(String, String)], answer: FunctionSeries, first: TimestampMs) -> Vec<RangeSeries> {
    let wants_function = match &load.labels {
        Wanted::All => true,
        Wanted::Only(names) => names.iter().any(|name| name == FUNCTION),
        Wanted::AllBut(names) => names.iter().all(|name| name != FUNCTION),
    };
    let metric = load.selected.metric;
    let value = |point: &FunctionPoint| if metric == Metric::Function { point.total } else { point.self_value };
    let matching = |part: &PartialFunctionSeries| {
        load.selected.function.iter().all(|matcher| matcher.matches_value(&part.function))
    };
    let mut all: BTreeMap<_, BTreeMap<i64, i64>> = BTreeMap::new();
    for part in answer.functions.into_iter().filter(matching) {
        let mut labels = LabelsBuilder::default();
        for ((_, shown), value) in names.iter().zip(&part.group) {
            labels.set(shown, value.as_deref().unwrap_or_default());
        }
        if wants_function {
            labels.set(FUNCTION, &part.function);
        }
        let sums = all.entry(labels.build()).or_default();
        for point in part.points.iter().filter(|point| point.timestamp > first) {
            let sum = sums.entry(point.timestamp.0).or_default();
            *sum = sum.wrapping_add(value(point));
        }
    }
    all.into_iter()
        .filter(|(_, sums)| !sums.is_empty())
        .map(|(labels, sums)| RangeSeries {
            name: Some(metric.name().into()),
            labels,
            points: sums.into_iter().map(|(at, sum)| (at, sum as f64)).collect(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::metrics::select;
    use crate::promql::parse::parse_selector;

    fn load(text: &str, labels: Wanted) -> Load {
        let selected = select(&parse_selector(text).unwrap()).unwrap().remove(0);
        Load { selected, labels, after: 0, until: 30, bucket_ms: 10 }
    }

    fn answer() -> FunctionSeries {
        let part = |function: &str, pod: &str, points: &[(i64, i64, i64)]| PartialFunctionSeries {
            group: vec![Some(pod.to_owned()), None],
            function: function.to_owned(),
            points: points
                .iter()
                .map(|&(at, self_value, total)| FunctionPoint { timestamp: TimestampMs(at), self_value, total })
                .collect(),
        };
        let functions = vec![
            part("main.a", "p", &[(0, 100, 100), (10, 1, 2), (20, 0, 3)]),
            part("main.b", "p", &[(20, 4, 5)]),
            part("main.c", "p", &[(10, 7, 7)]),
        ];
        FunctionSeries { functions, totals: Vec::new() }
    }

    fn check(text: &str, labels: Wanted, expected: &[(&str, &[(i64, f64)])]) {
        let names = [("pod".to_owned(), "pod".to_owned()), ("x".to_owned(), "x".to_owned())];
        let found = series(&load(text, labels), &names, answer(), TimestampMs(0));
        let found: Vec<(String, Vec<(i64, f64)>)> =
            found.iter().map(|series| (series.labels.to_string(), series.points.to_vec())).collect();
        let expected: Vec<(String, Vec<(i64, f64)>)> =
            expected.iter().map(|(labels, points)| ((*labels).to_owned(), points.to_vec())).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn functions_become_series() {
        let text = r#"flamelake_function_value{function=~"main.+",function!="main.c"}"#;
        check(
            text,
            Wanted::All,
            &[
                (r#"{function="main.a", pod="p"}"#, &[(10, 2.0), (20, 3.0)]),
                (r#"{function="main.b", pod="p"}"#, &[(20, 5.0)]),
            ],
        );
        // What tells functions apart is not wanted: they add up.
        check(text, Wanted::Only(vec!["pod".to_owned()]), &[(r#"{pod="p"}"#, &[(10, 2.0), (20, 8.0)])]);
        let own = r#"flamelake_function_self_value{function="main.a"}"#;
        check(own, Wanted::AllBut(Vec::new()), &[(r#"{function="main.a", pod="p"}"#, &[(10, 1.0), (20, 0.0)])]);
    }

    #[test]
    fn the_narrowest_matcher_goes_to_the_store() {
        let asked = |text: &str| function_match(&load(text, Wanted::All).selected.function).unwrap();
        let one = FunctionMatch::Names(BTreeSet::from(["a".to_owned()]));
        assert_eq!(asked(r#"flamelake_function_value{function=~"a.*",function="a"}"#), one);
        let regex = FunctionMatch::Regex(FunctionRegex::new("a.*").unwrap());
        assert_eq!(asked(r#"flamelake_function_value{function=~"a.*",function!~"ab"}"#), regex);
    }
}
