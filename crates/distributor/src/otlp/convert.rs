//! Checked OTLP profiles to tables: one for each profile and service name.

use std::collections::BTreeMap;

use flamelake_model::label_name;
use flamelake_pprof::{DecodeError, FunctionRow, Known, MappingRow, ProfileHead, Tables, TablesBuilder};

use super::wire::{AnyValue, Dictionary, Export, KeyValue, Location, Profile, Sample, ValueType};
use super::{at, stack};
use crate::{Content, PushBatch, PushSeries, RawProfile};

const SERVICE: &str = "service.name";
const EXECUTABLE: &str = "process.executable.name";
const BUILD_ID: &str = "process.executable.build_id.gnu";
/// Most attributes of a resource and its scope together: all of them become labels.
const ATTRIBUTES_MAX: usize = 1024;
/// Profiles share the tables of their request, but not when they are apart: each names what it uses.
const BYTES_MAX: usize = 256 << 20;
/// Nanoseconds of a profile that does not say how long it is.
const DURATION_DEFAULT: i64 = 10_000_000_000;

/// The profiles of all resources and scopes, in order.
pub(super) fn batch(export: &Export, now_ns: i64) -> Result<PushBatch, String> {
    let Some(tables) = &export.dictionary else { return Err("the request has no dictionary".to_owned()) };
    let (mut series, mut bytes) = (Vec::new(), 0_usize);
    for resource in &export.resource_profiles {
        let attributes = resource.resource.as_ref().map_or(&[][..], |resource| &resource.attributes);
        let default = service_name(attributes);
        for scope in &resource.scope_profiles {
            let of_scope = scope.scope.as_ref().map_or(&[][..], |scope| &scope.attributes);
            if attributes.len() + of_scope.len() > ATTRIBUTES_MAX {
                return Err(format!("a resource and its scope have more than {ATTRIBUTES_MAX} attributes"));
            }
            for profile in &scope.profiles {
                let kind = Kind::of(tables, profile)?;
                for (service, samples) in by_service(tables, profile, &default) {
                    let profile = Builder::new(tables, &kind).build(profile, &samples, now_ns)?;
                    let labels = labels(&kind.name, attributes.iter().chain(of_scope), &service);
                    bytes +=
                        profile.bytes() + labels.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
                    if bytes > BYTES_MAX {
                        return Err(format!("the profiles hold more than {BYTES_MAX} bytes apart: send fewer at once"));
                    }
                    let content = Content::Tables(Box::new(profile));
                    let profiles = vec![RawProfile { content, id: String::new() }];
                    series.push(PushSeries { labels, profiles });
                }
            }
        }
    }
    Ok(PushBatch { series })
}

fn by_service<'a>(tables: &Dictionary, profile: &'a Profile, default: &str) -> BTreeMap<String, Vec<&'a Sample>> {
    let mut groups: BTreeMap<String, Vec<&Sample>> = BTreeMap::new();
    for sample in &profile.samples {
        let own = attributes(tables, &sample.attribute_indices).find(|(key, _)| *key == SERVICE);
        groups.entry(own.map_or_else(|| default.to_owned(), |(_, value)| value)).or_default().push(sample);
    }
    groups
}

fn service_name(resource: &[KeyValue]) -> String {
    let get = |name: &str| resource.iter().find(|attribute| attribute.key == name).and_then(|a| text(a.value.as_ref()));
    get(SERVICE).unwrap_or_else(|| match get(EXECUTABLE) {
        Some(name) => format!("{}:{name}", label_name::UNKNOWN_SERVICE),
        None => label_name::UNKNOWN_SERVICE.to_owned(),
    })
}

/// Of equal keys the first wins.
fn labels<'a>(name: &str, more: impl Iterator<Item = &'a KeyValue>, service: &str) -> Vec<(String, String)> {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut labels = vec![pair(label_name::DELTA, "false"), pair("__otel__", "true"), pair(label_name::NAME, name)];
    for attribute in more {
        let known = labels.iter().any(|(name, _)| *name == attribute.key) || attribute.key == label_name::SERVICE_NAME;
        if let Some(value) = text(attribute.value.as_ref()).filter(|_| !known) {
            labels.push((attribute.key.clone(), value));
        }
    }
    labels.push(pair(label_name::SERVICE_NAME, service));
    labels
}

