//! A tree as it is drawn: sorted, cut once by the threshold rule (contract `query.md` section 5).

use super::drawn::Drawn;
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
    /// With all below it. Never 0 but for the virtual root of an empty tree.
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
        let min = threshold(&totals[1..], max_nodes);
        let drawn = Drawn::new(tree, |node| totals[node] != 0 && totals[node] >= min);
        let cuts = drawn.cuts(tree, &totals);
        let mut view = Builder { tree, totals: &totals, nodes: Vec::with_capacity(drawn.len()), sources: Vec::new() };
        view.push(ROOT, 0);
        let mut at = 0;
        while at < view.nodes.len() {
            let children_start = view.nodes.len() as u32;
            if let Some(source) = view.sources[at] {
                view.push_children(drawn.children(source), cuts[drawn.slot(source)]);
            }
            view.nodes[at].children_start = children_start;
            view.nodes[at].children_len = view.nodes.len() as u32 - children_start;
            at += 1;
        }
        Self { nodes: view.nodes }
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

/// Nodes drawn so far, with the tree's node that each shows; a leaf made of cut siblings shows none.
struct Builder<'a, 'b> {
    tree: &'a Tree,
    totals: &'b [i64],
    nodes: Vec<ViewNode<'a>>,
    sources: Vec<Option<u32>>,
}

impl Builder<'_, '_> {
    fn push(&mut self, node: u32, more: i64) {
        self.nodes.push(ViewNode {
            name: self.tree.name_of(node),
            value: self.tree.nodes[node as usize].value.wrapping_add(more),
            total: self.totals[node as usize].wrapping_add(more),
            children_start: 0,
            children_len: 0,
        });
        self.sources.push(Some(node));
    }

    /// Draws children in order of names; a real `other` comes last and takes what is cut beside it.
    fn push_children(&mut self, children: &[u32], cut: i64) {
        let real_other = children.iter().copied().find(|child| self.tree.name_of(*child) == OTHER);
        for &child in children.iter().filter(|child| Some(**child) != real_other) {
            self.push(child, 0);
        }
        if let Some(other) = real_other {
            self.push(other, cut);
        } else if cut != 0 {
            self.nodes.push(ViewNode { name: OTHER, value: cut, total: cut, children_start: 0, children_len: 0 });
            self.sources.push(None);
        }
    }
}
