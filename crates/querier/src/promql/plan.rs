//! What a query reads: for each selector the moments at which it is looked at, how far back, how finely, and which labels matter.
//!
//! Two things make long ranges cheap, and neither changes an answer. Sums over windows need no single profiles: sums of buckets do, if
//! each window is made of whole buckets, so the buckets are as wide as the greatest common divisor of step and range. And where such sums are
//! summed over series at once, `sum by (a) (rate(x[5m]))`, only the labels of the groups are read. (Sums below 2^53 are exact; above, and in
//! the division of `rate`, the last bits may differ.) An instant selector takes the newest profile of each series, so it is read in full.

use flamelake_model::StatusError;

use super::ast::{Aggregate, Aggregator, At, Call, Expr, Grouping, Query, Shift, Subquery, VectorSelector};
use super::functions::Body;
use super::over_time::OverTime;
use super::values::Steps;

/// How far back a series' newest sample may lie, unless the request says otherwise.
pub(crate) const LOOKBACK_MS: i64 = 300_000;
/// Step of a subquery that gives none.
const SUBQUERY_STEP_MS: i64 = 60_000;
/// Most moments of a subquery.
const SUBQUERY_STEPS_MAX: i64 = 110_000;
/// A grid begins one bucket early, which is thrown away: it is not to be half of what is read.
const BUCKETS_MIN: i64 = 8;
/// Parts that a bucket is cut into for that.
const BUCKET_PARTS_MAX: i64 = 16;

/// Of a query at its moments.
#[derive(Debug)]
pub(crate) struct Plan {
    /// By number.
    pub(crate) selectors: Vec<SelectorPlan>,
    /// By number.
    pub(crate) subqueries: Vec<SubqueryPlan>,
}

/// Of a selector.
#[derive(Clone, Debug)]
pub(crate) struct SelectorPlan {
    pub(crate) selector: VectorSelector,
    /// When it is looked at: `offset` and `@` are in here. One moment stands for all.
    pub(crate) times: Steps,
    /// How far back from each: samples in `(time - window, time]`.
    pub(crate) window_ms: i64,
    /// Each sample by itself, or sums of buckets of so many milliseconds that end at `times.last()`.
    pub(crate) bucket_ms: Option<i64>,
    pub(crate) labels: Wanted,
}

/// Of a subquery.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SubqueryPlan {
    /// When the inner expression is evaluated.
    pub(crate) inner: Steps,
    /// Where its windows end: one moment stands for all.
    pub(crate) ends: Steps,
    pub(crate) range_ms: i64,
}

/// Labels that tell series apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    All,
    Only(Vec<String>),
    AllBut(Vec<String>),
}

/// What is the same for the whole query.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope {
    pub(crate) steps: Steps,
    pub(crate) lookback_ms: i64,
    /// Off: every sample with every label is read. The answer is the same.
    pub(crate) push_down: bool,
}

impl Plan {
    /// `invalid_argument` where a subquery has too many moments.
    pub(crate) fn new(query: &Query, scope: Scope) -> Result<Self, StatusError> {
        let mut planner =
            Planner { scope, selectors: vec![None; query.selectors], subqueries: vec![None; query.subqueries] };
        planner.walk(&query.root, scope.steps)?;
        let unplanned = || StatusError::internal("a selector was not planned");
        Ok(Self {
            selectors: planner.selectors.into_iter().collect::<Option<_>>().ok_or_else(unplanned)?,
            subqueries: planner.subqueries.into_iter().collect::<Option<_>>().ok_or_else(unplanned)?,
        })
    }
}

struct Planner {
    scope: Scope,
    selectors: Vec<Option<SelectorPlan>>,
    subqueries: Vec<Option<SubqueryPlan>>,
}

