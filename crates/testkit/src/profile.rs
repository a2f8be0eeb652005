//! pprof bytes from folded stacks, so that a test says what it pushes in one line.
//!
//! A stack is written root first, frames parted by `;`. A frame is a function name, optionally with:
//! `name:12` the line, `outer > inner` two inlined functions in one location, `@0x1f` a location with an address and no symbols,
//! `name@0x1f` both.

use std::collections::HashMap;
use std::io::Write;

use crate::wire;

/// A label of a sample.
#[derive(Clone, Debug, PartialEq, Eq)]
enum SampleLabel {
    Text(String, String),
    Number(String, i64),
}

/// What a sample is beside its stack: filled by a closure in [`ProfileBuilder::sample`].
#[derive(Clone, Debug, Default)]
pub struct SampleExtras {
    labels: Vec<SampleLabel>,
}

impl SampleExtras {
    /// A text label.
    pub fn label(&mut self, key: &str, value: &str) -> &mut Self {
        self.labels.push(SampleLabel::Text(key.to_owned(), value.to_owned()));
        self
    }

    /// A numeric label: dropped by normalisation, counted by the limits.
    pub fn number(&mut self, key: &str, value: i64) -> &mut Self {
        self.labels.push(SampleLabel::Number(key.to_owned(), value));
        self
    }

    /// The label `span_id`: 16 hex characters, the bytes of `id` in little-endian order (contract `ingest.md` section 1.5).
    pub fn span(&mut self, id: u64) -> &mut Self {
        let text = hex(&id.to_le_bytes());
        self.label("span_id", &text)
    }

