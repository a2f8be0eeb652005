//! Answers as text for a terminal. Pure: values in, text out.

use std::fmt::Write as _;

use flamelake_api::types::v1::Series;
use serde_json::json;

use super::output::Rows;
use super::tree::Tree;

/// Columns of the bars.
const BAR_COLUMNS: usize = 20;
const EIGHTHS: [char; 8] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];
const SPARKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// May the text have colours?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paint {
    /// A file, a pipe, or a person who does not want them.
    Plain,
    /// A terminal.
    Colours,
}

/// A value in its unit: `1.25s`, `64.0MiB`, `12.3k`.
pub(super) fn value(value: f64, unit: &str) -> String {
    let scale: &[(f64, &str)] = match unit {
        "nanoseconds" => &[(3.6e12, "h"), (6e10, "m"), (1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns")],
        "microseconds" => &[(3.6e9, "h"), (6e7, "m"), (1e6, "s"), (1e3, "ms"), (1.0, "µs")],
        "milliseconds" => &[(3.6e6, "h"), (6e4, "m"), (1e3, "s"), (1.0, "ms")],
        "bytes" => &[(1099511627776.0, "TiB"), (1073741824.0, "GiB"), (1048576.0, "MiB"), (1024.0, "KiB"), (1.0, "B")],
        _ => &[(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, "")],
    };
    let last = scale[scale.len() - 1];
    let (size, name) = scale.iter().find(|(size, _)| value.abs() >= *size).copied().unwrap_or(last);
    let scaled = value / size;
    let digits = if size <= 1.0 && scaled.fract() == 0.0 {
        0
    } else if scaled.abs() < 10.0 {
        2
    } else {
        1
    };
    format!("{scaled:.digits$}{name}")
}

fn percent(part: i64, whole: i64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}

/// A bar of up to [`BAR_COLUMNS`], to the eighth of a column.
fn bar(percent: f64) -> String {
    let eighths = (percent.clamp(0.0, 100.0) / 100.0 * (BAR_COLUMNS * 8) as f64).round() as usize;
    let mut bar: String = std::iter::repeat_n('█', eighths / 8).collect();
    if !eighths.is_multiple_of(8) {
        bar.push(EIGHTHS[eighths % 8 - 1]);
    }
    bar
}

fn colour(percent: f64) -> &'static str {
    match percent {
        50.0.. => "\x1b[31m",
        10.0.. => "\x1b[33m",
        2.0.. => "\x1b[32m",
        _ => "\x1b[2m",
    }
}

/// One line a frame, indented by depth, the heaviest sibling first.
pub(super) fn flamegraph(tree: &Tree, unit: &str, min_percent: f64, depth_max: usize, paint: Paint) -> String {
    let total = tree.total();
    if total == 0 {
        return "no samples\n".to_owned();
    }
    let mut out = String::new();
    for (id, depth) in shown(tree, min_percent, depth_max) {
        let node = &tree.nodes[id];
        let share = percent(node.total, total);
        let bar = match paint {
            Paint::Plain => format!("{:BAR_COLUMNS$}", bar(share)),
            Paint::Colours => format!("{}{:BAR_COLUMNS$}\x1b[0m", colour(share), bar(share)),
        };
        let value = value(node.total as f64, unit);
        let _ = writeln!(out, "{share:5.1}% {value:>8} {bar} {:depth$}{}", "", node.name);
    }
    out
}

/// The frames that are heavy and high enough, with their depth: parents first, the heaviest sibling first.
fn shown(tree: &Tree, min_percent: f64, depth_max: usize) -> Vec<(usize, usize)> {
    let total = tree.total();
    let (mut shown, mut todo) = (Vec::new(), vec![(0_usize, 0_usize)]);
    while let Some((id, depth)) = todo.pop() {
        shown.push((id, depth));
        let mut children: Vec<usize> = tree.nodes[id].children.clone();
        children.retain(|child| depth < depth_max && percent(tree.nodes[*child].total, total) >= min_percent);
        children.sort_by_key(|child| tree.nodes[*child].total);
        todo.extend(children.into_iter().map(|child| (child, depth + 1)));
    }
    shown
}

/// The same frames for programs.
pub(super) fn flamegraph_rows(tree: &Tree, min_percent: f64, depth_max: usize) -> Rows {
    let mut rows = Rows::new(&["depth", "function", "self", "total"]);
    if tree.total() > 0 {
        for (id, depth) in shown(tree, min_percent, depth_max) {
            let node = &tree.nodes[id];
            rows.push(vec![json!(depth), json!(node.name), json!(node.own), json!(node.total)]);
        }
    }
    rows
}

/// The costliest functions for programs.
pub(super) fn top_rows(tree: &Tree, rows: usize, cumulative: bool) -> Rows {
    let mut out = Rows::new(&["function", "self", "total"]);
    for (name, own, all) in costliest(tree, cumulative).into_iter().take(rows) {
        out.push(vec![json!(name), json!(own), json!(all)]);
    }
    out
}

/// Name, own cost, whole cost.
fn costliest(tree: &Tree, cumulative: bool) -> Vec<(&str, i64, i64)> {
    let mut functions: Vec<(&str, i64, i64)> =
        tree.functions().into_iter().map(|(name, (own, all))| (name, own, all)).collect();
    // Ties by name: functions come sorted and the sort keeps order.
    functions.sort_by_key(|(_, own, all)| std::cmp::Reverse(if cumulative { (*all, *own) } else { (*own, *all) }));
    functions
}

/// The costliest functions.
pub(super) fn top(tree: &Tree, unit: &str, rows: usize, cumulative: bool) -> String {
    let total = tree.total();
    let functions = costliest(tree, cumulative);
    let mut out =
        format!("total {}\n{:>9} {:>6} {:>9} {:>6}  FUNCTION\n", value(total as f64, unit), "SELF", "", "TOTAL", "");
    for (name, own, all) in functions.iter().take(rows) {
        let (own_text, all_text) = (value(*own as f64, unit), value(*all as f64, unit));
        let (own_share, all_share) = (percent(*own, total), percent(*all, total));
        let _ = writeln!(out, "{own_text:>9} {own_share:5.1}% {all_text:>9} {all_share:5.1}%  {name}");
    }
    if functions.len() > rows {
        let _ = writeln!(out, "… and {} more", functions.len() - rows);
    }
    out
}

/// The points in time that a series may have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) step_ms: i64,
}

