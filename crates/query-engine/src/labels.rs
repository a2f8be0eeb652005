//! Questions about labels: answered from metadata, and from partition summaries alone where those suffice.
//!
//! Granularity is the series' time span, not its rows (contract `query.md` section 2): a series whose span touches the range counts.

use std::collections::BTreeSet;

use flamelake_model::query::{PartialQuery, Selection};
use flamelake_model::{Label, Labels, ProfileType, label_name};

use crate::bounds::{check_label_sets, check_strings};
use crate::select::{SeriesFilter, select};
use crate::{PartitionInfo, ProfileSource, SourceError};

/// Names of labels on matching series.
pub(crate) async fn names(
    source: &dyn ProfileSource,
    query: &PartialQuery,
    selection: &Selection,
) -> Result<BTreeSet<String>, SourceError> {
    collect_strings(source, query, selection, |labels, found| {
        labels.iter().filter(|label| !is_annotation(&label.name)).for_each(|label| insert(found, &label.name));
    })
    .await
}

/// Values of one label on matching series.
pub(crate) async fn values(
    source: &dyn ProfileSource,
    query: &PartialQuery,
    selection: &Selection,
    name: &str,
) -> Result<BTreeSet<String>, SourceError> {
    if is_annotation(name) {
        return Ok(BTreeSet::new());
    }
    let filter = SeriesFilter::for_labels(query, selection);
    if filter.takes_all() && is_summarised(name) {
        let sets = summaries(source, &filter, &[name.to_owned()])?;
        return Ok(sets.iter().filter_map(|set| set.get(name)).map(str::to_owned).collect());
    }
    collect_strings(source, query, selection, |labels, found| {
        if let Some(value) = labels.get(name) {
            insert(found, value);
        }
    })
    .await
}

/// Distinct label sets of matching series.
pub(crate) async fn series(
    source: &dyn ProfileSource,
    query: &PartialQuery,
    selection: &Selection,
    label_names: &[String],
) -> Result<BTreeSet<Labels>, SourceError> {
    let filter = SeriesFilter::for_labels(query, selection);
    if filter.takes_all() && !label_names.is_empty() && label_names.iter().all(|name| is_summarised(name)) {
        return summaries(source, &filter, label_names);
    }
    let mut sets = BTreeSet::new();
    for partition in select(source, &filter).await? {
        for &at in &partition.series {
            let set = reduce(&partition.entries[at as usize].labels, label_names);
            if !set.is_empty() {
                sets.insert(set);
            }
        }
        check_label_sets(sets.len())?;
    }
    Ok(sets)
}

async fn collect_strings(
    source: &dyn ProfileSource,
    query: &PartialQuery,
    selection: &Selection,
    mut take: impl FnMut(&Labels, &mut BTreeSet<String>),
) -> Result<BTreeSet<String>, SourceError> {
    let mut found = BTreeSet::new();
    for partition in select(source, &SeriesFilter::for_labels(query, selection)).await? {
        for &at in &partition.series {
            take(&partition.entries[at as usize].labels, &mut found);
        }
        check_strings(found.len())?;
    }
    Ok(found)
}

fn insert(found: &mut BTreeSet<String>, text: &str) {
    if !found.contains(text) {
        found.insert(text.to_owned());
    }
}

fn reduce(labels: &Labels, names: &[String]) -> Labels {
    if names.is_empty() {
        return public(labels);
    }
    let names = names.iter().filter(|name| !is_annotation(name));
    Labels::from_pairs(names.filter_map(|name| labels.get(name).map(|value| (name, value))))
}

/// Labels that a partition's summary knows: its service and what a type id spells out.
fn is_summarised(name: &str) -> bool {
    use label_name::{NAME, PROFILE_TYPE, SERVICE_NAME, SERVICE_NAME_PRIVATE, TYPE, UNIT};
    [NAME, PROFILE_TYPE, SERVICE_NAME, SERVICE_NAME_PRIVATE, TYPE, UNIT].contains(&name)
}

/// The fast path of the calls that Grafana makes all the time: no series is opened.
fn summaries(
    source: &dyn ProfileSource,
    filter: &SeriesFilter<'_>,
    names: &[String],
) -> Result<BTreeSet<Labels>, SourceError> {
    let mut sets = BTreeSet::new();
    for partition in source.partitions().iter().filter(|partition| filter.admits(partition)) {
        for type_id in &partition.profile_types {
            let set = reduce(&summary(partition, type_id), names);
            if !set.is_empty() {
                sets.insert(set);
            }
        }
        check_label_sets(sets.len())?;
    }
    Ok(sets)
}

fn summary(partition: &PartitionInfo, type_id: &str) -> Labels {
    let service =
        [label_name::SERVICE_NAME, label_name::SERVICE_NAME_PRIVATE].map(|name| (name, &*partition.service_name));
    let parts = ProfileType::parse(type_id).ok();
    let named = parts.iter().flat_map(|parts| {
        [
            (label_name::PROFILE_TYPE, type_id),
            (label_name::NAME, parts.name.as_str()),
            (label_name::TYPE, parts.sample_type.as_str()),
            (label_name::UNIT, parts.sample_unit.as_str()),
        ]
    });
    Labels::from_pairs(service.into_iter().chain(named))
}

/// Labels common to both sets with equal values, without the named ones.
pub(crate) fn intersect(left: &Labels, right: &Labels) -> Labels {
    pairs(left.iter().filter(|label| right.get(&label.name) == Some(&*label.value)))
}

/// The label that is an annotation in truth (`label_name::SAMPLED_BY`).
fn is_annotation(name: &str) -> bool {
    name == label_name::SAMPLED_BY
}

/// What was noted at the push of a series, as clients know it.
pub(crate) fn annotation(labels: &Labels) -> Option<Label> {
    let value = labels.get(label_name::SAMPLED_BY)?;
    Some(Label { name: "pyroscope.ingest.sampled".into(), value: value.into() })
}

/// The set without annotations.
pub(crate) fn public(labels: &Labels) -> Labels {
    match labels.get(label_name::SAMPLED_BY) {
        Some(_) => pairs(labels.iter().filter(|label| !is_annotation(&label.name))),
        None => labels.clone(),
    }
}

/// The set without the named labels.
pub(crate) fn without(labels: &Labels, names: &[String]) -> Labels {
    pairs(labels.iter().filter(|label| !names.iter().any(|name| **name == *label.name)))
}

fn pairs<'a>(labels: impl Iterator<Item = &'a Label>) -> Labels {
    Labels::from_pairs(labels.map(|label| (&label.name, &label.value)))
}
