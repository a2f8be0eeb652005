//! Text → what it matches.

use super::*;

fn matches(selector: &str, labels: &[(&str, &str)]) -> bool {
    Selector::parse(selector).unwrap().matches(&Labels::from_pairs(labels.iter().copied()))
}

#[test]
fn everything_and_nothing() {
    assert!(matches("{}", &[("a", "b")]));
    assert!(Selector::parse("{ # all\n }").unwrap().is_empty());
    assert!(Selector::parse("").is_err());
}

#[test]
fn operators() {
    for (selector, b, c, missing) in [
        ("{a=\"b\"}", true, false, false),
        ("{a!=\"b\"}", false, true, true),
        ("{a=~\"b|d\"}", true, false, false),
        ("{a!~\"b|d\"}", false, true, true),
        ("{a=\"\"}", false, false, true),
        ("{a!=\"\"}", true, true, false),
        ("{a=~\".*\"}", true, true, true),
        ("{a=~\".+\"}", true, true, false),
    ] {
        let seen = [matches(selector, &[("a", "b")]), matches(selector, &[("a", "c")]), matches(selector, &[])];
        assert_eq!(seen, [b, c, missing], "{selector}");
    }
}

#[test]
fn regexes_are_anchored_and_the_dot_takes_newlines() {
    assert!(!matches("{a=~\"b\"}", &[("a", "abc")]));
    assert!(!matches("{a=~\"a|b\"}", &[("a", "ab")]));
    assert!(matches("{a=~\"x.y\"}", &[("a", "x\ny")]));
    assert!(!matches("{a=~\"B\"}", &[("a", "b")]));
}

#[test]
fn names_strings_and_space() {
    assert!(matches("process_cpu{pod='p1',}", &[("__name__", "process_cpu"), ("pod", "p1")]));
    assert!(matches("a:b", &[("__name__", "a:b")]));
    assert!(matches("{\"a.b\"=`c\\d`}", &[("a.b", "c\\d")]));
    assert!(matches("{\"process_cpu\"}", &[("__name__", "process_cpu")]));
    assert!(matches("{a=\"\\x41\\u00e9\\t\\\"\\101\"}", &[("a", "A\u{e9}\t\"A")]));
    assert!(matches(" {  a = \"1\" , # no\n b=\"2\" } ", &[("a", "1"), ("b", "2")]));
    assert!(!matches("{a=\"1\",a=\"2\"}", &[("a", "1")]), "duplicates are ANDed");
}

#[test]
fn mistakes() {
    for bad in [
        "",
        "{",
        "}",
        "{a}",
        "{a=\"b\"",
        "{a=b}",
        "{a=~\"(\"}",
        "{a=~\"a)(b\"}",
        "offset 5m",
        "{a=\"b\"} offset 5m",
        "rate({})",
        "{a==\"b\"}",
        "{a=\"b\",,}",
        "{,}",
        "{a=\"b\"}{c=\"d\"}",
        "not a selector",
        "{a=\"b\"}[5m]",
        "{a=\"b\"} @ 1",
        "{1a=\"b\"}",
        "{a=\"b}",
        "{a=\"\\q\"}",
        "{a=\"\\xff\"}",
        "x{__name__=\"x\"}",
        "{a:b=\"c\"}",
        "5",
    ] {
        let error = Selector::parse(bad).unwrap_err();
        assert_eq!(error.code, crate::ErrorCode::InvalidArgument, "{bad:?}");
    }
}

#[test]
fn partitions_are_admitted_by_one_label() {
    let selector = Selector::parse("{service_name=~\"a|b\",pod=\"p\"}").unwrap();
    assert!(selector.admits("service_name", "a"));
    assert!(!selector.admits("service_name", "c"));
    assert!(selector.admits("zone", "anything"));
}

#[test]
fn texts_parse_back() {
    for text in ["{}", "{a=\"b\"}", "x{\"a b\"!~\"c\\\\d\\\"\\n\"}"] {
        let selector = Selector::parse(text).unwrap();
        assert_eq!(Selector::parse(&selector.to_string()).unwrap(), selector, "{text}");
    }
}
