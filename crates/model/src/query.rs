//! What a querier asks of an ingester or a store-gateway, and the partial results that come back.
//!
//! A partial result is exact for the rows it covers: nothing is truncated, rounded or rendered before the root has merged
//! every part (promise P8). All sums are wrapping `i64` until the last step.

use std::collections::BTreeSet;

use crate::function_index::{FunctionIndex, FunctionIndexQuery};
pub use crate::function_series::{
    FunctionMatch, FunctionPoint, FunctionSeries, FunctionSeriesQuery, FunctionTotals, PartialFunctionSeries,
};
use crate::heatmap::{HeatmapDots, HeatmapQuery};
use crate::selector::Selector;
use crate::tree::Tree;
use crate::{Label, Labels, ProfileId, ProfileType, TimeRange, TimestampMs, TimestampNs};

/// Which series, and when.
#[derive(Clone, Debug)]
pub struct Selection {
    /// Restricts series to this type (label `__profile_type__`); `None` only in label queries.
    pub profile_type: Option<ProfileType>,
    /// Restricts series by labels.
    pub selector: Selector,
    /// Restricts profiles by time, both ends inclusive.
    pub range: TimeRange,
}

/// Restricts which samples count. Each list: empty = no restriction; otherwise any of its entries may match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SampleFilter {
    /// Whole profiles by id.
    pub profile_ids: Vec<ProfileId>,
    /// Samples by span id: the 8 bytes of the hex text read as a little-endian number; never 0.
    pub span_ids: Vec<u64>,
    /// Samples by trace id: the 16 bytes of the hex text; never all zero.
    pub trace_ids: Vec<[u8; 16]>,
    /// Stacks whose function names, root first, start with exactly this list; inlined frames count.
    pub call_site: Vec<String>,
}

impl SampleFilter {
    /// No restriction at all?
    pub fn is_empty(&self) -> bool {
        self == &Self::default()
    }
}

/// How a pprof answer is shaped by `StackTraceSelector.go_pgo`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoPgo {
    /// Leaf-side locations kept of each stack; 0 = all.
    pub keep_locations: u32,
    /// Sets the leaf location's first line number to 0 and merges again.
    pub aggregate_callees: bool,
}

/// Which exemplars a time series carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExemplarKind {
    /// None.
    #[default]
    None,
    /// The highest-value profile of each point.
    Individual,
}

/// A time series query after its checks.
#[derive(Clone, Debug)]
pub struct TimeSeriesQuery {
    /// Which profiles; `selection.range` is the requested `[start, end]`, not yet widened by one step.
    pub selection: Selection,
    /// Only `call_site` is used here.
    pub filter: SampleFilter,
    /// Label names to group by, in request order, unique.
    pub group_by: Vec<String>,
    /// Bucket width in milliseconds, at least 1. Buckets are `(t-step, t]` for `t = start, start+step, …` up to `end`.
    pub step_ms: i64,
    /// Exemplars wanted.
    pub exemplars: ExemplarKind,
}

impl TimeSeriesQuery {
    /// The last point of the grid `start, start+step, …` that is not after `end`; profiles after it are in no bucket.
    pub fn last_point(&self) -> TimestampMs {
        last_point(self.selection.range, self.step_ms)
    }
}

/// The last point of the grid over a range.
pub(crate) fn last_point(range: TimeRange, step_ms: i64) -> TimestampMs {
    let (start, end) = (range.start().0, range.end().0);
    let step = i128::from(step_ms.max(1));
    let last = i128::from(start) + (i128::from(end) - i128::from(start)) / step * step;
    TimestampMs(i64::try_from(last).unwrap_or(end))
}

