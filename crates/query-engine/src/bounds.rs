//! How much one partial answer may hold, and what a caller can do when it would hold more (promise P5).

use flamelake_model::StatusError;
use flamelake_model::function_index::FUNCTION_PLACES_MAX;
use flamelake_model::function_series::FUNCTION_POINTS_MAX;
use flamelake_model::heatmap::DOTS_MAX;

use crate::SourceError;

/// Label names or values in one answer.
pub(crate) const STRINGS_MAX: usize = 1_000_000;
/// Label sets in one answer.
pub(crate) const LABEL_SETS_MAX: usize = 500_000;
/// Points of all series of one answer.
pub(crate) const POINTS_MAX: usize = 2_000_000;

/// `resource_exhausted` when `count` is above `max`, saying what to change.
pub(crate) fn check(count: usize, max: usize, what: &str, remedy: &str) -> Result<(), SourceError> {
    if count <= max {
        return Ok(());
    }
    Err(StatusError::resource_exhausted(format!("the answer holds more than {max} {what}: {remedy}")).into())
}

/// See [`STRINGS_MAX`].
pub(crate) fn check_strings(count: usize) -> Result<(), SourceError> {
    check(count, STRINGS_MAX, "label names or values", "add matchers or shorten the range")
}

/// See [`LABEL_SETS_MAX`].
pub(crate) fn check_label_sets(count: usize) -> Result<(), SourceError> {
    check(count, LABEL_SETS_MAX, "label sets", "ask for fewer label names, add matchers or shorten the range")
}

/// See [`POINTS_MAX`].
pub(crate) fn check_points(count: usize) -> Result<(), SourceError> {
    check(count, POINTS_MAX, "points", "use a larger step, a shorter range or fewer group-by labels")
}

/// See [`FUNCTION_PLACES_MAX`].
pub(crate) fn check_function_places(count: usize) -> Result<(), SourceError> {
    let remedy = "give more of the name, a smaller limit or a selector of services";
    check(count, FUNCTION_PLACES_MAX, "functions of services", remedy)
}

/// See [`FUNCTION_POINTS_MAX`].
pub(crate) fn check_function_points(count: usize) -> Result<(), SourceError> {
    let remedy = "use a larger step, a shorter range, fewer functions or group-by labels, or a narrower selector";
    check(count, FUNCTION_POINTS_MAX, "points of functions", remedy)
}

/// See [`DOTS_MAX`].
pub(crate) fn check_dots(count: usize) -> Result<(), SourceError> {
    check(count, DOTS_MAX, "dots", "add matchers or shorten the range")
}

/// Profiles that compete to be exemplars travel to the root as dots do.
pub(crate) fn check_exemplar_candidates(count: usize) -> Result<(), SourceError> {
    check(count, DOTS_MAX, "profiles to choose exemplars from", "shorten the range or ask without exemplars")
}
