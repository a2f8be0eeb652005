//! Sums of function nodes to sums of functions, one cell at a time.
//!
//! A function's total in a cell is the sum of what hangs below those of its nodes that have no node of the same name above them: so
//! recursion counts once. Work is proportional to the nodes at and above those that have a sum.

use flamelake_model::function_series::FunctionMatch;
use flamelake_symbols::SymbolSource;

use crate::stack_sums::StackSums;

/// Once one node in this many is met, going through all of them is cheaper than sorting those that were.
const SCAN_SHARE: usize = 16;
/// No slot.
const NONE: u32 = u32::MAX;

/// What one function has in the cell at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FunctionSum {
    /// Name id.
    pub(super) name: u32,
    pub(super) self_value: i64,
    pub(super) total: i64,
}

/// The functions of one partition, and the cell that was folded last.
pub(super) struct Fold<'a> {
    symbols: &'a dyn SymbolSource,
    functions: &'a FunctionMatch,
    /// Of each name id; looked at when it is first met.
    wanted: Vec<Option<bool>>,
    /// Of each node: no node of the same name is above it.
    outermost: Vec<bool>,
    /// Of each node, 0 between cells.
    sums: Vec<i64>,
    /// Of each node, false between cells.
    met: Vec<bool>,
    /// The nodes that were met.
    nodes: Vec<u32>,
    /// Of each name id: its place in `found`, [`NONE`] between cells.
    slots: Vec<u32>,
    /// Of the last cell.
    found: Vec<FunctionSum>,
    total: i64,
}

impl<'a> Fold<'a> {
    pub(super) fn new(symbols: &'a dyn SymbolSource, functions: &'a FunctionMatch) -> Self {
        let (nodes, names) = (symbols.function_node_count() as usize, symbols.name_count() as usize);
        Self {
            symbols,
            functions,
            wanted: vec![None; names],
            outermost: outermost(symbols),
            sums: vec![0; nodes],
            met: vec![false; nodes],
            nodes: Vec::new(),
            slots: vec![NONE; names],
            found: Vec::new(),
            total: 0,
        }
    }

    /// The wanted functions of the last cell.
    pub(super) fn found(&self) -> &[FunctionSum] {
        &self.found
    }

    /// Sum of the last cell over all functions.
    pub(super) fn total(&self) -> i64 {
        self.total
    }

    /// Folds a cell, whose own sums are by function node; tells how many nodes it took.
    pub(super) fn run(&mut self, own: &StackSums) -> usize {
        self.clear();
        own.each(|node, sum| {
            self.total = self.total.wrapping_add(sum);
            self.sums[node as usize] = sum;
            self.meet(node);
            if let Some(found) = self.function(node) {
                found.self_value = sum.wrapping_add(found.self_value);
            }
        });
        self.sort_down();
        let nodes = std::mem::take(&mut self.nodes);
        // Parents have smaller ids, so each node's sum is whole when it is reached.
        for &node in &nodes {
            let sum = std::mem::take(&mut self.sums[node as usize]);
            self.met[node as usize] = false;
            let parent = self.symbols.function_node_parent(node);
            if parent != 0 {
                let above = &mut self.sums[parent as usize];
                *above = above.wrapping_add(sum);
            }
            if self.outermost[node as usize]
                && let Some(found) = self.function(node)
            {
                found.total = found.total.wrapping_add(sum);
            }
        }
        self.nodes = nodes;
        self.nodes.len()
    }

    fn clear(&mut self) {
        for function in self.found.drain(..) {
            self.slots[function.name as usize] = NONE;
        }
        self.nodes.clear();
        self.total = 0;
    }

    /// Notes a node and those above it.
    fn meet(&mut self, node: u32) {
        let mut at = node;
        while at != 0 && !std::mem::replace(&mut self.met[at as usize], true) {
            self.nodes.push(at);
            at = self.symbols.function_node_parent(at);
        }
    }

    /// Puts the nodes that were met in order, the largest id first.
    fn sort_down(&mut self) {
        if self.nodes.len() < self.met.len() / SCAN_SHARE {
            self.nodes.sort_unstable_by_key(|node| std::cmp::Reverse(*node));
            return;
        }
        self.nodes.clear();
        let met = &self.met;
        self.nodes.extend((0..met.len() as u32).rev().filter(|node| met[*node as usize]));
    }

    /// The sums of a node's function, if it is wanted.
    fn function(&mut self, node: u32) -> Option<&mut FunctionSum> {
        let name = self.symbols.function_node_name(node);
        let wanted = self.wanted[name as usize];
        if !wanted.unwrap_or_else(|| {
            let wanted = self.functions.matches(self.symbols.name(name));
            self.wanted[name as usize] = Some(wanted);
            wanted
        }) {
            return None;
        }
        let slot = &mut self.slots[name as usize];
        if *slot == NONE {
            *slot = self.found.len() as u32;
            self.found.push(FunctionSum { name, self_value: 0, total: 0 });
        }
        self.found.get_mut(*slot as usize)
    }
}

/// Of each node: no node of the same name is above it. One walk over the tree, whose nodes need not be in preorder.
fn outermost(symbols: &dyn SymbolSource) -> Vec<bool> {
    let count = symbols.function_node_count();
    let (mut first_child, mut next_sibling) = (vec![NONE; count as usize], vec![NONE; count as usize]);
    for node in (1..count).rev() {
        let first = &mut first_child[symbols.function_node_parent(node) as usize];
        next_sibling[node as usize] = std::mem::replace(first, node);
    }
    // How many nodes of the path have each name.
    let mut above = vec![0_u32; symbols.name_count() as usize];
    let mut outermost = vec![false; count as usize];
    let mut path: Vec<u32> = Vec::new();
    let mut next = first_child.first().copied().unwrap_or(NONE);
    loop {
        if next != NONE {
            let with_same_name = &mut above[symbols.function_node_name(next) as usize];
            outermost[next as usize] = *with_same_name == 0;
            *with_same_name += 1;
            path.push(next);
            next = first_child[next as usize];
        } else if let Some(node) = path.pop() {
            above[symbols.function_node_name(node) as usize] -= 1;
            next = next_sibling[node as usize];
        } else {
            return outermost;
        }
    }
}
