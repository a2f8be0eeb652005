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
    let names: Vec<(&str, i64, i64)> =
        view.children(a).iter().map(|node| (node.name, node.value, node.total)).collect();
    assert_eq!(names, [("z", 40, 40), ("other", 1, 51)]);
}

#[test]
fn nodes_without_value_are_not_drawn() {
    let tree = tree(&[("a;b", 0), ("c;d", 5), ("c;d", -5), ("e", 1), ("f;g", -2), ("f", 2)]);
    let names: Vec<&str> = tree.view(None).nodes().iter().map(|node| node.name).collect();
    assert_eq!(names, ["", "e"]);
    assert_eq!(tree.view(Some(1)).nodes().len(), 2, "what is not drawn does not count");
    assert_eq!(
        hex(&super::Tree::decode(&tree.encode()).unwrap().view(None).to_bytes()),
        "000001016501 00".replace(' ', "")
    );
}

#[test]
fn ties_all_stay_and_a_light_other_joins_what_is_cut() {
    let tree = tree(&[("a", 5), ("b", 5), ("c", 5), ("other;x", 2), ("d", 1)]);
    let view = tree.view(Some(2));
    let drawn: Vec<(&str, i64)> = view.nodes()[1..].iter().map(|node| (node.name, node.value)).collect();
    assert_eq!(drawn, [("a", 5), ("b", 5), ("c", 5), ("other", 3)]);
}

#[test]
fn the_codec_is_what_its_page_says() {
    let bytes = tree(&[("a;b", 1), ("a;b;a", -1), ("c", 64)]).encode();
    assert_eq!(
        hex(&bytes),
        concat!("01", "03", "0161", "0162", "0163", "04", "000000", "000102", "000001", "03028001")
    );
    assert_eq!(Tree::decode(&bytes).unwrap(), tree(&[("a;b", 1), ("a;b;a", -1), ("c", 64)]));
    assert_eq!(hex(&Tree::default().encode()), "010000");
}

#[test]
fn malformed_bytes_are_told_where() {
    for (bytes, what) in [
        (&[][..], "malformed tree at byte 0: it ends too early"),
        (&[2], "malformed tree at byte 1: its version is unknown"),
        (&[1, 9], "malformed tree at byte 2: a count is larger than what follows"),
        (&[1, 1, 1, 0xff, 0], "malformed tree at byte 3: a name is not UTF-8"),
        (&[1, 0, 1, 0, 0, 0], "malformed tree at byte 5: a node has an unknown name"),
        (&[1, 1, 1, b'a', 1, 1, 0, 0], "malformed tree at byte 6: a node lies above the root"),
        (&[1, 0, 0, 0], "malformed tree at byte 3: bytes follow its end"),
    ] {
        assert_eq!(Tree::decode(bytes).unwrap_err().to_string(), what);
    }
    assert!(Tree::from_bytes(&[0]).unwrap().is_empty());
    let overflow = [&[0_u8][..], &[0xff; 10], &[1, 0]].concat();
    assert!(Tree::from_bytes(&overflow).unwrap_err().to_string().contains("longer than 64 bits"));
    assert!(Tree::from_bytes(&[0, 0, 1]).is_err(), "a child is missing");
}

#[test]
fn tree_bytes_are_read_back_and_siblings_stand_by_name() {
    let with_other = tree(&[("a", 1), ("other", 2), ("z", 3)]);
    let bytes = with_other.view(None).to_bytes();
    assert_eq!(hex(&bytes), concat!("000003", "017a0300", "056f746865720200", "01610100"));
    assert_eq!(Tree::from_bytes(&bytes).unwrap(), with_other);
    assert_eq!(Tree::from_bytes(&t().view(None).to_bytes()).unwrap(), t());
}
