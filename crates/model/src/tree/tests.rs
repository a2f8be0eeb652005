//! The contract's test vectors.

use super::*;

fn tree(stacks: &[(&str, i64)]) -> Tree {
    let mut tree = Tree::default();
    stacks.iter().for_each(|(stack, value)| tree.add(stack.split(';'), *value));
    tree
}

fn t() -> Tree {
    tree(&[("a;b;c", 1), ("a;b", 2), ("a;d", 300), ("e", 4)])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn bytes_of_the_contract() {
    assert_eq!(hex(&t().view(None).to_bytes()), "00000201650400016100020164ac02000162020101630100");
    assert_eq!(hex(&t().view(Some(3)).to_bytes()), "0000020165040001610002056f7468657203000164ac0200");
    assert_eq!(hex(&t().view(Some(2)).to_bytes()), "000002056f74686572040001610002056f7468657203000164ac0200");
    assert_eq!(hex(&Tree::default().view(None).to_bytes()), "");
}

#[test]
fn merging_is_the_sum_of_paths() {
    let mut merged = t();
    merged.merge(&tree(&[("a;b", 8), ("e;f", 16)]));
    let mut other_way = tree(&[("e;f", 16), ("a;b", 8)]);
    other_way.merge(&t());
    assert_eq!(merged, other_way);
    assert_eq!(merged, tree(&[("a;b;c", 1), ("a;b", 10), ("a;d", 300), ("e", 4), ("e;f", 16)]));
    assert_eq!(merged.total(), 331);
}

#[test]
fn foreign_nodes_are_merged_by_name() {
    let mut merged = Tree::default();
    merged.merge_nodes([(5, 0, "a", 0), (7, 5, "b", 3), (9, 8, "lost", 1)].into_iter());
    assert_eq!(merged, tree(&[("a;b", 3)]));
}

#[test]
fn a_heavy_other_keeps_its_children_and_takes_what_is_cut() {
    let tree = tree(&[("a;other;x", 50), ("a;b", 1), ("a;z", 40)]);
    let view = tree.view(Some(4));
    let a = &view.children(&view.nodes()[0])[0];
    let names: Vec<(&str, i64, i64)> = view.children(a).iter().map(|node| (node.name, node.value, node.total)).collect();
    assert_eq!(names, [("z", 0 + 40, 40), ("other", 1, 51)]);
}
