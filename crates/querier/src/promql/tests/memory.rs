//! Samples in memory that answer what the store answers: by labels, in buckets that are open at their start.

use std::collections::BTreeMap;

use async_trait::async_trait;
use flamelake_model::selector::Matcher;
use flamelake_model::{Labels, StatusError};

use crate::promql::metrics::{FUNCTION, Metric};
use crate::promql::plan::Wanted;
use crate::promql::source::{Load, SeriesSource};
use crate::promql::values::{Point, RangeSeries};
use crate::service::Answer;

/// Series by metric and the labels that are shown.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory(pub(super) Vec<(Metric, Labels, Vec<Point>)>);

fn wanted(labels: &Labels, wanted: &Wanted) -> Labels {
    match wanted {
        Wanted::All => labels.clone(),
        Wanted::Only(names) => labels.only(names),
        Wanted::AllBut(names) => labels.without(names),
    }
}

fn matches(load: &Load, metric: Metric, labels: &Labels) -> bool {
    let value = |matcher: &Matcher| {
        let found = labels.iter().find(|label| metric.stored(&label.name) == matcher.name());
        found.map_or("", |label| &*label.value).to_owned()
    };
    metric == load.selected.metric
        && load.selected.selector.matchers().iter().all(|matcher| matcher.matches_value(&value(matcher)))
        && load.selected.function.iter().all(|matcher| matcher.matches_value(labels.value_or_empty(FUNCTION)))
}

#[async_trait]
impl SeriesSource for Memory {
    async fn load(&self, load: &Load) -> Result<Answer<Vec<RangeSeries>>, StatusError> {
        let mut groups: BTreeMap<Labels, BTreeMap<i64, f64>> = BTreeMap::new();
        for (metric, labels, points) in &self.0 {
            if !matches(load, *metric, labels) {
                continue;
            }
            let group = groups.entry(wanted(labels, &load.labels)).or_default();
            for (at, value) in points.iter().filter(|(at, _)| load.after < *at && *at <= load.until) {
                let edge = load.until - (load.until - at) / load.bucket_ms * load.bucket_ms;
                *group.entry(edge).or_default() += value;
            }
        }
        let series = groups.into_iter().filter(|(_, points)| !points.is_empty()).map(|(labels, points)| RangeSeries {
            name: Some(load.selected.metric.name().into()),
            labels,
            points: points.into_iter().collect(),
        });
        Ok(Answer { value: series.collect(), set_aside: Vec::new() })
    }
}
