//! Aggregations: series to groups, and the values of each group at each moment to one.

use std::collections::HashMap;
use std::sync::Arc;

use flamelake_model::{Labels, LabelsBuilder, StatusError, label_name};

use super::ast::{Aggregate, Aggregator, Expr, Grouping};
use super::document;
use super::eval::Evaluator;
use super::over_time::{greatest, least, mean, quantile, sum, variance};
use super::values::{Columns, Series, Steps, Vector, execution};

/// What the series of a group have in common.
type Key = (Option<Arc<str>>, Labels);

/// The groups of an aggregation, sorted.
pub(crate) fn aggregate(evaluator: &Evaluator<'_>, aggregate: &Aggregate, steps: Steps) -> Result<Vector, StatusError> {
    let parameter = aggregate.parameter.as_ref();
    let input = evaluator.vector(&aggregate.expr, steps)?;
    let groups = groups(&input.series, &aggregate.grouping);
    match aggregate.op {
        Aggregator::TopK | Aggregator::BottomK => {
            let counts = evaluator.scalar(wanted(parameter)?, steps)?;
            outermost(evaluator, &input.series, &groups, &counts, aggregate.op, steps)
        }
        Aggregator::Quantile => {
            let quantiles = evaluator.scalar(wanted(parameter)?, steps)?;
            reduced(evaluator, &input.series, &groups, steps, |at, values| quantile(quantiles[at], values))
        }
        Aggregator::CountValues => {
            let Expr::Text(label) = wanted(parameter)?.bare() else { return Err(unchecked()) };
            count_values(evaluator, &input.series, &groups, label, steps)
        }
        op => reduced(evaluator, &input.series, &groups, steps, |_, values| reduce(op, values)),
    }
}

fn wanted(parameter: Option<&Expr>) -> Result<&Expr, StatusError> {
    parameter.ok_or_else(unchecked)
}

fn unchecked() -> StatusError {
    StatusError::internal("a parameter was checked for")
}

/// Each group with the numbers of its series, in order of the groups.
fn groups(series: &[Series], grouping: &Grouping) -> Vec<(Key, Vec<usize>)> {
    let mut groups: HashMap<Key, Vec<usize>> = HashMap::new();
    for (at, series) in series.iter().enumerate() {
        groups.entry(key(series, grouping)).or_default().push(at);
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort();
    groups
}

fn key(series: &Series, grouping: &Grouping) -> Key {
    match grouping {
        Grouping::By(names) => {
            let named = names.iter().any(|name| name == label_name::NAME);
            (series.name.clone().filter(|_| named), series.labels.only(names))
        }
        Grouping::Without(names) => (None, series.labels.without(names)),
    }
}

/// The values of one group at one moment to one value; there is at least one.
fn reduce(op: Aggregator, values: &[f64]) -> f64 {
    let each = || values.iter().copied();
    match op {
        Aggregator::Sum => sum(each()),
        Aggregator::Avg => mean(each(), values.len()),
        Aggregator::Min => each().fold(f64::NAN, least),
        Aggregator::Max => each().fold(f64::NAN, greatest),
        Aggregator::Count => values.len() as f64,
        Aggregator::StdVar => variance(each(), values.len()),
        Aggregator::StdDev => variance(each(), values.len()).sqrt(),
        _ => 1.0,
    }
}

fn reduced(
    evaluator: &Evaluator<'_>,
    series: &[Series],
    groups: &[(Key, Vec<usize>)],
    steps: Steps,
    reduce: impl Fn(usize, &mut [f64]) -> f64,
) -> Result<Vector, StatusError> {
    let mut columns = Columns::new(steps.count, evaluator.budget);
    let mut values = Vec::new();
    for ((name, labels), members) in groups {
        let place = columns.place(name.clone(), labels.clone())?;
        for at in 0..steps.count {
            values.clear();
            values.extend(members.iter().filter_map(|member| series[*member].values[at]));
            if !values.is_empty() {
                columns.set(place, at, reduce(at, &mut values));
            }
        }
        evaluator.budget.check()?;
    }
    Ok(columns.finish())
}

/// The `counts` largest or smallest of each group at each moment, as they are.
fn outermost(
    evaluator: &Evaluator<'_>,
    series: &[Series],
    groups: &[(Key, Vec<usize>)],
    counts: &[f64],
    op: Aggregator,
    steps: Steps,
) -> Result<Vector, StatusError> {
    let mut columns = Columns::new(steps.count, evaluator.budget);
    let mut ranked: Vec<(usize, f64)> = Vec::new();
    for (_, members) in groups {
        for (at, count) in counts.iter().enumerate() {
            // What is no number, or below 1, takes none; what is too large takes all.
            let count = *count as usize;
            ranked.clear();
            ranked.extend(members.iter().filter_map(|member| Some((*member, series[*member].values[at]?))));
            ranked.sort_by(|(_, one), (_, other)| {
                let order = if op == Aggregator::TopK { other.total_cmp(one) } else { one.total_cmp(other) };
                one.is_nan().cmp(&other.is_nan()).then(order)
            });
            for (member, value) in ranked.iter().take(count) {
                let place = columns.place(series[*member].name.clone(), series[*member].labels.clone())?;
                columns.set(place, at, *value);
            }
        }
        evaluator.budget.check()?;
    }
    Ok(columns.finish())
}

/// How often each value occurs; the values become those of a label.
fn count_values(
    evaluator: &Evaluator<'_>,
    series: &[Series],
    groups: &[(Key, Vec<usize>)],
    label: &str,
    steps: Steps,
) -> Result<Vector, StatusError> {
    if label.is_empty() || label == label_name::NAME {
        return Err(execution(format!("invalid label name {label:?} of count_values")));
    }
    let mut columns = Columns::new(steps.count, evaluator.budget);
    for ((name, labels), members) in groups {
        for member in members {
            for (at, value) in series[*member].values.iter().enumerate() {
                let Some(value) = value else { continue };
                let mut builder = LabelsBuilder::from_labels(labels);
                builder.set(label, &document::Plain(*value).to_string());
                let place = columns.place(name.clone(), builder.build())?;
                columns.add(place, at, 1.0);
            }
            evaluator.budget.check()?;
        }
    }
    Ok(columns.finish())
}
