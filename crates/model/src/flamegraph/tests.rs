//! The contract's test vectors.

use super::*;
use crate::flamegraph_diff::FlameGraphDiff;
use crate::tree::Tree;

fn tree(stacks: &[(&str, i64)]) -> Tree {
    let mut tree = Tree::default();
    stacks.iter().for_each(|(stack, value)| tree.add(stack.split(';'), *value));
    tree
}

fn t() -> Tree {
    tree(&[("a;b;c", 1), ("a;b", 2), ("a;d", 300), ("e", 4)])
}

fn check(tree: &Tree, max_nodes: Option<usize>, names: &str, levels: &[&[i64]]) {
    let graph = FlameGraph::new(&tree.view(max_nodes));
    assert_eq!(graph.names.join(" "), names);
    assert_eq!(graph.levels, levels);
}

#[test]
fn graphs_of_the_contract() {
    check(
        &t(),
        None,
        "total e a d b c",
        &[&[0, 307, 0, 0], &[0, 303, 0, 2, 0, 4, 4, 1], &[0, 3, 2, 4, 0, 300, 300, 3], &[2, 1, 1, 5]],
    );
    check(
        &t(),
        Some(3),
        "total e a other d",
        &[&[0, 307, 0, 0], &[0, 303, 0, 2, 0, 4, 4, 1], &[0, 300, 300, 4, 0, 3, 3, 3]],
    );
    check(
        &t(),
        Some(2),
        "total other a d",
        &[&[0, 307, 0, 0], &[0, 303, 0, 2, 0, 4, 4, 1], &[0, 300, 300, 3, 0, 3, 3, 1]],
    );
    check(&Tree::default(), Some(9), "total", &[&[0, 0, 0, 0]]);
    assert_eq!(FlameGraph::new(&t().view(None)).max_self, 300);
}

fn check_diff(left: &Tree, right: &Tree, max_nodes: Option<usize>, names: &str, levels: &[&[i64]]) -> FlameGraphDiff {
    let graph = FlameGraphDiff::new(left, right, max_nodes).unwrap();
    assert_eq!(graph.names.join(" "), names);
    assert_eq!(graph.levels, levels);
    graph
}

#[test]
fn diffs_of_the_contract() {
    let u = tree(&[("a;b", 8), ("e;f", 16)]);
    let graph = check_diff(
        &t(),
        &u,
        None,
        "total e f a d b c",
        &[
            &[0, 307, 0, 0, 24, 0, 0],
            &[0, 303, 0, 0, 8, 0, 3, 0, 4, 4, 0, 16, 0, 1],
            &[0, 3, 2, 0, 8, 8, 5, 0, 300, 300, 0, 0, 0, 4, 4, 0, 0, 0, 16, 16, 2],
            &[2, 1, 1, 8, 0, 0, 6],
        ],
    );
    assert_eq!((graph.total, graph.max_self, graph.left_ticks, graph.right_ticks), (331, 300, 307, 24));
    check_diff(
        &t(),
        &u,
        Some(3),
        "total other a d",
        &[
            &[0, 307, 0, 0, 24, 0, 0],
            &[0, 303, 0, 0, 8, 0, 2, 0, 4, 4, 0, 16, 16, 1],
            &[0, 300, 300, 0, 0, 0, 3, 0, 3, 3, 0, 8, 8, 1],
        ],
    );
    let empty = Tree::default();
    check_diff(&empty, &empty, None, "total", &[&[0, 0, 0, 0, 0, 0, 0]]);
    let (l, r) = (tree(&[("a;b", 1), ("a;c", 2)]), tree(&[("a;b", 4), ("a;c", 8)]));
    check_diff(
        &l,
        &r,
        None,
        "total a c b",
        &[&[0, 3, 0, 0, 12, 0, 0], &[0, 3, 0, 0, 12, 0, 1], &[0, 1, 1, 0, 4, 4, 3, 0, 2, 2, 0, 8, 8, 2]],
    );
    let cut = FlameGraphDiff::new(&l, &r, Some(2)).unwrap();
    assert_eq!((cut.names.join(" ").as_str(), cut.max_self), ("total a other", 12));
}
