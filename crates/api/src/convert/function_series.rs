//! Functions over time, to and from `flamelake.query.v1`. Points travel in columns, times as distances: there may be millions.

use flamelake_model::function_series::{
    FunctionMatch, FunctionPoint, FunctionRegex, FunctionSeries, FunctionSeriesQuery, FunctionTotals,
    PartialFunctionSeries, TotalPoint,
};
use flamelake_model::{StatusError, TimestampMs};

use crate::flamelake::query::v1;
use crate::flamelake::query::v1::partial_query::{self, function_series::Functions, function_series::Names};
use crate::flamelake::query::v1::{partial_result, time_series::Value};

impl From<&FunctionSeriesQuery> for partial_query::FunctionSeries {
    fn from(query: &FunctionSeriesQuery) -> Self {
        let functions = match &query.functions {
            FunctionMatch::All => None,
            FunctionMatch::Names(names) => Some(Functions::Names(Names { names: names.iter().cloned().collect() })),
            FunctionMatch::Regex(regex) => Some(Functions::Regex(regex.as_str().to_owned())),
        };
        Self { group_by: query.group_by.clone(), step_ms: query.step_ms, functions }
    }
}

/// Which functions a question names.
pub(super) fn function_match(functions: Option<Functions>) -> Result<FunctionMatch, StatusError> {
    Ok(match functions {
        None => FunctionMatch::All,
        Some(Functions::Names(Names { names })) => FunctionMatch::Names(names.into_iter().collect()),
        Some(Functions::Regex(text)) => FunctionMatch::Regex(FunctionRegex::new(&text)?),
    })
}

impl From<FunctionSeries> for partial_result::FunctionSeries {
    fn from(series: FunctionSeries) -> Self {
        Self {
            functions: series.functions.into_iter().map(v1::FunctionPoints::from).collect(),
            totals: series.totals.into_iter().map(v1::FunctionPoints::from).collect(),
        }
    }
}

impl TryFrom<partial_result::FunctionSeries> for FunctionSeries {
    type Error = StatusError;

    fn try_from(series: partial_result::FunctionSeries) -> Result<Self, StatusError> {
        Ok(Self {
            functions: series.functions.into_iter().map(PartialFunctionSeries::try_from).collect::<Result<_, _>>()?,
            totals: series.totals.into_iter().map(FunctionTotals::try_from).collect::<Result<_, _>>()?,
        })
    }
}

impl From<PartialFunctionSeries> for v1::FunctionPoints {
    fn from(PartialFunctionSeries { group, function, points }: PartialFunctionSeries) -> Self {
        Self {
            group: values(group),
            function,
            timestamps_ms: distances(points.iter().map(|point| point.timestamp)),
            self_values: points.iter().map(|point| point.self_value).collect(),
            totals: points.iter().map(|point| point.total).collect(),
        }
    }
}

impl TryFrom<v1::FunctionPoints> for PartialFunctionSeries {
    type Error = StatusError;

    fn try_from(columns: v1::FunctionPoints) -> Result<Self, StatusError> {
        let times = timestamps(&columns)?;
        if columns.self_values.len() != times.len() {
            return Err(torn());
        }
        let values = columns.self_values.into_iter().zip(columns.totals);
        let point = |(timestamp, (self_value, total))| FunctionPoint { timestamp, self_value, total };
        Ok(Self {
            group: group(columns.group),
            function: columns.function,
            points: times.into_iter().zip(values).map(point).collect(),
        })
    }
}

impl From<FunctionTotals> for v1::FunctionPoints {
    fn from(FunctionTotals { group, points }: FunctionTotals) -> Self {
        Self {
            group: values(group),
            function: String::new(),
            timestamps_ms: distances(points.iter().map(|point| point.timestamp)),
            self_values: Vec::new(),
            totals: points.iter().map(|point| point.value).collect(),
        }
    }
}

impl TryFrom<v1::FunctionPoints> for FunctionTotals {
    type Error = StatusError;

    fn try_from(columns: v1::FunctionPoints) -> Result<Self, StatusError> {
        let times = timestamps(&columns)?;
        let point = |(timestamp, value)| TotalPoint { timestamp, value };
        let points = times.into_iter().zip(columns.totals).map(point).collect();
        Ok(Self { group: group(columns.group), points })
    }
}

fn values(group: Vec<Option<String>>) -> Vec<Value> {
    group.into_iter().map(|value| Value { value }).collect()
}

fn group(values: Vec<Value>) -> Vec<Option<String>> {
    values.into_iter().map(|value| value.value).collect()
}

/// Wrapping: the distance of the ends of time is no `i64`.
fn distances(times: impl Iterator<Item = TimestampMs>) -> Vec<i64> {
    times.scan(0_i64, |before, at| Some(at.0.wrapping_sub(std::mem::replace(before, at.0)))).collect()
}

/// The times of a series, which merging needs to rise.
fn timestamps(columns: &v1::FunctionPoints) -> Result<Vec<TimestampMs>, StatusError> {
    let mut at = 0_i64;
    let times: Vec<TimestampMs> = columns
        .timestamps_ms
        .iter()
        .map(|distance| {
            at = at.wrapping_add(*distance);
            TimestampMs(at)
        })
        .collect();
    let fits =
        !times.is_empty() && columns.totals.len() == times.len() && times.is_sorted_by(|left, right| left < right);
    if fits { Ok(times) } else { Err(torn()) }
}

fn torn() -> StatusError {
    StatusError::internal("functions of a partial answer have columns that do not fit each other")
}
