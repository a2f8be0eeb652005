//! Heatmaps as their dots: what holders of profiles answer, and how answers become one.
//!
//! The rows of a heatmap lie between its least and its greatest dot, which no part knows alone. So parts carry their dots as they are,
//! and only the root counts them into cells (promise P8). A dot that several parts hold pieces of is their sum.

use std::collections::BTreeMap;

use crate::query::Selection;
use crate::{Labels, ProfileId, TimestampNs};

/// Most dots of one answer.
pub const DOTS_MAX: usize = 1_000_000;

/// What one dot stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DotKind {
    /// A profile: its total.
    Profile,
    /// A span at the time of a profile: the samples taken in it.
    Span,
}

/// A heatmap query after its checks.
#[derive(Clone, Debug)]
pub struct HeatmapQuery {
    /// Which profiles; `selection.range` is the requested `[start, end]`, not yet widened by one step.
    pub selection: Selection,
    /// Label names to group by, in request order, unique.
    pub group_by: Vec<String>,
    /// Width of a slot in milliseconds, at least 1. Slots are `(t-step, t]` for `t = start, start+step, …`.
    pub step_ms: i64,
    /// What a dot is.
    pub kind: DotKind,
    /// Dots carry the labels of their series: exemplars show them.
    pub labels: bool,
}

/// Which dot of a group: parts that name the same one hold pieces of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DotKey {
    /// When the profile was taken.
    pub time: TimestampNs,
    /// The profile; all zero for spans.
    pub profile_id: ProfileId,
    /// The 8 bytes of the span id's hex text read as a little-endian number; 0 for profiles.
    pub span_id: u64,
    /// The 16 bytes of the trace id's hex text; all zero when there is none.
    pub trace_id: [u8; 16],
}

/// One dot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dot {
    /// Which.
    pub key: DotKey,
    /// Wrapping sum.
    pub value: i64,
    /// Labels common to all its series without the group-by ones; empty unless asked for.
    pub labels: Labels,
}

impl Dot {
    /// Adds another piece of the same dot.
    pub fn add(&mut self, piece: &Self) {
        self.value = self.value.wrapping_add(piece.value);
        if self.labels != piece.labels {
            self.labels = self.labels.intersection(&piece.labels);
        }
    }
}

/// The dots of one group, sorted by key, keys unique.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeatmapDots {
    /// Values of the group-by labels, in the order of `group_by`; a missing label is `None`.
    pub group: Vec<Option<String>>,
    /// Never empty.
    pub dots: Vec<Dot>,
}

/// Merges the dots of all parts; sorted by group. The order of the parts does not matter.
pub fn merge_heatmaps(parts: impl IntoIterator<Item = Vec<HeatmapDots>>) -> Vec<HeatmapDots> {
    let mut groups: BTreeMap<Vec<Option<String>>, Vec<Dot>> = BTreeMap::new();
    for part in parts.into_iter().flatten() {
        groups.entry(part.group).or_default().extend(part.dots);
    }
    groups.into_iter().map(|(group, dots)| HeatmapDots { group, dots: summed(dots) }).collect()
}

/// Number of dots in an answer.
pub fn count_dots(parts: &[HeatmapDots]) -> usize {
    parts.iter().map(|part| part.dots.len()).sum()
}

/// Dots in order of their keys, pieces added up.
fn summed(mut dots: Vec<Dot>) -> Vec<Dot> {
    // Parts are sorted: a stable sort finds the runs and merges them.
    dots.sort_by_key(|dot| dot.key);
    dots.dedup_by(|piece, dot| {
        let same = piece.key == dot.key;
        if same {
            dot.add(piece);
        }
        same
    });
    dots
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dots(group: &str, dots: &[(i64, u8, i64, &str)]) -> HeatmapDots {
        let dot = |&(at, id, value, pod): &(i64, u8, i64, &str)| Dot {
            key: DotKey { time: TimestampNs(at), profile_id: ProfileId([id; 16]), span_id: 0, trace_id: [0; 16] },
            value,
            labels: Labels::from_pairs([("pod", pod), ("zone", "z")]),
        };
        HeatmapDots { group: vec![Some(group.to_owned())], dots: dots.iter().map(dot).collect() }
    }

    #[test]
    fn pieces_of_a_dot_add_up_in_any_order() {
        let parts = [
            vec![dots("b", &[(1, 1, 5, "p"), (3, 1, 7, "p")])],
            vec![dots("a", &[(1, 1, 2, "p")]), dots("b", &[(1, 1, 6, "q"), (1, 2, 9, "q")])],
            vec![dots("b", &[(2, 1, 1, "p"), (3, 1, -7, "p")])],
        ];
        let mut both = dots("b", &[(1, 1, 11, ""), (1, 2, 9, "q"), (2, 1, 1, "p"), (3, 1, 0, "p")]);
        both.dots[0].labels = Labels::from_pairs([("zone", "z")]);
        let expected = vec![dots("a", &[(1, 1, 2, "p")]), both];
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
            assert_eq!(merge_heatmaps(order.map(|at| parts[at].clone())), expected);
        }
        let [first, second, third] = parts;
        let nested = merge_heatmaps([merge_heatmaps([third, first]), second]);
        assert_eq!(nested, expected);
        assert_eq!(count_dots(&nested), 5);
    }
}