impl Planner {
    fn walk(&mut self, expr: &Expr, steps: Steps) -> Result<(), StatusError> {
        match expr {
            Expr::Number(_) | Expr::Text(_) => Ok(()),
            Expr::Group(inner) | Expr::Negated(inner) => self.walk(inner, steps),
            Expr::Instant(selector) => {
                self.selector(selector, steps, self.scope.lookback_ms, None, Wanted::All);
                Ok(())
            }
            Expr::Range(selector, range_ms) => {
                self.selector(selector, steps, *range_ms, None, Wanted::All);
                Ok(())
            }
            Expr::Subquery(subquery) => self.subquery(subquery, steps),
            Expr::Call(call) => match window_sum(call, OverTime::is_of_sums) {
                Some((selector, range_ms)) if self.scope.push_down => {
                    self.sums(selector, steps, range_ms, Wanted::All);
                    Ok(())
                }
                _ => call.arguments.iter().try_for_each(|argument| self.walk(argument, steps)),
            },
            Expr::Aggregate(aggregate) => self.aggregate(aggregate, steps),
            Expr::Binary(binary) => {
                self.walk(&binary.left, steps)?;
                self.walk(&binary.right, steps)
            }
        }
    }

    fn aggregate(&mut self, aggregate: &Aggregate, steps: Steps) -> Result<(), StatusError> {
        if let (Aggregator::Sum, Expr::Call(call), true) = (aggregate.op, aggregate.expr.bare(), self.scope.push_down)
            && let Some((selector, range_ms)) = window_sum(call, OverTime::is_linear)
        {
            let labels = match &aggregate.grouping {
                Grouping::By(names) => Wanted::Only(names.clone()),
                Grouping::Without(names) => Wanted::AllBut(names.clone()),
            };
            self.sums(selector, steps, range_ms, labels);
            return Ok(());
        }
        if let Some(parameter) = &aggregate.parameter {
            self.walk(parameter, steps)?;
        }
        self.walk(&aggregate.expr, steps)
    }

    fn sums(&mut self, selector: &VectorSelector, steps: Steps, range_ms: i64, labels: Wanted) {
        let times = self.shifted(selector.shift, steps);
        self.selector(selector, steps, range_ms, Some(bucket_ms(times, range_ms)), labels);
    }

    fn selector(
        &mut self,
        selector: &VectorSelector,
        steps: Steps,
        window_ms: i64,
        bucket_ms: Option<i64>,
        labels: Wanted,
    ) {
        let times = self.shifted(selector.shift, steps);
        if let Some(slot) = self.selectors.get_mut(selector.id) {
            *slot = Some(SelectorPlan { selector: selector.clone(), times, window_ms, bucket_ms, labels });
        }
    }

    fn subquery(&mut self, subquery: &Subquery, steps: Steps) -> Result<(), StatusError> {
        let ends = self.shifted(subquery.shift, steps);
        let step = subquery.step_ms.unwrap_or(SUBQUERY_STEP_MS);
        // Multiples of the step since the epoch, after the first window's open start.
        let start = ((ends.start - subquery.range_ms).div_euclid(step) + 1) * step;
        if (ends.last() - start) / step > SUBQUERY_STEPS_MAX {
            return Err(StatusError::invalid_argument(format!(
                "a subquery has more than {SUBQUERY_STEPS_MAX} moments: take a larger step, as [1d:5m], or a shorter range"
            )));
        }
        // Where no multiple lies in the window there is nothing to see; one moment too late shows nothing either.
        let inner = Steps::new(start, ends.last().max(start), step);
        if let Some(slot) = self.subqueries.get_mut(subquery.id) {
            *slot = Some(SubqueryPlan { inner, ends, range_ms: subquery.range_ms });
        }
        self.walk(&subquery.expr, inner)
    }

    fn shifted(&self, shift: Shift, steps: Steps) -> Steps {
        let steps = match shift.at {
            None => steps,
            Some(At::Start) => Steps::once(self.scope.steps.start),
            Some(At::End) => Steps::once(self.scope.steps.last()),
            Some(At::Time(at)) => Steps::once(at),
        };
        steps.back(shift.offset_ms.unwrap_or_default())
    }
}

