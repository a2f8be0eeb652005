//! Parts of an answer to the whole: exact sums, in any order; and the way off the async threads for what takes milliseconds.

use flamelake_model::StatusError;
use flamelake_model::function_index::FUNCTION_PLACES_MAX;
use flamelake_model::function_series::FUNCTION_POINTS_MAX;
use flamelake_model::heatmap::{DOTS_MAX, count_dots, merge_heatmaps};
use flamelake_model::query::{PartialAnswer, PartialQuery, PartialResult, QueryStats, TimeSpan};
use flamelake_model::time_series::{count_exemplars, merge_time_series};
use flamelake_pprof::PprofBuilder;

use crate::error::QuerierError;

/// The answer over the rows of all parts.
pub(crate) async fn merge(query: &PartialQuery, mut parts: Vec<PartialAnswer>) -> Result<PartialAnswer, StatusError> {
    match parts.len() {
        0 => Ok(PartialAnswer { result: PartialResult::empty(query), stats: QueryStats::default() }),
        1 => Ok(parts.remove(0)),
        _ => off_reactor(move || fold(parts)).await?,
    }
}

fn fold(parts: Vec<PartialAnswer>) -> Result<PartialAnswer, StatusError> {
    let mut parts = parts.into_iter();
    let Some(PartialAnswer { result, mut stats }) = parts.next() else { return Err(mismatch()) };
    let mut all = Sum::of(result);
    for part in parts {
        all.add(part.result)?;
        stats.merge(part.stats);
    }
    Ok(PartialAnswer { result: all.finish()?, stats })
}

/// Parts of one kind, summed. A pprof is kept open between parts.
enum Sum {
    Plain(PartialResult),
    Pprof(Vec<Vec<u8>>),
}

impl Sum {
    fn of(result: PartialResult) -> Self {
        match result {
            PartialResult::Pprof(bytes) => Self::Pprof(vec![bytes]),
            other => Self::Plain(other),
        }
    }

    fn add(&mut self, part: PartialResult) -> Result<(), StatusError> {
        match (self, part) {
            (Self::Pprof(all), PartialResult::Pprof(part)) => all.push(part),
            (Self::Plain(PartialResult::Strings(all)), PartialResult::Strings(part)) => all.extend(part),
            (Self::Plain(PartialResult::LabelSets(all)), PartialResult::LabelSets(part)) => all.extend(part),
            (Self::Plain(PartialResult::Tree(all)), PartialResult::Tree(part)) => all.merge(&part),
            (Self::Plain(PartialResult::TimeSeries(all)), PartialResult::TimeSeries(part)) => {
                *all = merge_time_series([std::mem::take(all), part]);
                check_dots("profiles to choose exemplars from", count_exemplars(all))?;
            }
            (Self::Plain(PartialResult::FunctionSeries(all)), PartialResult::FunctionSeries(part)) => {
                all.merge(part);
                check_function_points(all.count_points())?;
            }
            (Self::Plain(PartialResult::Functions(all)), PartialResult::Functions(part)) => {
                all.merge(part);
                check_function_places(all.count_places())?;
            }
            (Self::Plain(PartialResult::Heatmap(all)), PartialResult::Heatmap(part)) => {
                *all = merge_heatmaps([std::mem::take(all), part]);
                check_dots("dots", count_dots(all))?;
            }
            (Self::Plain(PartialResult::TimeSpan(all)), PartialResult::TimeSpan(part)) => {
                *all = TimeSpan::join(*all, part);
            }
            _ => return Err(mismatch()),
        }
        Ok(())
    }

    fn finish(self) -> Result<PartialResult, StatusError> {
        let parts = match self {
            Self::Plain(result) => return Ok(result),
            Self::Pprof(parts) => parts,
        };
        let mut builder = PprofBuilder::new();
        for part in parts {
            builder.merge_encoded(&part).map_err(|_| mismatch())?;
        }
        Ok(PartialResult::Pprof(if builder.is_empty() { Vec::new() } else { builder.encode(None) }))
    }
}

fn check_dots(what: &str, count: usize) -> Result<(), StatusError> {
    if count <= DOTS_MAX {
        return Ok(());
    }
    Err(StatusError::resource_exhausted(format!(
        "the answer has more than {DOTS_MAX} {what}: add matchers or shorten the range"
    )))
}

fn check_function_points(count: usize) -> Result<(), StatusError> {
    if count <= FUNCTION_POINTS_MAX {
        return Ok(());
    }
    Err(StatusError::resource_exhausted(format!(
        "the answer has more than {FUNCTION_POINTS_MAX} points of functions: use a larger step, a shorter range, fewer functions or \
         group-by labels, or a narrower selector"
    )))
}

fn check_function_places(count: usize) -> Result<(), StatusError> {
    if count <= FUNCTION_PLACES_MAX {
        return Ok(());
    }
    Err(StatusError::resource_exhausted(format!(
        "the answer has more than {FUNCTION_PLACES_MAX} functions of services: give more of the name, a smaller limit or a selector"
    )))
}

fn mismatch() -> StatusError {
    StatusError::from_coded(&QuerierError::Mismatch)
}

/// Runs what may take longer than a millisecond where it holds up no socket.
pub(crate) async fn off_reactor<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StatusError> {
    flamelake_runtime::spawn_blocking(work).await.map_err(|error| StatusError::from_coded(&QuerierError::Worker(error)))
}
