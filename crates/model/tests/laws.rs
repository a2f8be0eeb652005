//! Laws of trees, layouts and selectors over random input.

use std::collections::BTreeMap;

use flamelake_model::Labels;
use flamelake_model::flamegraph::FlameGraph;
use flamelake_model::flamegraph_diff::FlameGraphDiff;
use flamelake_model::selector::{MatchOp, Matcher, Selector};
use flamelake_model::tree::Tree;
use proptest::prelude::*;

type Stacks = Vec<(Vec<String>, i64)>;

fn stacks(values: std::ops::Range<i64>) -> impl Strategy<Value = Stacks> {
    let name = prop::sample::select(vec!["a", "b", "c", "other", "main", "ü", "z z"]).prop_map(str::to_owned);
    prop::collection::vec((prop::collection::vec(name, 1..6), values), 0..24)
}

fn tree(stacks: &Stacks) -> Tree {
    let mut tree = Tree::new();
    stacks.iter().for_each(|(stack, value)| tree.add(stack.iter().map(String::as_str), *value));
    tree
}

fn merged(left: &Tree, right: &Tree) -> Tree {
    let mut merged = left.clone();
    merged.merge(right);
    merged
}

/// Reads bars as a client does: a bar's parent is the one above it that spans it, right of the parent's own share.
fn read_bars(names: &[String], levels: &[Vec<i64>], width: usize, side: usize) -> Result<Tree, String> {
    let mut tree = Tree::new();
    let mut above: Vec<(i64, i64, Vec<usize>)> = Vec::new();
    for (depth, level) in levels.iter().enumerate() {
        let (mut bars, mut end, mut rights) = (Vec::new(), 0, BTreeMap::new());
        for bar in level.chunks(width) {
            let [offset, total, own] = [0, 1, 2].map(|at| bar[side * 3 + at]);
            let name = usize::try_from(bar[width - 1]).map_err(|error| error.to_string())?;
            names.get(name).ok_or("unknown name")?;
            let left = end + offset;
            if offset < 0 || own < 0 || own > total {
                return Err(format!("bar {bar:?} at depth {depth}"));
            }
            end = left + total;
            if total == 0 {
                continue; // This side of a diff has nothing here.
            }
            let mut path = Vec::new();
            if depth > 0 {
                let parents = above.iter().enumerate();
                let mut fitting = parents.filter(|(_, (from, to, _))| *from <= left && left + total <= *to);
                let (parent, (from, _, above)) = fitting.next().ok_or("no parent")?;
                // Siblings are adjacent, the first one right of the parent's own share.
                if left != *rights.get(&parent).unwrap_or(from) {
                    return Err("a gap between siblings".to_owned());
                }
                rights.insert(parent, left + total);
                path = above.clone();
                path.push(name);
                tree.add(path.iter().map(|at| names[*at].as_str()), own);
            }
            bars.push((left + own, left + total, path));
        }
        above = bars;
    }
    Ok(tree)
}

