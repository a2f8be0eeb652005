//! Which nodes of a tree are drawn, each with its drawn children by name bytes.
//!
//! A million nodes may be cut to eight thousand: everything that sorts or looks at texts sees only those that stay.

use super::{ROOT, Tree};

const NOT_DRAWN: u32 = u32::MAX;

/// Drawn nodes have slots, numbered in the tree's order; the root has slot 0.
#[derive(Debug)]
pub(crate) struct Drawn {
    /// Slot of each node of the tree.
    slots: Vec<u32>,
    /// Where each slot's run of children starts in `runs`, and the end.
    starts: Vec<u32>,
    /// Children, as nodes of the tree.
    runs: Vec<u32>,
}

impl Drawn {
    /// Draws what is kept and whose ancestors are all kept.
    pub(crate) fn new(tree: &Tree, keep: impl Fn(usize) -> bool) -> Self {
        let mut slots = vec![NOT_DRAWN; tree.nodes.len()];
        slots[ROOT as usize] = 0;
        let mut nodes = vec![ROOT];
        for (at, node) in tree.nodes.iter().enumerate().skip(1) {
            if slots[node.parent as usize] != NOT_DRAWN && keep(at) {
                slots[at] = nodes.len() as u32;
                nodes.push(at as u32);
            }
        }
        let parent_slot = |node: u32| slots[tree.nodes[node as usize].parent as usize] as usize;
        let mut starts = vec![0_u32; nodes.len() + 1];
        nodes[1..].iter().for_each(|node| starts[parent_slot(*node) + 1] += 1);
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        let (mut next, mut runs) = (starts.clone(), vec![0_u32; nodes.len() - 1]);
        for &node in &nodes[1..] {
            let place = &mut next[parent_slot(node)];
            runs[*place as usize] = node;
            *place += 1;
        }
        let ranks = ranks(tree, &nodes);
        for pair in starts.windows(2) {
            runs[pair[0] as usize..pair[1] as usize]
                .sort_unstable_by_key(|node| ranks[tree.nodes[*node as usize].name as usize]);
        }
        Self { slots, starts, runs }
    }

    /// How many nodes are drawn, the root among them.
    pub(crate) fn len(&self) -> usize {
        self.runs.len() + 1
    }

    /// The slot of a drawn node.
    pub(crate) fn slot(&self, node: u32) -> usize {
        self.slots[node as usize] as usize
    }

    /// Drawn children of a drawn node, by name bytes.
    pub(crate) fn children(&self, node: u32) -> &[u32] {
        let slot = self.slot(node);
        &self.runs[self.starts[slot] as usize..self.starts[slot + 1] as usize]
    }

    /// For each slot, the sum of the totals of children that are not drawn.
    pub(crate) fn cuts(&self, tree: &Tree, totals: &[i64]) -> Vec<i64> {
        let mut cuts = vec![0_i64; self.len()];
        for (at, node) in tree.nodes.iter().enumerate().skip(1) {
            let parent = self.slots[node.parent as usize];
            if parent != NOT_DRAWN && self.slots[at] == NOT_DRAWN {
                cuts[parent as usize] = cuts[parent as usize].wrapping_add(totals[at]);
            }
        }
        cuts
    }
}

/// Places of name ids in the order of name bytes; of names that none of the nodes has, 0.
fn ranks(tree: &Tree, nodes: &[u32]) -> Vec<u32> {
    let mut ranks = vec![0_u32; tree.names.len()];
    let mut used: Vec<u32> = nodes[1..].iter().map(|node| tree.nodes[*node as usize].name).collect();
    used.retain(|name| std::mem::replace(&mut ranks[*name as usize], 1) == 0);
    used.sort_unstable_by(|left, right| tree.names.get(*left).cmp(tree.names.get(*right)));
    for (rank, name) in used.into_iter().enumerate() {
        ranks[name as usize] = rank as u32;
    }
    ranks
}
