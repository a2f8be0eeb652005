//! Answers by their meaning: flame graphs as trees, series as sums.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use flamelake_api::querier::v1::FlameGraph;
use serde_json::{Value, json};

use crate::Client;

/// Path of names, root first without `total`, joined by `;` → (total, self).
pub type Tree = BTreeMap<String, (i64, i64)>;

/// The profile type that most tests push.
pub const CPU: &str = "process_cpu:cpu:nanoseconds:cpu:nanoseconds";

/// Reads the bars as a client draws them; an impossible layout is an error (contract `query.md` section 6).
pub fn tree_of(graph: &FlameGraph) -> anyhow::Result<Tree> {
    let mut tree = Tree::new();
    let mut parents: Vec<(i64, i64, String)> = Vec::new();
    for (depth, level) in graph.levels.iter().enumerate() {
        ensure!(level.values.len() % 4 == 0, "level {depth} is not made of quadruples");
        let (mut x, mut row) = (0, Vec::new());
        for bar in level.values.chunks_exact(4) {
            let [offset, total, own, name] = [bar[0], bar[1], bar[2], bar[3]];
            let name = graph.names.get(usize::try_from(name)?).context("a name index out of range")?;
            let start = x + offset;
            x = start + total;
            let path = if depth == 0 {
                String::new()
            } else {
                let inside = |(from, to, _): &&(i64, i64, String)| *from <= start && x <= *to;
                let (_, _, parent) =
                    parents.iter().find(inside).with_context(|| format!("{name} lies in no parent"))?;
                if parent.is_empty() { name.clone() } else { format!("{parent};{name}") }
            };
            if depth > 0 {
                let sums = tree.entry(path.clone()).or_default();
                *sums = (sums.0 + total, sums.1 + own);
            }
            row.push((start, x, path));
        }
        parents = row;
    }
    Ok(tree)
}

/// A range in milliseconds that holds everything a test pushes around now.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    /// First millisecond.
    pub start_ms: i64,
    /// Last millisecond.
    pub end_ms: i64,
}

impl Range {
    /// The hour before now and the ten minutes after it.
    pub fn around_now() -> Self {
        let now_ms = crate::now_ns() / 1_000_000;
        Self { start_ms: now_ms - 3_600_000, end_ms: now_ms + 600_000 }
    }
}

/// The flame graph of a selector (CPU type) as a tree, uncut.
pub async fn flame(client: &Client, selector: &str, range: Range) -> anyhow::Result<Tree> {
    flame_of(client, CPU, selector, range).await
}

/// The same of any profile type.
pub async fn flame_of(client: &Client, profile_type: &str, selector: &str, range: Range) -> anyhow::Result<Tree> {
    let Range { start_ms, end_ms } = range;
    let request = json!({
        "profileTypeID": profile_type, "labelSelector": selector, "start": start_ms, "end": end_ms, "maxNodes": 1_048_576,
    });
    let (status, answer) = client.json("querier.v1.QuerierService/SelectMergeStacktraces", &request).await?;
    ensure!(status == 200, "SelectMergeStacktraces: {status} {answer}");
    let graph = answer.get("flamegraph").cloned().unwrap_or(Value::Null);
    tree_of(&serde_json::from_value(graph)?)
}

/// Sum over all points of all series of a selector (CPU type).
pub async fn series_sum(client: &Client, selector: &str, range: Range) -> anyhow::Result<f64> {
    series_sum_of(client, CPU, selector, range).await
}

/// The same of any profile type.
pub async fn series_sum_of(client: &Client, profile_type: &str, selector: &str, range: Range) -> anyhow::Result<f64> {
    let Range { start_ms, end_ms } = range;
    let request = json!({
        "profileTypeID": profile_type, "labelSelector": selector, "start": start_ms, "end": end_ms, "step": 60,
    });
    let (status, answer) = client.json("querier.v1.QuerierService/SelectSeries", &request).await?;
    ensure!(status == 200, "SelectSeries: {status} {answer}");
    let series = answer.get("series").and_then(Value::as_array).cloned().unwrap_or_default();
    let points = series.iter().filter_map(|s| s.get("points")?.as_array()).flatten();
    Ok(points.filter_map(|p| p.get("value")?.as_f64()).sum())
}

/// Sum of all self values.
pub fn flame_sum(tree: &Tree) -> i64 {
    tree.values().map(|(_, own)| own).sum()
}
