//! PLACEHOLDER loadgen
fn main() {}
