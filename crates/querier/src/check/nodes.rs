//! How many nodes an answer may have (contract `query.md` section 5).

use flamelake_model::StatusError;

use crate::limits::QueryLimits;

/// A checked `max_nodes`; `None` = unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MaxNodes(pub(crate) Option<usize>);

impl MaxNodes {
    /// 0 takes the default; above the tenant's most, or negative while there is one, is refused.
    pub(crate) fn check(asked: i64, limits: &QueryLimits) -> Result<Self, StatusError> {
        let asked = if asked == 0 { limits.nodes_default } else { asked };
        let max = limits.nodes_max;
        if max > 0 && asked > max {
            return Err(StatusError::invalid_argument(format!(
                "max flamegraph nodes limit {asked} is greater than allowed {max}"
            )));
        }
        if max > 0 && asked < 0 {
            return Err(StatusError::invalid_argument(format!(
                "max flamegraph nodes limit must be set (max allowed {max})"
            )));
        }
        Ok(Self::as_given(asked))
    }

    /// Without default and cap: 0 and less are unlimited.
    pub(crate) fn as_given(asked: i64) -> Self {
        Self(usize::try_from(asked).ok().filter(|nodes| *nodes > 0))
    }
}
