//! The functions by name: what they take and give, and which part of the evaluator does them. What Prometheus knows and this does not is
//! refused by name, with what to write instead.

use chrono::{DateTime, Utc};

use super::ast::Kind;
use super::ast::Kind::{Range, Scalar, Text, Vector};
use super::calendar;
use super::over_time::OverTime;

/// A function.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) name: &'static str,
    pub(crate) takes: &'static [Kind],
    /// So many of the last ones may be left out.
    pub(crate) optional: usize,
    /// The last one may come any number of times.
    pub(crate) repeats_last: bool,
    pub(crate) gives: Kind,
    pub(crate) body: Body,
}

/// Who does it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Body {
    /// Each value by itself.
    Math(fn(f64) -> f64),
    /// Each value, which is seconds since the epoch; the evaluated moment where no vector is given.
    Calendar(fn(&DateTime<Utc>) -> u32),
    /// The samples of a window.
    OverTime(OverTime),
    QuantileOverTime,
    AbsentOverTime,
    Absent,
    Clamp,
    ClampMax,
    ClampMin,
    Round,
    ToScalar,
    ToVector,
    Time,
    Timestamp,
    Pi,
    Sort,
    SortDescending,
    LabelReplace,
    LabelJoin,
}

const fn function(name: &'static str, takes: &'static [Kind], gives: Kind, body: Body) -> Function {
    Function { name, takes, optional: 0, repeats_last: false, gives, body }
}

const fn math(name: &'static str, body: fn(f64) -> f64) -> Function {
    function(name, &[Vector], Vector, Body::Math(body))
}

const fn over_time(name: &'static str, body: OverTime) -> Function {
    function(name, &[Range], Vector, Body::OverTime(body))
}

const fn calendar(name: &'static str, body: fn(&DateTime<Utc>) -> u32) -> Function {
    Function { optional: 1, ..function(name, &[Vector], Vector, Body::Calendar(body)) }
}

/// Sorted by name.
static FUNCTIONS: [Function; 58] = [
    math("abs", f64::abs),
    function("absent", &[Vector], Vector, Body::Absent),
    function("absent_over_time", &[Range], Vector, Body::AbsentOverTime),
    math("acos", f64::acos),
    math("acosh", f64::acosh),
    math("asin", f64::asin),
    math("asinh", f64::asinh),
    math("atan", f64::atan),
    math("atanh", f64::atanh),
    over_time("avg_over_time", OverTime::Avg),
    math("ceil", f64::ceil),
    function("clamp", &[Vector, Scalar, Scalar], Vector, Body::Clamp),
    function("clamp_max", &[Vector, Scalar], Vector, Body::ClampMax),
    function("clamp_min", &[Vector, Scalar], Vector, Body::ClampMin),
    math("cos", f64::cos),
    math("cosh", f64::cosh),
    over_time("count_over_time", OverTime::Count),
    calendar("day_of_month", calendar::day_of_month),
    calendar("day_of_week", calendar::day_of_week),
    calendar("day_of_year", calendar::day_of_year),
    calendar("days_in_month", calendar::days_in_month),
    math("deg", f64::to_degrees),
    math("exp", f64::exp),
    math("floor", f64::floor),
    calendar("hour", calendar::hour),
    over_time("increase", OverTime::Sum),
    Function {
        optional: 1,
        repeats_last: true,
        ..function("label_join", &[Vector, Text, Text, Text], Vector, Body::LabelJoin)
    },
    function("label_replace", &[Vector, Text, Text, Text, Text], Vector, Body::LabelReplace),
    over_time("last_over_time", OverTime::Last),
    math("ln", f64::ln),
    math("log10", f64::log10),
    math("log2", f64::log2),
    over_time("max_over_time", OverTime::Max),
    over_time("min_over_time", OverTime::Min),
    calendar("minute", calendar::minute),
    calendar("month", calendar::month),
    function("pi", &[], Scalar, Body::Pi),
    over_time("present_over_time", OverTime::Present),
    function("quantile_over_time", &[Scalar, Range], Vector, Body::QuantileOverTime),
    math("rad", f64::to_radians),
    over_time("rate", OverTime::Rate),
    Function { optional: 1, ..function("round", &[Vector, Scalar], Vector, Body::Round) },
    function("scalar", &[Vector], Scalar, Body::ToScalar),
    math("sgn", sign),
    math("sin", f64::sin),
    math("sinh", f64::sinh),
    function("sort", &[Vector], Vector, Body::Sort),
    function("sort_desc", &[Vector], Vector, Body::SortDescending),
    math("sqrt", f64::sqrt),
    over_time("stddev_over_time", OverTime::StdDev),
    over_time("stdvar_over_time", OverTime::StdVar),
    over_time("sum_over_time", OverTime::Sum),
    math("tan", f64::tan),
    math("tanh", f64::tanh),
    function("time", &[], Scalar, Body::Time),
    function("timestamp", &[Vector], Vector, Body::Timestamp),
    function("vector", &[Scalar], Vector, Body::ToVector),
    calendar("year", calendar::year),
];

