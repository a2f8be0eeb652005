//! Trees of function names with values: the exact sums that flame graphs, tree bytes and diffs are drawn from.
//!
//! A tree is never truncated; [`Tree::view`] cuts once, when it is drawn (promise P8). Merging is associative and commutative:
//! a node is its path of names, its value a wrapping sum. Nodes are stored parents first, so one pass from the back propagates totals.

mod names;
mod numbering;
mod drawn;
mod view;
mod varint;
mod bytes;
mod codec;

use std::collections::BTreeMap;
use std::hash::BuildHasher;

use hashbrown::HashTable;

use self::names::Names;
use self::numbering::Numbering;
use crate::{Coded, ErrorCode};

pub(crate) use self::drawn::Drawn;
pub use self::view::{OTHER, TreeView, ViewNode};

/// Index of the virtual root.
pub const ROOT: u32 = 0;

/// An exact (never truncated) tree of function names.
#[derive(Clone, Debug)]
pub struct Tree {
    nodes: Vec<Node>,
    names: Names,
    /// Nodes by parent and name.
    children: HashTable<u32>,
    hasher: foldhash::fast::RandomState,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    parent: u32,
    name: u32,
    value: i64,
}

/// Bytes that are no tree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed tree at byte {at}: {what}")]
pub struct TreeDecodeError {
    /// Where reading stopped.
    pub at: usize,
    /// What is wrong there.
    pub what: &'static str,
}

impl Coded for TreeDecodeError {
    fn code(&self) -> ErrorCode {
        ErrorCode::DataLoss
    }
}

impl Default for Tree {
    fn default() -> Self {
        Self {
            nodes: vec![Node { parent: ROOT, name: u32::MAX, value: 0 }],
            names: Names::default(),
            children: HashTable::new(),
            hasher: foldhash::fast::RandomState::default(),
        }
    }
}

impl PartialEq for Tree {
    /// Equal paths with equal values, however they were put in.
    fn eq(&self, other: &Self) -> bool {
        self.stacks() == other.stacks()
    }
}

impl Eq for Tree {}

impl Tree {
    /// A tree without nodes.
    pub fn new() -> Self {
        Self::default()
    }

    /// No nodes but the virtual root?
    pub fn is_empty(&self) -> bool {
        self.nodes.len() == 1
    }

    /// Nodes without the virtual root, also those whose values sum to 0 and that are never drawn.
    pub fn len(&self) -> usize {
        self.nodes.len() - 1
    }

    /// Wrapping sum of all values.
    pub fn total(&self) -> i64 {
        self.nodes.iter().fold(0, |sum, node| sum.wrapping_add(node.value))
    }

