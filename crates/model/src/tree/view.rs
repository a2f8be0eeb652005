//! A tree as it is drawn: sorted, cut once by the threshold rule (contract `query.md` section 5).

use super::{ROOT, Tree, threshold};

/// What cut siblings are summed into.
pub const OTHER: &str = "other";

/// One node as it is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ViewNode<'a> {
    /// The function; empty for the virtual root.
    pub name: &'a str,
    /// Its own value, with what was cut beside a real `other`.
    pub value: i64,
    /// With all below it.
    pub total: i64,
    /// First of its children in [`TreeView::nodes`]; they follow each other.
    pub children_start: u32,
    /// How many children are drawn.
    pub children_len: u32,
}

/// A sorted and cut tree. Nodes lie breadth first: level by level, siblings in the order they are drawn.
#[derive(Clone, Debug)]
pub struct TreeView<'a> {
    nodes: Vec<ViewNode<'a>>,
}

impl<'a> TreeView<'a> {
    pub(super) fn new(tree: &'a Tree, max_nodes: Option<usize>) -> Self {
        let totals = tree.totals();
        let (starts, runs) = tree.children();
        let min = threshold(&totals[1..], max_nodes);
        let root = ViewNode { name: "", value: 0, total: totals[ROOT as usize], children_start: 1, children_len: 0 };
        let (mut nodes, mut sources) = (vec![root], vec![Some(ROOT)]);
        let mut at = 0;
        while at < nodes.len() {
            let children_start = nodes.len() as u32;
            if let Some(source) = sources[at] {
                let all = &runs[starts[source as usize] as usize..starts[source as usize + 1] as usize];
                push_children(tree, &totals, all, min, &mut nodes, &mut sources);
            }
            nodes[at].children_start = children_start;
            nodes[at].children_len = nodes.len() as u32 - children_start;
            at += 1;
        }
        Self { nodes }
    }

    /// All nodes, the virtual root first.
    pub fn nodes(&self) -> &[ViewNode<'a>] {
        &self.nodes
    }

    /// Children of a node in the order they are drawn: by name bytes, `other` last.
    pub fn children(&self, node: &ViewNode<'_>) -> &[ViewNode<'a>] {
        &self.nodes[node.children_start as usize..(node.children_start + node.children_len) as usize]
    }

    /// Indexes of a node's children.
    pub fn child_indexes(&self, node: usize) -> std::ops::Range<usize> {
        let node = &self.nodes[node];
        node.children_start as usize..(node.children_start + node.children_len) as usize
    }
}

fn push_children<'a>(
    tree: &'a Tree,
    totals: &[i64],
    all: &[u32],
    min: i64,
    nodes: &mut Vec<ViewNode<'a>>,
    sources: &mut Vec<Option<u32>>,
) {
    let node = |at: u32, more: i64| ViewNode {
        name: tree.name_of(at),
        value: tree.nodes[at as usize].value.wrapping_add(more),
        total: totals[at as usize].wrapping_add(more),
        children_start: 0,
        children_len: 0,
    };
    let (mut cut, mut any_cut, mut real_other) = (0_i64, false, None);
    for &child in all {
        if totals[child as usize] < min {
            cut = cut.wrapping_add(totals[child as usize]);
            any_cut = true;
        } else if tree.name_of(child) == OTHER {
            real_other = Some(child);
        } else {
            nodes.push(node(child, 0));
            sources.push(Some(child));
        }
    }
    if let Some(other) = real_other {
        nodes.push(node(other, cut));
        sources.push(Some(other));
    } else if any_cut {
        nodes.push(ViewNode { name: OTHER, value: cut, total: cut, children_start: 0, children_len: 0 });
        sources.push(None);
    }
}
