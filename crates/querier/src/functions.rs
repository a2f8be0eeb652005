//! Functions over time.

mod grid;
mod top;
mod index;

use flamelake_model::StatusError;
use flamelake_model::function_series::{FunctionSeries, FunctionSeriesQuery};
use flamelake_model::query::{PartialQuery, PartialResult};

pub(crate) use self::grid::Grid;
pub(crate) use self::top::TopFunctions;
use crate::Querier;
use crate::check::FunctionSeriesInput;
use crate::service::{Answer, Caller, mismatch};

impl Querier {
    /// Totals of functions over time, exact; nothing when the range lies before the look-back.
    pub(crate) async fn function_series(
        &self,
        caller: &Caller,
        input: &FunctionSeriesInput,
    ) -> Result<Answer<FunctionSeries>, StatusError> {
        let Some(query) = self.check_functions(caller, input)? else { return Ok(Answer::default()) };
        self.ask_functions(caller, query).await
    }

    /// The checked question; `None` when its range lies before the look-back.
    pub(crate) fn check_functions(
        &self,
        caller: &Caller,
        input: &FunctionSeriesInput,
    ) -> Result<Option<FunctionSeriesQuery>, StatusError> {
        self.checker(&self.limits(caller)).function_series(input)
    }

    /// The same of a checked question.
    pub(crate) async fn ask_functions(
        &self,
        caller: &Caller,
        query: FunctionSeriesQuery,
    ) -> Result<Answer<FunctionSeries>, StatusError> {
        let (result, set_aside) = self.ask(caller, PartialQuery::FunctionSeries(query)).await?;
        let PartialResult::FunctionSeries(value) = result else { return Err(mismatch()) };
        Ok(Answer { value, set_aside })
    }
}