/// One question to a source of profiles.
#[derive(Clone, Debug)]
pub enum PartialQuery {
    /// Names of labels on matching series.
    LabelNames(Selection),
    /// Values of one label on matching series. `ProfileTypes` is this with `__profile_type__`.
    LabelValues {
        /// Which series.
        selection: Selection,
        /// The label.
        name: String,
    },
    /// Distinct label sets of matching series, reduced to `label_names` unless that is empty. Empty sets are left out.
    Series {
        /// Which series.
        selection: Selection,
        /// Labels to keep; empty keeps all.
        label_names: Vec<String>,
    },
    /// The exact tree of function names.
    Tree {
        /// Which profiles.
        selection: Selection,
        /// Which samples of them.
        filter: SampleFilter,
    },
    /// A merged pprof with one sample type.
    Pprof {
        /// Which profiles.
        selection: Selection,
        /// Which samples of them. `call_site` is ignored when `go_pgo` is set.
        filter: SampleFilter,
        /// PGO shaping.
        go_pgo: Option<GoPgo>,
    },
    /// Totals over time.
    TimeSeries(TimeSeriesQuery),
    /// Totals by function over time.
    FunctionSeries(FunctionSeriesQuery),
    /// Functions by name, and where they run.
    Functions(FunctionIndexQuery),
    /// Profiles or spans by time and value.
    Heatmap(HeatmapQuery),
    /// First and last profile; the selection is looked at as coarsely as is cheap.
    TimeSpan(Selection),
}

impl PartialQuery {
    /// The selection, whatever is asked.
    pub fn selection(&self) -> &Selection {
        match self {
            Self::LabelNames(selection)
            | Self::LabelValues { selection, .. }
            | Self::Series { selection, .. }
            | Self::Tree { selection, .. }
            | Self::Pprof { selection, .. }
            | Self::TimeSpan(selection) => selection,
            Self::TimeSeries(query) => &query.selection,
            Self::FunctionSeries(query) => &query.selection,
            Self::Functions(query) => &query.selection,
            Self::Heatmap(query) => &query.selection,
        }
    }

    /// First and last instant of the profiles that the answer covers, inclusive. Time series and heatmaps read one step before their start
    /// (contract `query.md` section 4), so planners and sources prune by this and not by the selection's range.
    pub fn rows(&self) -> (TimestampNs, TimestampNs) {
        match self {
            Self::TimeSeries(query) => {
                let start = query.selection.range.start().0.saturating_sub(query.step_ms);
                (TimestampMs(start).to_ns(), query.last_point().to_ns())
            }
            Self::FunctionSeries(query) => {
                let start = query.selection.range.start().0.saturating_sub(query.step_ms);
                (TimestampMs(start).to_ns(), query.last_point().to_ns())
            }
            Self::Heatmap(query) => {
                let start = query.selection.range.start().0.saturating_sub(query.step_ms);
                (TimestampMs(start).to_ns(), query.selection.range.end_ns())
            }
            _ => (self.selection().range.start_ns(), self.selection().range.end_ns()),
        }
    }
}

/// A profile that may become a point's exemplar: parts that name the same one hold pieces of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartialExemplar {
    /// When the profile was taken.
    pub timestamp: TimestampMs,
    /// Its id.
    pub profile_id: ProfileId,
    /// Its total within the group.
    pub value: i64,
    /// Labels common to all its series, without the group-by ones.
    pub labels: Labels,
}

/// One point of a partial series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartialPoint {
    /// Right edge of the bucket.
    pub timestamp: TimestampMs,
    /// Wrapping sum of profile totals.
    pub sum: i64,
    /// How many profiles were summed (the divisor of AVERAGE).
    pub profiles: u64,
    /// All candidates, ids ascending; empty unless asked for. Who wins is known only when the pieces of each have met.
    pub exemplars: Vec<PartialExemplar>,
    /// What the server noted when these profiles were pushed, each key and value once, ascending; the first
    /// [`ANNOTATIONS_MAX`](Self::ANNOTATIONS_MAX).
    pub annotations: Vec<Label>,
}

impl PartialPoint {
    /// Most annotations of a point. The first are kept: which they are does not depend on the order of merges.
    pub const ANNOTATIONS_MAX: usize = 64;