/// What Prometheus has besides, and why it is not here.
const REFUSED: [(&[&str], &str); 5] = [
    (
        &["irate", "idelta", "delta", "deriv", "predict_linear", "double_exponential_smoothing", "holt_winters"],
        "a profile's value is an amount, not a counter that grows: take rate() or increase(), or compare with an offset, as \
         rate(x[5m]) - rate(x[5m] offset 5m)",
    ),
    (
        &["changes", "resets"],
        "a profile's value is an amount, not a counter that may reset: take count_over_time() for the number of profiles",
    ),
    (
        &[
            "histogram_avg",
            "histogram_count",
            "histogram_fraction",
            "histogram_quantile",
            "histogram_quantiles",
            "histogram_stddev",
            "histogram_stdvar",
            "histogram_sum",
        ],
        "there are no histograms here: take quantile(), or quantile_over_time()",
    ),
    (
        &[
            "first_over_time",
            "mad_over_time",
            "ts_of_first_over_time",
            "ts_of_last_over_time",
            "ts_of_max_over_time",
            "ts_of_min_over_time",
            "info",
            "range",
            "start",
            "end",
            "step",
            "max_of",
            "min_of",
        ],
        "it is experimental in Prometheus",
    ),
    (&["sort_by_label", "sort_by_label_desc"], "sort where the answer is shown"),
];

/// A function, or why there is none of that name.
pub(crate) fn find(name: &str) -> Result<&'static Function, String> {
    if let Some(function) = FUNCTIONS.iter().find(|function| function.name == name) {
        return Ok(function);
    }
    let refused = REFUSED.iter().find(|(names, _)| names.contains(&name));
    let aggregations = ["limitk", "limit_ratio"];
    Err(match refused {
        Some((_, why)) => format!("function {name}() is not supported: {why}"),
        None if aggregations.contains(&name) => {
            format!("aggregation {name}() is not supported: it is experimental in Prometheus")
        }
        None => format!("unknown function with name {name:?}"),
    })
}

fn sign(value: f64) -> f64 {
    if value > 0.0 {
        1.0
    } else if value < 0.0 {
        -1.0
    } else {
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_found_or_refused_by_name() {
        assert!(FUNCTIONS.is_sorted_by_key(|function| function.name));
        assert!(find("rate").is_ok());
        assert!(find("irate").unwrap_err().contains("rate()"));
        assert!(find("histogram_quantile").unwrap_err().contains("no histograms"));
        assert_eq!(find("nope").unwrap_err(), "unknown function with name \"nope\"");
        let refused = REFUSED.iter().flat_map(|(names, _)| names.iter());
        assert!(refused.clone().all(|name| find(name).is_err()), "{refused:?}");
    }
}
