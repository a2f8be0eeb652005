//! Which services run a function: from the tables of functions alone, and from partition summaries where those suffice.

use std::collections::BTreeSet;

use flamelake_block::pause::pause;
use flamelake_model::function_index::{FunctionIndex, FunctionIndexQuery, FunctionPlace};
use flamelake_model::label_name;
use flamelake_model::query::PartialQuery;

use crate::bounds::check_function_places;
use crate::select::{SelectedPartition, SeriesFilter, select};
use crate::{PartitionInfo, ProfileSource, SourceError};

/// The functions whose names match, with the partitions they lie in as places.
pub(crate) async fn functions(
    source: &dyn ProfileSource,
    query: &PartialQuery,
    asked: &FunctionIndexQuery,
) -> Result<FunctionIndex, SourceError> {
    let mut index = FunctionIndex::new(asked.limit);
    for place in places(source, query, asked).await? {
        let mut sink = |name: &str, file: &str| {
            if asked.functions.is_match(name) && index.admits(name) {
                let mut at = place.at.clone();
                at.add_file(file.to_owned());
                index.add(name, &place.service, at);
            }
        };
        source.functions(place.part, &mut sink).await?;
        check_function_places(index.count_places())?;
        pause().await;
    }
    Ok(index)
}

/// A partition as a place of the functions in it.
struct Place {
    part: u32,
    service: String,
    at: FunctionPlace,
}

async fn places(
    source: &dyn ProfileSource,
    query: &PartialQuery,
    asked: &FunctionIndexQuery,
) -> Result<Vec<Place>, SourceError> {
    let filter = SeriesFilter::for_labels(query, &asked.selection);
    let partitions = source.partitions();
    if filter.is_of_services() {
        return Ok(partitions.iter().filter(|partition| filter.admits(partition)).map(of_summary).collect());
    }
    let service = |part: u32| {
        let found = partitions.iter().find(|partition| partition.part == part);
        found.map(|partition| partition.service_name.to_string()).unwrap_or_default()
    };
    let selected = select(source, &filter).await?;
    Ok(selected.iter().map(|partition| of_series(partition, service(partition.part))).collect())
}

fn of_summary(partition: &PartitionInfo) -> Place {
    let at = FunctionPlace {
        profile_types: partition.profile_types.iter().map(ToString::to_string).collect(),
        files: BTreeSet::new(),
        first: partition.min_time,
        last: partition.max_time,
    };
    Place { part: partition.part, service: partition.service_name.to_string(), at }
}

/// Of the matching series only.
fn of_series(partition: &SelectedPartition, service: String) -> Place {
    let entries = || partition.series.iter().map(|series| &partition.entries[*series as usize]);
    let at = FunctionPlace {
        profile_types: entries()
            .map(|entry| entry.labels.value_or_empty(label_name::PROFILE_TYPE))
            .filter(|id| !id.is_empty())
            .map(str::to_owned)
            .collect(),
        files: BTreeSet::new(),
        first: entries().map(|entry| entry.min_time).min().unwrap_or_default(),
        last: entries().map(|entry| entry.max_time).max().unwrap_or_default(),
    };
    Place { part: partition.part, service, at }
}
