//! Totals of functions over time: the question, what holders of profiles answer, and how answers become one.
//!
//! A cell (group, function, bucket) holds two wrapping sums over sample values above 0. Cells whose sums are both 0 are left out, in
//! parts and in the whole, so that the whole is a function of the sums alone (promise P8).

use std::cmp::Ordering;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::query::{SampleFilter, Selection, last_point};
use crate::selector::{MatchOp, Matcher};
use crate::{StatusError, TimeRange, TimestampMs};

/// Most points of one answer, those of functions and those of totals together.
pub const FUNCTION_POINTS_MAX: usize = 2_000_000;

/// A regular expression over whole function names, with RE2's grammar as label matchers have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionRegex(Matcher);

impl FunctionRegex {
    /// `invalid_argument` when the text is no regular expression or too long.
    pub fn new(text: &str) -> Result<Self, StatusError> {
        Matcher::new("function", MatchOp::Matches, text).map(Self)
    }

    /// Names that have this text somewhere, whatever the case of either.
    pub fn containing(text: &str) -> Result<Self, StatusError> {
        let mut pattern = "(?i).*".to_owned();
        for char in text.chars() {
            pattern.extend(char.is_ascii_punctuation().then_some('\\').into_iter().chain([char]));
        }
        pattern.push_str(".*");
        Self::new(&pattern)
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        self.0.value()
    }

    /// Does the whole name match?
    pub fn is_match(&self, name: &str) -> bool {
        self.0.matches_value(name)
    }
}

/// Which functions a question is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FunctionMatch {
    /// Every function.
    All,
    /// Exactly these.
    Names(BTreeSet<String>),
    /// Those whose whole name matches.
    Regex(FunctionRegex),
}

impl FunctionMatch {
    /// Is the function one of them?
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Names(names) => names.contains(name),
            Self::Regex(regex) => regex.is_match(name),
        }
    }
}

/// A question for functions over time, after its checks.
#[derive(Clone, Debug)]
pub struct FunctionSeriesQuery {
    /// Which profiles; `selection.range` is the requested `[start, end]`, not yet widened by one step.
    pub selection: Selection,
    /// Which samples of them.
    pub filter: SampleFilter,
    /// Which functions are listed. Totals count all of them.
    pub functions: FunctionMatch,
    /// Label names to group by, in request order, unique.
    pub group_by: Vec<String>,
    /// Bucket width in milliseconds, at least 1. Buckets are those of [`TimeSeriesQuery`](crate::query::TimeSeriesQuery).
    pub step_ms: i64,
}

impl FunctionSeriesQuery {
    /// The last point of the grid `start, start+step, …` that is not after `end`.
    pub fn last_point(&self) -> TimestampMs {
        last_point(self.selection.range, self.step_ms)
    }

    /// The same rows in one bucket.
    #[must_use]
    pub fn in_one_bucket(&self) -> Self {
        let last = self.last_point();
        let length = last.0.saturating_sub(self.selection.range.start().0);
        self.over(last, last, length.saturating_add(self.step_ms))
    }

    /// The same over buckets of this step, or as long as the range if that is shorter, that lie in the range whole. What is left of it
    /// at its end, less than a step, is in none.
    #[must_use]
    pub fn in_range(&self, step_ms: i64) -> Self {
        let (start, end) = (self.selection.range.start(), self.selection.range.end());
        let step_ms = step_ms.clamp(1, end.0.saturating_sub(start.0).max(1));
        self.over(TimestampMs(start.0.saturating_add(step_ms)).min(end), end, step_ms)
    }

    fn over(&self, start: TimestampMs, end: TimestampMs, step_ms: i64) -> Self {
        let range = TimeRange::new(start, end).unwrap_or(self.selection.range);
        Self { selection: Selection { range, ..self.selection.clone() }, step_ms, ..self.clone() }
    }
}

/// Which of a point's two values is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FunctionValue {
    /// Samples whose innermost frame is the function.
    #[default]
    #[serde(rename = "self")]
    Own,
    /// Samples whose stack has the function.
    Total,
}

impl FunctionValue {
    /// From `self` or `total`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "self" => Some(Self::Own),
            "total" => Some(Self::Total),
            _ => None,
        }
    }

    /// Of a point.
    pub fn of(self, point: &FunctionPoint) -> i64 {
        match self {
            Self::Own => point.self_value,
            Self::Total => point.total,
        }
    }
}

/// What one function cost in one bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunctionPoint {
    /// Right edge of the bucket.
    pub timestamp: TimestampMs,
    /// Samples whose innermost frame is the function.
    pub self_value: i64,
    /// Samples whose stack has the function, once a stack however often it recurs.
    pub total: i64,
}

/// One function of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartialFunctionSeries {
    /// Values of the group-by labels, in the order of `group_by`; a missing label is `None`.
    pub group: Vec<Option<String>>,
    /// Its name.
    pub function: String,
    /// Points in ascending order, never empty; buckets without the function have none.
    pub points: Vec<FunctionPoint>,
}

