//! Questions about functions as requests name them.

use flamelake_model::StatusError;
use flamelake_model::function_index::FunctionIndexQuery;
use flamelake_model::function_series::{FunctionMatch, FunctionRegex, FunctionSeriesQuery};
use flamelake_model::query::Selection;

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

/// A name as somebody looks for it.
#[derive(Clone, Debug)]
pub(crate) enum NameInput {
    /// Has this text somewhere, in any case.
    Containing(String),
    /// Matches as a whole, RE2.
    Regex(String),
}

/// Functions by name.
#[derive(Clone, Debug)]
pub(crate) struct FunctionIndexInput {
    /// Empty: any.
    pub(crate) profile_type: String,
    pub(crate) label_selector: String,
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) name: NameInput,
    pub(crate) limit: usize,
}

impl Checker<'_> {
    /// Functions by name: what is checked of labels, then the type and the name.
    pub(crate) fn function_index(&self, input: &FunctionIndexInput) -> Result<Option<FunctionIndexQuery>, StatusError> {
        let matchers = std::slice::from_ref(&input.label_selector);
        let Some(selection) = self.labels(input.start, input.end, matchers, || Ok(()))? else { return Ok(None) };
        let profile_type = match input.profile_type.as_str() {
            "" => None,
            id => Some(parse_type(id)?),
        };
        let functions = match &input.name {
            NameInput::Containing(text) => FunctionRegex::containing(text)?,
            NameInput::Regex(text) => FunctionRegex::new(text)?,
        };
        let selection = Selection { profile_type, ..selection };
        Ok(Some(FunctionIndexQuery { selection, functions, limit: input.limit.max(1) }))
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
