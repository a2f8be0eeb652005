//! A checked tree and its samples to values, at all moments of the query at once. Takes CPU: call it off the async threads.

use flamelake_model::StatusError;

use super::ast::{Expr, VectorSelector};
use super::over_time::{Window, Windows};
use super::plan::Plan;
use super::values::{Budget, RangeSeries, Series, Steps, Value, Vector};
use super::{aggregate, binary, call};

/// The samples of each selector of a query, by its number.
#[derive(Debug, Default)]
pub(crate) struct Data {
    pub(crate) selectors: Vec<Vec<RangeSeries>>,
}

/// Walks a tree.
#[derive(Debug)]
pub(crate) struct Evaluator<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) data: &'a Data,
    pub(crate) budget: &'a Budget,
}

/// What is read of a series' newest sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Newest {
    Value,
    /// In seconds.
    Time,
}

impl Evaluator<'_> {
    /// The value of an expression that is no range.
    pub(crate) fn evaluate(&self, expr: &Expr, steps: Steps) -> Result<Value, StatusError> {
        self.budget.check()?;
        match expr {
            Expr::Number(number) => Ok(Value::Scalar(vec![*number; steps.count])),
            Expr::Text(text) => Ok(Value::Text(text.clone())),
            Expr::Group(inner) => self.evaluate(inner, steps),
            Expr::Instant(selector) => self.newest(selector, steps, Newest::Value).map(Value::Vector),
            Expr::Negated(inner) => self.negated(self.evaluate(inner, steps)?),
            Expr::Call(call) => call::call(self, call, steps),
            Expr::Aggregate(aggregate) => aggregate::aggregate(self, aggregate, steps).map(Value::Vector),
            Expr::Binary(binary) => binary::binary(self, binary, steps),
            Expr::Range(..) | Expr::Subquery(_) => Err(StatusError::internal("a range vector is no value by itself")),
        }
    }

    pub(crate) fn vector(&self, expr: &Expr, steps: Steps) -> Result<Vector, StatusError> {
        match self.evaluate(expr, steps)? {
            Value::Vector(vector) => Ok(vector),
            _ => Err(StatusError::internal("an instant vector was checked for")),
        }
    }

    pub(crate) fn scalar(&self, expr: &Expr, steps: Steps) -> Result<Vec<f64>, StatusError> {
        match self.evaluate(expr, steps)? {
            Value::Scalar(values) => Ok(values),
            _ => Err(StatusError::internal("a scalar was checked for")),
        }
    }

    /// Each series' newest sample within the look-back.
    pub(crate) fn newest(
        &self,
        selector: &VectorSelector,
        steps: Steps,
        newest: Newest,
    ) -> Result<Vector, StatusError> {
        let (Some(plan), Some(data)) = (self.plan.selectors.get(selector.id), self.data.selectors.get(selector.id))
        else {
            return Err(StatusError::internal("a selector was not planned"));
        };
        let read = |points: &[(i64, f64)]| {
            points.last().map(|(at, value)| match newest {
                Newest::Value => *value,
                Newest::Time => *at as f64 / 1000.0,
            })
        };
        let mut all = Vec::with_capacity(data.len());
        for series in data {
            self.budget.check()?;
            let mut window = Window::new(&series.points, plan.window_ms);
            let values: Vec<Option<f64>> = if plan.times.count == 1 {
                vec![read(window.at(plan.times.start)); steps.count]
            } else {
                plan.times.iter().map(|at| read(window.at(at))).collect()
            };
            all.push(Series { name: series.name.clone(), labels: series.labels.clone(), values });
        }
        Vector::new(all, self.budget)
    }

    /// The samples of a range selector or a subquery.
    pub(crate) fn windows(&self, expr: &Expr) -> Result<Windows, StatusError> {
        match expr.bare() {
            Expr::Range(selector, range_ms) => {
                let (Some(plan), Some(data)) =
                    (self.plan.selectors.get(selector.id), self.data.selectors.get(selector.id))
                else {
                    return Err(StatusError::internal("a selector was not planned"));
                };
                Ok(Windows { series: data.clone(), ends: plan.times, range_ms: *range_ms })
            }
            Expr::Subquery(subquery) => {
                let Some(plan) = self.plan.subqueries.get(subquery.id) else {
                    return Err(StatusError::internal("a subquery was not planned"));
                };
                let inner = self.vector(&subquery.expr, plan.inner)?;
                let series = inner.series.iter().map(|series| points(series, plan.inner)).collect();
                Ok(Windows { series, ends: plan.ends, range_ms: subquery.range_ms })
            }
            _ => Err(StatusError::internal("a range vector was checked for")),
        }
    }

    fn negated(&self, value: Value) -> Result<Value, StatusError> {
        match value {
            Value::Scalar(values) => Ok(Value::Scalar(values.into_iter().map(|value| -value).collect())),
            Value::Vector(vector) => self.mapped(vector, |value| -value).map(Value::Vector),
            Value::Text(_) => Err(StatusError::internal("a number was checked for")),
        }
    }

    /// Every value by itself; names go.
    pub(crate) fn mapped(&self, vector: Vector, change: impl Fn(f64) -> f64) -> Result<Vector, StatusError> {
        self.mapped_at(vector, |_, value| Some(change(value)))
    }

    /// The same by the number of the moment too.
    pub(crate) fn mapped_at(
        &self,
        vector: Vector,
        change: impl Fn(usize, f64) -> Option<f64>,
    ) -> Result<Vector, StatusError> {
        let Vector { mut series, .. } = vector;
        for series in &mut series {
            self.budget.check()?;
            for (at, value) in series.values.iter_mut().enumerate() {
                *value = value.and_then(|value| change(at, value));
            }
        }
        Vector::nameless(series, self.budget)
    }
}

/// A column as samples.
fn points(series: &Series, steps: Steps) -> RangeSeries {
    let points = steps.iter().zip(&series.values).filter_map(|(at, value)| Some((at, (*value)?)));
    RangeSeries { name: series.name.clone(), labels: series.labels.clone(), points: points.collect() }
}
