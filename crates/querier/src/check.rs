//! Requests to questions that cannot be wrong: every check of the contract, in its order (`query.md` sections 2 to 5 and 10).
//!
//! `Ok(None)` means that the range lies before the look-back: the answer is empty, and nothing after the range is looked at.

mod range;
pub(crate) mod nodes;
mod filter;
mod heatmap;
mod functions;

use flamelake_model::query::{ExemplarKind, GoPgo, SampleFilter, Selection, TimeSeriesQuery};
use flamelake_model::selector::Selector;
use flamelake_model::{ErrorCode, ProfileType, StatusError, TimeRange, TimestampMs};

pub(crate) use self::filter::SampleFilterInput;
pub(crate) use self::functions::{FunctionIndexInput, FunctionSeriesInput, FunctionsInput, NameInput};
pub(crate) use self::heatmap::{HeatmapInput, HeatmapQuestion};
pub(crate) use self::nodes::MaxNodes;
pub(crate) use self::range::Now;
use crate::limits::QueryLimits;

/// Most names in `group_by`.
const GROUP_BY_MAX: usize = 64;

/// Most entries of `matchers` in a label question.
const MATCHERS_MAX: usize = 1024;

/// What is common to checks of one request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checker<'a> {
    pub(crate) limits: &'a QueryLimits,
    pub(crate) now: Now,
}

/// Stack traces as a request names them.
#[derive(Clone, Debug, Default)]
pub(crate) struct StacktracesInput {
    pub(crate) profile_type: String,
    pub(crate) label_selector: String,
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) max_nodes: i64,
    pub(crate) filter: SampleFilterInput,
}

/// A time series as a request names it.
#[derive(Clone, Debug, Default)]
pub(crate) struct SeriesInput {
    pub(crate) profile_type: String,
    pub(crate) label_selector: String,
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) group_by: Vec<String>,
    /// Seconds.
    pub(crate) step: f64,
    /// Divide by the number of profiles.
    pub(crate) average: bool,
    pub(crate) call_site: Vec<String>,
    pub(crate) limit: i64,
    /// As numbered in `types.v1.ExemplarType`.
    pub(crate) exemplar_type: i32,
}

/// A checked flame graph.
#[derive(Clone, Debug)]
pub(crate) struct TreeQuestion {
    pub(crate) selection: Selection,
    pub(crate) filter: SampleFilter,
    pub(crate) max_nodes: MaxNodes,
}

/// A checked pprof.
#[derive(Clone, Debug)]
pub(crate) struct PprofQuestion {
    pub(crate) selection: Selection,
    pub(crate) profile_type: ProfileType,
    pub(crate) filter: SampleFilter,
    pub(crate) go_pgo: Option<GoPgo>,
    pub(crate) max_nodes: MaxNodes,
}

/// A checked time series.
#[derive(Clone, Debug)]
pub(crate) struct SeriesQuestion {
    pub(crate) query: TimeSeriesQuery,
    pub(crate) average: bool,
    /// Series kept; `None` keeps all.
    pub(crate) limit: Option<usize>,
}

