//! A pprof as a DOT graph of functions, laid out as pprof's own tool does (contract `query.md` section 7). The text is not contractual;
//! that it starts with `digraph`, names nodes `N1…` and draws edges is.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::merge::PprofBuilder;

/// Nodes that the pprof is truncated to before it is drawn, unless more are asked for.
pub const DOT_SOURCE_NODES: usize = 512;
/// Nodes drawn unless told otherwise.
pub const DOT_NODES_DEFAULT: usize = 100;

/// Functions by name id: own value, and value of the stacks they are in.
#[derive(Debug, Default)]
struct Graph {
    nodes: BTreeMap<u32, Weight>,
    /// Caller and callee; the flag says that functions between them are not drawn.
    edges: BTreeMap<(u32, u32), (i64, bool)>,
    total: i64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Weight {
    flat: i64,
    cumulative: i64,
}

/// Draws the `max_nodes` heaviest functions. Without samples the text is empty.
///
/// `title` is the graph's name (the profile type), `unit` the unit of the values.
pub fn dot(profile: &PprofBuilder, title: &str, unit: &str, max_nodes: usize) -> String {
    if profile.is_empty() {
        return String::new();
    }
    let mut graph = Graph::weigh(profile);
    graph.keep_heaviest(max_nodes);
    graph.connect(profile);
    graph.draw(profile, title, unit)
}

/// Names of a sample's functions, root first.
fn names(profile: &PprofBuilder, sample: usize) -> impl Iterator<Item = u32> {
    let locations = profile.stack(sample).iter().rev();
    let lines = locations.flat_map(|location| profile.location_lines(*location).iter().rev());
    lines.map(|line| profile.functions[line.function as usize].name)
}

impl Graph {
    fn weigh(profile: &PprofBuilder) -> Self {
        let mut graph = Self::default();
        let mut path = Vec::new();
        for (sample, value) in profile.values.iter().enumerate() {
            graph.total = graph.total.saturating_add(*value);
            path.clear();
            path.extend(names(profile, sample));
            if let Some(leaf) = path.last() {
                let flat = &mut graph.nodes.entry(*leaf).or_default().flat;
                *flat = flat.saturating_add(*value);
            }
            // A recursive function counts once a stack.
            path.sort_unstable();
            path.dedup();
            for name in &path {
                let cumulative = &mut graph.nodes.entry(*name).or_default().cumulative;
                *cumulative = cumulative.saturating_add(*value);
            }
        }
        graph
    }

    fn keep_heaviest(&mut self, max_nodes: usize) {
        let mut order: Vec<(i64, u32)> = self.nodes.iter().map(|(name, weight)| (weight.cumulative, *name)).collect();
        order.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        for (_, name) in order.iter().skip(max_nodes) {
            self.nodes.remove(name);
        }
    }

    fn connect(&mut self, profile: &PprofBuilder) {
        let mut seen = Vec::new();
        for (sample, value) in profile.values.iter().enumerate() {
            seen.clear();
            let (mut caller, mut is_gap) = (None, false);
            for name in names(profile, sample) {
                if !self.nodes.contains_key(&name) {
                    is_gap = true;
                    continue;
                }
                if let Some(caller) = caller.replace(name).filter(|caller| !seen.contains(&(*caller, name))) {
                    seen.push((caller, name));
                    let (weight, gap) = self.edges.entry((caller, name)).or_default();
                    *weight = weight.saturating_add(*value);
                    *gap |= is_gap;
                }
                is_gap = false;
            }
        }
    }

    fn draw(&self, profile: &PprofBuilder, title: &str, unit: &str) -> String {
        let mut order: Vec<(&u32, &Weight)> = self.nodes.iter().collect();
        order.sort_by(|a, b| b.1.cumulative.cmp(&a.1.cumulative).then(a.0.cmp(b.0)));
        let numbers: BTreeMap<u32, usize> = (1..).zip(&order).map(|(number, (name, _))| (**name, number)).collect();
        let percent = |value: i64| 100.0 * value as f64 / self.total.max(1) as f64;
        let mut out = format!("digraph \"{}\" {{\nnode [style=filled fillcolor=\"#f8f8f8\"]\n", escape(title));
        let total = in_unit(self.total, unit);
        let _ = writeln!(
            out,
            "subgraph cluster_L {{ \"{t}\" [shape=box fontsize=16 label=\"{t}\\lShowing {n} nodes\\lTotal {total}\\l\"] }}",
            t = escape(title),
            n = order.len(),
        );
        for (name, weight) in &order {
            let number = numbers[*name];
            let label = escape(profile.strings.get(**name));
            let (flat, cumulative) = (in_unit(weight.flat, unit), in_unit(weight.cumulative, unit));
            let size = 8 + (percent(weight.flat).max(0.0).sqrt() * 1.6) as u32;
            let _ = writeln!(
                out,
                "N{number} [label=\"{label}\\n{flat} ({:.2}%)\\nof {cumulative} ({:.2}%)\" id=\"node{number}\" fontsize={size} \
                 shape=box tooltip=\"{label} ({cumulative})\"]",
                percent(weight.flat),
                percent(weight.cumulative),
            );
        }
        for ((caller, callee), (weight, is_gap)) in &self.edges {
            let (from, to, value) = (numbers[caller], numbers[callee], in_unit(*weight, unit));
            let style = if *is_gap { " style=\"dotted\"" } else { "" };
            let width = 1 + (percent(*weight) / 20.0).max(0.0) as u32;
            let _ = writeln!(out, "N{from} -> N{to} [label=\" {value}\" weight={width} penwidth={width}{style}]");
        }
        out.push_str("}\n");
        out
    }
}

/// For a double-quoted DOT text.
fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', " ")
}

fn in_unit(value: i64, unit: &str) -> String {
    let scales: &[(f64, &str)] = match unit {
        "nanoseconds" => &[(3.6e12, "hrs"), (6e10, "mins"), (1e9, "s"), (1e6, "ms"), (1e3, "us"), (1.0, "ns")],
        "bytes" => &[(1099511627776.0, "TB"), (1073741824.0, "GB"), (1048576.0, "MB"), (1024.0, "kB"), (1.0, "B")],
        _ => return value.to_string(),
    };
    let size = (value as f64).abs();
    let (scale, name) = scales.iter().find(|(scale, _)| size >= *scale).unwrap_or(&scales[scales.len() - 1]);
    let text = format!("{:.2}", value as f64 / scale);
    format!("{}{name}", text.trim_end_matches('0').trim_end_matches('.'))
}
