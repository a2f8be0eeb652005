//! The costliest functions of a range, over time.
//!
//! Asked in two steps: first all functions in one bucket, then the costliest of them over time. So the answer stays small however many
//! functions a program has.

use std::cmp::Reverse;
use std::collections::HashMap;

use flamelake_model::StatusError;
use flamelake_model::function_series::{
    FunctionMatch, FunctionPoint, FunctionSeries, FunctionSeriesQuery, FunctionTotals, FunctionValue,
    PartialFunctionSeries,
};

use super::Grid;
use crate::Querier;
use crate::check::FunctionSeriesInput;
use crate::service::{Answer, Caller, joined};

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct TopFunctions {
    /// As it was checked.
    pub(crate) query: FunctionSeriesQuery,
    /// The costliest first.
    pub(crate) functions: Vec<PartialFunctionSeries>,
    /// Of all functions.
    pub(crate) totals: Vec<FunctionTotals>,
    /// How many functions there are, counted in each group.
    pub(crate) found: usize,
}

impl Querier {
    /// The `limit` costliest functions; `None` when the range lies before the look-back.
    pub(crate) async fn top_functions(
        &self,
        caller: &Caller,
        input: &FunctionSeriesInput,
        by: FunctionValue,
        limit: usize,
    ) -> Result<Answer<Option<TopFunctions>>, StatusError> {
        let Some(query) = self.check_functions(caller, input)? else { return Ok(Answer::default()) };
        let grid = Grid::of(&query)?;
        let Answer { value: whole, set_aside } = self.ask_functions(caller, query.in_one_bucket()).await?;
        let found = whole.functions.len();
        let top = costliest(whole.functions, by, limit);
        grid.check(top.len())?;
        let names = top.iter().map(|series| series.function.clone()).collect();
        let over_time = FunctionSeriesQuery { functions: FunctionMatch::Names(names), ..query.clone() };
        let answer = self.ask_functions(caller, over_time).await?;
        let FunctionSeries { functions, totals } = answer.value;
        let functions = in_order_of(&top, functions);
        let value = Some(TopFunctions { query, functions, totals, found });
        Ok(Answer { value, set_aside: joined(set_aside, answer.set_aside) })
    }
}

/// The `limit` functions with the highest sum; of equal ones the first by group and name.
fn costliest(mut functions: Vec<PartialFunctionSeries>, by: FunctionValue, limit: usize) -> Vec<PartialFunctionSeries> {
    let value = |point: &FunctionPoint| i128::from(by.of(point));
    functions.sort_by_cached_key(|series| Reverse(series.points.iter().map(value).sum::<i128>()));
    functions.truncate(limit);
    functions
}

/// Of these functions those in `order`, in its order.
fn in_order_of(order: &[PartialFunctionSeries], functions: Vec<PartialFunctionSeries>) -> Vec<PartialFunctionSeries> {
    let places: HashMap<_, usize> =
        order.iter().enumerate().map(|(place, series)| ((&series.group, &series.function), place)).collect();
    let mut placed: Vec<(usize, PartialFunctionSeries)> = functions
        .into_iter()
        .filter_map(|series| Some((*places.get(&(&series.group, &series.function))?, series)))
        .collect();
    placed.sort_by_key(|(place, _)| *place);
    placed.into_iter().map(|(_, series)| series).collect()
}

#[cfg(test)]
mod tests {
    use flamelake_model::TimestampMs;

    use super::*;

    fn series(group: &str, function: &str, self_value: i64, total: i64) -> PartialFunctionSeries {
        let points = vec![FunctionPoint { timestamp: TimestampMs(1), self_value, total }];
        PartialFunctionSeries { group: vec![Some(group.to_owned())], function: function.to_owned(), points }
    }

    fn names(functions: &[PartialFunctionSeries]) -> Vec<&str> {
        functions.iter().map(|series| series.function.as_str()).collect()
    }

    #[test]
    fn the_costliest_come_first_and_ties_by_name() {
        let all = || vec![series("g", "a", 1, 9), series("g", "b", 5, 5), series("g", "c", 5, i64::MAX)];
        assert_eq!(names(&costliest(all(), FunctionValue::Own, 9)), ["b", "c", "a"]);
        assert_eq!(names(&costliest(all(), FunctionValue::Total, 2)), ["c", "a"]);
    }

    #[test]
    fn other_groups_of_a_name_are_left_out() {
        let order = [series("g", "b", 0, 0), series("g", "a", 0, 0)];
        let found = in_order_of(&order, vec![series("f", "a", 1, 1), series("g", "a", 2, 2), series("g", "b", 3, 3)]);
        let found: Vec<_> = found.iter().map(|series| (series.function.as_str(), series.points[0].total)).collect();
        assert_eq!(found, [("b", 3), ("a", 2)]);
    }
}