/// One line a series: its line of bars, its sum, its labels.
pub(super) fn series(series: &[Series], grid: &Grid, unit: &str) -> String {
    if series.is_empty() {
        return "no samples\n".to_owned();
    }
    let peak = series.iter().flat_map(|one| &one.points).map(|point| point.value).fold(0.0, f64::max);
    let mut out = format!(
        "{} to {} UTC, peak {}\n",
        super::time::show(grid.start),
        super::time::show(grid.end),
        value(peak, unit)
    );
    for one in series {
        let sum: f64 = one.points.iter().map(|point| point.value).sum();
        let labels: Vec<String> = one.labels.iter().map(|label| format!("{}={:?}", label.name, label.value)).collect();
        let _ = writeln!(out, "{} {:>9}  {{{}}}", spark(one, grid, peak), value(sum, unit), labels.join(", "));
    }
    out
}

/// One row a point, for programs.
pub(super) fn series_rows(series: &[Series]) -> Rows {
    let mut rows = Rows::new(&["timestamp_ms", "value", "labels"]);
    for one in series {
        let labels = one.labels.iter().map(|label| (label.name.clone(), json!(label.value)));
        let labels = serde_json::Value::Object(labels.collect());
        one.points.iter().for_each(|point| rows.push(vec![json!(point.timestamp), json!(point.value), labels.clone()]));
    }
    rows
}

fn spark(series: &Series, grid: &Grid, peak: f64) -> String {
    let steps = ((grid.end - grid.start) / grid.step_ms.max(1) + 1).clamp(1, 200) as usize;
    let mut columns = vec![None; steps];
    for point in &series.points {
        let at = usize::try_from((point.timestamp - grid.start) / grid.step_ms.max(1)).unwrap_or_default();
        if let Some(column) = columns.get_mut(at) {
            *column = Some(point.value);
        }
    }
    columns.into_iter().map(|value| value.map_or(' ', |value| spark_of(value, peak))).collect()
}

fn spark_of(value: f64, peak: f64) -> char {
    let level = if peak > 0.0 { (value / peak * (SPARKS.len() - 1) as f64).round() } else { 0.0 };
    SPARKS[(level.max(0.0) as usize).min(SPARKS.len() - 1)]
}

#[cfg(test)]
mod tests {
    use flamelake_api::types::v1::{LabelPair, Point};

    use super::*;
    use crate::commands::tree::tests::example;

    #[test]
    fn values_are_short() {
        let check = |number: f64, unit: &str, expected: &str| assert_eq!(value(number, unit), expected);
        check(1.25e9, "nanoseconds", "1.25s");
        check(15e6, "nanoseconds", "15.0ms");
        check(7.0, "nanoseconds", "7ns");
        check(64.0 * 1024.0 * 1024.0, "bytes", "64.0MiB");
        check(12_345.0, "count", "12.3k");
        check(307.0, "count", "307");
        check(0.0, "bytes", "0B");
    }

    #[test]
    fn a_flame_graph_is_indented_text() {
        let expected = "\
100.0%      307 ████████████████████ total
 98.7%      303 ███████████████████▊  a
 97.7%      300 ███████████████████▌   d
  1.0%        3 ▎                      b
  1.3%        4 ▎                     e
";
        assert_eq!(flamegraph(&example(), "count", 0.5, 9, Paint::Plain), expected);
        assert_eq!(flamegraph(&example(), "count", 50.0, 1, Paint::Plain).lines().count(), 2);
        assert!(flamegraph(&example(), "count", 0.0, 9, Paint::Colours).contains("\x1b[31m"));
        assert_eq!(flamegraph(&Tree::default(), "count", 0.0, 9, Paint::Plain), "no samples\n");
    }

    #[test]
    fn the_top_is_a_table() {
        let expected = "\
total 307
     SELF            TOTAL         FUNCTION
      300  97.7%       300  97.7%  d
        4   1.3%         4   1.3%  e
… and 3 more
";
        assert_eq!(top(&example(), "count", 2, false), expected);
        assert!(top(&example(), "count", 1, true).contains("303  98.7%  a"));
    }

    #[test]
    fn a_series_is_a_line() {
        let point = |timestamp, value| Point { timestamp, value, ..Point::default() };
        let labels = vec![LabelPair { name: "pod".to_owned(), value: "a".to_owned() }];
        let one = Series { labels, points: vec![point(0, 1.0), point(1000, 8.0), point(3000, 4.0)] };
        let grid = Grid { start: 0, end: 4000, step_ms: 1000 };
        let expected = "1970-01-01 00:00:00 to 1970-01-01 00:00:04 UTC, peak 8\n▂█ ▅         13  {pod=\"a\"}\n";
        assert_eq!(series(&[one], &grid, "count"), expected);
        assert_eq!(series(&[], &grid, "count"), "no samples\n");
    }
}
