//! Calls of functions.

use flamelake_model::relabel::{RelabelConfig, RelabelRules};
use flamelake_model::selector::{MatchOp, Matcher};
use flamelake_model::{Labels, LabelsBuilder, StatusError, label_name};

use super::ast::{Call, Expr};
use super::calendar;
use super::eval::{Evaluator, Newest};
use super::functions::Body;
use super::values::{Series, Steps, Value, Vector, execution};

/// Longest template of `label_replace`, and most labels of `label_join`: values grow by no more than this in one step.
const REPLACEMENT_BYTES_MAX: usize = 1024;
const SOURCES_MAX: usize = 64;

/// The value of a call. Numbers and kinds of its arguments are checked.
pub(crate) fn call(evaluator: &Evaluator<'_>, call: &Call, steps: Steps) -> Result<Value, StatusError> {
    let argument =
        |at: usize| call.arguments.get(at).ok_or_else(|| StatusError::internal("an argument was checked for"));
    let vector = || evaluator.vector(argument(0)?, steps);
    let scalar = |at: usize| evaluator.scalar(argument(at)?, steps);
    let text = |at: usize| match argument(at)?.bare() {
        Expr::Text(text) => Ok(text.as_str()),
        _ => Err(StatusError::internal("a string was checked for")),
    };
    let vector = match call.function.body {
        Body::Math(function) => evaluator.mapped(vector()?, function)?,
        Body::Calendar(part) => {
            let seconds = if call.arguments.is_empty() { now(evaluator, steps)? } else { vector()? };
            evaluator.mapped(seconds, |value| calendar::date(value).map_or(f64::NAN, |date| f64::from(part(&date))))?
        }
        Body::OverTime(what) => evaluator.windows(argument(0)?)?.over_time(what, steps, evaluator.budget)?,
        Body::QuantileOverTime => evaluator.windows(argument(1)?)?.quantile(&scalar(0)?, steps, evaluator.budget)?,
        Body::AbsentOverTime => {
            let any = evaluator.windows(argument(0)?)?.any(steps, evaluator.budget)?;
            absent(evaluator, argument(0)?, any)?
        }
        Body::Absent => {
            let series = vector()?.series;
            let any = (0..steps.count).map(|at| series.iter().any(|series| series.values[at].is_some())).collect();
            absent(evaluator, argument(0)?, any)?
        }
        Body::Clamp => {
            let (least, most) = (scalar(1)?, scalar(2)?);
            let clamp =
                |at: usize, value: f64| (least[at] <= most[at]).then(|| maximum(minimum(value, most[at]), least[at]));
            evaluator.mapped_at(vector()?, |at, value| {
                if least[at].is_nan() || most[at].is_nan() { Some(f64::NAN) } else { clamp(at, value) }
            })?
        }
        Body::ClampMax => {
            let most = scalar(1)?;
            evaluator.mapped_at(vector()?, |at, value| Some(minimum(value, most[at])))?
        }
        Body::ClampMin => {
            let least = scalar(1)?;
            evaluator.mapped_at(vector()?, |at, value| Some(maximum(value, least[at])))?
        }
        Body::Round => {
            let to = if call.arguments.len() > 1 { scalar(1)? } else { vec![1.0; steps.count] };
            // By the inverse: small fractions have no exact double, their inverses often do.
            evaluator.mapped_at(vector()?, |at, value| Some((value * (1.0 / to[at]) + 0.5).floor() / (1.0 / to[at])))?
        }
        Body::ToVector => one(evaluator, scalar(0)?)?,
        Body::Timestamp => match argument(0)?.bare() {
            Expr::Instant(selector) => {
                let times = evaluator.newest(selector, steps, Newest::Time)?;
                Vector::nameless(times.series, evaluator.budget)?
            }
            _ => evaluator.mapped_at(vector()?, |at, _| Some(steps.at(at) as f64 / 1000.0))?,
        },
        Body::Sort => sorted(evaluator, vector()?, false)?,
        Body::SortDescending => sorted(evaluator, vector()?, true)?,
        Body::LabelReplace => label_replace(evaluator, vector()?, [text(1)?, text(2)?, text(3)?, text(4)?])?,
        Body::LabelJoin => {
            let sources = (3..call.arguments.len()).map(text).collect::<Result<Vec<_>, _>>()?;
            label_join(evaluator, vector()?, text(1)?, text(2)?, &sources)?
        }
        Body::Time => return Ok(Value::Scalar(steps.iter().map(|at| at as f64 / 1000.0).collect())),
        Body::Pi => return Ok(Value::Scalar(vec![std::f64::consts::PI; steps.count])),
        Body::ToScalar => return Ok(Value::Scalar(to_scalar(&vector()?, steps))),
    };
    Ok(Value::Vector(vector))
}

/// What is no number wins.
fn minimum(one: f64, other: f64) -> f64 {
    if one.is_nan() || other.is_nan() { f64::NAN } else { one.min(other) }
}

/// What is no number wins.
fn maximum(one: f64, other: f64) -> f64 {
    if one.is_nan() || other.is_nan() { f64::NAN } else { one.max(other) }
}

/// One series without labels.
fn one(evaluator: &Evaluator<'_>, values: Vec<f64>) -> Result<Vector, StatusError> {
    let values = values.into_iter().map(Some).collect();
    Vector::new(vec![Series { name: None, labels: Labels::default(), values }], evaluator.budget)
}