proptest! {
    #[test]
    fn merging_is_associative_and_commutative(a in stacks(-9..9), b in stacks(-9..9), c in stacks(i64::MIN..i64::MAX)) {
        let (a, b, c) = (tree(&a), tree(&b), tree(&c));
        prop_assert_eq!(merged(&a, &merged(&b, &c)), merged(&merged(&a, &b), &c));
        prop_assert_eq!(merged(&a, &c), merged(&c, &a));
        prop_assert_eq!(merged(&a, &Tree::new()), a);
    }

    #[test]
    fn every_way_in_gives_the_same_tree(stacks in stacks(-9..9)) {
        let tree = tree(&stacks);
        let nodes: Vec<(u32, &str, i64)> = tree.iter().collect();
        let mut by_text = Tree::new();
        by_text.merge_nodes(nodes.iter().zip(1..).map(|((parent, name, value), id)| (id, *parent, *name, *value)));
        prop_assert_eq!(&by_text, &tree);
        let mut by_number = Tree::new();
        // Names numbered by node and nodes far apart: neither needs to be dense.
        let far = |id: u32| id * 30_000_000;
        let numbered = nodes.iter().zip(1..).map(|((parent, _, value), id)| (far(id), far(*parent), id - 1, *value));
        by_number.merge_named(numbered, |name| nodes[name as usize].1);
        prop_assert_eq!(&by_number, &tree);
    }

    #[test]
    fn codecs_read_back_what_they_wrote(signed in stacks(i64::MIN..i64::MAX), positive in stacks(1..99)) {
        let signed = tree(&signed);
        prop_assert_eq!(&Tree::decode(&signed.encode()).unwrap(), &signed);
        let positive = tree(&positive);
        prop_assert_eq!(&Tree::from_bytes(&positive.view(None).to_bytes()).unwrap(), &positive);
    }

    #[test]
    fn decoders_survive_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..80), stacks in stacks(1..9), at in any::<prop::sample::Index>()) {
        let _ = Tree::from_bytes(&bytes);
        let _ = Tree::decode(&bytes);
        // Nearly right ones reach deeper.
        let tree = tree(&stacks);
        for mut good in [tree.encode(), tree.view(None).to_bytes()] {
            if let (false, Some(byte)) = (good.is_empty(), bytes.first()) {
                let at = at.index(good.len());
                good[at] = *byte;
            }
            let _ = Tree::decode(&good);
            let _ = Tree::from_bytes(&good);
        }
    }

    #[test]
    fn a_cut_keeps_totals(stacks in stacks(1..50), max in 1_usize..30) {
        let tree = tree(&stacks);
        let (full, cut) = (tree.view(None), tree.view(Some(max)));
        prop_assert_eq!(full.nodes()[0].total, tree.total());
        prop_assert_eq!(cut.nodes()[0].total, tree.total());
        for (at, node) in cut.nodes().iter().enumerate() {
            let below: i64 = cut.child_indexes(at).map(|child| cut.nodes()[child].total).sum();
            prop_assert_eq!(node.total, node.value + below);
        }
        // Drawn nodes other than `other` are heavier than all that are cut, and carry their full totals.
        if full.nodes().len() - 1 > max {
            let mut totals: Vec<i64> = full.nodes()[1..].iter().map(|node| node.total).collect();
            totals.sort_unstable_by(|left, right| right.cmp(left));
            let heavy = totals.iter().filter(|total| **total >= totals[max - 1]).count();
            let drawn = cut.nodes()[1..].iter().filter(|node| node.total >= totals[max - 1] && node.name != "other").count();
            prop_assert!(drawn <= heavy);
            prop_assert!(cut.nodes().iter().all(|node| node.name == "other" || node.total >= totals[max - 1]));
        } else {
            prop_assert_eq!(cut.nodes(), full.nodes());
        }
    }

    #[test]
    fn flame_graphs_can_be_drawn(stacks in stacks(1..50), max in 1_usize..30) {
        let tree = tree(&stacks);
        let graph = FlameGraph::new(&tree.view(None));
        let drawn = read_bars(&graph.names, &graph.levels, 4, 0).map_err(TestCaseError::fail)?;
        prop_assert_eq!(&drawn, &tree);
        let cut = FlameGraph::new(&tree.view(Some(max)));
        let drawn = read_bars(&cut.names, &cut.levels, 4, 0).map_err(TestCaseError::fail)?;
        prop_assert_eq!(drawn, Tree::from_bytes(&tree.view(Some(max)).to_bytes()).unwrap());
    }

    #[test]
    fn diffs_can_be_drawn(left in stacks(1..50), right in stacks(1..50), max in 1_usize..30) {
        let (left, right) = (tree(&left), tree(&right));
        let graph = FlameGraphDiff::new(&left, &right, None).unwrap();
        let drawn = read_bars(&graph.names, &graph.levels, 7, 0).map_err(TestCaseError::fail)?;
        prop_assert_eq!(&drawn, &left);
        let drawn = read_bars(&graph.names, &graph.levels, 7, 1).map_err(TestCaseError::fail)?;
        prop_assert_eq!(&drawn, &right);
        let cut = FlameGraphDiff::new(&left, &right, Some(max)).unwrap();
        for (side, tree) in [left, right].iter().enumerate() {
            let drawn = read_bars(&cut.names, &cut.levels, 7, side).map_err(TestCaseError::fail)?;
            prop_assert_eq!(drawn.total(), tree.total());
        }
    }

    #[test]
    fn selectors_parse_back(matchers in prop::collection::vec((".{1,6}", 0..4_usize, ".{0,8}"), 0..5)) {
        let ops = [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Matches, MatchOp::MatchesNot];
        // Not every text is a regular expression.
        let matchers = matchers.iter().filter_map(|(name, op, value)| Matcher::new(name, ops[*op], value).ok()).collect();
        let selector = Selector::from_matchers(matchers);
        prop_assert_eq!(Selector::parse(&selector.to_string()).unwrap(), selector);
    }

    #[test]
    fn parsing_never_panics(text in "[{}a=~!\"'`,#\\\\ (.*)\\[\\]0-9QE:^?|-]{0,24}", pattern in "[a(.*)\\[\\]{}1,^?|\\\\dQEpx:-]{0,16}") {
        let _ = Selector::parse(&text);
        if let Ok(matcher) = Matcher::new("a", MatchOp::Matches, &pattern) {
            let _ = matcher.matches_value("a1-(");
        }
    }

    #[test]
    fn lists_of_literals_match_exactly_their_members(literals in prop::collection::vec("[a-c]{0,3}", 1..5), text in "[a-c]{0,3}") {
        let quoted = Matcher::new("a", MatchOp::Matches, &literals.join("|")).unwrap();
        let by_engine = Matcher::new("a", MatchOp::Matches, &format!("(?:{})", literals.join("|"))).unwrap();
        let labels = Labels::from_pairs([("a", &text)]);
        let expected = literals.contains(&text);
        prop_assert_eq!(quoted.matches_value(&text), expected);
        prop_assert_eq!(by_engine.matches_value(&text), expected);
        prop_assert_eq!(Selector::from_matchers(vec![quoted]).matches(&labels), expected);
    }
}