    /// The candidate of the highest value; of equal ones the smallest id wins, so that layout does not matter.
    pub fn exemplar(&self) -> Option<&PartialExemplar> {
        self.exemplars.iter().min_by_key(|exemplar| (std::cmp::Reverse(exemplar.value), exemplar.profile_id))
    }
}

/// One group of a time series answer; points ascend in time, empty buckets have none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartialTimeSeries {
    /// Values of the group-by labels, in the order of `group_by`; a missing label is `None`.
    pub group: Vec<Option<String>>,
    /// Points in ascending order.
    pub points: Vec<PartialPoint>,
}

/// First and last instant of some profiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeSpan {
    /// The earliest.
    pub min: TimestampNs,
    /// The latest.
    pub max: TimestampNs,
}

impl TimeSpan {
    /// The span over both parts, where nothing is no part.
    pub fn join(left: Option<Self>, right: Option<Self>) -> Option<Self> {
        match (left, right) {
            (Some(left), Some(right)) => Some(Self { min: left.min.min(right.min), max: left.max.max(right.max) }),
            (left, right) => left.or(right),
        }
    }
}

/// An exact answer over some rows; the variant follows the question's.
#[derive(Clone, Debug)]
pub enum PartialResult {
    /// To `LabelNames` and `LabelValues`.
    Strings(BTreeSet<String>),
    /// To `Series`.
    LabelSets(BTreeSet<Labels>),
    /// To `Tree`.
    Tree(Tree),
    /// To `Pprof`: an uncompressed `google.v1.Profile`; empty bytes when nothing matched.
    Pprof(Vec<u8>),
    /// To `TimeSeries`, sorted by group.
    TimeSeries(Vec<PartialTimeSeries>),
    /// To `FunctionSeries`.
    FunctionSeries(FunctionSeries),
    /// To `Functions`.
    Functions(FunctionIndex),
    /// To `Heatmap`, sorted by group.
    Heatmap(Vec<HeatmapDots>),
    /// To `TimeSpan`; `None` when there are no profiles.
    TimeSpan(Option<TimeSpan>),
}

impl PartialResult {
    /// The answer over no rows.
    pub fn empty(query: &PartialQuery) -> Self {
        match query {
            PartialQuery::LabelNames(_) | PartialQuery::LabelValues { .. } => Self::Strings(BTreeSet::new()),
            PartialQuery::Series { .. } => Self::LabelSets(BTreeSet::new()),
            PartialQuery::Tree { .. } => Self::Tree(Tree::default()),
            PartialQuery::Pprof { .. } => Self::Pprof(Vec::new()),
            PartialQuery::TimeSeries(_) => Self::TimeSeries(Vec::new()),
            PartialQuery::FunctionSeries(_) => Self::FunctionSeries(FunctionSeries::default()),
            PartialQuery::Functions(query) => Self::Functions(FunctionIndex::new(query.limit)),
            PartialQuery::Heatmap(_) => Self::Heatmap(Vec::new()),
            PartialQuery::TimeSpan(_) => Self::TimeSpan(None),
        }
    }
}

impl QueryStats {
    /// Adds the cost and the gaps of another part; gaps stay sorted and are named once.
    pub fn merge(&mut self, other: Self) {
        self.samples += other.samples;
        self.profiles += other.profiles;
        self.set_aside.extend(other.set_aside);
        self.set_aside.sort();
        self.set_aside.dedup();
        self.ring_epoch = self.ring_epoch.max(other.ring_epoch);
    }
}

/// What a query cost and what it could not read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryStats {
    /// Sample rows added up.
    pub samples: u64,
    /// Profiles touched.
    pub profiles: u64,
    /// Blocks or segments that are damaged or missing and were set aside, by name with the reason; empty = complete.
    pub set_aside: Vec<String>,
    /// Newest epoch of the ring that an answerer has noted; 0 = none was told. A caller that knows an older one has missed members.
    pub ring_epoch: u64,
}

/// A partial result with its cost.
#[derive(Clone, Debug)]
pub struct PartialAnswer {
    /// The answer.
    pub result: PartialResult,
    /// Its cost and gaps.
    pub stats: QueryStats,
}
