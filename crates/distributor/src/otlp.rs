//! OTLP profiles (`opentelemetry.proto.collector.profiles.v1development`) to a batch of pprof profiles (contract `ingest.md` section 5).
//!
//! The specification is in development and has changed its field numbers without changing its name. Which layout a request has is told by
//! its wire types (`layout.rs`). The older ones are then brought into the newest, and only that one is converted.

mod wire;
mod layout;
mod older;
mod json;
mod json_request;
mod convert;

use flamelake_model::StatusError;
use prost::Message as _;

use self::layout::{Evidence, Layout};
use self::wire::{Export, Profile, ResourceProfiles, ScopeProfiles};
pub(crate) use self::wire::{ExportResponse, PartialSuccess, RawExport};
use crate::PushBatch;

/// Locations, lines and attributes of all samples together: samples share them, so a small request can name very many.
const LOCATIONS_MAX: usize = 16 << 20;
/// Bytes of an attribute that count as one location.
const ATTRIBUTE_BYTES_UNIT: usize = 16;

/// All profiles of a request, or an error that names what is wrong: nothing of it is stored then.
pub(crate) fn batch(raw: &RawExport, now_ns: i64) -> Result<PushBatch, StatusError> {
    let export = read(raw).map_err(|error| StatusError::invalid_argument(format!("invalid OTLP profiles: {error}")))?;
    convert::batch(&export, now_ns)
        .map_err(|error| StatusError::invalid_argument(format!("invalid OTLP profiles: {error}")))
}

/// The layout that the wire types tell, or the newest that fits; the error is that of the one that was meant.
fn read(raw: &RawExport) -> Result<Export, String> {
    if raw.resource_profiles.is_empty() {
        return Err("the request has no resource profiles".to_owned());
    }
    if raw.dictionary.is_none() {
        return Err("the request has no dictionary".to_owned());
    }
    let evidence = match raw.told {
        wire::TOLD_1_7 => Evidence::Sure(Layout::V1_7),
        wire::TOLD_1_10 => Evidence::Sure(Layout::V1_10),
        _ => layout::evidence(raw),
    };
    match evidence {
        Evidence::Sure(Layout::V1_7) => older::v1_7(raw),
        Evidence::Sure(Layout::V1_9) => older::v1_9(raw),
        Evidence::Sure(Layout::V1_10) => newest(raw),
        Evidence::None => undecided(raw),
    }
}

/// Samples with a stack, one list of small numbers and moments: attributes of 1.10, or values of 1.9. A dictionary holds what is used, so the
/// list is of attributes if without it some attribute would be nobody's.
fn undecided(raw: &RawExport) -> Result<Export, String> {
    match newest(raw) {
        Ok(export) if attributes_elsewhere(&export) => older::v1_9(raw).or(Ok(export)),
        Ok(export) => Ok(export),
        Err(error) => older::v1_9(raw).map_err(|_| error),
    }
}

/// Whether mappings, locations and profiles name every attribute, so that samples need name none.
fn attributes_elsewhere(export: &Export) -> bool {
    let Some(tables) = &export.dictionary else { return false };
    let mut named = vec![false; tables.attribute_table.len()];
    let profiles = export.resource_profiles.iter().flat_map(|resource| &resource.scope_profiles);
    let lists = (tables.mapping_table.iter().map(|mapping| &mapping.attribute_indices))
        .chain(tables.location_table.iter().map(|location| &location.attribute_indices))
        .chain(profiles.flat_map(|scope| &scope.profiles).map(|profile| &profile.attribute_indices));
    for index in lists.flatten() {
        if let Some(named) = usize::try_from(*index).ok().and_then(|index| named.get_mut(index)) {
            *named = true;
        }
    }
    named.iter().skip(1).all(|named| *named)
}

fn newest(raw: &RawExport) -> Result<Export, String> {
    let dictionary = raw.dictionary.clone().ok_or("the request has no dictionary")?;
    let dictionary = decoded(wire::Dictionary::decode(dictionary))?;
    let export = assemble(raw, dictionary, |_, bytes| Ok(vec![decoded(Profile::decode(bytes))?]))?;
    check(&export)?;
    Ok(export)
}

fn decoded<T>(result: Result<T, prost::DecodeError>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}

/// The request with each profile as `read` gives it; `read` may add to the dictionary.
fn assemble(
    raw: &RawExport,
    mut dictionary: wire::Dictionary,
    mut read: impl FnMut(&mut wire::Dictionary, bytes::Bytes) -> Result<Vec<Profile>, String>,
) -> Result<Export, String> {
    let mut resource_profiles = Vec::new();
    for resource in &raw.resource_profiles {
        let mut scope_profiles = Vec::new();
        for scope in &resource.scope_profiles {
            let mut profiles = Vec::new();
            for profile in &scope.profiles {
                profiles.append(&mut read(&mut dictionary, profile.clone())?);
            }
            scope_profiles.push(ScopeProfiles { scope: scope.scope.clone(), profiles });
        }
        resource_profiles.push(ResourceProfiles { resource: resource.resource.clone(), scope_profiles });
    }
    Ok(Export { resource_profiles, dictionary: Some(dictionary) })
}

