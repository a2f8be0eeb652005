//! `GET /api/v1/functions`: which services run a function, since when, and on request what share of their cost it has.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use flamelake_model::function_index::{FunctionIndex, FunctionPlace};
use flamelake_model::function_series::{FunctionPoint, FunctionSeries, FunctionValue};
use flamelake_model::{StatusError, label_name};
use flamelake_rpc::HttpError;
use http::HeaderMap;
use serde::Serialize;

use super::functions::{limit, step};
use super::question::split;
use super::{Legacy, Params, json};
use crate::Querier;
use crate::check::{FunctionIndexInput, FunctionSeriesInput, FunctionsInput, NameInput, SampleFilterInput};
use crate::functions::Grid;
use crate::service::{Answer, Caller, joined};

/// Start of the range if none is given.
const FROM: &str = "now-1d";
/// Functions if no limit is given, most of them, and most of them with shares.
const LIMIT: usize = 100;
const LIMIT_MAX: usize = 10_000;
const LIMIT_MAX_SHARES: usize = 200;

#[derive(Debug, Serialize)]
struct Document {
    functions: Vec<Function>,
    /// There are functions beyond the limit.
    more: bool,
    /// Of the shares, if they were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    timestamps: Vec<i64>,
}

#[derive(Debug, Serialize)]
struct Function {
    name: String,
    services: Vec<Service>,
}

#[derive(Debug, Serialize)]
struct Service {
    service_name: String,
    profile_types: BTreeSet<String>,
    files: BTreeSet<String>,
    first_ms: i64,
    last_ms: i64,
    /// Shares of the service's total at each of the timestamps; `null` where it has none.
    #[serde(rename = "self", skip_serializing_if = "Option::is_none")]
    own: Option<Vec<Option<f64>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<Vec<Option<f64>>>,
}

pub(super) async fn list(
    State(legacy): State<Arc<Legacy>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, HttpError> {
    let (caller, params, querier) = (legacy.caller(&headers)?, Params::new(query), &legacy.querier);
    let (profile_type, label_selector) = split("query", params.get("query"))?;
    let (from, until) = params.range_since(FROM, querier.now().0);
    let with_shares = matches!(params.get("shares"), "1" | "true");
    if with_shares && profile_type.is_none() {
        return Err(StatusError::invalid_argument("shares are of a profile type: give query=type_id{selector}").into());
    }
    let limit_max = if with_shares { LIMIT_MAX_SHARES } else { LIMIT_MAX };
    let input = FunctionIndexInput {
        profile_type: profile_type.unwrap_or_default(),
        label_selector,
        start: from.0,
        end: until.0,
        name: name(&params)?,
        limit: limit(params.get("limit"), LIMIT, limit_max)?,
    };
    let step = step(params.get("step"), from, until)?;
    let found = async {
        let index = querier.function_index(&caller, &input).await?;
        if !with_shares {
            return Ok(Answer { value: (index.value, None), set_aside: index.set_aside });
        }
        let shares = shares(querier, &caller, &input, &index.value, step).await?;
        Ok(Answer { value: (index.value, shares.value), set_aside: joined(index.set_aside, shares.set_aside) })
    };
    let found = Box::pin(querier.run(&caller, "functions", found)).await?;
    json(found.map(|(index, shares)| move || Ok(document(&index, shares.as_ref())))).await
}

/// A text or a regular expression, which must be given: all functions are too many to list.
fn name(params: &Params) -> Result<NameInput, StatusError> {
    match (params.get("q"), params.get("regex")) {
        ("", "") => Err(StatusError::invalid_argument("say which functions: q=TEXT, or regex=")),
        (text, "") => Ok(NameInput::Containing(text.to_owned())),
        ("", regex) => Ok(NameInput::Regex(regex.to_owned())),
        _ => Err(StatusError::invalid_argument("give q or regex, not both")),
    }
}

/// What shares are reckoned from, by service.
struct Shares {
    grid: Grid,
    totals: HashMap<String, Vec<i64>>,
    functions: HashMap<String, HashMap<String, Vec<FunctionPoint>>>,
}

impl Shares {
    /// The answer is grouped by service.
    fn of(grid: Grid, series: FunctionSeries) -> Self {
        let service = |group: Vec<Option<String>>| group.into_iter().next().flatten().unwrap_or_default();
        let mut functions: HashMap<String, HashMap<String, Vec<FunctionPoint>>> = HashMap::new();
        for one in series.functions {
            functions.entry(service(one.group)).or_default().insert(one.function, one.points);
        }
        let totals = series.totals.into_iter().map(|totals| {
            let points = totals.points.iter().map(|point| (point.timestamp, point.value));
            (service(totals.group), grid.dense(points))
        });
        Self { grid, totals: totals.collect(), functions }
    }

    fn line(&self, service: &str, function: &str, by: FunctionValue) -> Vec<Option<f64>> {
        let points = self.functions.get(service).and_then(|functions| functions.get(function));
        let values = points.into_iter().flatten().map(|point| (point.timestamp, by.of(point)));
        let totals = self.totals.get(service).cloned().unwrap_or_else(|| self.grid.dense(std::iter::empty()));
        let share = |(value, total): (i64, i64)| (total > 0).then(|| value as f64 / total as f64);
        self.grid.dense(values).into_iter().zip(totals).map(share).collect()
    }
}

async fn shares(
    querier: &Querier,
    caller: &Caller,
    input: &FunctionIndexInput,
    index: &FunctionIndex,
    step: f64,
) -> Result<Answer<Option<Shares>>, StatusError> {
    let asked = FunctionSeriesInput {
        profile_type: input.profile_type.clone(),
        label_selector: input.label_selector.clone(),
        start: input.start,
        end: input.end,
        group_by: vec![label_name::SERVICE_NAME.to_owned()],
        step,
        filter: SampleFilterInput::default(),
        functions: FunctionsInput::Names(index.functions().keys().cloned().collect()),
    };
    let Some(query) = querier.check_functions(caller, &asked)? else { return Ok(Answer::default()) };
    let grid = Grid::of(&query)?;
    grid.check(index.count_places())?;
    let series = querier.ask_functions(caller, query).await?;
    Ok(series.map(|series| Some(Shares::of(grid, series))))
}

fn document(index: &FunctionIndex, shares: Option<&Shares>) -> Document {
    let service = |name: &str, service: &str, place: &FunctionPlace| Service {
        service_name: service.to_owned(),
        profile_types: place.profile_types.clone(),
        files: place.files.clone(),
        first_ms: place.first.to_ms().0,
        last_ms: place.last.to_ms().0,
        own: shares.map(|shares| shares.line(service, name, FunctionValue::Own)),
        total: shares.map(|shares| shares.line(service, name, FunctionValue::Total)),
    };
    let functions = index.functions().iter().map(|(name, places)| Function {
        name: name.clone(),
        services: places.iter().map(|(at, place)| service(name, at, place)).collect(),
    });
    Document {
        functions: functions.collect(),
        more: index.more,
        timestamps: shares.map(|shares| shares.grid.timestamps()).unwrap_or_default(),
    }
}
