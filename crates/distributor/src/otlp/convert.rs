//! Checked OTLP profiles to pprof: one for each profile and service name.

use std::collections::{BTreeMap, HashMap};

use flamelake_api::google::v1 as pprof;
use flamelake_model::label_name;
use prost::Message as _;

use super::wire::{AnyValue, Dictionary, Export, KeyValue, Location, Profile, Sample, ValueType};
use super::{at, stack};
use crate::{PushBatch, PushSeries, RawProfile};

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
                    let pprof = Builder::new(tables, &kind).build(profile, &samples, now_ns)?.encode_to_vec();
                    let labels = labels(&kind.name, attributes.iter().chain(of_scope), &service);
                    bytes += pprof.len() + labels.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
                    if bytes > BYTES_MAX {
                        return Err(format!("the profiles hold more than {BYTES_MAX} bytes apart: send fewer at once"));
                    }
                    let profiles = vec![RawProfile { pprof: pprof.into(), id: String::new() }];
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

/// A pprof in the making: what of the tables it uses, numbered from 1.
struct Builder<'a> {
    tables: &'a Dictionary,
    kind: &'a Kind,
    profile: pprof::Profile,
    strings: HashMap<String, i64>,
    functions: HashMap<i32, u64>,
    mappings: HashMap<i32, u64>,
    locations: HashMap<i32, u64>,
}

impl<'a> Builder<'a> {
    fn new(tables: &'a Dictionary, kind: &'a Kind) -> Self {
        let mut builder = Self {
            tables,
            kind,
            profile: pprof::Profile::default(),
            strings: HashMap::new(),
            functions: HashMap::new(),
            mappings: HashMap::new(),
            locations: HashMap::new(),
        };
        builder.string("");
        builder
    }

    fn build(mut self, profile: &Profile, samples: &[&Sample], now_ns: i64) -> Result<pprof::Profile, String> {
        let positive = |number: u64| i64::try_from(number).ok().filter(|number| *number > 0);
        self.profile.time_nanos = positive(profile.time_unix_nano).unwrap_or(now_ns);
        self.profile.duration_nanos = positive(profile.duration_nano).unwrap_or(DURATION_DEFAULT);
        let kind = self.kind;
        let (r#type, unit) = (self.string(&kind.sample.0), self.string(&kind.sample.1));
        self.profile.sample_type = vec![pprof::ValueType { r#type, unit }];
        if let Some((name, unit, period)) = &kind.period {
            let (r#type, unit) = (self.string(name), self.string(unit));
            self.profile.period_type = Some(pprof::ValueType { r#type, unit });
            self.profile.period = *period;
        }
        for sample in samples {
            let value = vec![kind.value(sample)?];
            let location_id =
                stack(self.tables, sample.stack_index).iter().filter_map(|index| self.location(*index)).collect();
            let label = self.labels(sample);
            self.profile.sample.push(pprof::Sample { location_id, value, label });
        }
        Ok(self.profile)
    }

    fn string(&mut self, text: &str) -> i64 {
        if let Some(&known) = self.strings.get(text) {
            return known;
        }
        let number = self.profile.string_table.len() as i64;
        self.profile.string_table.push(text.to_owned());
        self.strings.insert(text.to_owned(), number);
        number
    }

    fn text(&mut self, index: i32) -> i64 {
        let tables = self.tables;
        at(&tables.string_table, index).map_or(0, |text| self.string(text))
    }

    fn labels(&mut self, sample: &Sample) -> Vec<pprof::Label> {
        let tables = self.tables;
        let mut pairs: Vec<(&str, String)> =
            attributes(tables, &sample.attribute_indices).filter(|(key, _)| *key != SERVICE).collect();
        if let Some(link) = at(&tables.link_table, sample.link_index).filter(|_| sample.link_index != 0) {
            if link.span_id.len() == 8 {
                pairs.push(("span_id", hex(&link.span_id)));
            }
            if link.trace_id.len() == 16 {
                pairs.push(("trace_id", hex(&link.trace_id)));
            }
        }
        let label = |(key, value): (&str, String)| pprof::Label {
            key: self.string(key),
            str: self.string(&value),
            ..pprof::Label::default()
        };
        pairs.into_iter().map(label).collect()
    }

    fn location(&mut self, index: i32) -> Option<u64> {
        if let Some(&known) = self.locations.get(&index) {
            return Some(known);
        }
        let location = at(&self.tables.location_table, index)?;
        let mapping_id = self.mapping(location);
        let with_function = location.lines.iter().filter(|line| line.function_index != 0);
        let line = with_function
            .filter_map(|line| Some(pprof::Line { function_id: self.function(line.function_index)?, line: line.line }));
        let line = line.collect();
        let id = self.profile.location.len() as u64 + 1;
        self.profile.location.push(pprof::Location {
            id,
            mapping_id,
            address: location.address,
            line,
            is_folded: false,
        });
        self.locations.insert(index, id);
        Some(id)
    }

    fn function(&mut self, index: i32) -> Option<u64> {
        if let Some(&known) = self.functions.get(&index) {
            return Some(known);
        }
        let function = at(&self.tables.function_table, index)?;
        let id = self.profile.function.len() as u64 + 1;
        let (name, system_name) = (self.text(function.name_strindex), self.text(function.system_name_strindex));
        let (filename, start_line) = (self.text(function.filename_strindex), function.start_line);
        self.profile.function.push(pprof::Function { id, name, system_name, filename, start_line });
        self.functions.insert(index, id);
        Some(id)
    }

    /// The location's mapping, 0 without one. It has what all of its locations have.
    fn mapping(&mut self, location: &Location) -> u64 {
        let tables = self.tables;
        let Some(source) = at(&tables.mapping_table, location.mapping_index) else { return 0 };
        let has_lines = !location.lines.is_empty();
        let functions = has_lines && location.lines.iter().all(|line| line.function_index > 0);
        let numbers = has_lines && location.lines.iter().all(|line| line.line > 0);
        let named = |index| at(&tables.function_table, index).is_some_and(|function| function.filename_strindex > 0);
        let files = functions && location.lines.iter().all(|line| named(line.function_index));
        let inlined = location.lines.len() > 1;
        if let Some(&id) = self.mappings.get(&location.mapping_index) {
            if let Some(mapping) = self.profile.mapping.get_mut(id as usize - 1) {
                mapping.has_functions &= functions;
                mapping.has_filenames &= files;
                mapping.has_line_numbers &= numbers;
                mapping.has_inline_frames |= inlined;
            }
            return id;
        }
        let id = self.profile.mapping.len() as u64 + 1;
        let build_id = attributes(tables, &source.attribute_indices).find(|(key, _)| *key == BUILD_ID);
        let build_id = build_id.map_or(0, |(_, value)| self.string(&value));
        let filename = self.text(source.filename_strindex);
        self.profile.mapping.push(pprof::Mapping {
            id,
            memory_start: source.memory_start,
            memory_limit: source.memory_limit,
            file_offset: source.file_offset,
            filename,
            build_id,
            has_functions: functions,
            has_filenames: files,
            has_line_numbers: numbers,
            has_inline_frames: inlined,
        });
        self.mappings.insert(location.mapping_index, id);
        id
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
