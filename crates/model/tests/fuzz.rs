//! Mutated selectors, patterns and tree bytes: an error or an answer, and the answer survives being written and read again.

use flamelake_model::Labels;
use flamelake_model::flamegraph::FlameGraph;
use flamelake_model::flamegraph_diff::FlameGraphDiff;
use flamelake_model::selector::{MatchOp, Matcher, Selector};
use flamelake_model::tree::Tree;
use flamelake_testkit::fuzz;

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn label_sets() -> [Labels; 3] {
    [
        Labels::default(),
        Labels::from_pairs([("service_name", "shop"), ("pod", "a-1"), ("zone", "")]),
        Labels::from_pairs([("service_name", "ü\n\"\\"), ("a.b", "x"), ("__name__", "process_cpu")]),
    ]
}

#[test]
fn fuzz_selector() {
    let corpus = texts(&[
        "{}",
        "{service_name=\"shop\"}",
        "process_cpu{service_name=~\"a|b|shop.*\", pod!=\"x\", zone!~'[a-z]+'}",
        "{\"a.b\"=`raw\\d`, \"process_cpu\"} # comment",
        "{a=\"\\x41\\u00e9\\U0001F600\\t\\\"\\101\"}",
        "{a=~\"(?i)x{2,3}\\\\pL[[:alpha:]\\\\d-]+\\\\Q.\\\\E\",}",
    ]);
    let sets = label_sets();
    fuzz::run("selector", &corpus, |bytes| {
        let Ok(selector) = Selector::parse(&String::from_utf8_lossy(bytes)) else { return };
        let written = selector.to_string();
        let again = Selector::parse(&written).unwrap_or_else(|error| panic!("{written}: {error}"));
        assert_eq!(again, selector, "{written}");
        for labels in &sets {
            assert_eq!(again.matches(labels), selector.matches(labels), "{written}");
            let service = labels.value_or_empty("service_name");
            // What matches, its partition's name must admit.
            assert!(!selector.matches(labels) || selector.admits("service_name", service), "{written}");
        }
    });
}

#[test]
fn fuzz_regex() {
    let corpus = texts(&[
        "a|b\\.c|",
        "(?i:foo)(?P<x>bar)?(?:z)*?",
        "[^\\d\\s\\]-]+[[:^digit:]_][a&&b~~c--d]",
        "\\Qa.b*\\E+\\x{1F600}\\101\\pL\\P{Greek}\\p{^Greek}",
        "(a{1,9}){0,9}.*\\bx\\B^$",
        "((((((((((a))))))))))",
    ]);
    fuzz::run("regex", &corpus, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let Ok(matches) = Matcher::new("a", MatchOp::Matches, &text) else { return };
        let not = Matcher::new("a", MatchOp::MatchesNot, &text).expect("the same pattern");
        for value in ["", "a", "foobar", "ü\n", "a.b*b*", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"] {
            assert_ne!(matches.matches_value(value), not.matches_value(value), "{text} on {value:?}");
        }
    });
}

fn tree(folded: &[(&str, i64)]) -> Tree {
    let mut tree = Tree::new();
    folded.iter().for_each(|(stack, value)| tree.add(stack.split(';'), *value));
    tree
}

fn trees() -> [Tree; 4] {
    [
        Tree::new(),
        tree(&[("main;a;b", 3), ("main;a", 2), ("main;other", 1), ("other", 9)]),
        tree(&[("ü;z z", i64::MAX), ("ü", i64::MIN), ("x", -1), ("x;y;x;y;x;y", 5)]),
        tree(&[("a;a;a;a;a;a;a;a;a;a;a;a", 1), ("b", 1), ("c", 1), ("d;e;f", 7)]),
    ]
}

/// All that is done with a tree that came from elsewhere.
fn use_tree(tree: &Tree) {
    for max_nodes in [None, Some(2)] {
        let view = tree.view(max_nodes);
        view.to_bytes();
        FlameGraph::new(&view);
    }
    // Negative sums are refused, which is an answer too.
    let _ = FlameGraphDiff::new(tree, &trees()[1], None);
}

#[test]
fn fuzz_tree() {
    let corpus: Vec<Vec<u8>> = trees().iter().map(Tree::encode).collect();
    let before = trees()[1].clone();
    fuzz::run("tree", &corpus, |bytes| {
        let mut merged = before.clone();
        let done = merged.merge_encoded(bytes);
        let Ok(tree) = Tree::decode(bytes) else {
            assert!(done.is_err());
            assert_eq!(merged, before, "an error changes nothing");
            return;
        };
        let mut same = before.clone();
        same.merge(&tree);
        assert_eq!((done, &merged), (Ok(()), &same));
        assert_eq!(Tree::decode(&tree.encode()).as_ref(), Ok(&tree));
        use_tree(&tree);
    });
}

#[test]
fn fuzz_tree_bytes() {
    let corpus: Vec<Vec<u8>> = trees().iter().map(|tree| tree.view(None).to_bytes()).collect();
    fuzz::run("tree bytes", &corpus, |bytes| {
        let Ok(tree) = Tree::from_bytes(bytes) else { return };
        assert_eq!(Tree::decode(&tree.encode()).as_ref(), Ok(&tree));
        use_tree(&tree);
    });
}