fn now(evaluator: &Evaluator<'_>, steps: Steps) -> Result<Vector, StatusError> {
    one(evaluator, steps.iter().map(|at| at as f64 / 1000.0).collect())
}

/// The value of the only series; no number where there are none or several.
fn to_scalar(vector: &Vector, steps: Steps) -> Vec<f64> {
    let at = |at: usize| {
        let mut present = vector.series.iter().filter_map(|series| series.values[at]);
        match (present.next(), present.next()) {
            (Some(value), None) => value,
            _ => f64::NAN,
        }
    };
    (0..steps.count).map(at).collect()
}

/// 1 at the moments that are not `present`, with the labels that the selector asked for.
fn absent(evaluator: &Evaluator<'_>, expr: &Expr, present: Vec<bool>) -> Result<Vector, StatusError> {
    let labels = match expr.bare() {
        Expr::Instant(selector) | Expr::Range(selector, _) => labels_of(&selector.matchers),
        _ => Labels::default(),
    };
    let values: Vec<Option<f64>> = present.into_iter().map(|present| (!present).then_some(1.0)).collect();
    let series = Series { name: None, labels, values };
    Vector::new(vec![series], evaluator.budget)
}

/// Labels that have exactly one value by these matchers.
fn labels_of(matchers: &[Matcher]) -> Labels {
    let named = |name: &str| matchers.iter().filter(move |matcher| matcher.name() == name).count();
    let alone = matchers.iter().filter(|matcher| {
        matcher.op() == MatchOp::Equal && matcher.name() != label_name::NAME && named(matcher.name()) == 1
    });
    Labels::from_pairs(alone.map(|matcher| (matcher.name(), matcher.value())))
}

/// By the value at the first moment: only answers about one moment have an order. What is no number comes last.
fn sorted(evaluator: &Evaluator<'_>, vector: Vector, descending: bool) -> Result<Vector, StatusError> {
    let Vector { mut series, .. } = vector;
    let key = |series: &Series| series.values.first().copied().flatten().unwrap_or(f64::NAN);
    series.sort_by(|one, other| {
        let (one, other) = (key(one), key(other));
        let order = if descending { other.total_cmp(&one) } else { one.total_cmp(&other) };
        one.is_nan().cmp(&other.is_nan()).then(order)
    });
    Vector::new(series, evaluator.budget)
}

/// As a relabelling rule of the same regular expressions does it.
fn label_replace(
    evaluator: &Evaluator<'_>,
    vector: Vector,
    [target, replacement, source, regex]: [&str; 4],
) -> Result<Vector, StatusError> {
    if target.is_empty() {
        return Err(execution("invalid destination label name in label_replace(): it is empty"));
    }
    if replacement.len() > REPLACEMENT_BYTES_MAX {
        return Err(execution(format!(
            "the replacement of label_replace() is longer than {REPLACEMENT_BYTES_MAX} bytes"
        )));
    }
    let rule = RelabelConfig {
        source_labels: vec![source.to_owned()],
        regex: regex.to_owned(),
        // A rule may name groups here too, the function may not.
        target_label: target.replace('$', "$$"),
        replacement: replacement.to_owned(),
        ..RelabelConfig::default()
    };
    let rules = RelabelRules::new([rule])
        .map_err(|error| execution(format!("invalid regular expression in label_replace(): {}", error.reason)))?;
    relabelled(evaluator, vector, |labels| {
        rules.apply(labels);
    })
}

fn label_join(
    evaluator: &Evaluator<'_>,
    vector: Vector,
    target: &str,
    separator: &str,
    sources: &[&str],
) -> Result<Vector, StatusError> {
    if target.is_empty() || sources.iter().any(|source| source.is_empty()) {
        return Err(execution("invalid label name in label_join(): it is empty"));
    }
    if sources.len() > SOURCES_MAX {
        return Err(execution(format!("label_join() takes at most {SOURCES_MAX} labels")));
    }
    relabelled(evaluator, vector, |labels| {
        let value = |name: &&str| labels.iter().find(|(own, _)| own == name).map_or("", |(_, value)| value).to_owned();
        let joined = sources.iter().map(value).collect::<Vec<_>>().join(separator);
        labels.retain(|(name, _)| name != target);
        labels.push((target.to_owned(), joined));
    })
}

/// Changes labels, the name among them; an empty value removes one.
fn relabelled(
    evaluator: &Evaluator<'_>,
    vector: Vector,
    change: impl Fn(&mut Vec<(String, String)>),
) -> Result<Vector, StatusError> {
    let relabel = |series: Series| {
        let own = series.labels.iter().map(|label| (label.name.to_string(), label.value.to_string()));
        let name = series.name.iter().map(|name| (label_name::NAME.to_owned(), name.to_string()));
        let mut labels: Vec<(String, String)> = own.chain(name).collect();
        change(&mut labels);
        evaluator.budget.write_labels(labels.iter().map(|(name, value)| name.len() + value.len()).sum())?;
        let mut builder = LabelsBuilder::default();
        labels.iter().for_each(|(name, value)| {
            builder.set(name, value);
        });
        let name = builder.remove(label_name::NAME);
        Ok(Series { name, labels: builder.build(), values: series.values })
    };
    let relabelled = vector.series.into_iter().map(relabel).collect::<Result<Vec<_>, StatusError>>()?;
    Vector::joined(relabelled, evaluator.budget)
}
