//! pprof on `/ingest`: the profile's name, and repairs of what some SDKs send (contract `ingest.md` sections 4.3 to 4.5).
//!
//! A repair appends to the message or to one of its parts: of a repeated scalar the last counts. So no object tree is built, and what
//! needs no repair is not touched.

use std::collections::HashMap;

use flamelake_pprof::inflate::Inflater;
use flamelake_pprof::reader::{BYTES, Fault, Reader, VARINT};
use flamelake_pprof::{FieldValue, append_field};
use serde::Deserialize;

use crate::decode::{DecodeLimits, Refused, Source};
use crate::{Content, PushSeries};

/// Profiles of the year 1970 carry no time that anyone meant.
const YEAR_1970_NS: i64 = 365 * 24 * 3600 * 1_000_000_000;

/// `sample_type_config`: what clients say of sample types. Only the name matters.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct SampleType {
    #[serde(rename = "display-name", default)]
    display_name: Option<String>,
    #[serde(rename = "units", default)]
    _units: Option<String>,
    #[serde(rename = "aggregation", default)]
    _aggregation: Option<String>,
    #[serde(rename = "cumulative", default)]
    _cumulative: Option<bool>,
    #[serde(rename = "sampled", default)]
    _sampled: Option<bool>,
}

pub(crate) type SampleTypes = HashMap<String, SampleType>;

/// Reads a `sample_type_config`.
pub(crate) fn sample_types(json: &[u8]) -> Result<SampleTypes, Refused> {
    serde_json::from_slice(json)
        .map_err(|error| Refused::malformed(format!("sample_type_config is not valid: {error}")))
}

/// The one series of a pprof, gzip or plain; `None` if it is empty.
pub(crate) fn series(
    body: &[u8],
    types: Option<&SampleTypes>,
    source: &Source,
    limits: DecodeLimits,
) -> Result<Option<PushSeries>, Refused> {
    if body.is_empty() {
        return Ok(None);
    }
    let mut inflater = Inflater::default();
    let message = inflater.run(body, limits.bytes_max)?;
    let parts =
        Parts::read(message).map_err(|what| Refused::malformed(format!("profile is not a pprof message: {what}")))?;
    let name = parts.name(types);
    let mut message = parts.repaired(message, types, &source.spy, limits.bytes_max).map_err(Refused::malformed)?;
    if parts.time_ns < YEAR_1970_NS {
        append_field(&mut message, 9, FieldValue::Int(source.from_ns as u64));
    }
    Ok(Some(source.series(&source.app.app, &name, &[], Content::Pprof(message.into()))))
}

/// What names and repairs look at.
#[derive(Debug, Default)]
struct Parts<'a> {
    texts: Vec<&'a [u8]>,
    /// Text number of each sample type.
    sample_types: Vec<u64>,
    functions: Vec<Function>,
    location_ids: Vec<u64>,
    time_ns: i64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Function {
    id: u64,
    name: u64,
    filename: u64,
}

/// The numbers of a message's fields 1 to 4, where they are numbers.
fn numbers(mut message: Reader<'_>) -> Result<[u64; 5], Fault> {
    let mut numbers = [0; 5];
    while !message.is_empty() {
        match message.tag()? {
            (field @ 1..=4, VARINT) => numbers[field as usize] = message.varint()?,
            (field, wire) => message.skip(field, wire)?,
        }
    }
    Ok(numbers)
}

impl<'a> Parts<'a> {
    fn read(message: &'a [u8]) -> Result<Self, Fault> {
        let mut parts = Self::default();
        let mut reader = Reader::new(message);
        while !reader.is_empty() {
            match reader.tag()? {
                (1, BYTES) => parts.sample_types.push(numbers(reader.message(BYTES)?)?[1]),
                (4, BYTES) => parts.location_ids.push(numbers(reader.message(BYTES)?)?[1]),
                (5, BYTES) => {
                    let [_, id, name, _, filename] = numbers(reader.message(BYTES)?)?;
                    parts.functions.push(Function { id, name, filename });
                }
                (6, BYTES) => parts.texts.push(reader.bytes()?),
                (9, VARINT) => parts.time_ns = reader.varint()? as i64,
                (field, wire) => reader.skip(field, wire)?,
            }
        }
        Ok(parts)
    }

    fn text(&self, at: u64) -> &'a [u8] {
        usize::try_from(at).ok().and_then(|at| self.texts.get(at)).copied().unwrap_or_default()
    }

    /// `__name__`, from the sample types as the client calls them.
    fn name(&self, types: Option<&SampleTypes>) -> String {
        let texts: Vec<_> = self.sample_types.iter().map(|at| String::from_utf8_lossy(self.text(*at))).collect();
        if texts.iter().any(|text| text == "wall") {
            return "wall".to_owned();
        }
        let shown: Vec<&str> = texts.iter().map(|text| display_name(text, types)).collect();
        let known = shown.iter().find_map(|text| known_name(text));
        known.or(shown.last().copied()).unwrap_or_default().replace('-', "_")
    }

    fn repaired(
        &self,
        message: &[u8],
        types: Option<&SampleTypes>,
        spy: &str,
        bytes_max: usize,
    ) -> Result<Vec<u8>, Fault> {
        let dotnet = spy == "dotnetspy" || (spy == "unknown" && types.is_some_and(|t| t.contains_key("inuse-space")));
        let ids = dotnet
            && self.functions.len() == self.location_ids.len()
            && self.functions.iter().all(|function| function.id == 0);
        let repair = Repair {
            parts: self,
            files: matches!(spy, "pyspy" | "rbspy" | "scripting"),
            absolute_files: spy != "pyspy",
            ids,
            dashes: dotnet,
        };
        if !repair.files && !repair.dashes {
            return Ok(message.to_vec());
        }
        repair.run(message, bytes_max)
    }
}

