//! Functions by name, to and from `flamelake.query.v1`.

use flamelake_model::TimestampNs;
use flamelake_model::function_index::{FunctionIndex, FunctionIndexQuery, FunctionPlace};

use crate::flamelake::query::v1;
use crate::flamelake::query::v1::{partial_query, partial_result};

impl From<&FunctionIndexQuery> for partial_query::Functions {
    fn from(query: &FunctionIndexQuery) -> Self {
        let limit = u32::try_from(query.limit).unwrap_or(u32::MAX);
        Self { regex: query.functions.as_str().to_owned(), limit }
    }
}

impl From<FunctionIndex> for partial_result::Functions {
    fn from(index: FunctionIndex) -> Self {
        let place = |(service, place): (&String, &FunctionPlace)| v1::FunctionPlace {
            service_name: service.clone(),
            profile_types: place.profile_types.iter().cloned().collect(),
            files: place.files.iter().cloned().collect(),
            first_ns: place.first.0,
            last_ns: place.last.0,
        };
        let entries = index
            .functions()
            .iter()
            .map(|(name, places)| v1::FunctionEntry { name: name.clone(), places: places.iter().map(place).collect() });
        let limit = u32::try_from(index.limit()).unwrap_or(u32::MAX);
        Self { entries: entries.collect(), limit, more: index.more }
    }
}

impl From<partial_result::Functions> for FunctionIndex {
    fn from(found: partial_result::Functions) -> Self {
        let mut index = Self::new(found.limit as usize);
        index.more = found.more;
        for entry in found.entries {
            for place in entry.places {
                let v1::FunctionPlace { service_name, profile_types, files, first_ns, last_ns } = place;
                let place = FunctionPlace {
                    profile_types: profile_types.into_iter().collect(),
                    files: files.into_iter().collect(),
                    first: TimestampNs(first_ns),
                    last: TimestampNs(last_ns),
                };
                index.add(&entry.name, &service_name, place);
            }
        }
        index
    }
}
