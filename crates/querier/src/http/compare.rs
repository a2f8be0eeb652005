//! `POST /api/v1/compare`: which functions changed between two sets of profiles, as JSON, as a table or as a picture.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use flamelake_model::compare::{CompareOptions, Comparison};
use flamelake_model::function_series::FunctionValue;
use flamelake_model::{StatusError, TimestampMs};
use flamelake_rpc::HttpError;
use http::{HeaderMap, header};
use serde::Deserialize;

use super::time::parse_strictly;
use super::{Legacy, Params, answer, json};
use crate::check::FunctionSeriesInput;

/// Longest body.
const BODY_BYTES_MAX: usize = 256 * 1024;
/// Unless the request says otherwise.
const CONFIDENCE: f64 = 0.95;
const LIMIT: usize = 50;
/// Most functions of a list.
const LIMIT_MAX: usize = 1_000;

/// What is asked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    profile_type: String,
    baseline: Side,
    candidate: Side,
    #[serde(default)]
    by: FunctionValue,
    /// One minus the chance of any false alarm.
    confidence: Option<f64>,
    /// Smallest change told, as a fraction of the total.
    min_change: Option<f64>,
    limit: Option<usize>,
}

/// One set of profiles.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Side {
    /// `{selector}`.
    #[serde(default)]
    query: String,
    from: Moment,
    /// Now if absent.
    until: Option<Moment>,
}

/// As the plain routes write times; digits may stand as a number.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Moment {
    Number(u64),
    Text(String),
}

/// How the outcome is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    Markdown,
    Svg,
}

pub(super) async fn compare(
    State(legacy): State<Arc<Legacy>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
    body: Body,
) -> Result<Response, HttpError> {
    let (caller, params, querier) = (legacy.caller(&headers)?, Params::new(query), &legacy.querier);
    let form = form(params.get("format"))?;
    let body = axum::body::to_bytes(body, BODY_BYTES_MAX).await.map_err(|_| {
        StatusError::invalid_argument(format!("the body cannot be read or has more than {BODY_BYTES_MAX} bytes"))
    })?;
    let request = parse(&body)?;
    let options = request.options()?;
    let now = querier.now().0;
    let baseline = request.baseline.input(&request.profile_type, "baseline", now)?;
    let candidate = request.candidate.input(&request.profile_type, "candidate", now)?;
    let work = querier.compare(&caller, [&baseline, &candidate], options);
    let found = Box::pin(querier.run(&caller, "compare", work)).await?;
    let text = |kind: &'static str, text: fn(&Comparison) -> String| {
        answer(found.clone(), |found| ([(header::CONTENT_TYPE, kind)], text(&found)).into_response())
    };
    match form {
        Form::Json => json(found.map(|found| move || Ok(found))).await,
        Form::Markdown => Ok(text("text/markdown; charset=utf-8", Comparison::markdown)),
        Form::Svg => Ok(text("image/svg+xml", Comparison::svg)),
    }
}

/// For any bytes, an error at worst.
fn parse(body: &[u8]) -> Result<Request, StatusError> {
    serde_json::from_slice(body).map_err(|error| {
        StatusError::invalid_argument(format!(
            "{error}: send {{\"profile_type\": …, \"baseline\": {{\"query\": \"{{version=\\\"1\\\"}}\", \"from\": \"now-2h\", \
             \"until\": \"now-1h\"}}, \"candidate\": {{\"query\": …, \"from\": \"now-1h\"}}}}"
        ))
    })
}

fn form(text: &str) -> Result<Form, StatusError> {
    match text {
        "" | "json" => Ok(Form::Json),
        "markdown" => Ok(Form::Markdown),
        "svg" => Ok(Form::Svg),
        other => Err(StatusError::invalid_argument(format!("format is json, markdown or svg, not {other:?}"))),
    }
}

impl Request {
    fn options(&self) -> Result<CompareOptions, StatusError> {
        let confidence = self.confidence.unwrap_or(CONFIDENCE);
        if !(0.5..1.0).contains(&confidence) {
            return Err(StatusError::invalid_argument("confidence is at least 0.5 and below 1"));
        }
        let change_min = self.min_change.unwrap_or(0.0);
        if !(0.0..=1.0).contains(&change_min) {
            return Err(StatusError::invalid_argument("min_change is a fraction of the total, from 0 to 1"));
        }
        let limit = self.limit.unwrap_or(LIMIT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(StatusError::invalid_argument(format!("limit is a number from 1 to {LIMIT_MAX}")));
        }
        Ok(CompareOptions { by: self.by, confidence, change_min, limit })
    }
}

impl Side {
    fn input(&self, profile_type: &str, name: &str, now: TimestampMs) -> Result<FunctionSeriesInput, StatusError> {
        let at = |what: &str, moment: &Moment| {
            let text = match moment {
                Moment::Number(number) => number.to_string(),
                Moment::Text(text) => text.clone(),
            };
            let wrong = || {
                StatusError::invalid_argument(format!(
                    "{name}.{what} {text:?} is no time: write now-1h or Unix seconds"
                ))
            };
            parse_strictly(&text, now).ok_or_else(wrong)
        };
        let until = self.until.as_ref().map_or(Ok(now), |until| at("until", until))?;
        Ok(FunctionSeriesInput {
            profile_type: profile_type.to_owned(),
            label_selector: if self.query.is_empty() { "{}".to_owned() } else { self.query.clone() },
            start: at("from", &self.from)?.0,
            end: until.0,
            // The comparison finds its own.
            step: 1.0,
            ..FunctionSeriesInput::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(more: &str) -> Result<Request, StatusError> {
        parse(
            format!(r#"{{"profile_type": "a:b:c:d:e", "baseline": {{"from": 1795359600}}, "candidate": {{"from": "now-1h"}}{more}}}"#)
                .as_bytes(),
        )
    }

    #[test]
    fn requests_have_defaults() {
        let request = request("").unwrap();
        let expected = CompareOptions { by: FunctionValue::Own, confidence: 0.95, change_min: 0.0, limit: 50 };
        assert_eq!(request.options().unwrap(), expected);
        let now = TimestampMs(1_795_363_200_000);
        let side = request.baseline.input(&request.profile_type, "baseline", now).unwrap();
        assert_eq!((side.start, side.end, side.label_selector.as_str()), (1_795_359_600_000, now.0, "{}"));
        let side = request.candidate.input(&request.profile_type, "candidate", now).unwrap();
        assert_eq!((side.start, side.profile_type.as_str()), (now.0 - 3_600_000, "a:b:c:d:e"));
    }

    #[test]
    fn mistakes_are_named() {
        let options = |more: &str| request(more).and_then(|request| request.options()).unwrap_err().message;
        assert!(options(r#", "confidence": 1"#).contains("confidence"));
        assert!(options(r#", "min_change": -0.1"#).contains("min_change"));
        assert!(options(r#", "limit": 0"#).contains("limit"));
        assert!(options(r#", "by": "cost""#).contains("unknown variant `cost`"));
        assert!(options(r#", "selektor": 1"#).contains("unknown field `selektor`"));
        let side = Side { query: String::new(), from: Moment::Text("soon".to_owned()), until: None };
        let error = side.input("t", "baseline", TimestampMs(1)).unwrap_err();
        assert_eq!(error.message, "baseline.from \"soon\" is no time: write now-1h or Unix seconds");
        assert!(form("pdf").is_err());
    }
}