    /// Adds a value to the end of a path, root first. An empty path is in no tree.
    pub fn add<'a>(&mut self, path: impl IntoIterator<Item = &'a str>, value: i64) {
        let mut node = ROOT;
        for name in path {
            let name = self.names.intern(name);
            node = self.child(node, name);
        }
        if node != ROOT {
            self.add_value(node, value);
        }
    }

    /// Adds nodes of another numbering as `(id, parent, name, value)`, each after its parent; parent 0 is the virtual root.
    /// A node whose parent did not come before it is left out with what hangs below it.
    pub fn merge_nodes<'a>(&mut self, nodes: impl Iterator<Item = (u32, u32, &'a str, i64)>) {
        let mut own = Numbering::default();
        own.set(ROOT, ROOT);
        for (id, parent, name, value) in nodes {
            let Some(parent) = own.get(parent) else { continue };
            let name = self.names.intern(name);
            let node = self.child(parent, name);
            self.add_value(node, value);
            own.set(id, node);
        }
    }

    /// The same with numbered names as `(id, parent, name, value)`: each name's text is asked for once, which makes this the
    /// faster way in.
    pub fn merge_named<'a>(
        &mut self,
        nodes: impl Iterator<Item = (u32, u32, u32, i64)>,
        mut text: impl FnMut(u32) -> &'a str,
    ) {
        let (mut own, mut names) = (Numbering::default(), Numbering::default());
        own.set(ROOT, ROOT);
        for (id, parent, their_name, value) in nodes {
            let Some(parent) = own.get(parent) else { continue };
            let name = names.get(their_name).unwrap_or_else(|| {
                let name = self.names.intern(text(their_name));
                names.set(their_name, name);
                name
            });
            let node = self.child(parent, name);
            self.add_value(node, value);
            own.set(id, node);
        }
    }

    /// Adds all of another tree.
    pub fn merge(&mut self, other: &Self) {
        if self.is_empty() {
            self.clone_from(other);
        } else {
            self.merge_numbered(other);
        }
    }

    /// Adds all of another tree; tells the own number of each of its nodes.
    pub(crate) fn merge_numbered(&mut self, other: &Self) -> Vec<u32> {
        let names: Vec<u32> =
            (0..other.names.len() as u32).map(|name| self.names.intern(other.names.get(name))).collect();
        let mut own = vec![ROOT; other.nodes.len()];
        for (at, node) in other.nodes.iter().enumerate().skip(1) {
            let merged = self.child(own[node.parent as usize], names[node.name as usize]);
            self.add_value(merged, node.value);
            own[at] = merged;
        }
        own
    }

    /// Every path with a value of its own, joined by `;`, in order of text.
    pub fn stacks(&self) -> BTreeMap<String, i64> {
        let mut stacks = BTreeMap::new();
        let mut paths = vec![String::new(); self.nodes.len()];
        for (at, node) in self.nodes.iter().enumerate().skip(1) {
            let above = &paths[node.parent as usize];
            let name = self.names.get(node.name);
            paths[at] = if node.parent == ROOT { name.to_string() } else { format!("{above};{name}") };
            if node.value != 0 {
                let sum = stacks.entry(paths[at].clone()).or_insert(0_i64);
                *sum = sum.wrapping_add(node.value);
            }
        }
        stacks
    }

    /// Nodes as `(parent, name, value)`, each after its parent; numbered from 1, parent 0 is the virtual root.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &str, i64)> {
        self.nodes.iter().skip(1).map(|node| (node.parent, self.names.get(node.name), node.value))
    }

    /// The tree as it is drawn: children sorted, and cut to `max_nodes` unless that is `None`.
    pub fn view(&self, max_nodes: Option<usize>) -> TreeView<'_> {
        TreeView::new(self, max_nodes)
    }

    fn add_value(&mut self, node: u32, value: i64) {
        let sum = &mut self.nodes[node as usize].value;
        *sum = sum.wrapping_add(value);
    }

    fn child(&mut self, parent: u32, name: u32) -> u32 {
        let Self { nodes, children, hasher, .. } = self;
        let key = |node: u32| (nodes[node as usize].parent, nodes[node as usize].name);
        let hash = hasher.hash_one((parent, name));
        if let Some(child) = children.find(hash, |child| key(*child) == (parent, name)) {
            return *child;
        }
        let new = u32::try_from(nodes.len()).expect("a tree that fits in memory has fewer than 2^32 nodes");
        children.insert_unique(hash, new, |child| hasher.hash_one(key(*child)));
        nodes.push(Node { parent, name, value: 0 });
        new
    }

    /// Has each node a value other than 0 at or below it?
    fn live(&self) -> Vec<bool> {
        let mut live: Vec<bool> = self.nodes.iter().map(|node| node.value != 0).collect();
        for at in (1..self.nodes.len()).rev().filter(|at| self.nodes[*at].parent != ROOT) {
            live[self.nodes[at].parent as usize] |= live[at];
        }
        live
    }

    /// Value of each node with all below it.
    fn totals(&self) -> Vec<i64> {
        self.totals_of(self.values())
    }

    /// Own values of all nodes.
    pub(crate) fn values(&self) -> Vec<i64> {
        self.nodes.iter().map(|node| node.value).collect()
    }

    /// The same for other values of the same nodes.
    pub(crate) fn totals_of(&self, mut totals: Vec<i64>) -> Vec<i64> {
        for at in (1..self.nodes.len()).rev() {
            let parent = self.nodes[at].parent as usize;
            totals[parent] = totals[parent].wrapping_add(totals[at]);
        }
        totals
    }

    pub(crate) fn name_of(&self, node: u32) -> &str {
        if node == ROOT { "" } else { self.names.get(self.nodes[node as usize].name) }
    }
}

/// The n-th largest of the totals, when there are more than n: what is below it is cut, what equals it stays.
/// Nodes with a total of 0 are never drawn and do not count.
pub(crate) fn threshold(totals: &[i64], max_nodes: Option<usize>) -> i64 {
    let Some(max) = max_nodes.filter(|max| *max > 0 && totals.len() > *max) else { return i64::MIN };
    let mut totals: Vec<i64> = totals.iter().copied().filter(|total| *total != 0).collect();
    if totals.len() <= max {
        return i64::MIN;
    }
    let (_, nth, _) = totals.select_nth_unstable_by(max - 1, |left, right| right.cmp(left));
    *nth
}

#[cfg(test)]
mod tests;
