//! Questions about functions as requests name them.

use flamelake_model::StatusError;
use flamelake_model::function_series::{FunctionMatch, FunctionRegex, FunctionSeriesQuery};

use super::{Checker, SampleFilterInput, parse_type, select, step_ms, unique};

/// Most functions that one question names.
const NAMES_MAX: usize = 10_000;

/// Which functions.
#[derive(Clone, Debug, Default)]
pub(crate) enum FunctionsInput {
    /// Every function.
    #[default]
    All,
    /// Exactly these.
    Names(Vec<String>),
    /// Those whose whole name matches, RE2.
    Regex(String),
}

/// Functions over time.
#[derive(Clone, Debug, Default)]
pub(crate) struct FunctionSeriesInput {
    pub(crate) profile_type: String,
    pub(crate) label_selector: String,
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) group_by: Vec<String>,
    /// Seconds.
    pub(crate) step: f64,
    pub(crate) filter: SampleFilterInput,
    pub(crate) functions: FunctionsInput,
}

impl Checker<'_> {
    /// Functions over time: what is checked of time series, and the functions last.
    pub(crate) fn function_series(
        &self,
        input: &FunctionSeriesInput,
    ) -> Result<Option<FunctionSeriesQuery>, StatusError> {
        input.filter.check_combination()?;
        let Some(range) = self.range(input.start, input.end)? else { return Ok(None) };
        let profile_type = parse_type(&input.profile_type)?;
        let step_ms = step_ms(input.step)?;
        let selection = select(profile_type, &input.label_selector, range)?;
        let group_by = unique(&input.group_by)?;
        let filter = input.filter.check()?;
        let functions = input.functions.check()?;
        Ok(Some(FunctionSeriesQuery { selection, filter, functions, group_by, step_ms }))
    }
}

impl FunctionsInput {
    fn check(&self) -> Result<FunctionMatch, StatusError> {
        Ok(match self {
            Self::All => FunctionMatch::All,
            Self::Names(names) if names.len() > NAMES_MAX => {
                return Err(StatusError::invalid_argument(format!(
                    "{} functions are named, at most {NAMES_MAX} are taken: use a regular expression",
                    names.len()
                )));
            }
            Self::Names(names) => FunctionMatch::Names(names.iter().cloned().collect()),
            Self::Regex(text) => FunctionMatch::Regex(FunctionRegex::new(text)?),
        })
    }
}
