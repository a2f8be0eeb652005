//! Answers of several sources to one: as if their rows had lain in one.

use flamelake_model::heatmap::{count_dots, merge_heatmaps};
use flamelake_model::query::{PartialAnswer, PartialQuery, PartialResult, QueryStats, TimeSpan};
use flamelake_model::time_series::merge_time_series;
use flamelake_model::{ErrorCode, StatusError};
use flamelake_pprof::PprofBuilder;

use crate::SourceError;
use crate::bounds::{
    check_dots, check_function_places, check_function_points, check_label_sets, check_points, check_strings,
};

/// Collects partial answers to one question, in any order. Merging trees and profiles takes CPU: keep it off socket threads.
#[derive(Debug)]
pub struct Merger {
    result: PartialResult,
    /// Of a pprof question; `result` stays empty meanwhile.
    pprof: PprofBuilder,
    stats: QueryStats,
}

impl Merger {
    /// The answer over no rows.
    pub fn new(query: &PartialQuery) -> Self {
        Self { result: PartialResult::empty(query), pprof: PprofBuilder::new(), stats: QueryStats::default() }
    }

    /// Adds the answer over further rows. `internal` when it answers another question, `resource_exhausted` at a bound.
    pub fn add(&mut self, answer: PartialAnswer) -> Result<(), StatusError> {
        self.stats.merge(answer.stats);
        let bounded = match (&mut self.result, answer.result) {
            (PartialResult::Strings(all), PartialResult::Strings(part)) => {
                all.extend(part);
                check_strings(all.len())
            }
            (PartialResult::LabelSets(all), PartialResult::LabelSets(part)) => {
                all.extend(part);
                check_label_sets(all.len())
            }
            (PartialResult::Tree(all), PartialResult::Tree(part)) => {
                all.merge(&part);
                Ok(())
            }
            (PartialResult::Pprof(_), PartialResult::Pprof(part)) => return self.add_pprof(&part),
            (PartialResult::TimeSeries(all), PartialResult::TimeSeries(part)) => {
                *all = merge_time_series([std::mem::take(all), part]);
                check_points(all.iter().map(|series| series.points.len()).sum())
            }
            (PartialResult::FunctionSeries(all), PartialResult::FunctionSeries(part)) => {
                all.merge(part);
                check_function_points(all.count_points())
            }
            (PartialResult::Functions(all), PartialResult::Functions(part)) => {
                all.merge(part);
                check_function_places(all.count_places())
            }
            (PartialResult::Heatmap(all), PartialResult::Heatmap(part)) => {
                *all = merge_heatmaps([std::mem::take(all), part]);
                check_dots(count_dots(all))
            }
            (PartialResult::TimeSpan(all), PartialResult::TimeSpan(part)) => {
                *all = TimeSpan::join(*all, part);
                Ok(())
            }
            _ => return Err(StatusError::internal("a part answers another question")),
        };
        bounded.map_err(|error| match error {
            SourceError::Status(status) => status,
            damaged @ SourceError::Damaged { .. } => StatusError::internal(damaged.to_string()),
        })
    }

    /// Notes data that could not be read.
    pub fn set_aside(&mut self, note: String) {
        self.stats.merge(QueryStats { set_aside: vec![note], ..QueryStats::default() });
    }

    /// The answer over all rows.
    pub fn finish(self) -> Result<PartialAnswer, StatusError> {
        let result = match self.result {
            PartialResult::Pprof(_) if !self.pprof.is_empty() => PartialResult::Pprof(self.pprof.encode(None)),
            other => other,
        };
        Ok(PartialAnswer { result, stats: self.stats })
    }

    fn add_pprof(&mut self, part: &[u8]) -> Result<(), StatusError> {
        self.pprof
            .merge_encoded(part)
            .map_err(|error| StatusError::new(ErrorCode::Internal, format!("a part is no pprof: {error}")))
    }
}