/// Texts and whole numbers, also alone in a list; anything else and nothing is no label.
fn text(value: Option<&AnyValue>) -> Option<String> {
    let value = value?;
    let (text, number) = match value.array_value.as_ref().map(|array| array.values.as_slice()) {
        Some([one]) => (one.string_value.clone(), one.int_value),
        _ => (value.string_value.clone(), value.int_value),
    };
    text.or_else(|| number.map(|number| number.to_string())).filter(|text| !text.is_empty())
}

/// Attributes by their indexes, those that are no labels left out.
fn attributes<'a>(tables: &'a Dictionary, indexes: &'a [i32]) -> impl Iterator<Item = (&'a str, String)> {
    indexes.iter().filter_map(|index| {
        let attribute = at(&tables.attribute_table, *index)?;
        let key = at(&tables.string_table, attribute.key_strindex)?;
        Some((key.as_str(), text(attribute.value.as_ref())?)).filter(|(key, _)| !key.is_empty())
    })
}

/// What a profile's types make of it.
struct Kind {
    /// Label `__name__`.
    name: String,
    sample: (String, String),
    period: Option<(String, String, i64)>,
    /// Values are events, each of this many units.
    times: i64,
    /// The values of a sample are pieces of one.
    summed: bool,
}

impl Kind {
    fn of(tables: &Dictionary, profile: &Profile) -> Result<Self, String> {
        let text = |index| at(&tables.string_table, index).cloned().unwrap_or_default();
        let both = |of: &ValueType| (text(of.type_strindex), text(of.unit_strindex));
        let sample = profile.sample_type.as_ref().map(both).ok_or("sample type is missing")?;
        let period = (profile.period != 0).then(|| profile.period_type.as_ref().map(both).unwrap_or_default());
        let (period_type, period_unit) = period.clone().unwrap_or_default();
        let period = period.map(|(name, unit)| (name, unit, profile.period));
        Ok(match (sample.0.as_str(), sample.1.as_str(), period_type.as_str(), period_unit.as_str()) {
            ("samples", "count", "cpu", "nanoseconds") => Self {
                name: "process_cpu".to_owned(),
                sample: ("cpu".to_owned(), "nanoseconds".to_owned()),
                times: profile.period,
                period,
                summed: false,
            },
            ("off_cpu", "nanoseconds", "", "") => {
                Self { name: "off_cpu".to_owned(), sample, period, times: 1, summed: true }
            }
            _ => Self { name: period_type, sample, period, times: 1, summed: false },
        })
    }

    /// One value, which without any is the number of moments that it was seen at.
    fn value(&self, sample: &Sample) -> Result<i64, String> {
        let value = match sample.values.as_slice() {
            [] => i64::try_from(sample.timestamps_unix_nano.len()).unwrap_or(i64::MAX),
            [value] => *value,
            values if self.summed => values.iter().fold(0_i64, |sum, value| sum.wrapping_add(*value)),
            values => return Err(format!("a sample has {} values, one is taken", values.len())),
        };
        Ok(value.saturating_mul(self.times))
    }
}

/// A profile in the making: what of the tables it uses. Numbers of the request to those of the profile, 0 = not used yet.
struct Builder<'a> {
    tables: &'a Dictionary,
    kind: &'a Kind,
    out: TablesBuilder,
    strings: Vec<u32>,
    functions: Vec<u64>,
    mappings: Vec<u64>,
    locations: Vec<u64>,
}

impl<'a> Builder<'a> {
    fn new(tables: &'a Dictionary, kind: &'a Kind) -> Self {
        Self {
            tables,
            kind,
            out: TablesBuilder::new(BYTES_MAX),
            strings: vec![0; tables.string_table.len()],
            functions: vec![0; tables.function_table.len()],
            mappings: vec![0; tables.mapping_table.len()],
            locations: vec![0; tables.location_table.len()],
        }
    }

    fn build(mut self, profile: &Profile, samples: &[&Sample], now_ns: i64) -> Result<Tables, String> {
        let tables = self.tables;
        for sample in samples {
            let value = self.kind.value(sample)?;
            let labels = self.labels(sample).map_err(text_of)?;
            let stack = stack(tables, sample.stack_index);
            for index in stack {
                self.location(*index).map_err(text_of)?;
            }
            let known = &self.locations;
            let locations = stack.iter().filter_map(|index| at(known, *index)).copied().filter(|id| *id > 0);
            self.out.sample(locations, &[value], labels.into_iter()).map_err(text_of)?;
        }
        let positive = |number: u64| i64::try_from(number).ok().filter(|number| *number > 0);
        let period = self.kind.period.clone();
        let (kind, unit, period) = period.unwrap_or_default();
        let head = ProfileHead {
            sample_types: vec![self.kind.sample.clone()],
            period_type: (kind, unit),
            period,
            time_nanos: positive(profile.time_unix_nano).unwrap_or(now_ns),
            duration_nanos: positive(profile.duration_nano).unwrap_or(DURATION_DEFAULT),
            has_mapping: false,
        };
        self.out.finish(&head).map_err(text_of)
    }

