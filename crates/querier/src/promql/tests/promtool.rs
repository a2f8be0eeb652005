//! The same scripts, said by Prometheus: each expectation becomes a unit test of promtool.

use std::fmt::Write as _;
use std::process::Command;

use flamelake_testkit::tools;

use super::script::{Case, Expected, Script, read};
use crate::promql::ast::Span;
use crate::promql::document::Plain;

/// A value of YAML.
fn text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn value(value: f64) -> String {
    Plain(value).to_string()
}

/// Each moment of a case is a test of its own.
fn tests(case: &Case) -> String {
    let Expected::Series { series, .. } = &case.expected else { return String::new() };
    let mut out = String::new();
    for (number, at) in case.steps.iter().enumerate() {
        writeln!(out, "      - expr: {}\n        eval_time: {}", text(&case.query), Span(at)).unwrap();
        let samples =
            series.iter().filter_map(|(metric, values)| Some((metric, values.get(number).copied().flatten()?)));
        let mut lines = String::new();
        for (metric, sample) in samples {
            let metric = if metric.is_empty() { "{}" } else { metric };
            writeln!(lines, "          - labels: {}\n            value: {}", text(metric), value(sample)).unwrap();
        }
        writeln!(out, "        exp_samples:{}\n{lines}", if lines.is_empty() { " []" } else { "" }).unwrap();
    }
    out
}

fn unit_test(script: &Script) -> String {
    let mut out = format!("  - interval: {}\n    input_series:\n", Span(script.step_ms));
    for (metric, values) in &script.series {
        let values: Vec<String> = values.iter().map(|sample| sample.map_or_else(|| "_".to_owned(), value)).collect();
        writeln!(out, "      - series: {}\n        values: {}", text(metric), text(&values.join(" "))).unwrap();
    }
    out.push_str("    promql_expr_test:\n");
    for case in script.cases.iter().filter(|case| !case.ours) {
        out.push_str(&tests(case));
    }
    out
}

#[test]
fn prometheus_says_the_same() {
    let Some(promtool) = tools::program("prometheus_says_the_same", "promtool", &["--version"]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let texts = [
        include_str!("selectors.txt"),
        include_str!("operators.txt"),
        include_str!("aggregations.txt"),
        include_str!("functions.txt"),
        include_str!("over_time.txt"),
    ];
    for (number, text) in texts.into_iter().enumerate() {
        let tests: String = read(text).iter().map(unit_test).collect();
        let file = folder.path().join(format!("{number}.yml"));
        std::fs::write(&file, format!("evaluation_interval: 1m\ntests:\n{tests}")).unwrap();
        let output = Command::new(&promtool).args(["test", "rules"]).arg(&file).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}");
    }
}
