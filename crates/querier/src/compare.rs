//! Which functions changed between two sets of profiles: three questions a side, and the test over their answers.
//!
//! First which functions cost something at all; then how many profiles there are, which gives a step so fine that a bucket holds one of
//! them or as few as may be; then these functions over time. Buckets lie whole in the range: what was before it, say before a deployment,
//! is in none.

use std::collections::{BTreeMap, BTreeSet};

use flamelake_model::StatusError;
use flamelake_model::compare::{CompareOptions, Comparison, compare};
use flamelake_model::function_series::{
    FUNCTION_POINTS_MAX, FunctionMatch, FunctionSeries, FunctionSeriesQuery, FunctionValue,
};
use flamelake_model::query::{ExemplarKind, PartialQuery, PartialResult, TimeSeriesQuery};

use crate::Querier;
use crate::check::FunctionSeriesInput;
use crate::merge::off_reactor;
use crate::service::{Answer, Caller, joined, mismatch};

/// Most buckets of a side.
const BUCKETS_MAX: usize = 2_000;
/// Functions that are tested, the costliest: their points and the totals are within the bound of one answer.
const FUNCTIONS_MAX: usize = FUNCTION_POINTS_MAX / BUCKETS_MAX - 1;
/// Steps that are tried on the way to the right one.
const STEPS_MAX: usize = 8;

impl Querier {
    /// Compares two sides, before and after. What lies before the look-back is an empty side.
    pub(crate) async fn compare(
        &self,
        caller: &Caller,
        sides: [&FunctionSeriesInput; 2],
        options: CompareOptions,
    ) -> Result<Answer<Comparison>, StatusError> {
        let limits = self.limits(caller);
        let checker = self.checker(&limits);
        let [before, after] = sides.map(|side| checker.function_series(side));
        let (before, after) = (before?, after?);
        let whole = |side: &Option<FunctionSeriesQuery>| side.as_ref().map(|query| query.in_range(i64::MAX));
        let wholes =
            futures::try_join!(self.functions_of(caller, whole(&before)), self.functions_of(caller, whole(&after)))?;
        let (names, left_out) = costliest([&wholes.0.value, &wholes.1.value], options.by, FUNCTIONS_MAX);
        let (before, after) = futures::try_join!(self.stepped(caller, before), self.stepped(caller, after))?;
        let named = |side: Option<FunctionSeriesQuery>| {
            side.map(|query| FunctionSeriesQuery { functions: FunctionMatch::Names(names.clone()), ..query })
        };
        let (before, after) =
            futures::try_join!(self.functions_of(caller, named(before)), self.functions_of(caller, named(after)))?;
        let gaps = [wholes.0.set_aside, wholes.1.set_aside, before.set_aside, after.set_aside];
        let set_aside = gaps.into_iter().reduce(joined).unwrap_or_default();
        let value = off_reactor(move || compare(&before.value, &after.value, &options)).await?;
        Ok(Answer { value: Comparison { left_out, ..value }, set_aside })
    }

    async fn functions_of(
        &self,
        caller: &Caller,
        query: Option<FunctionSeriesQuery>,
    ) -> Result<Answer<FunctionSeries>, StatusError> {
        match query {
            Some(query) => self.ask_functions(caller, query).await,
            None => Ok(Answer::default()),
        }
    }

    /// The question with the finest step that has at most [`BUCKETS_MAX`] buckets, or one so fine that each holds one profile.
    async fn stepped(
        &self,
        caller: &Caller,
        query: Option<FunctionSeriesQuery>,
    ) -> Result<Option<FunctionSeriesQuery>, StatusError> {
        let Some(query) = query else { return Ok(None) };
        let range = query.selection.range;
        let length = range.end().0.saturating_sub(range.start().0);
        let mut best = query.in_range(length / (BUCKETS_MAX as i64 - 1) + 1);
        let mut tried = best.clone();
        for _ in 0..STEPS_MAX {
            let (buckets, profiles) = self.count_buckets(caller, &tried).await?;
            if buckets > BUCKETS_MAX {
                break;
            }
            best = tried;
            let finer = (BUCKETS_MAX / (buckets + 1)) as i64;
            if best.step_ms == 1 || finer < 2 || profiles <= buckets as u64 {
                break;
            }
            tried = query.in_range((best.step_ms / finer).max(1));
        }
        Ok(Some(best))
    }

    /// Buckets with profiles, and profiles.
    async fn count_buckets(&self, caller: &Caller, query: &FunctionSeriesQuery) -> Result<(usize, u64), StatusError> {
        let question = TimeSeriesQuery {
            selection: query.selection.clone(),
            filter: query.filter.clone(),
            group_by: Vec::new(),
            step_ms: query.step_ms,
            exemplars: ExemplarKind::None,
        };
        let (result, _) = self.ask(caller, PartialQuery::TimeSeries(question)).await?;
        let PartialResult::TimeSeries(series) = result else { return Err(mismatch()) };
        let points = || series.iter().flat_map(|series| &series.points);
        Ok((points().count(), points().map(|point| point.profiles).sum()))
    }
}

/// Names of the functions with the highest share on either side, and how many are left out.
fn costliest(sides: [&FunctionSeries; 2], by: FunctionValue, max: usize) -> (BTreeSet<String>, usize) {
    let mut shares: BTreeMap<&str, f64> = BTreeMap::new();
    for side in sides {
        let total: f64 = side.totals.iter().flat_map(|totals| &totals.points).map(|point| point.value as f64).sum();
        for series in &side.functions {
            let value: f64 = series.points.iter().map(|point| by.of(point) as f64).sum();
            if value > 0.0 && total > 0.0 {
                let share = shares.entry(&series.function).or_default();
                *share = share.max(value / total);
            }
        }
    }
    let mut ranked: Vec<(&str, f64)> = shares.into_iter().collect();
    // Ties stay in order of names.
    ranked.sort_by(|(_, left), (_, right)| right.total_cmp(left));
    let left_out = ranked.len().saturating_sub(max);
    (ranked.into_iter().take(max).map(|(name, _)| name.to_owned()).collect(), left_out)
}
