//! A heatmap as a request names it, checked in the contract's order (`query.md` section 4, SelectHeatmap).

use flamelake_model::StatusError;
use flamelake_model::heatmap::{DotKind, HeatmapQuery};

use super::{Checker, parse_type, select, step_ms, unique};

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeatmapInput {
    pub(crate) profile_type: String,
    pub(crate) label_selector: String,
    pub(crate) start: i64,
    pub(crate) end: i64,
    /// Seconds.
    pub(crate) step: f64,
    pub(crate) group_by: Vec<String>,
    /// As numbered in `querier.v1.HeatmapQueryType`.
    pub(crate) query_type: i32,
    /// As numbered in `types.v1.ExemplarType`.
    pub(crate) exemplar_type: i32,
    pub(crate) limit: i64,
}

/// A checked heatmap.
#[derive(Clone, Debug)]
pub(crate) struct HeatmapQuestion {
    /// It wants labels exactly if it wants exemplars.
    pub(crate) query: HeatmapQuery,
    /// Series kept; `None` keeps all.
    pub(crate) limit: Option<usize>,
}

impl Checker<'_> {
    /// Heatmaps.
    pub(crate) fn heatmap(&self, input: &HeatmapInput) -> Result<Option<HeatmapQuestion>, StatusError> {
        let step_ms = step_ms(input.step)?;
        if input.limit < 0 {
            return Err(StatusError::invalid_argument("limit must not be negative"));
        }
        if input.start >= input.end {
            return Err(StatusError::invalid_argument("start must be before end"));
        }
        let Some(range) = self.range(input.start, input.end)? else { return Ok(None) };
        let selection = select(parse_type(&input.profile_type)?, &input.label_selector, range)?;
        let kind = dot_kind(input.query_type)?;
        let labels = wants_exemplars(input.exemplar_type, kind)?;
        let group_by = unique(&input.group_by)?;
        let query = HeatmapQuery { selection, group_by, step_ms, kind, labels };
        Ok(Some(HeatmapQuestion { query, limit: usize::try_from(input.limit).ok().filter(|limit| *limit > 0) }))
    }
}

fn dot_kind(number: i32) -> Result<DotKind, StatusError> {
    match number {
        1 => Ok(DotKind::Profile),
        2 => Ok(DotKind::Span),
        0 => Err(StatusError::invalid_argument("query_type is required: individual or span")),
        other => Err(StatusError::invalid_argument(format!("unknown heatmap query type {other}"))),
    }
}

fn wants_exemplars(number: i32, kind: DotKind) -> Result<bool, StatusError> {
    match (number, kind) {
        (0 | 1, _) => Ok(false),
        (2, DotKind::Profile) | (3, DotKind::Span) => Ok(true),
        (2, DotKind::Span) => {
            Err(StatusError::invalid_argument("individual exemplars are only available for individual heatmaps"))
        }
        (3, DotKind::Profile) => {
            Err(StatusError::invalid_argument("span exemplars are only available for span heatmaps"))
        }
        (other, _) => Err(StatusError::invalid_argument(format!("unknown exemplar type {other}"))),
    }
}
