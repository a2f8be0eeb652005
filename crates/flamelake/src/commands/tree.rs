//! A flame graph as it comes over the wire (levels of bars, contract `query.md` section 6) as a tree again.

use std::collections::{BTreeMap, HashSet};

use anyhow::{Context as _, ensure};
use flamelake_api::querier::v1::FlameGraph;

/// Values of a bar: x offset to the end of the bar before, total, self, name.
const BAR: usize = 4;

/// Nodes in the order of their levels; 0 is the root `total`.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) nodes: Vec<Node>,
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) total: i64,
    pub(super) own: i64,
    pub(super) children: Vec<usize>,
    start: i64,
}

impl Tree {
    pub(super) fn of(graph: &FlameGraph) -> anyhow::Result<Self> {
        let mut tree = Self::default();
        let mut above = 0..0;
        for level in &graph.levels {
            let first = tree.nodes.len();
            tree.add_level(&level.values, &graph.names, above)?;
            above = first..tree.nodes.len();
        }
        Ok(tree)
    }

    fn add_level(&mut self, values: &[i64], names: &[String], mut above: std::ops::Range<usize>) -> anyhow::Result<()> {
        ensure!(values.len().is_multiple_of(BAR), "a level has {} values", values.len());
        let mut x = 0_i64;
        for bar in values.chunks_exact(BAR) {
            let start = x.saturating_add(bar[0]);
            x = start.saturating_add(bar[1]);
            let name = usize::try_from(bar[3]).ok().and_then(|name| names.get(name)).context("a bar has no name")?;
            let id = self.nodes.len();
            if id > 0 {
                // Bars stand in the order of their parents.
                while above.start < above.end && self.end(above.start) <= start {
                    above.start += 1;
                }
                ensure!(above.start < above.end, "a bar has no parent");
                self.nodes[above.start].children.push(id);
            }
            self.nodes.push(Node { name: name.clone(), total: bar[1], own: bar[2], children: Vec::new(), start });
        }
        Ok(())
    }

    fn end(&self, node: usize) -> i64 {
        self.nodes[node].start.saturating_add(self.nodes[node].total)
    }

    /// The sum of all.
    pub(super) fn total(&self) -> i64 {
        self.nodes.first().map_or(0, |root| root.total)
    }

    /// Own and whole cost of each function. Recursion counts once.
    pub(super) fn functions(&self) -> BTreeMap<&str, (i64, i64)> {
        let mut functions: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
        let mut path: HashSet<&str> = HashSet::new();
        // With what is to be done after a node's children: stacks may be deeper than ours.
        let mut todo: Vec<(usize, bool)> = self.roots().map(|root| (root, true)).collect();
        while let Some((id, fresh)) = todo.pop() {
            let node = &self.nodes[id];
            if !fresh {
                path.remove(node.name.as_str());
                continue;
            }
            let cost = functions.entry(&node.name).or_default();
            cost.0 += node.own;
            if path.insert(&node.name) {
                cost.1 += node.total;
                todo.push((id, false));
            }
            todo.extend(node.children.iter().map(|child| (*child, true)));
        }
        functions
    }

    fn roots(&self) -> impl Iterator<Item = usize> {
        self.nodes.first().into_iter().flat_map(|root| root.children.iter().copied())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use flamelake_api::querier::v1::Level;

    use super::*;

    /// FlameGraph(T) of the contract: a;b;c 1, a;b 2, a;d 300, e 4.
    pub(in super::super) fn example() -> Tree {
        let level = |values: &[i64]| Level { values: values.to_vec() };
        Tree::of(&FlameGraph {
            names: ["total", "e", "a", "d", "b", "c"].map(str::to_owned).into(),
            levels: vec![
                level(&[0, 307, 0, 0]),
                level(&[0, 303, 0, 2, 0, 4, 4, 1]),
                level(&[0, 3, 2, 4, 0, 300, 300, 3]),
                level(&[2, 1, 1, 5]),
            ],
            total: 307,
            max_self: 300,
        })
        .unwrap()
    }

    #[test]
    fn bars_find_their_parents() {
        let tree = example();
        let edges: Vec<_> = tree
            .nodes
            .iter()
            .flat_map(|node| node.children.iter().map(|child| format!("{}>{}", node.name, tree.nodes[*child].name)))
            .collect();
        assert_eq!(edges, ["total>a", "total>e", "a>b", "a>d", "b>c"]);
    }

    #[test]
    fn recursion_counts_once() {
        let level = |values: &[i64]| Level { values: values.to_vec() };
        let graph = FlameGraph {
            names: ["total", "a", "b"].map(str::to_owned).into(),
            levels: vec![level(&[0, 6, 0, 0]), level(&[0, 6, 1, 1]), level(&[1, 5, 2, 2]), level(&[3, 3, 3, 1])],
            ..FlameGraph::default()
        };
        let tree = Tree::of(&graph).unwrap();
        assert_eq!(tree.functions(), [("a", (4, 6)), ("b", (2, 5))].into());
    }

    #[test]
    fn nonsense_is_an_error() {
        for values in [vec![1, 2, 3], vec![0, 1, 1, 9], vec![0, 1, 1, -1]] {
            let graph =
                FlameGraph { names: vec!["total".to_owned()], levels: vec![Level { values }], ..FlameGraph::default() };
            assert!(Tree::of(&graph).is_err());
        }
    }
}
