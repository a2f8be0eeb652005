//! Two exact trees side by side, cut once and laid out (contract `query.md` section 6, Diff).

use crate::StatusError;
use crate::flamegraph::Names;
use crate::tree::{Drawn, OTHER, ROOT, Tree, threshold};

/// Bars level by level; level 0 is the virtual root, named `total`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlameGraphDiff {
    /// Function names; bars name them by index.
    pub names: Vec<String>,
    /// Seven numbers a bar: left offset, total, self; the same of the right side; name.
    pub levels: Vec<Vec<i64>>,
    /// Both sides' totals summed.
    pub total: i64,
    /// Largest self value of both sides.
    pub max_self: i64,
    /// The left side's total.
    pub left_ticks: i64,
    /// The right side's total.
    pub right_ticks: i64,
}

/// Total and self of one side of a bar.
#[derive(Clone, Copy, Default)]
struct Side {
    total: i64,
    value: i64,
}

struct Bar<'a> {
    name: &'a str,
    sides: [Side; 2],
    children: std::ops::Range<usize>,
}

impl FlameGraphDiff {
    /// Aligns both trees by name and draws them, cut to `max_nodes` unless that is `None`. `invalid_argument` on negative values.
    pub fn new(left: &Tree, right: &Tree, max_nodes: Option<usize>) -> Result<Self, StatusError> {
        let mut union = Tree::default();
        let sides = [left, right].map(|side| (union.merge_numbered(side), side.values()));
        let values = sides.map(|(own, values)| {
            let mut placed = vec![0; union.len() + 1];
            own.iter().zip(values).for_each(|(at, value)| placed[*at as usize] = value);
            placed
        });
        if values.iter().flatten().any(|value| *value < 0) {
            return Err(StatusError::invalid_argument("a diff of negative values cannot be drawn"));
        }
        let totals = values.clone().map(|values| union.totals_of(values));
        Ok(draw(&bars(&union, &values, &totals, max_nodes)))
    }
}

fn bars<'a>(union: &'a Tree, values: &[Vec<i64>; 2], totals: &[Vec<i64>; 2], max_nodes: Option<usize>) -> Vec<Bar<'a>> {
    let heavier: Vec<i64> = totals[0].iter().zip(&totals[1]).map(|(left, right)| *left.max(right)).collect();
    let min = threshold(&heavier, max_nodes);
    let drawn = Drawn::new(union, |node| heavier[node] != 0 && heavier[node] >= min);
    let cuts = [0, 1].map(|side: usize| drawn.cuts(union, &totals[side]));
    let bar = |at: u32| Bar {
        name: union.name_of(at),
        sides: [0, 1].map(|side| Side { total: totals[side][at as usize], value: values[side][at as usize] }),
        children: 0..0,
    };
    let (mut bars, mut sources) = (vec![bar(ROOT)], vec![Some(ROOT)]);
    let mut at = 0;
    while at < bars.len() {
        let start = bars.len();
        if let Some(source) = sources[at] {
            for &child in drawn.children(source) {
                bars.push(bar(child));
                sources.push(Some(child));
            }
            let cut = [0, 1].map(|side: usize| cuts[side][drawn.slot(source)]);
            if cut != [0, 0] {
                bars.push(Bar { name: OTHER, sides: cut.map(|sum| Side { total: sum, value: sum }), children: 0..0 });
                sources.push(None);
            }
        }
        bars[at].children = start..bars.len();
        at += 1;
    }
    bars
}

fn draw(bars: &[Bar<'_>]) -> FlameGraphDiff {
    let names = Names::of(bars.len(), |at| bars[at].name, |at| bars[at].children.clone());
    let [left, right] = bars[0].sides.map(|side| side.total);
    let mut graph = FlameGraphDiff {
        names: names.texts,
        levels: Vec::new(),
        total: left.wrapping_add(right),
        max_self: 0,
        left_ticks: left,
        right_ticks: right,
    };
    let (mut lefts, mut depths, mut rights) = (vec![[0_i64; 2]; bars.len()], vec![0_usize; bars.len()], Vec::new());
    for (at, bar) in bars.iter().enumerate() {
        let depth = depths[at];
        if depth == graph.levels.len() {
            graph.levels.push(Vec::new());
            rights.push([0_i64; 2]);
        }
        for (side, numbers) in bar.sides.iter().enumerate() {
            let offset = lefts[at][side].wrapping_sub(rights[depth][side]);
            graph.levels[depth].extend([offset, numbers.total, numbers.value]);
            rights[depth][side] = lefts[at][side].wrapping_add(numbers.total);
            graph.max_self = graph.max_self.max(numbers.value);
        }
        graph.levels[depth].push(names.indexes[at]);
        let mut next = [0, 1].map(|side| lefts[at][side].wrapping_add(bar.sides[side].value));
        for child in bar.children.clone() {
            (lefts[child], depths[child]) = (next, depth + 1);
            next = [0, 1].map(|side| next[side].wrapping_add(bars[child].sides[side].total));
        }
    }
    graph
}
