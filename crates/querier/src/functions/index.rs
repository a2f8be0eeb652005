//! Which services run a function.

use flamelake_model::StatusError;
use flamelake_model::function_index::FunctionIndex;
use flamelake_model::query::{PartialQuery, PartialResult};

use crate::Querier;
use crate::check::FunctionIndexInput;
use crate::service::{Answer, Caller, mismatch};

impl Querier {
    /// Functions by name and where they run; nothing when the range lies before the look-back.
    pub(crate) async fn function_index(
        &self,
        caller: &Caller,
        input: &FunctionIndexInput,
    ) -> Result<Answer<FunctionIndex>, StatusError> {
        let limits = self.limits(caller);
        let Some(query) = self.checker(&limits).function_index(input)? else {
            return Ok(Answer { value: FunctionIndex::new(input.limit), set_aside: Vec::new() });
        };
        let (result, set_aside) = self.ask(caller, PartialQuery::Functions(query)).await?;
        let PartialResult::Functions(value) = result else { return Err(mismatch()) };
        Ok(Answer { value, set_aside })
    }
}
