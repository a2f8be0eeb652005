//! Texts to trees and back, and what is refused.

use super::*;

/// The canonical text of a query.
fn check(text: &str, expected: &str) {
    let formatted = parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).root.to_string();
    assert_eq!(formatted, expected, "{text}");
    assert_eq!(parse(&formatted).unwrap().root.to_string(), expected, "{text} does not parse back");
}

fn refused(text: &str, part: &str) {
    let error = parse(text).map(|query| query.root.to_string()).unwrap_err();
    assert!(error.message.contains(part), "{text}: {}", error.message);
}

#[test]
fn queries_are_formatted_in_one_way() {
    for (text, expected) in [
        ("x", "x"),
        ("x{}", "x"),
        ("x { a = 'b' , c != \"d\", }", r#"x{a="b",c!="d"}"#),
        (r#"{"a.b"="x", "my.metric"}"#, r#"{"a.b"="x",__name__="my.metric"}"#),
        ("x{on=\"1\",by=\"2\"}", r#"x{on="1",by="2"}"#),
        ("a:b:c", "a:b:c"),
        ("sum by(a,\"b.c\")(x)", r#"sum by (a, "b.c") (x)"#),
        ("sum(x)without(a)", "sum without (a) (x)"),
        ("Sum(x)", "sum(x)"),
        ("topk(5,x)", "topk(5, x)"),
        ("sum", "sum"),
        ("rate(x[5m])/2", "rate(x[5m]) / 2"),
        ("rate(x[90]) # a comment", "rate(x[1m30s])"),
        ("x[1h:5m]", "x[1h:5m]"),
        ("x[1h:]offset 5m@end()", "x[1h:] @ end() offset 5m"),
        ("x offset -1h30m", "x offset -1h30m"),
        ("x @ 12.5", "x @ 12.5"),
        ("a+b*c^d^e", "a + b * c ^ d ^ e"),
        ("-a^b", "-a ^ b"),
        ("-(1)", "-(1)"),
        ("+x", "x"),
        ("a == bool on(b) group_left(c) d", "a == bool on (b) group_left (c) d"),
        ("a and ignoring(b) c or d unless e", "a and ignoring (b) c or d unless e"),
        ("a AND b", "a and b"),
        ("NaN + Inf - inf", "NaN + +Inf - +Inf"),
        ("1e-9", "1e-09"),
        (r"'a\'b\n'", r#""a'b\n""#),
        ("time()", "time()"),
        ("1y2w3d4h5m6s7ms", "33019506.007"),
    ] {
        check(text, expected);
    }
}

#[test]
fn operators_bind_as_in_prometheus() {
    let tree = |text: &str| {
        fn show(expr: &Expr) -> String {
            match expr {
                Expr::Binary(binary) => {
                    format!("({} {} {})", show(&binary.left), binary.op.name(), show(&binary.right))
                }
                Expr::Negated(inner) => format!("-{}", show(inner)),
                other => other.to_string(),
            }
        }
        show(&parse(text).unwrap().root)
    };
    for (text, expected) in [
        ("a + b * c", "(a + (b * c))"),
        ("a * b + c", "((a * b) + c)"),
        ("a - b - c", "((a - b) - c)"),
        ("a ^ b ^ c", "(a ^ (b ^ c))"),
        ("-a ^ b", "-(a ^ b)"),
        ("-a * b", "(-a * b)"),
        ("2 ^ -a * b", "((2 ^ -a) * b)"),
        ("a or b and c", "(a or (b and c))"),
        ("a and b == c + d", "(a and (b == (c + d)))"),
        ("a atan2 b * c", "((a atan2 b) * c)"),
        ("a > b > c", "((a > b) > c)"),
    ] {
        assert_eq!(tree(text), expected, "{text}");
    }
}

#[test]
fn what_is_no_query_is_refused_with_its_place() {
    for (text, part) in [
        ("", "1:1: parse error: unexpected end of input"),
        ("x{", "1:3: parse error: unexpected end of input in label matching"),
        ("x{a}", "expected label matching operator"),
        ("x{a=1}", "unexpected number in label matching, expected string"),
        ("x{a=~\"(\"}", "error parsing regexp"),
        ("x{__name__=\"y\"}", "metric name must not be set twice"),
        ("{}", "at least one non-empty matcher"),
        ("{a=~\".*\"}", "at least one non-empty matcher"),
        ("x y", "unexpected \"y\" in query"),
        ("sum by a (x)", "in grouping"),
        ("(x", "expected \")\""),
        ("x[5]", ""),
        ("x[5m", "in range"),
        ("x[-5m]", "a duration"),
        ("x[5m][5m]", "ranges only allowed for vector selectors"),
        ("x offset 1m[5m]", "no offset and no @ modifiers allowed before range"),
        ("1 offset 5m", "offset modifier must be preceded"),
        ("sum(x) @ 5", "@ modifier must be preceded"),
        ("x offset 1m offset 2m", "multiple times"),
        ("x @ 1 @ 2", "multiple times"),
        ("x @ foo()", "timestamp, start() or end()"),
        ("\"abc", "unterminated string"),
        ("1h1d", "bad number or duration"),
        ("5mm", "bad number or duration"),
        ("0x", "bad number or duration"),
        ("99999999999y", "duration out of range"),
        ("x @ 1e300", "out of bounds"),
        ("x $ y", "unexpected character: '$'"),
        ("-\"a\"", "unary expression only allowed"),
        ("rate(x[5m]) + x[5m]", "only scalar and instant vector"),
        ("\n\nx{a=}", "3:5: parse error"),
    ] {
        if part.is_empty() {
            assert!(parse(text).is_ok(), "{text}");
        } else {
            refused(text, part);
        }
    }
}

#[test]
fn everything_is_bounded() {
    refused(&"(".repeat(60_000), "nested deeper");
    refused(&"-".repeat(60_000), "nested deeper");
    refused(&format!("x{}", "[5m:1m]".repeat(1_000)), "");
    refused(&vec!["x"; 5_000].join("+"), "nested deeper");
    refused(&format!("x{{{}}}", "a=~\"b.\",".repeat(65)), "more than 64 regular expressions");
    refused(&"x".repeat(70_000), "longer than");
    refused(&vec!["max(x)"; 3_000].join(","), "");
}

#[test]
fn fuzz_any_text_parses_or_is_refused() {
    let corpus = [
        r#"sum by (a, "b.c") (rate({"x.y", a=~"b.+"}[5m:1m] @ end() offset -1h)) / 0x1F"#,
        "topk(2, -x ^ 2 == bool on (a) group_left (b) y) or 1e3 atan2 NaN",
        "label_replace(x offset 1y2w, 'a', \"$1\\n\", `b`, '(.*)')",
        "quantile_over_time(0.9, x{a!~\"\"}[1h30m])",
    ]
    .map(|text| text.as_bytes().to_vec());
    flamelake_testkit::fuzz::run("promql", &corpus, |bytes| {
        if let Ok(query) = parse(&String::from_utf8_lossy(bytes)) {
            let text = query.root.to_string();
            let again = parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(again.root.to_string(), text);
        }
    });
}
