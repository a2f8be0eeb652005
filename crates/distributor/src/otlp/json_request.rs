//! Requests in JSON. They have names where protobuf has numbers, so one reader takes them all: from 1.8 on a name means the same, and names
//! that only 1.7 has tell that it is one. Names of single fields that changed (`sample`, `line`, `value`) are taken in every layout.

use prost::Message as _;
use serde::Deserialize;

use super::json;
use super::older::{Dictionary7, Location7, Profile7, Sample7};
use super::wire::{
    self, AnyValue, Function, KeyValue, Line, Link, Mapping, RawExport, RawResourceProfiles, RawScopeProfiles,
    Resource, Scope, Stack, ValueType,
};

/// A request of any layout.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Request {
    resource_profiles: Vec<ResourceProfiles>,
    dictionary: Option<Dictionary>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ResourceProfiles {
    resource: Option<Resource>,
    scope_profiles: Vec<ScopeProfiles>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ScopeProfiles {
    scope: Option<Scope>,
    profiles: Vec<Profile>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Profile {
    sample_type: Option<Types>,
    #[serde(alias = "sample")]
    samples: Vec<Sample>,
    location_indices: Vec<i32>,
    #[serde(deserialize_with = "json::number")]
    time_unix_nano: u64,
    #[serde(deserialize_with = "json::number")]
    time_nanos: u64,
    #[serde(deserialize_with = "json::number")]
    duration_nano: u64,
    #[serde(deserialize_with = "json::number")]
    duration_nanos: u64,
    period_type: Option<ValueType>,
    #[serde(deserialize_with = "json::number")]
    period: i64,
    attribute_indices: Vec<i32>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Types {
    /// 1.7.
    Several(Vec<ValueType>),
    One(ValueType),
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Sample {
    stack_index: i32,
    locations_start_index: i32,
    locations_length: i32,
    #[serde(alias = "value", deserialize_with = "json::numbers")]
    values: Vec<i64>,
    attribute_indices: Vec<i32>,
    link_index: Option<i32>,
    #[serde(deserialize_with = "json::numbers")]
    timestamps_unix_nano: Vec<u64>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Dictionary {
    mapping_table: Vec<Mapping>,
    location_table: Vec<Location>,
    function_table: Vec<Function>,
    link_table: Vec<Link>,
    string_table: Vec<String>,
    attribute_table: Vec<Attribute>,
    stack_table: Vec<Stack>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Location {
    mapping_index: Option<i32>,
    #[serde(deserialize_with = "json::number")]
    address: u64,
    #[serde(alias = "line")]
    lines: Vec<Line>,
    attribute_indices: Vec<i32>,
}

/// 1.7 spells the key.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Attribute {
    key: String,
    key_strindex: i32,
    value: Option<AnyValue>,
}

impl Request {
    fn is_1_7(&self) -> bool {
        let scopes = self.resource_profiles.iter().flat_map(|resource| &resource.scope_profiles);
        scopes.flat_map(|scope| &scope.profiles).any(Profile::is_1_7)
    }
}

impl Profile {
    fn is_1_7(&self) -> bool {
        matches!(self.sample_type, Some(Types::Several(_)))
            || !self.location_indices.is_empty()
            || self.time_nanos > 0
            || self.samples.iter().any(|sample| sample.locations_length > 0)
    }
}

impl From<Request> for RawExport {
    fn from(request: Request) -> Self {
        let is_1_7 = request.is_1_7();
        let profile = |profile: Profile| match is_1_7 {
            true => Profile7::from(profile).encode_to_vec().into(),
            false => wire::Profile::from(profile).encode_to_vec().into(),
        };
        let scope = |scope: ScopeProfiles| RawScopeProfiles {
            scope: scope.scope,
            profiles: scope.profiles.into_iter().map(profile).collect(),
        };
        let resource = |resource: ResourceProfiles| RawResourceProfiles {
            resource: resource.resource,
            scope_profiles: resource.scope_profiles.into_iter().map(scope).collect(),
        };
        let dictionary = |dictionary: Dictionary| match is_1_7 {
            true => Dictionary7::from(dictionary).encode_to_vec().into(),
            false => wire::Dictionary::from(dictionary).encode_to_vec().into(),
        };
        Self {
            resource_profiles: request.resource_profiles.into_iter().map(resource).collect(),
            dictionary: request.dictionary.map(dictionary),
            told: if is_1_7 { wire::TOLD_1_7 } else { wire::TOLD_1_10 },
        }
    }
}

impl From<Profile> for wire::Profile {
    fn from(profile: Profile) -> Self {
        let sample = |sample: Sample| wire::Sample {
            stack_index: sample.stack_index,
            attribute_indices: sample.attribute_indices,
            link_index: sample.link_index.unwrap_or_default(),
            values: sample.values,
            timestamps_unix_nano: sample.timestamps_unix_nano,
        };
        let sample_type = match profile.sample_type {
            Some(Types::One(one)) => Some(one),
            Some(Types::Several(several)) => several.into_iter().next(),
            None => None,
        };
        Self {
            sample_type,
            samples: profile.samples.into_iter().map(sample).collect(),
            time_unix_nano: profile.time_unix_nano,
            duration_nano: profile.duration_nano,
            period_type: profile.period_type,
            period: profile.period,
            attribute_indices: profile.attribute_indices,
        }
    }
}

impl From<Profile> for Profile7 {
    fn from(profile: Profile) -> Self {
        let sample = |sample: Sample| Sample7 {
            locations_start_index: sample.locations_start_index,
            locations_length: sample.locations_length,
            values: sample.values,
            attribute_indices: sample.attribute_indices,
            link_index: sample.link_index,
            timestamps_unix_nano: sample.timestamps_unix_nano,
        };
        let sample_types = match profile.sample_type {
            Some(Types::Several(several)) => several,
            Some(Types::One(one)) => vec![one],
            None => Vec::new(),
        };
        Self {
            sample_types,
            samples: profile.samples.into_iter().map(sample).collect(),
            location_indices: profile.location_indices,
            time_nanos: profile.time_nanos,
            duration_nanos: profile.duration_nanos,
            period_type: profile.period_type,
            period: profile.period,
        }
    }
}

impl From<Dictionary> for wire::Dictionary {
    fn from(tables: Dictionary) -> Self {
        let location = |location: Location| wire::Location {
            mapping_index: location.mapping_index.unwrap_or_default(),
            address: location.address,
            lines: location.lines,
            attribute_indices: location.attribute_indices,
        };
        let attribute =
            |attribute: Attribute| wire::Attribute { key_strindex: attribute.key_strindex, value: attribute.value };
        Self {
            mapping_table: tables.mapping_table,
            location_table: tables.location_table.into_iter().map(location).collect(),
            function_table: tables.function_table,
            link_table: tables.link_table,
            string_table: tables.string_table,
            attribute_table: tables.attribute_table.into_iter().map(attribute).collect(),
            stack_table: tables.stack_table,
        }
    }
}

impl From<Dictionary> for Dictionary7 {
    fn from(tables: Dictionary) -> Self {
        let location = |location: Location| Location7 {
            mapping_index: location.mapping_index,
            address: location.address,
            lines: location.lines,
        };
        let attribute = |attribute: Attribute| KeyValue { key: attribute.key, value: attribute.value };
        Self {
            mapping_table: tables.mapping_table,
            location_table: tables.location_table.into_iter().map(location).collect(),
            function_table: tables.function_table,
            link_table: tables.link_table,
            string_table: tables.string_table,
            attribute_table: tables.attribute_table.into_iter().map(attribute).collect(),
        }
    }
}
