//! Flame graphs: a cut tree laid out in levels of bars (contract `query.md` section 6).

use std::collections::HashMap;

use crate::tree::TreeView;

/// Bars level by level. Level 0 is the virtual root, named `total`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlameGraph {
    /// Function names; bars name them by index.
    pub names: Vec<String>,
    /// Four numbers a bar: offset from the bar before it, total, self, name.
    pub levels: Vec<Vec<i64>>,
    /// Sum of all values.
    pub total: i64,
    /// Largest self value.
    pub max_self: i64,
}

impl FlameGraph {
    /// Lays a cut tree out.
    pub fn new(view: &TreeView<'_>) -> Self {
        let nodes = view.nodes();
        let names = Names::of(nodes.len(), |at| nodes[at].name, |at| view.child_indexes(at));
        let mut graph = Self { names: names.texts, levels: Vec::new(), total: nodes[0].total, max_self: 0 };
        let (mut lefts, mut depths, mut rights) = (vec![0_i64; nodes.len()], vec![0_usize; nodes.len()], Vec::new());
        for (at, node) in nodes.iter().enumerate() {
            let depth = depths[at];
            if depth == graph.levels.len() {
                graph.levels.push(Vec::new());
                rights.push(0_i64);
            }
            let offset = lefts[at].wrapping_sub(rights[depth]);
            graph.levels[depth].extend([offset, node.total, node.value, names.indexes[at]]);
            rights[depth] = lefts[at].wrapping_add(node.total);
            graph.max_self = graph.max_self.max(node.value);
            // A bar's own share is on its left, its children stand to the right of it.
            let mut left = lefts[at].wrapping_add(node.value);
            for child in view.child_indexes(at) {
                (lefts[child], depths[child]) = (left, depth + 1);
                left = left.wrapping_add(nodes[child].total);
            }
        }
        graph
    }
}

/// Names in the order in which a walk meets them that visits siblings from last to first; the empty name is `total`.
pub(crate) struct Names {
    pub(crate) texts: Vec<String>,
    /// Index into `texts` of each node.
    pub(crate) indexes: Vec<i64>,
}

impl Names {
    pub(crate) fn of<'a>(
        count: usize,
        name: impl Fn(usize) -> &'a str,
        children: impl Fn(usize) -> std::ops::Range<usize>,
    ) -> Self {
        let mut names = Self { texts: vec!["total".to_owned()], indexes: vec![0; count] };
        let mut seen: HashMap<&str, i64, foldhash::fast::RandomState> = HashMap::default();
        seen.extend([("", 0), ("total", 0)]);
        let mut stack = vec![0];
        while let Some(at) = stack.pop() {
            let next = names.texts.len() as i64;
            let index = *seen.entry(name(at)).or_insert(next);
            if index == next {
                names.texts.push(name(at).to_owned());
            }
            names.indexes[at] = index;
            // Pushed first to last, so that the last is visited first.
            stack.extend(children(at));
        }
        names
    }
}

#[cfg(test)]
mod tests;