    fn text(&mut self, index: i32) -> Result<u32, DecodeError> {
        let Some(text) = at(&self.tables.string_table, index) else { return Ok(0) };
        let known = &mut self.strings[index as usize];
        if *known == 0 {
            *known = self.out.text(text.as_bytes())?;
        }
        Ok(*known)
    }

    fn labels(&mut self, sample: &Sample) -> Result<Vec<(u32, u32)>, DecodeError> {
        let tables = self.tables;
        let mut labels = Vec::new();
        let mut add = |key: &str, value: &str| -> Result<(), DecodeError> {
            labels.push((self.out.text(key.as_bytes())?, self.out.text(value.as_bytes())?));
            Ok(())
        };
        for (key, value) in attributes(tables, &sample.attribute_indices).filter(|(key, _)| *key != SERVICE) {
            add(key, &value)?;
        }
        if let Some(link) = at(&tables.link_table, sample.link_index).filter(|_| sample.link_index != 0) {
            if link.span_id.len() == 8 {
                add("span_id", &hex(&link.span_id))?;
            }
            if link.trace_id.len() == 16 {
                add("trace_id", &hex(&link.trace_id))?;
            }
        }
        Ok(labels)
    }

    /// Makes the location known, if it is there.
    fn location(&mut self, index: i32) -> Result<(), DecodeError> {
        let tables = self.tables;
        let Some(location) = at(&tables.location_table, index).filter(|_| self.locations[index as usize] == 0) else {
            return Ok(());
        };
        let mapping = self.mapping(location)?;
        let mut lines = Vec::with_capacity(location.lines.len());
        for line in location.lines.iter().filter(|line| line.function_index != 0) {
            if let Some(function) = self.function(line.function_index)? {
                lines.push((function, line.line));
            }
        }
        self.locations[index as usize] = self.out.address(mapping, location.address, lines.into_iter())?;
        Ok(())
    }

    fn function(&mut self, index: i32) -> Result<Option<u64>, DecodeError> {
        let Some(function) = at(&self.tables.function_table, index) else { return Ok(None) };
        if self.functions[index as usize] == 0 {
            let row = FunctionRow {
                name: self.text(function.name_strindex)?,
                system_name: self.text(function.system_name_strindex)?,
                filename: self.text(function.filename_strindex)?,
                start_line: function.start_line,
            };
            self.functions[index as usize] = self.out.function(row)?;
        }
        Ok(Some(self.functions[index as usize]))
    }

    /// The location's mapping, 0 without one. It has what all of its locations have.
    fn mapping(&mut self, location: &Location) -> Result<u64, DecodeError> {
        let tables = self.tables;
        let Some(source) = at(&tables.mapping_table, location.mapping_index) else { return Ok(0) };
        let has_lines = !location.lines.is_empty();
        let functions = has_lines && location.lines.iter().all(|line| line.function_index > 0);
        let named = |index| at(&tables.function_table, index).is_some_and(|function| function.filename_strindex > 0);
        let known = Known {
            functions,
            filenames: functions && location.lines.iter().all(|line| named(line.function_index)),
            line_numbers: has_lines && location.lines.iter().all(|line| line.line > 0),
            inline_frames: location.lines.len() > 1,
        };
        let at = location.mapping_index as usize;
        if self.mappings[at] > 0 {
            self.out.narrow(self.mappings[at], known);
            return Ok(self.mappings[at]);
        }
        let build_id = attributes(tables, &source.attribute_indices).find(|(key, _)| *key == BUILD_ID);
        let row = MappingRow {
            memory_start: source.memory_start,
            memory_limit: source.memory_limit,
            file_offset: source.file_offset,
            filename: self.text(source.filename_strindex)?,
            build_id: build_id.map_or(Ok(0), |(_, value)| self.out.text(value.as_bytes()))?,
        };
        self.mappings[at] = self.out.mapping(row, known)?;
        Ok(self.mappings[at])
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn text_of(error: DecodeError) -> String {
    error.to_string()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