    /// The label `trace_id`: 32 hex characters.
    pub fn trace(&mut self, id: [u8; 16]) -> &mut Self {
        let text = hex(&id);
        self.label("trace_id", &text)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Builds one pprof message. Strings, functions and locations are shared between its samples, as real writers do.
#[derive(Clone, Debug)]
pub struct ProfileBuilder {
    strings: Vec<String>,
    string_ids: HashMap<String, u64>,
    sample_types: Vec<(u64, u64)>,
    period_type: Option<(u64, u64)>,
    period: i64,
    time_ns: i64,
    duration_ns: i64,
    default_sample_type: u64,
    functions: HashMap<(u64, u64), u64>,
    function_bytes: Vec<u8>,
    locations: HashMap<(String, u64), u64>,
    location_bytes: Vec<u8>,
    mapping_bytes: Vec<u8>,
    mappings: u64,
    file: u64,
    sample_bytes: Vec<u8>,
    tail: Vec<u8>,
}

impl Default for ProfileBuilder {
    fn default() -> Self {
        Self::cpu()
    }
}

impl ProfileBuilder {
    /// A profile with these value columns (type, unit), without period, time or mapping.
    pub fn new(sample_types: &[(&str, &str)]) -> Self {
        let mut builder = Self {
            strings: Vec::new(),
            string_ids: HashMap::new(),
            sample_types: Vec::new(),
            period_type: None,
            period: 0,
            time_ns: 0,
            duration_ns: 0,
            default_sample_type: 0,
            functions: HashMap::new(),
            function_bytes: Vec::new(),
            locations: HashMap::new(),
            location_bytes: Vec::new(),
            mapping_bytes: Vec::new(),
            mappings: 0,
            file: 0,
            sample_bytes: Vec::new(),
            tail: Vec::new(),
        };
        builder.string("");
        builder.file = builder.string("main.go");
        builder.sample_types = sample_types.iter().map(|(t, u)| (builder.string(t), builder.string(u))).collect();
        builder
    }

    /// One column `cpu` in nanoseconds with period type cpu:nanoseconds of 10 ms: a Go CPU profile.
    pub fn cpu() -> Self {
        Self::new(&[("cpu", "nanoseconds")]).period("cpu", "nanoseconds", 10_000_000)
    }

    /// The four columns of a Go heap profile with period type space:bytes.
    pub fn heap() -> Self {
        Self::new(&[
            ("alloc_objects", "count"),
            ("alloc_space", "bytes"),
            ("inuse_objects", "count"),
            ("inuse_space", "bytes"),
        ])
        .period("space", "bytes", 524_288)
    }

    /// Period type, unit and value.
    pub fn period(mut self, kind: &str, unit: &str, period: i64) -> Self {
        self.period_type = Some((self.string(kind), self.string(unit)));
        self.period = period;
        self
    }

    /// `time_nanos`; 0 leaves it out.
    pub fn time_ns(mut self, time_ns: i64) -> Self {
        self.time_ns = time_ns;
        self
    }

    /// `duration_nanos`; 0 leaves it out.
    pub fn duration_ns(mut self, duration_ns: i64) -> Self {
        self.duration_ns = duration_ns;
        self
    }

    /// `default_sample_type` by name.
    pub fn default_sample_type(mut self, kind: &str) -> Self {
        self.default_sample_type = self.string(kind);
        self
    }

    /// The source file of the functions that follow (`main.go` at first).
    pub fn file(mut self, name: &str) -> Self {
        self.file = self.string(name);
        self
    }

    /// A mapping; the locations that follow lie in it. Without any, a symbolised one without a file is made.
    pub fn mapping(mut self, file: &str, build_id: &str, start: u64, limit: u64, has_functions: bool) -> Self {
        let (file, build_id) = (self.string(file), self.string(build_id));
        self.push_mapping(file, build_id, start, limit, has_functions);
        self
    }

    /// One sample: stack root first (see the module), one value a column.
    pub fn stack(self, stack: &str, values: &[i64]) -> Self {
        self.sample(stack, values, |_| {})
    }

    /// One sample with labels: `.sample("main;a", &[1], |s| { s.label("k", "v").span(7); })`.
    pub fn sample(mut self, stack: &str, values: &[i64], extras: impl FnOnce(&mut SampleExtras)) -> Self {
        let mut more = SampleExtras::default();
        extras(&mut more);
        let frames: Vec<&str> = if stack.is_empty() { Vec::new() } else { stack.split(';').rev().collect() };
        let locations: Vec<u64> = frames.into_iter().map(|frame| self.location(frame)).collect();
        let mut message = wire::packed(1, locations);
        message.extend(wire::packed(2, values.iter().map(|v| *v as u64)));
        for label in more.labels {
            let label = match label {
                SampleLabel::Text(k, v) => {
                    [wire::int(1, self.string(&k) as i64), wire::int(2, self.string(&v) as i64)].concat()
                }
                SampleLabel::Number(k, v) => [wire::int(1, self.string(&k) as i64), wire::int(3, v)].concat(),
            };
            message.extend(wire::bytes(3, label));
        }
        self.sample_bytes.extend(wire::bytes(2, message));
        self
    }

    /// Folded text, one `stack value…` a line; empty lines are skipped.
    ///
    /// # Panics
    /// If a line has no value.
    pub fn folded(mut self, text: &str) -> Self {
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let columns = self.sample_types.len().max(1);
            let mut parts: Vec<&str> = line.rsplitn(columns + 1, ' ').collect();
            let stack = parts.pop().expect("rsplitn gives at least one part");
            let values: Vec<i64> = parts.iter().rev().map(|v| v.parse().expect("folded line ends in values")).collect();
            self = self.stack(stack, &values);
        }
        self
    }

    /// Raw bytes behind everything else: a later field wins, garbage breaks the message.
    pub fn tail(mut self, bytes: &[u8]) -> Self {
        self.tail.extend_from_slice(bytes);
        self
    }

    /// An extra string in the table, e.g. for language detection.
    pub fn extra_string(mut self, text: &str) -> Self {
        self.string(text);
        self
    }

    /// The message, not compressed.
    pub fn plain(mut self) -> Vec<u8> {
        if self.mappings == 0 {
            self.push_mapping(0, 0, 0, 0, true);
        }
        let mut out = Vec::new();
        for (kind, unit) in &self.sample_types {
            out.extend(wire::bytes(1, [wire::int(1, *kind as i64), wire::int(2, *unit as i64)].concat()));
        }
        out.extend_from_slice(&self.sample_bytes);
        out.extend_from_slice(&self.mapping_bytes);
        out.extend_from_slice(&self.location_bytes);
        out.extend_from_slice(&self.function_bytes);
        for text in &self.strings {
            out.extend(wire::bytes(6, text));
        }
        if self.time_ns != 0 {
            out.extend(wire::int(9, self.time_ns));
        }
        if self.duration_ns != 0 {
            out.extend(wire::int(10, self.duration_ns));
        }
        if let Some((kind, unit)) = self.period_type {
            out.extend(wire::bytes(11, [wire::int(1, kind as i64), wire::int(2, unit as i64)].concat()));
            out.extend(wire::int(12, self.period));
        }
        if self.default_sample_type != 0 {
            out.extend(wire::int(14, self.default_sample_type as i64));
        }
        out.extend_from_slice(&self.tail);
        out
    }

    /// The message, gzip level 1, as most agents send it.
    pub fn gzip(self) -> Vec<u8> {
        gzip(&self.plain(), 1)
    }

    fn string(&mut self, text: &str) -> u64 {
        if let Some(id) = self.string_ids.get(text) {
            return *id;
        }
        let id = self.strings.len() as u64;
        self.strings.push(text.to_owned());
        self.string_ids.insert(text.to_owned(), id);
        id
    }

    fn push_mapping(&mut self, file: u64, build_id: u64, start: u64, limit: u64, has_functions: bool) {
        self.mappings += 1;
        let message = [
            wire::int(1, self.mappings as i64),
            wire::int(2, start as i64),
            wire::int(3, limit as i64),
            wire::int(5, file as i64),
            wire::int(6, build_id as i64),
            wire::int(7, i64::from(has_functions)),
        ];
        self.mapping_bytes.extend(wire::bytes(3, message.concat()));
    }

    fn function(&mut self, name: &str) -> u64 {
        let name = self.string(name);
        let key = (name, self.file);
        if let Some(id) = self.functions.get(&key) {
            return *id;
        }
        let id = self.functions.len() as u64 + 1;
        self.functions.insert(key, id);
        let fields = [(1, id), (2, name), (3, name), (4, self.file)];
        let message: Vec<u8> = fields.iter().flat_map(|(n, v)| wire::int(*n, *v as i64)).collect();
        self.function_bytes.extend(wire::bytes(5, message));
        id
    }

    fn location(&mut self, frame: &str) -> u64 {
        let mapping = self.mappings.max(1);
        if let Some(id) = self.locations.get(&(frame.to_owned(), mapping)) {
            return *id;
        }
        let id = self.locations.len() as u64 + 1;
        self.locations.insert((frame.to_owned(), mapping), id);
        let (names, address) = split_address(frame);
        let mut message = [wire::int(1, id as i64), wire::int(2, mapping as i64)].concat();
        if address != 0 {
            message.extend(wire::int(3, address as i64));
        }
        // Innermost first, as pprof wants it; the text has the outermost first.
        for name in names.split(" > ").filter(|n| !n.is_empty()).collect::<Vec<_>>().into_iter().rev() {
            let (name, line) = split_line(name);
            let function = self.function(name);
            message.extend(wire::bytes(4, [wire::int(1, function as i64), wire::int(2, line)].concat()));
        }
        self.location_bytes.extend(wire::bytes(4, message));
        id
    }
}

fn split_address(frame: &str) -> (&str, u64) {
    frame
        .rsplit_once("@0x")
        .and_then(|(names, hex)| Some((names, u64::from_str_radix(hex, 16).ok()?)))
        .unwrap_or((frame, 0))
}

fn split_line(name: &str) -> (&str, i64) {
    name.rsplit_once(':')
        .filter(|(name, _)| !name.is_empty() && !name.ends_with(':'))
        .and_then(|(name, line)| Some((name, line.parse().ok()?)))
        .unwrap_or((name, 1))
}

/// Gzip at a level of 0 to 9.
pub fn gzip(bytes: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(level));
    encoder.write_all(bytes).expect("a Vec takes every byte");
    encoder.finish().expect("a Vec takes every byte")
}

/// Takes gzip away if there is any.
///
/// # Panics
/// On broken gzip.
pub fn gunzip(bytes: &[u8]) -> Vec<u8> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return bytes.to_vec();
    }
    let mut out = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(bytes), &mut out).expect("whole gzip");
    out
}

/// A pprof (gzip or plain) moved in time, plain: of two `time_nanos` the last wins.
pub fn at_time(pprof: &[u8], time_ns: i64) -> Vec<u8> {
    let mut out = gunzip(pprof);
    out.extend(wire::int(9, time_ns));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_have_lines_addresses_and_inlined_names() {
        assert_eq!(split_address("a > b@0x1f"), ("a > b", 0x1f));
        assert_eq!(split_address("@0x1f"), ("", 0x1f));
        assert_eq!(split_line("std::f:12"), ("std::f", 12));
        assert_eq!(split_line("std::f"), ("std::f", 1));
    }

    #[test]
    fn gzip_and_plain_hold_the_same() {
        let profile = ProfileBuilder::cpu().folded("main;a 1\nmain;b 2").time_ns(5);
        assert_eq!(gunzip(&profile.clone().gzip()), profile.plain());
    }
}