impl Checker<'_> {
    /// Label calls: the range, then `before_matchers`, then the matchers.
    pub(crate) fn labels(
        &self,
        start: i64,
        end: i64,
        matchers: &[String],
        before_matchers: impl FnOnce() -> Result<(), StatusError>,
    ) -> Result<Option<Selection>, StatusError> {
        let Some(range) = self.range(start, end)? else { return Ok(None) };
        before_matchers()?;
        if matchers.len() > MATCHERS_MAX {
            return Err(StatusError::invalid_argument(format!(
                "{} matchers are given, at most {MATCHERS_MAX} are taken: join them by regular expressions",
                matchers.len()
            )));
        }
        let selector = matchers.iter().try_fold(Selector::default(), |all, text| {
            let parsed = parse_selector("failed to parse label selector", text)?;
            Ok::<_, StatusError>(all.and(parsed))
        })?;
        Ok(Some(Selection { profile_type: None, selector, range }))
    }

    /// Profile types: without a range, the last hour.
    pub(crate) fn profile_types(&self, start: i64, end: i64) -> Result<Option<Selection>, StatusError> {
        let (start, end) = if (start, end) == (0, 0) { self.now.last_hour() } else { (start, end) };
        self.labels(start, end, &[], || Ok(()))
    }

    /// Flame graphs and trees.
    pub(crate) fn tree(&self, input: &StacktracesInput) -> Result<Option<TreeQuestion>, StatusError> {
        input.filter.check_combination()?;
        let Some(range) = self.range(input.start, input.end)? else { return Ok(None) };
        let max_nodes = MaxNodes::check(input.max_nodes, self.limits)?;
        let selection = select(parse_type(&input.profile_type)?, &input.label_selector, range)?;
        let filter = input.filter.check()?;
        Ok(Some(TreeQuestion { selection, filter, max_nodes }))
    }

    /// Profiles in pprof. Their nodes are neither defaulted nor capped unless the tenant's limits say so.
    pub(crate) fn pprof(&self, input: &StacktracesInput) -> Result<Option<PprofQuestion>, StatusError> {
        input.filter.check_combination()?;
        let Some(range) = self.range(input.start, input.end)? else { return Ok(None) };
        let profile_type = parse_type(&input.profile_type)?;
        let max_nodes = if self.limits.nodes_on_merge_profile {
            MaxNodes::check(input.max_nodes, self.limits)?
        } else {
            MaxNodes::as_given(input.max_nodes)
        };
        let selection = select(profile_type.clone(), &input.label_selector, range)?;
        let go_pgo = input.filter.go_pgo;
        let filter = input.filter.check()?;
        Ok(Some(PprofQuestion { selection, profile_type, filter, go_pgo, max_nodes }))
    }

    /// Time series.
    pub(crate) fn series(&self, input: &SeriesInput) -> Result<Option<SeriesQuestion>, StatusError> {
        let Some(range) = self.range(input.start, input.end)? else { return Ok(None) };
        let profile_type = parse_type(&input.profile_type)?;
        let step_ms = step_ms(input.step)?;
        let selection = select(profile_type, &input.label_selector, range)?;
        let exemplars = exemplar_kind(input.exemplar_type)?;
        let group_by = unique(&input.group_by)?;
        let filter = SampleFilter { call_site: input.call_site.clone(), ..SampleFilter::default() };
        let query = TimeSeriesQuery { selection, filter, group_by, step_ms, exemplars };
        let limit = usize::try_from(input.limit).ok().filter(|limit| *limit > 0);
        Ok(Some(SeriesQuestion { query, average: input.average, limit }))
    }

    /// Both types of a diff, which are looked at before anything else.
    pub(crate) fn diff_types(left: &StacktracesInput, right: &StacktracesInput) -> Result<(), StatusError> {
        parse_type(&left.profile_type)?;
        parse_type(&right.profile_type)?;
        Ok(())
    }

    /// Most nodes of a diff: one number for both sides and for the result.
    pub(crate) fn diff_nodes(
        &self,
        left: &StacktracesInput,
        right: &StacktracesInput,
    ) -> Result<MaxNodes, StatusError> {
        MaxNodes::check(left.max_nodes.max(right.max_nodes), self.limits)
    }

    /// The range alone.
    pub(crate) fn range(&self, start: i64, end: i64) -> Result<Option<TimeRange>, StatusError> {
        range::check(TimestampMs(start), TimestampMs(end), self.now, self.limits)
    }
}

fn parse_type(id: &str) -> Result<ProfileType, StatusError> {
    ProfileType::parse(id).map_err(|error| StatusError::from_coded(&error))
}

fn select(profile_type: ProfileType, selector: &str, range: TimeRange) -> Result<Selection, StatusError> {
    let selector = parse_selector("parsing label selector", selector)?;
    Ok(Selection { profile_type: Some(profile_type), selector, range })
}

fn parse_selector(what: &str, text: &str) -> Result<Selector, StatusError> {
    Selector::parse(text)
        .map_err(|error| StatusError::new(ErrorCode::InvalidArgument, format!("{what} {text:?}: {}", error.message)))
}

fn step_ms(seconds: f64) -> Result<i64, StatusError> {
    if seconds.is_nan() || seconds < 0.001 {
        return Err(StatusError::invalid_argument("step must be >= 1ms"));
    }
    // Truncates and saturates: a step longer than time itself is one bucket.
    Ok(((seconds * 1000.0) as i64).max(1))
}

fn exemplar_kind(number: i32) -> Result<ExemplarKind, StatusError> {
    match number {
        0 | 1 => Ok(ExemplarKind::None),
        2 => Ok(ExemplarKind::Individual),
        3 => Err(StatusError::unimplemented("span exemplars are not implemented for series: use individual exemplars")),
        other => Err(StatusError::invalid_argument(format!("unknown exemplar type {other}"))),
    }
}

fn unique(names: &[String]) -> Result<Vec<String>, StatusError> {
    let mut unique: Vec<String> = Vec::new();
    for name in names {
        if !unique.contains(name) {
            unique.push(name.clone());
        }
        if unique.len() > GROUP_BY_MAX {
            return Err(StatusError::invalid_argument(format!("group_by names more than {GROUP_BY_MAX} labels")));
        }
    }
    Ok(unique)
}

#[cfg(test)]
mod tests;
