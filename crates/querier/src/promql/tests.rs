//! Scripts in the manner of Prometheus' own: samples, expressions, and what they give. Where a Prometheus can be had, its promtool says the same
//! of every line that is not marked `ours`.

mod memory;
mod script;
mod promtool;
mod laws;

use self::script::check;

#[test]
fn selectors() {
    check(include_str!("tests/selectors.txt"));
}

#[test]
fn operators() {
    check(include_str!("tests/operators.txt"));
}

#[test]
fn aggregations() {
    check(include_str!("tests/aggregations.txt"));
}

#[test]
fn functions() {
    check(include_str!("tests/functions.txt"));
}

#[test]
fn over_time() {
    check(include_str!("tests/over_time.txt"));
}
