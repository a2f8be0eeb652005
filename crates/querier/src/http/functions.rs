//! `GET /api/v1/functions/series`: the costliest functions over time, with the totals that they have shares of.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use flamelake_config::parse_duration;
use flamelake_model::function_series::{FunctionTotals, FunctionValue, PartialFunctionSeries};
use flamelake_model::{StatusError, TimestampMs};
use flamelake_rpc::HttpError;
use http::HeaderMap;
use serde::Serialize;

use super::question::LegacyQuery;
use super::timeline::step_seconds;
use super::{GROUP_BY_MAX, Legacy, Params, json};
use crate::check::{FunctionSeriesInput, FunctionsInput, SampleFilterInput};
use crate::functions::{Grid, TopFunctions};

/// Points that the step aims at when none is given.
const POINTS: i64 = 150;
/// Start of the range if none is given.
const FROM: &str = "now-1h";
/// Functions if no limit is given, and most of them.
const LIMIT: usize = 10;
const LIMIT_MAX: usize = 500;

#[derive(Debug, Serialize)]
struct Document {
    unit: String,
    step_ms: i64,
    timestamps: Vec<i64>,
    /// Of all groups.
    totals: Vec<i64>,
    /// Of each group; only if there is a label to group by.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    groups: Vec<Group>,
    functions: Vec<Function>,
    /// How many functions there are before the limit.
    found: usize,
}

#[derive(Debug, Serialize)]
struct Group {
    group: BTreeMap<String, String>,
    totals: Vec<i64>,
}

#[derive(Debug, Serialize)]
struct Function {
    function: String,
    group: BTreeMap<String, String>,
    #[serde(rename = "self")]
    own: Vec<i64>,
    total: Vec<i64>,
}

pub(super) async fn series(
    State(legacy): State<Arc<Legacy>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, HttpError> {
    let (caller, params, querier) = (legacy.caller(&headers)?, Params::new(query), &legacy.querier);
    let query = LegacyQuery::parse("query", params.get("query"))?;
    let (from, until) = params.range_since(FROM, querier.now().0);
    let input = FunctionSeriesInput {
        profile_type: query.profile_type.to_string(),
        label_selector: query.selector.clone(),
        start: from.0,
        end: until.0,
        group_by: params.all("groupBy").take(GROUP_BY_MAX).map(str::to_owned).collect(),
        step: step(params.get("step"), from, until)?,
        filter: SampleFilterInput::default(),
        functions: functions(&params)?,
    };
    let (by, limit) = (by(params.get("by"))?, limit(params.get("limit"), LIMIT, LIMIT_MAX)?);
    let top = querier.run(&caller, "functions-series", querier.top_functions(&caller, &input, by, limit)).await?;
    let unit = query.profile_type.sample_unit;
    json(top.map(|top| move || document(top, unit))).await
}

fn document(top: Option<TopFunctions>, unit: String) -> Result<Document, StatusError> {
    let Some(TopFunctions { query, functions, totals, found }) = top else {
        let (timestamps, totals, groups, functions) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        return Ok(Document { unit, step_ms: 0, timestamps, totals, groups, functions, found: 0 });
    };
    let grid = Grid::of(&query)?;
    let group = |values: Vec<Option<String>>| -> BTreeMap<String, String> {
        let pairs = query.group_by.iter().cloned().zip(values);
        pairs.filter_map(|(name, value)| Some((name, value?))).collect()
    };
    let function = |PartialFunctionSeries { group: values, function, points }: PartialFunctionSeries| Function {
        function,
        group: group(values),
        own: grid.dense(points.iter().map(|point| (point.timestamp, point.self_value))),
        total: grid.dense(points.iter().map(|point| (point.timestamp, point.total))),
    };
    let points = |totals: &FunctionTotals| totals.points.iter().map(|point| (point.timestamp, point.value)).collect();
    let all: Vec<Vec<(TimestampMs, i64)>> = totals.iter().map(points).collect();
    let of_groups = if query.group_by.is_empty() { Vec::new() } else { totals };
    grid.check(of_groups.len())?;
    Ok(Document {
        unit,
        step_ms: query.step_ms,
        timestamps: grid.timestamps(),
        totals: grid.dense(all.iter().flatten().copied()),
        groups: of_groups
            .into_iter()
            .zip(&all)
            .map(|(totals, points)| Group { group: group(totals.group), totals: grid.dense(points.iter().copied()) })
            .collect(),
        functions: functions.into_iter().map(function).collect(),
        found,
    })
}

/// Exact names, or one regular expression.
fn functions(params: &Params) -> Result<FunctionsInput, StatusError> {
    let names: Vec<String> = params.all("function").map(str::to_owned).collect();
    match (names.is_empty(), params.get("regex")) {
        (true, "") => Ok(FunctionsInput::All),
        (false, "") => Ok(FunctionsInput::Names(names)),
        (true, regex) => Ok(FunctionsInput::Regex(regex.to_owned())),
        (false, _) => Err(StatusError::invalid_argument("give function or regex, not both")),
    }
}

/// Seconds: given as a number or as a duration, else what suits the range.
pub(super) fn step(text: &str, from: TimestampMs, until: TimestampMs) -> Result<f64, StatusError> {
    if text.is_empty() {
        return Ok(step_seconds(from, until, POINTS) as f64);
    }
    let seconds = text.parse().ok().or_else(|| parse_duration(text).map(|duration| duration.as_secs_f64()));
    seconds.ok_or_else(|| StatusError::invalid_argument(format!("step {text:?} is no duration: write 15, 15s or 1m")))
}

fn by(text: &str) -> Result<FunctionValue, StatusError> {
    if text.is_empty() {
        return Ok(FunctionValue::default());
    }
    FunctionValue::parse(text)
        .ok_or_else(|| StatusError::invalid_argument(format!("by is self or total, not {text:?}")))
}

/// A number of rows.
pub(super) fn limit(text: &str, default: usize, max: usize) -> Result<usize, StatusError> {
    if text.is_empty() {
        return Ok(default);
    }
    let given = text.parse().ok().filter(|limit| (1..=max).contains(limit));
    given.ok_or_else(|| StatusError::invalid_argument(format!("limit is a number from 1 to {max}, not {text:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(text: &str) -> Params {
        Params::new(Some(text.to_owned()))
    }

    #[test]
    fn parameters_are_read_or_named() {
        assert!(matches!(functions(&params("")), Ok(FunctionsInput::All)));
        assert!(matches!(functions(&params("function=a&function=b%28%29")),
            Ok(FunctionsInput::Names(names)) if names == ["a", "b()"]));
        assert!(matches!(functions(&params("regex=a.*")), Ok(FunctionsInput::Regex(regex)) if regex == "a.*"));
        assert!(functions(&params("function=a&regex=b")).is_err());
        let (from, until) = (TimestampMs(0), TimestampMs(3_600_000));
        let steps = ["", "5", "0.5", "1m", "x"].map(|text| step(text, from, until).ok());
        assert_eq!(steps, [Some(20.0), Some(5.0), Some(0.5), Some(60.0), None]);
        assert_eq!([by(""), by("total")].map(Result::unwrap), [FunctionValue::Own, FunctionValue::Total]);
        assert!(by("x").unwrap_err().message.contains("self or total"));
        assert_eq!(
            ["", "7", "500", "501", "0", "-1"].map(|text| limit(text, 10, 500).ok()),
            [Some(10), Some(7), Some(500), None, None, None]
        );
    }
}