/// The selector and range of a call like `rate(x[5m])`, if its function is of the kind.
fn window_sum(call: &Call, is_kind: fn(OverTime) -> bool) -> Option<(&VectorSelector, i64)> {
    match (call.function.body, call.arguments.first()?.bare()) {
        (Body::OverTime(what), Expr::Range(selector, range_ms)) if is_kind(what) => Some((selector, *range_ms)),
        _ => None,
    }
}

/// The widest buckets that every window is made of, but not so few of them that the one too many weighs.
fn bucket_ms(times: Steps, range_ms: i64) -> i64 {
    let width = if times.count == 1 { range_ms } else { greatest_common_divisor(times.step, range_ms) };
    let buckets = (times.last() - times.start + range_ms) / width;
    let parts = (1..=BUCKET_PARTS_MAX).find(|parts| width % parts == 0 && buckets * parts >= BUCKETS_MIN);
    width / parts.unwrap_or(1)
}

fn greatest_common_divisor(one: i64, other: i64) -> i64 {
    if other == 0 { one } else { greatest_common_divisor(other, one % other) }
}

#[cfg(test)]
mod tests {
    use super::super::parse::parse;
    use super::*;

    /// Moments, window, bucket and labels of each selector.
    fn plan(query: &str) -> Vec<String> {
        let steps = Steps::new(1_000_000, 1_600_000, 60_000);
        let scope = Scope { steps, lookback_ms: LOOKBACK_MS, push_down: true };
        let plan = Plan::new(&parse(query).unwrap(), scope).unwrap();
        let one = |plan: &SelectorPlan| {
            let Steps { start, step, count } = plan.times;
            format!("{start}+{step}*{count} {} {:?} {:?}", plan.window_ms, plan.bucket_ms, plan.labels)
        };
        plan.selectors.iter().map(one).collect()
    }

    #[test]
    fn sums_are_read_coarsely_and_by_few_labels() {
        assert_eq!(plan("x"), ["1000000+60000*11 300000 None All"]);
        assert_eq!(plan("rate(x[5m])"), ["1000000+60000*11 300000 Some(60000) All"]);
        assert_eq!(plan("sum by (a) (rate(x[90s]))"), [r#"1000000+60000*11 90000 Some(30000) Only(["a"])"#]);
        assert_eq!(
            plan("sum without (a) ((increase(x[5m] offset 1m)))"),
            [r#"940000+60000*11 300000 Some(60000) AllBut(["a"])"#]
        );
        assert_eq!(plan("sum(rate(x[5m] @ 77))"), ["77000+1*1 300000 Some(37500) Only([])"]);
        assert_eq!(plan("avg(rate(x[5m]))"), ["1000000+60000*11 300000 Some(60000) All"]);
        assert_eq!(plan("sum(count_over_time(x[5m]))"), ["1000000+60000*11 300000 None All"]);
        assert_eq!(plan("sum(x)"), ["1000000+60000*11 300000 None All"]);
        assert_eq!(plan("sum(present_over_time(x[5m]))"), ["1000000+60000*11 300000 Some(60000) All"]);
    }

    #[test]
    fn subqueries_step_through_multiples_of_their_step() {
        assert_eq!(plan("max_over_time(sum(rate(x[1m]))[10m:2m])"), [r#"480000+120000*10 60000 Some(60000) Only([])"#]);
        let steps = Steps::once(1_000_000_000_000);
        let scope = Scope { steps, lookback_ms: LOOKBACK_MS, push_down: true };
        let error = Plan::new(&parse("max_over_time(x[30d:1s])").unwrap(), scope).unwrap_err();
        assert!(error.message.contains("larger step"), "{error}");
    }

    #[test]
    fn at_stands_still() {
        assert_eq!(
            plan("x @ start() + x @ end() offset -1m"),
            ["1000000+1*1 300000 None All", "1660000+1*1 300000 None All",]
        );
    }
}