/// What all functions together cost in one bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TotalPoint {
    /// Right edge of the bucket.
    pub timestamp: TimestampMs,
    /// Sum of all samples above 0 that the filter takes and whose stack has a name.
    pub value: i64,
}

/// The whole of one group: what its functions have shares of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionTotals {
    /// As in [`PartialFunctionSeries`].
    pub group: Vec<Option<String>>,
    /// Points in ascending order, never empty.
    pub points: Vec<TotalPoint>,
}

/// An exact answer over some rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FunctionSeries {
    /// Sorted by group, then by function.
    pub functions: Vec<PartialFunctionSeries>,
    /// Sorted by group.
    pub totals: Vec<FunctionTotals>,
}

impl FunctionSeries {
    /// Adds the answer over further rows. The order of the parts does not matter.
    pub fn merge(&mut self, part: Self) {
        let of = |series: &PartialFunctionSeries, other: &PartialFunctionSeries| {
            (&series.group, &series.function).cmp(&(&other.group, &other.function))
        };
        self.functions = joined(std::mem::take(&mut self.functions), part.functions, of, |series, other| {
            series.points = joined(std::mem::take(&mut series.points), other.points, by_time, |point, other| {
                point.self_value = point.self_value.wrapping_add(other.self_value);
                point.total = point.total.wrapping_add(other.total);
                point.self_value != 0 || point.total != 0
            });
            !series.points.is_empty()
        });
        let of = |totals: &FunctionTotals, other: &FunctionTotals| totals.group.cmp(&other.group);
        self.totals = joined(std::mem::take(&mut self.totals), part.totals, of, |totals, other| {
            totals.points = joined(std::mem::take(&mut totals.points), other.points, by_time, |point, other| {
                point.value = point.value.wrapping_add(other.value);
                point.value != 0
            });
            !totals.points.is_empty()
        });
    }

    /// Points of functions and of totals.
    pub fn count_points(&self) -> usize {
        self.functions.iter().map(|series| series.points.len()).sum::<usize>()
            + self.totals.iter().map(|totals| totals.points.len()).sum::<usize>()
    }
}

/// What lies on the time axis.
trait Timed {
    fn timestamp(&self) -> TimestampMs;
}

impl Timed for FunctionPoint {
    fn timestamp(&self) -> TimestampMs {
        self.timestamp
    }
}

impl Timed for TotalPoint {
    fn timestamp(&self) -> TimestampMs {
        self.timestamp
    }
}

fn by_time<T: Timed>(left: &T, right: &T) -> Ordering {
    left.timestamp().cmp(&right.timestamp())
}