fn display_name<'a>(text: &'a str, types: Option<&'a SampleTypes>) -> &'a str {
    if let Some(types) = types {
        return types.get(text).and_then(|t| t.display_name.as_deref()).filter(|name| !name.is_empty()).unwrap_or(text);
    }
    match text {
        "samples" => "cpu",
        "goroutine" => "goroutines",
        "contentions" => "mutex_count",
        "delay" => "mutex_duration",
        other => other,
    }
}

fn known_name(text: &str) -> Option<&'static str> {
    let has = |part| text.contains(part);
    match text {
        _ if has("cpu") => Some("process_cpu"),
        "space" | "objects" => Some("memory"),
        _ if has("alloc_") || has("inuse_") => Some("memory"),
        _ if has("mutex_") => Some("mutex"),
        _ if has("block_") => Some("block"),
        _ if has("goroutines") => Some("goroutines"),
        _ => None,
    }
}

/// Which parts are written anew.
struct Repair<'a> {
    parts: &'a Parts<'a>,
    /// Functions are called `<file> <function>`.
    files: bool,
    /// Also those of files with an absolute path.
    absolute_files: bool,
    /// Functions take the ids of locations.
    ids: bool,
    /// Sample types lose their dashes.
    dashes: bool,
}

impl Repair<'_> {
    fn run(&self, message: &[u8], bytes_max: usize) -> Result<Vec<u8>, Fault> {
        let mut out = Vec::with_capacity(message.len() + message.len() / 4);
        let mut texts = NewTexts::behind(self.parts.texts.len());
        let mut functions = 0;
        let mut reader = Reader::new(message);
        while !reader.is_empty() {
            let start = reader.rest;
            match reader.tag()? {
                (1, BYTES) if self.dashes => {
                    let part = reader.bytes()?;
                    let text = self.parts.text(numbers(Reader::new(part))?[1]);
                    let text: Vec<u8> = text.iter().map(|byte| if *byte == b'-' { b'_' } else { *byte }).collect();
                    append_field(&mut out, 1, FieldValue::Bytes(&with(part, 1, texts.number(text))));
                }
                (5, BYTES) => {
                    let part = reader.bytes()?;
                    let part = self.function(part, functions, &mut texts);
                    if texts.bytes > bytes_max {
                        return Err("its functions with their files are longer than a profile may be");
                    }
                    append_field(&mut out, 5, FieldValue::Bytes(&part));
                    functions += 1;
                }
                (field, wire) => {
                    reader.skip(field, wire)?;
                    out.extend_from_slice(&start[..start.len() - reader.rest.len()]);
                }
            }
        }
        texts.order.iter().for_each(|text| append_field(&mut out, 6, FieldValue::Bytes(text)));
        Ok(out)
    }

    fn function(&self, part: &[u8], at: usize, texts: &mut NewTexts) -> Vec<u8> {
        let mut part = part.to_vec();
        let function = self.parts.functions.get(at).copied().unwrap_or_default();
        if let Some(id) = self.parts.location_ids.get(at).filter(|_| self.ids) {
            append_field(&mut part, 1, FieldValue::Int(*id));
        }
        let (name, file) = (self.parts.text(function.name), self.parts.text(function.filename));
        if self.files && !file.is_empty() && (self.absolute_files || !file.starts_with(b"/")) {
            let key = (function.filename, function.name);
            let known = texts.functions.get(&key).copied();
            let number = known.unwrap_or_else(|| texts.number([file, b" ", name].concat()));
            texts.functions.insert(key, number);
            append_field(&mut part, 2, FieldValue::Int(number));
        }
        part
    }
}

fn with(part: &[u8], field: u32, number: u64) -> Vec<u8> {
    let mut part = part.to_vec();
    append_field(&mut part, field, FieldValue::Int(number));
    part
}

/// Texts that go behind those of the message.
struct NewTexts {
    texts: HashMap<Vec<u8>, u64>,
    /// By the numbers of file and function.
    functions: HashMap<(u64, u64), u64>,
    first: u64,
    order: Vec<Vec<u8>>,
    bytes: usize,
}

impl NewTexts {
    fn behind(texts: usize) -> Self {
        Self { texts: HashMap::new(), functions: HashMap::new(), first: texts as u64, order: Vec::new(), bytes: 0 }
    }

    fn number(&mut self, text: Vec<u8>) -> u64 {
        let next = self.first + self.order.len() as u64;
        let number = *self.texts.entry(text.clone()).or_insert(next);
        if number == next {
            self.bytes += text.len();
            self.order.push(text);
        }
        number
    }
}
