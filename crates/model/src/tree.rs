//! Trees of function names with values: the exact sums that flame graphs, tree bytes and diffs are drawn from.
//!
//! A tree is never truncated; [`Tree::view`] cuts once, when it is drawn (promise P8). Merging is associative and commutative:
//! a node is its path of names, its value a wrapping sum. Nodes are stored parents first, so one pass from the back propagates totals.

mod view;
mod bytes;

use std::collections::HashMap;
use std::sync::Arc;

pub use self::view::{OTHER, TreeView, ViewNode};

/// Index of the virtual root.
pub const ROOT: u32 = 0;

/// An exact (never truncated) tree of function names.
#[derive(Clone, Debug)]
pub struct Tree {
    nodes: Vec<Node>,
    names: Vec<Arc<str>>,
    name_ids: HashMap<Arc<str>, u32, foldhash::fast::FixedState>,
    children: HashMap<(u32, u32), u32, foldhash::fast::FixedState>,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    parent: u32,
    name: u32,
    value: i64,
}

impl Default for Tree {
    fn default() -> Self {
        Self {
            nodes: vec![Node { parent: ROOT, name: u32::MAX, value: 0 }],
            names: Vec::new(),
            name_ids: HashMap::default(),
            children: HashMap::default(),
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
    /// No nodes but the virtual root?
    pub fn is_empty(&self) -> bool {
        self.nodes.len() == 1
    }

    /// Nodes without the virtual root.
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
            let name = self.name_id(name);
            node = self.child(node, name);
        }
        if node != ROOT {
            self.add_value(node, value);
        }
    }

    /// Adds nodes of another numbering as `(id, parent, name, value)`, each after its parent; parent 0 is the virtual root.
    /// A node whose parent did not come before it is left out with what hangs below it.
    pub fn merge_nodes<'a>(&mut self, nodes: impl Iterator<Item = (u32, u32, &'a str, i64)>) {
        let mut own: HashMap<u32, u32, foldhash::fast::FixedState> = HashMap::default();
        own.insert(ROOT, ROOT);
        for (id, parent, name, value) in nodes {
            let Some(&parent) = own.get(&parent) else { continue };
            let name = self.name_id(name);
            let node = self.child(parent, name);
            self.add_value(node, value);
            own.insert(id, node);
        }
    }

    /// Adds all of another tree.
    pub fn merge(&mut self, other: &Self) {
        self.merge_numbered(other);
    }

    /// Adds all of another tree; tells the own number of each of its nodes.
    pub(crate) fn merge_numbered(&mut self, other: &Self) -> Vec<u32> {
        let names: Vec<u32> = other.names.iter().map(|name| self.name_id(name)).collect();
        let mut own = vec![ROOT; other.nodes.len()];
        for (at, node) in other.nodes.iter().enumerate().skip(1) {
            let merged = self.child(own[node.parent as usize], names[node.name as usize]);
            self.add_value(merged, node.value);
            own[at] = merged;
        }
        own
    }

    /// Every path with a value of its own, joined by `;`, in order of text.
    pub fn stacks(&self) -> std::collections::BTreeMap<String, i64> {
        let mut stacks = std::collections::BTreeMap::new();
        let mut paths = vec![String::new(); self.nodes.len()];
        for (at, node) in self.nodes.iter().enumerate().skip(1) {
            let above = &paths[node.parent as usize];
            let name = &self.names[node.name as usize];
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
        self.nodes.iter().skip(1).map(|node| (node.parent, &*self.names[node.name as usize], node.value))
    }

    /// The tree as it is drawn: children sorted, and cut to `max_nodes` unless that is `None`.
    pub fn view(&self, max_nodes: Option<usize>) -> TreeView<'_> {
        TreeView::new(self, max_nodes)
    }

    fn add_value(&mut self, node: u32, value: i64) {
        let sum = &mut self.nodes[node as usize].value;
        *sum = sum.wrapping_add(value);
    }

    fn name_id(&mut self, name: &str) -> u32 {
        if let Some(id) = self.name_ids.get(name) {
            return *id;
        }
        let (id, name) = (self.names.len() as u32, Arc::<str>::from(name));
        self.names.push(Arc::clone(&name));
        self.name_ids.insert(name, id);
        id
    }

    fn child(&mut self, parent: u32, name: u32) -> u32 {
        let new = self.nodes.len() as u32;
        let child = *self.children.entry((parent, name)).or_insert(new);
        if child == new {
            self.nodes.push(Node { parent, name, value: 0 });
        }
        child
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
        if node == ROOT { "" } else { &self.names[self.nodes[node as usize].name as usize] }
    }

    /// Children of every node, sorted by name bytes: `(start of each node's run, runs)`.
    pub(crate) fn children(&self) -> (Vec<u32>, Vec<u32>) {
        let mut starts = vec![0_u32; self.nodes.len() + 1];
        for node in &self.nodes[1..] {
            starts[node.parent as usize + 1] += 1;
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        let (mut next, mut runs) = (starts.clone(), vec![0_u32; self.len()]);
        for (at, node) in self.nodes.iter().enumerate().skip(1) {
            let slot = &mut next[node.parent as usize];
            runs[*slot as usize] = at as u32;
            *slot += 1;
        }
        for pair in starts.windows(2) {
            runs[pair[0] as usize..pair[1] as usize].sort_by(|left, right| self.name_of(*left).cmp(self.name_of(*right)));
        }
        (starts, runs)
    }
}

/// The n-th largest of the totals, when there are more than n: what is below it is cut, what equals it stays.
pub(crate) fn threshold(totals: &[i64], max_nodes: Option<usize>) -> i64 {
    match max_nodes {
        Some(max) if max > 0 && totals.len() > max => {
            let mut totals = totals.to_vec();
            let (_, nth, _) = totals.select_nth_unstable_by(max - 1, |left, right| right.cmp(left));
            *nth
        }
        _ => i64::MIN,
    }
}

#[cfg(test)]
mod tests;