/// Two sorted lists as one. `add` puts one of two equals into the other and tells whether anything is left of them.
fn joined<T>(
    mut left: Vec<T>,
    mut right: Vec<T>,
    order: impl Fn(&T, &T) -> Ordering,
    mut add: impl FnMut(&mut T, T) -> bool,
) -> Vec<T> {
    let is_after = |early: &[T], late: &[T]| {
        early.last().zip(late.first()).is_none_or(|(early, late)| order(early, late) == Ordering::Less)
    };
    // Parts mostly follow each other in time.
    if is_after(&left, &right) {
        left.append(&mut right);
        return left;
    }
    if is_after(&right, &left) {
        right.append(&mut left);
        return right;
    }
    let mut all = Vec::with_capacity(left.len() + right.len());
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    loop {
        let order = match (left.peek(), right.peek()) {
            (Some(left), Some(right)) => order(left, right),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return all,
        };
        let next = match order {
            Ordering::Less => left.next(),
            Ordering::Greater => right.next(),
            Ordering::Equal => {
                let (mut both, other) = (left.next(), right.next());
                let stays = both.as_mut().zip(other).is_some_and(|(both, other)| add(both, other));
                both.filter(|_| stays)
            }
        };
        all.extend(next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::PartialQuery;
    use crate::selector::Selector;

    fn name(group: &[Option<String>]) -> String {
        group.iter().map(|value| value.as_deref().unwrap_or("-")).collect()
    }

    fn text(series: &FunctionSeries) -> String {
        let of_function = |series: &PartialFunctionSeries| {
            let point = |point: &FunctionPoint| format!(" {}={}/{}", point.timestamp, point.self_value, point.total);
            format!(
                "{}/{}{}",
                name(&series.group),
                series.function,
                series.points.iter().map(point).collect::<String>()
            )
        };
        let of_totals = |totals: &FunctionTotals| {
            let point = |point: &TotalPoint| format!(" {}={}", point.timestamp, point.value);
            format!("{}{}", name(&totals.group), totals.points.iter().map(point).collect::<String>())
        };
        let lines = series.functions.iter().map(of_function).chain(series.totals.iter().map(of_totals));
        lines.collect::<Vec<_>>().join("; ")
    }

    /// Group, function, and points as time, own value and total.
    type Function<'a> = (&'a str, &'a str, &'a [(i64, i64, i64)]);

    fn part(functions: &[Function<'_>], totals: &[(&str, &[(i64, i64)])]) -> FunctionSeries {
        let group = |name: &str| vec![(name != "-").then(|| name.to_owned())];
        let function = |(name, function, points): &Function<'_>| PartialFunctionSeries {
            group: group(name),
            function: (*function).to_owned(),
            points: points
                .iter()
                .map(|&(at, self_value, total)| FunctionPoint { timestamp: TimestampMs(at), self_value, total })
                .collect(),
        };
        let total = |(name, points): &(&str, &[(i64, i64)])| FunctionTotals {
            group: group(name),
            points: points.iter().map(|&(at, value)| TotalPoint { timestamp: TimestampMs(at), value }).collect(),
        };
        FunctionSeries {
            functions: functions.iter().map(function).collect(),
            totals: totals.iter().map(total).collect(),
        }
    }

    fn merged(parts: impl IntoIterator<Item = FunctionSeries>) -> FunctionSeries {
        parts.into_iter().fold(FunctionSeries::default(), |mut all, part| {
            all.merge(part);
            all
        })
    }

    #[test]
    fn parts_merge_in_any_order() {
        let parts = [
            part(&[("a", "f", &[(10, 1, 2)]), ("a", "g", &[(10, 0, 2)])], &[("a", &[(10, 2)])]),
            part(&[("-", "f", &[(30, 5, 5)]), ("a", "f", &[(5, 1, 1), (10, 2, 2), (20, 3, 3)])], &[("-", &[(30, 5)])]),
            part(&[("a", "g", &[(10, 0, -2), (20, i64::MAX, i64::MAX)])], &[("a", &[(5, 1), (10, 3)])]),
            part(&[("a", "g", &[(20, 1, 1)]), ("b", "f", &[(1, 1, 1)])], &[("-", &[(30, -5)]), ("b", &[(1, 1)])]),
        ];
        let expected =
            format!("-/f 30=5/5; a/f 5=1/1 10=3/4 20=3/3; a/g 20={0}/{0}; b/f 1=1/1; a 5=1 10=5; b 1=1", i64::MIN);
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]] {
            assert_eq!(text(&merged(order.map(|at| parts[at].clone()))), expected);
        }
        let [first, second, third, fourth] = parts;
        let nested = merged([merged([third, first]), merged([fourth, second])]);
        assert_eq!(text(&nested), expected, "what sums to 0 is not there");
        assert_eq!(nested.count_points(), 9);
    }

    #[test]
    fn grids_of_the_same_question() {
        let range = |start, end| TimeRange::new(TimestampMs(start), TimestampMs(end)).unwrap();
        let query = |start, end, step_ms| FunctionSeriesQuery {
            selection: Selection { profile_type: None, selector: Selector::all(), range: range(start, end) },
            filter: SampleFilter::default(),
            functions: FunctionMatch::All,
            group_by: Vec::new(),
            step_ms,
        };
        let text = |query: FunctionSeriesQuery| {
            let (from, to) = PartialQuery::FunctionSeries(query.clone()).rows();
            format!("{}..{} by {}", from.to_ms(), to.to_ms(), query.step_ms)
        };
        assert_eq!(text(query(100, 135, 10)), "90..130 by 10");
        assert_eq!(text(query(100, 135, 10).in_one_bucket()), "90..130 by 40");
        assert_eq!(query(100, 135, 10).in_one_bucket().last_point(), TimestampMs(130));
        assert_eq!(text(query(100, 135, 7).in_range(10)), "100..130 by 10");
        assert_eq!(text(query(100, 135, 7).in_range(i64::MAX)), "100..135 by 35");
        assert_eq!(text(query(100, 100, 7).in_range(5)), "99..100 by 1");
    }

    #[test]
    fn functions_match_by_their_whole_names() {
        let names = FunctionMatch::Names(["a.b".to_owned()].into());
        let regex = FunctionMatch::Regex(FunctionRegex::new(r"a\..*").unwrap());
        for (name, by_name, by_regex) in [("a.b", true, true), ("a.bc", false, true), ("xa.b", false, false)] {
            assert_eq!((names.matches(name), regex.matches(name)), (by_name, by_regex), "{name}");
            assert!(FunctionMatch::All.matches(name));
        }
        assert!(!FunctionMatch::Names(BTreeSet::new()).matches(""));
        assert!(FunctionRegex::new("(").is_err());
    }

    #[test]
    fn functions_contain_a_text_in_any_case() {
        let found = |text: &str, name: &str| FunctionRegex::containing(text).unwrap().is_match(name);
        assert!(found("cart.add(", "shop.Cart.Add(int)") && !found("cart.add(", "shop.CartXadd(int)"));
        assert!(found("", "") && found("\\E|_", "a\\e|_b") && found("ÄB", "xäb"));
        assert!(found("a b", "A B") && !found("a b", "ab") && found("\n", "a\nb"));
    }
}