/// Every index points into its table, and every sample has a value.
fn check(export: &Export) -> Result<(), String> {
    let Some(tables) = &export.dictionary else { return Err("the request has no dictionary".to_owned()) };
    check_tables(tables)?;
    let scopes = export.resource_profiles.iter().flat_map(|resource| &resource.scope_profiles);
    let mut locations = 0_usize;
    for profile in scopes.flat_map(|scope| &scope.profiles) {
        for value_type in profile.sample_type.iter().chain(&profile.period_type) {
            within("type_strindex", value_type.type_strindex, tables.string_table.len())?;
            within("unit_strindex", value_type.unit_strindex, tables.string_table.len())?;
        }
        for sample in &profile.samples {
            within("stack_index", sample.stack_index, tables.stack_table.len())?;
            within("link_index", sample.link_index, tables.link_table.len())?;
            all_within("attribute_indices", &sample.attribute_indices, tables.attribute_table.len())?;
            if sample.values.is_empty() && sample.timestamps_unix_nano.is_empty() {
                return Err("a sample has neither values nor timestamps".to_owned());
            }
            locations += weight(tables, sample);
            if locations > LOCATIONS_MAX {
                return Err(format!("the samples have more than {LOCATIONS_MAX} locations: send fewer at once"));
            }
        }
    }
    Ok(())
}

fn check_tables(tables: &wire::Dictionary) -> Result<(), String> {
    let strings = tables.string_table.len();
    for stack in &tables.stack_table {
        all_within("location_indices", &stack.location_indices, tables.location_table.len())?;
    }
    for location in &tables.location_table {
        within("mapping_index", location.mapping_index, tables.mapping_table.len())?;
        for line in &location.lines {
            within("function_index", line.function_index, tables.function_table.len())?;
        }
    }
    for function in &tables.function_table {
        all_within(
            "a string index of a function",
            &[function.name_strindex, function.system_name_strindex, function.filename_strindex],
            strings,
        )?;
    }
    for mapping in &tables.mapping_table {
        within("filename_strindex", mapping.filename_strindex, strings)?;
        all_within("attribute_indices", &mapping.attribute_indices, tables.attribute_table.len())?;
    }
    tables.attribute_table.iter().try_for_each(|attribute| within("key_strindex", attribute.key_strindex, strings))
}

fn all_within(what: &str, indexes: &[i32], length: usize) -> Result<(), String> {
    indexes.iter().try_for_each(|index| within(what, *index, length))
}

/// What a sample costs to write out.
fn weight(tables: &wire::Dictionary, sample: &wire::Sample) -> usize {
    let location = |index: &i32| 1 + at(&tables.location_table, *index).map_or(0, |location| location.lines.len());
    let bytes = |attribute| attribute_bytes(tables, attribute) / ATTRIBUTE_BYTES_UNIT;
    let attribute = |index: &i32| 1 + at(&tables.attribute_table, *index).map_or(0, bytes);
    // No stack is worth looking at to its end when it is too long already.
    let locations: usize = stack(tables, sample.stack_index).iter().take(LOCATIONS_MAX).map(location).sum();
    locations + sample.attribute_indices.iter().map(attribute).sum::<usize>()
}

fn attribute_bytes(tables: &wire::Dictionary, attribute: &wire::Attribute) -> usize {
    let key = at(&tables.string_table, attribute.key_strindex).map_or(0, String::len);
    let Some(value) = &attribute.value else { return key };
    let inner =
        value.array_value.iter().flat_map(|array| &array.values).filter_map(|value| value.string_value.as_ref());
    key + inner.chain(&value.string_value).map(String::len).sum::<usize>()
}

/// 0 means nothing, and so it may point at nothing.
fn within(what: &str, index: i32, length: usize) -> Result<(), String> {
    match usize::try_from(index) {
        Ok(index) if index == 0 || index < length => Ok(()),
        _ => Err(format!("{what} {index} is out of range: the table has {length} entries")),
    }
}

/// Locations of a stack, leaf first.
fn stack(tables: &wire::Dictionary, index: i32) -> &[i32] {
    at(&tables.stack_table, index).map_or(&[], |stack| &stack.location_indices)
}

fn at<T>(table: &[T], index: i32) -> Option<&T> {
    table.get(usize::try_from(index).ok()?)
}

#[cfg(test)]
mod tests;
