//! The JSON document of the legacy routes: a flame graph with its units and timelines.

use std::collections::BTreeMap;

use flamelake_api::querier::v1;
use flamelake_model::ProfileType;
use serde::Serialize;

use super::timeline::Timeline;

/// Version of the document.
const VERSION: u32 = 1;
/// Samples a second where the type does not tell another rate.
const RATE: u64 = 100;
/// Values of type `cpu` are nanoseconds, which the drawing divides by this.
const RATE_CPU: u64 = 1_000_000_000;

/// See the module.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Document {
    version: u32,
    flamebearer: Bars,
    metadata: Metadata,
    timeline: Option<Timeline>,
    groups: Option<BTreeMap<String, Timeline>>,
    /// Always `null`.
    heatmap: Option<()>,
    #[serde(skip_serializing_if = "is_zero")]
    left_ticks: i64,
    #[serde(skip_serializing_if = "is_zero")]
    right_ticks: i64,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Bars {
    names: Vec<String>,
    levels: Vec<Vec<i64>>,
    num_ticks: i64,
    max_self: i64,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    format: &'static str,
    spy_name: &'static str,
    sample_rate: u64,
    units: String,
    name: String,
}

impl Document {
    /// One flame graph.
    pub(super) fn single(
        graph: v1::FlameGraph,
        profile_type: &ProfileType,
        timeline: Timeline,
        groups: Option<BTreeMap<String, Timeline>>,
    ) -> Self {
        let v1::FlameGraph { names, levels, total, max_self } = graph;
        Self {
            version: VERSION,
            flamebearer: Bars { names, levels: numbers(levels), num_ticks: total, max_self },
            metadata: Metadata::of("single", profile_type),
            timeline: Some(timeline),
            groups,
            heatmap: None,
            left_ticks: 0,
            right_ticks: 0,
        }
    }

    /// One flame graph of no time.
    pub(crate) fn still(graph: v1::FlameGraph, profile_type: &ProfileType) -> Self {
        let v1::FlameGraph { names, levels, total, max_self } = graph;
        Self {
            version: VERSION,
            flamebearer: Bars { names, levels: numbers(levels), num_ticks: total, max_self },
            metadata: Metadata::of("single", profile_type),
            timeline: None,
            groups: None,
            heatmap: None,
            left_ticks: 0,
            right_ticks: 0,
        }
    }

    /// Two flame graphs side by side.
    pub(crate) fn double(graph: v1::FlameGraphDiff, profile_type: &ProfileType) -> Self {
        let v1::FlameGraphDiff { names, levels, total, max_self, left_ticks, right_ticks } = graph;
        Self {
            version: VERSION,
            flamebearer: Bars { names, levels: numbers(levels), num_ticks: total, max_self },
            metadata: Metadata::of("double", profile_type),
            timeline: None,
            groups: None,
            heatmap: None,
            left_ticks,
            right_ticks,
        }
    }
}

impl Metadata {
    fn of(format: &'static str, profile_type: &ProfileType) -> Self {
        let (units, sample_rate) = match profile_type.sample_type.as_str() {
            "inuse_objects" | "alloc_objects" | "goroutine" | "samples" => ("objects", RATE),
            "cpu" => ("samples", RATE_CPU),
            _ => (profile_type.sample_unit.as_str(), RATE),
        };
        let (units, name) = (units.to_owned(), profile_type.sample_type.clone());
        Self { format, spy_name: "", sample_rate, units, name }
    }
}

fn numbers(levels: Vec<v1::Level>) -> Vec<Vec<i64>> {
    levels.into_iter().map(|level| level.values).collect()
}

fn is_zero(ticks: &i64) -> bool {
    *ticks == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_follow_the_sample_type() {
        for (id, units, rate) in [
            ("process_cpu:cpu:nanoseconds:cpu:nanoseconds", "samples", RATE_CPU),
            ("process_cpu:samples:count:cpu:nanoseconds", "objects", RATE),
            ("memory:inuse_space:bytes:space:bytes", "bytes", RATE),
            ("memory:alloc_objects:count:space:bytes", "objects", RATE),
        ] {
            let metadata = Metadata::of("single", &ProfileType::parse(id).unwrap());
            assert_eq!((metadata.units.as_str(), metadata.sample_rate), (units, rate), "{id}");
        }
    }

    #[test]
    fn a_diff_leaves_out_a_side_without_samples() {
        let graph = v1::FlameGraphDiff {
            names: vec!["total".to_owned()],
            levels: vec![v1::Level { values: vec![0, 0, 0, 0, 3, 0, 0] }],
            total: 3,
            max_self: 0,
            left_ticks: 0,
            right_ticks: 3,
        };
        let document = Document::double(graph, &ProfileType::parse("a:b:c:d:e").unwrap());
        assert_eq!(
            serde_json::to_string(&document).unwrap(),
            concat!(
                r#"{"version":1,"flamebearer":{"names":["total"],"levels":[[0,0,0,0,3,0,0]],"numTicks":3,"maxSelf":0},"#,
                r#""metadata":{"format":"double","spyName":"","sampleRate":100,"units":"c","name":"b"},"#,
                r#""timeline":null,"groups":null,"heatmap":null,"rightTicks":3}"#
            )
        );
    }
}
