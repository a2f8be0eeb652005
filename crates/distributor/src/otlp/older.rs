//! The layouts of opentelemetry-proto 1.9 (and 1.8, which differs in fields that are not used) and 1.7, brought into the newest.
//!
//! 1.9 numbers the fields of samples otherwise. 1.7 has no table of stacks: a sample is a range of the profile's locations; attributes spell
//! their keys; links and mappings are absent or an index, where 0 is one, as it is of functions; and a profile may have several types of values.

use bytes::Bytes;
use prost::Message;

use super::wire::{
    Attribute, Dictionary, Export, Function, KeyValue, Line, Link, Location, Mapping, Profile, RawExport, Sample,
    Stack, ValueType,
};
use super::{LOCATIONS_MAX, assemble, check, decoded};

/// Most types of values of one profile.
const TYPES_MAX: usize = 32;

#[derive(Clone, PartialEq, Message)]
pub(super) struct Profile9 {
    #[prost(message, optional, tag = "1")]
    pub(super) sample_type: Option<ValueType>,
    #[prost(message, repeated, tag = "2")]
    pub(super) samples: Vec<Sample9>,
    #[prost(fixed64, tag = "3")]
    pub(super) time_unix_nano: u64,
    #[prost(uint64, tag = "4")]
    pub(super) duration_nano: u64,
    #[prost(message, optional, tag = "5")]
    pub(super) period_type: Option<ValueType>,
    #[prost(int64, tag = "6")]
    pub(super) period: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Sample9 {
    #[prost(int32, tag = "1")]
    pub(super) stack_index: i32,
    #[prost(int64, repeated, tag = "2")]
    pub(super) values: Vec<i64>,
    #[prost(int32, repeated, tag = "3")]
    pub(super) attribute_indices: Vec<i32>,
    #[prost(int32, tag = "4")]
    pub(super) link_index: i32,
    #[prost(fixed64, repeated, tag = "5")]
    pub(super) timestamps_unix_nano: Vec<u64>,
}

/// A request of 1.9.
pub(super) fn v1_9(raw: &RawExport) -> Result<Export, String> {
    let dictionary = decoded(Dictionary::decode(raw.dictionary.clone().unwrap_or_default()))?;
    let export = assemble(raw, dictionary, |_, bytes| Ok(vec![profile9(decoded(Profile9::decode(bytes))?)]))?;
    check(&export)?;
    Ok(export)
}

fn profile9(profile: Profile9) -> Profile {
    let sample = |sample: Sample9| Sample {
        stack_index: sample.stack_index,
        attribute_indices: sample.attribute_indices,
        link_index: sample.link_index,
        values: sample.values,
        timestamps_unix_nano: sample.timestamps_unix_nano,
    };
    Profile {
        sample_type: profile.sample_type,
        samples: profile.samples.into_iter().map(sample).collect(),
        time_unix_nano: profile.time_unix_nano,
        duration_nano: profile.duration_nano,
        period_type: profile.period_type,
        period: profile.period,
        attribute_indices: Vec::new(),
    }
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Dictionary7 {
    #[prost(message, repeated, tag = "1")]
    pub(super) mapping_table: Vec<Mapping>,
    #[prost(message, repeated, tag = "2")]
    pub(super) location_table: Vec<Location7>,
    #[prost(message, repeated, tag = "3")]
    pub(super) function_table: Vec<Function>,
    #[prost(message, repeated, tag = "4")]
    pub(super) link_table: Vec<Link>,
    #[prost(string, repeated, tag = "5")]
    pub(super) string_table: Vec<String>,
    #[prost(message, repeated, tag = "6")]
    pub(super) attribute_table: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Location7 {
    #[prost(int32, optional, tag = "1")]
    pub(super) mapping_index: Option<i32>,
    #[prost(uint64, tag = "2")]
    pub(super) address: u64,
    #[prost(message, repeated, tag = "3")]
    pub(super) lines: Vec<Line>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Profile7 {
    #[prost(message, repeated, tag = "1")]
    pub(super) sample_types: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    pub(super) samples: Vec<Sample7>,
    #[prost(int32, repeated, tag = "3")]
    pub(super) location_indices: Vec<i32>,
    #[prost(uint64, tag = "4")]
    pub(super) time_nanos: u64,
    #[prost(uint64, tag = "5")]
    pub(super) duration_nanos: u64,
    #[prost(message, optional, tag = "6")]
    pub(super) period_type: Option<ValueType>,
    #[prost(int64, tag = "7")]
    pub(super) period: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Sample7 {
    #[prost(int32, tag = "1")]
    pub(super) locations_start_index: i32,
    #[prost(int32, tag = "2")]
    pub(super) locations_length: i32,
    #[prost(int64, repeated, tag = "3")]
    pub(super) values: Vec<i64>,
    #[prost(int32, repeated, tag = "4")]
    pub(super) attribute_indices: Vec<i32>,
    #[prost(int32, optional, tag = "5")]
    pub(super) link_index: Option<i32>,
    #[prost(uint64, repeated, tag = "6")]
    pub(super) timestamps_unix_nano: Vec<u64>,
}

/// A request of 1.7.
pub(super) fn v1_7(raw: &RawExport) -> Result<Export, String> {
    let dictionary = decoded(Dictionary7::decode(raw.dictionary.clone().unwrap_or_default()))?;
    let mut locations = 0_usize;
    let export = assemble(raw, dictionary7(dictionary), |tables, bytes| profiles7(tables, bytes, &mut locations))?;
    check(&export)?;
    Ok(export)
}

/// Tables whose first function, link and mapping mean none.
fn dictionary7(tables: Dictionary7) -> Dictionary {
    let Dictionary7 { mapping_table, location_table, function_table, link_table, mut string_table, attribute_table } =
        tables;
    let mut attribute = |attribute: KeyValue| {
        string_table.push(attribute.key);
        Attribute { key_strindex: index(string_table.len() - 1), value: attribute.value }
    };
    let attribute_table = attribute_table.into_iter().map(&mut attribute).collect();
    let nameless = |index: i32| {
        let function = usize::try_from(index).ok().and_then(|index| function_table.get(index));
        function.is_some_and(|function| function.name_strindex == 0)
    };
    let line = |line: Line| Line {
        function_index: if nameless(line.function_index) { 0 } else { line.function_index.saturating_add(1) },
        ..line
    };
    let location = |location: Location7| Location {
        mapping_index: location.mapping_index.map_or(0, |index| index.saturating_add(1)),
        address: location.address,
        lines: location.lines.into_iter().map(line).collect(),
        attribute_indices: Vec::new(),
    };
    let location_table = location_table.into_iter().map(location).collect();
    Dictionary {
        mapping_table: std::iter::once(Mapping::default()).chain(mapping_table).collect(),
        location_table,
        function_table: std::iter::once(Function::default()).chain(function_table).collect(),
        link_table: std::iter::once(Link::default()).chain(link_table).collect(),
        string_table,
        attribute_table,
        stack_table: vec![Stack::default()],
    }
}

/// One profile for each type of values.
fn profiles7(tables: &mut Dictionary, bytes: Bytes, locations: &mut usize) -> Result<Vec<Profile>, String> {
    let profile = decoded(Profile7::decode(bytes))?;
    let samples = profile.samples.iter().map(|sample| sample7(tables, &profile, sample, locations));
    let samples = samples.collect::<Result<Vec<Sample>, String>>()?;
    let types = profile.sample_types.len();
    let of_type = |at: usize, sample: &Sample| {
        let values =
            if types == 1 { sample.values.clone() } else { sample.values.get(at).copied().into_iter().collect() };
        Sample { values, ..sample.clone() }
    };
    let one = |(at, sample_type): (usize, &ValueType)| Profile {
        sample_type: Some(sample_type.clone()),
        samples: samples.iter().map(|sample| of_type(at, sample)).collect(),
        time_unix_nano: profile.time_nanos,
        duration_nano: profile.duration_nanos,
        period_type: profile.period_type.clone(),
        period: profile.period,
        ..Profile::default()
    };
    if types == 0 {
        return Err("sample type is missing".to_owned());
    }
    if types > TYPES_MAX {
        return Err(format!("a profile has {types} types of values, at most {TYPES_MAX} are taken"));
    }
    Ok(profile.sample_types.iter().enumerate().map(one).collect())
}

fn sample7(
    tables: &mut Dictionary,
    profile: &Profile7,
    sample: &Sample7,
    locations: &mut usize,
) -> Result<Sample, String> {
    let range = usize::try_from(sample.locations_start_index).ok().zip(usize::try_from(sample.locations_length).ok());
    let range = range.and_then(|(start, length)| profile.location_indices.get(start..start.checked_add(length)?));
    let range = range.ok_or("a sample's locations are out of range")?;
    *locations += range.len();
    if *locations > LOCATIONS_MAX {
        return Err(format!("the samples have more than {LOCATIONS_MAX} locations: send fewer at once"));
    }
    tables.stack_table.push(Stack { location_indices: range.to_vec() });
    Ok(Sample {
        stack_index: index(tables.stack_table.len() - 1),
        attribute_indices: sample.attribute_indices.clone(),
        link_index: sample.link_index.map_or(0, |index| index.saturating_add(1)),
        values: sample.values.clone(),
        timestamps_unix_nano: sample.timestamps_unix_nano.clone(),
    })
}

/// Tables are shorter than the message that they came in.
fn index(index: usize) -> i32 {
    i32::try_from(index).unwrap_or(i32::MAX)
}
