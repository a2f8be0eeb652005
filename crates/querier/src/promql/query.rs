//! A query from its text to what is made of its answer: parse, plan, load, evaluate.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use flamelake_model::StatusError;

use super::ast::{Expr, Kind, Query};
use super::document::Answer as Evaluated;
use super::eval::Evaluator;
use super::parse::parse;
use super::plan::{Plan, Scope};
use super::source::{SeriesSource, load_all};
use super::values::{Budget, Steps, Value};
use crate::merge::off_reactor;
use crate::service::Answer;

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) query: String,
    pub(crate) steps: Steps,
    /// One value a series, and not a row of them.
    pub(crate) instant: bool,
    pub(crate) lookback_ms: i64,
    /// `querier.promql-samples-max`.
    pub(crate) samples_max: usize,
    /// Longest `[range]`, in milliseconds; 0 = any.
    pub(crate) range_ms_max: i64,
    /// Tests switch it off.
    pub(crate) push_down: bool,
}

/// Ends the evaluation when its caller goes away.
#[derive(Default)]
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Asks, evaluates, and hands the values to `finish`, off the async threads.
pub(crate) async fn ask<T: Send + 'static>(
    source: &dyn SeriesSource,
    question: Question,
    finish: impl FnOnce(Evaluated) -> T + Send + 'static,
) -> Result<Answer<T>, StatusError> {
    let instant = question.instant;
    ask_with(source, question, move |evaluator, query, steps| {
        evaluate(evaluator, &query.root, steps, instant).map(finish)
    })
    .await
}

/// Asks, and hands the samples to `work` off the async threads.
pub(crate) async fn ask_with<T: Send + 'static>(
    source: &dyn SeriesSource,
    question: Question,
    work: impl FnOnce(&Evaluator<'_>, &Query, Steps) -> Result<T, StatusError> + Send + 'static,
) -> Result<Answer<T>, StatusError> {
    let query = parse(&question.query)?;
    check_kind(&query.root, question.instant)?;
    let scope = Scope { steps: question.steps, lookback_ms: question.lookback_ms, push_down: question.push_down };
    let plan = Plan::new(&query, scope)?;
    check_ranges(&plan, question.range_ms_max)?;
    let (Answer { value: data, set_aside }, samples) = load_all(source, &plan, question.samples_max).await?;
    let guard = StopOnDrop::default();
    let stop = Arc::clone(&guard.0);
    let value = off_reactor(move || {
        let budget = Budget::new(question.samples_max, samples, stop);
        let evaluator = Evaluator { plan: &plan, data: &data, budget: &budget };
        work(&evaluator, &query, question.steps)
    })
    .await??;
    drop(guard);
    Ok(Answer { value, set_aside })
}

fn check_kind(root: &Expr, instant: bool) -> Result<(), StatusError> {
    let kind = root.kind();
    if instant || matches!(kind, Kind::Scalar | Kind::Vector) {
        return Ok(());
    }
    Err(StatusError::invalid_argument(format!(
        "invalid expression type {:?} for range query, must be Scalar or instant Vector",
        kind.name()
    )))
}

/// What is longer than a query may be must not come in by the back door.
fn check_ranges(plan: &Plan, range_ms_max: i64) -> Result<(), StatusError> {
    let windows = plan.selectors.iter().map(|selector| selector.window_ms);
    let subqueries = plan.subqueries.iter().map(|subquery| subquery.range_ms);
    let longest = windows.chain(subqueries).max().unwrap_or_default();
    if range_ms_max == 0 || longest <= range_ms_max {
        return Ok(());
    }
    Err(StatusError::invalid_argument(format!(
        "a range of the query is longer than the limit (max_query_length, actual: {}, limit: {}): shorten it",
        super::ast::Span(longest),
        super::ast::Span(range_ms_max)
    )))
}

fn evaluate(evaluator: &Evaluator<'_>, root: &Expr, steps: Steps, instant: bool) -> Result<Evaluated, StatusError> {
    if root.kind() == Kind::Range {
        return evaluator.windows(root).map(|windows| Evaluated::Samples(windows.last()));
    }
    let at = steps.start;
    Ok(match evaluator.evaluate(root, steps)? {
        Value::Scalar(values) if instant => Evaluated::Scalar(at, values.first().copied().unwrap_or(f64::NAN)),
        Value::Scalar(values) => Evaluated::Numbers(steps, values),
        Value::Text(text) => Evaluated::Text(at, text),
        Value::Vector(vector) if instant => Evaluated::Vector(at, vector),
        Value::Vector(mut vector) => {
            vector.series.sort_by(|one, other| (&one.name, &one.labels).cmp(&(&other.name, &other.labels)));
            Evaluated::Matrix(steps, vector)
        }
    })
}
