//! The limits of a query over all of its tenants: the smallest positive value wins (contract `query.md` section 1, tenancy).

use std::time::Duration;

use flamelake_config::Limits;

/// What checks need of the tenants' limits. 0 switches a limit off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QueryLimits {
    /// How far back data is looked at: the look-back or the retention, whichever is shorter.
    pub(crate) lookback: Duration,
    /// Longest range.
    pub(crate) length: Duration,
    /// Nodes of a flame graph when the request does not say.
    pub(crate) nodes_default: i64,
    /// Most nodes of a flame graph.
    pub(crate) nodes_max: i64,
    /// Default and cap hold for merged pprof too.
    pub(crate) nodes_on_merge_profile: bool,
    /// Queries that run at a time.
    pub(crate) concurrency: usize,
}

impl QueryLimits {
    /// No limits.
    pub(crate) fn none() -> Self {
        Self {
            lookback: Duration::ZERO,
            length: Duration::ZERO,
            nodes_default: 0,
            nodes_max: 0,
            nodes_on_merge_profile: false,
            concurrency: 0,
        }
    }

    /// One tenant's.
    pub(crate) fn of(limits: &Limits) -> Self {
        Self {
            // Data past its retention may or may not be gone yet: answers must not depend on that (P8).
            lookback: least(limits.max_query_lookback, limits.retention_period),
            length: limits.max_query_length,
            nodes_default: limits.max_flamegraph_nodes_default,
            nodes_max: limits.max_flamegraph_nodes_max,
            nodes_on_merge_profile: limits.max_flamegraph_nodes_on_select_merge_profile,
            concurrency: limits.max_query_concurrency,
        }
    }

    /// Both tenants'.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            lookback: least(self.lookback, other.lookback),
            length: least(self.length, other.length),
            nodes_default: least(self.nodes_default, other.nodes_default),
            nodes_max: least(self.nodes_max, other.nodes_max),
            nodes_on_merge_profile: self.nodes_on_merge_profile || other.nodes_on_merge_profile,
            concurrency: least(self.concurrency, other.concurrency),
        }
    }
}

/// The smaller of two limits where the default value means none.
fn least<T: Ord + Default>(left: T, right: T) -> T {
    match (left > T::default(), right > T::default()) {
        (true, true) => left.min(right),
        (true, false) => left,
        _ => right,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_positive_value_wins() {
        let one = QueryLimits { lookback: Duration::from_secs(9), nodes_max: 7, concurrency: 4, ..QueryLimits::none() };
        let two = QueryLimits {
            lookback: Duration::from_secs(5),
            nodes_default: 3,
            nodes_on_merge_profile: true,
            ..QueryLimits::none()
        };
        let both = QueryLimits {
            lookback: Duration::from_secs(5),
            length: Duration::ZERO,
            nodes_default: 3,
            nodes_max: 7,
            nodes_on_merge_profile: true,
            concurrency: 4,
        };
        assert_eq!(one.clone().and(two.clone()), both);
        assert_eq!(two.and(one), both);
    }
}
