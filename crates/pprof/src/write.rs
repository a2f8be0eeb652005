//! Writes a builder as `google.v1.Profile`: only what samples use, ids dense from 1, `string_table[0]` empty.

use crate::id_map::ABSENT;
use crate::merge::{PprofBuilder, PprofMeta};

impl PprofBuilder {
    /// The uncompressed message. Without `meta` it is a partial result, to be merged by
    /// [`merge_encoded`](Self::merge_encoded). Without samples it is empty: no bytes.
    pub fn encode(&self, meta: Option<&PprofMeta>) -> Vec<u8> {
        if self.is_empty() { Vec::new() } else { Writer::new(self).write(meta) }
    }
}

/// New numbers of what is used; [`ABSENT`] for the rest.
struct Writer<'a> {
    builder: &'a PprofBuilder,
    locations: Vec<u32>,
    functions: Vec<u32>,
    mappings: Vec<u32>,
    strings: Vec<u32>,
    table: Vec<&'a str>,
    out: Vec<u8>,
    scratch: Vec<u8>,
    inner: Vec<u8>,
}

impl<'a> Writer<'a> {
    fn new(builder: &'a PprofBuilder) -> Self {
        let mut writer = Self {
            builder,
            locations: vec![ABSENT; builder.locations.len()],
            functions: vec![ABSENT; builder.functions.len()],
            mappings: vec![ABSENT; builder.mappings.len()],
            strings: vec![ABSENT; builder.strings.len()],
            table: vec![""],
            out: Vec::with_capacity(builder.stack_locations.len() * 2 + builder.locations.len() * 24),
            scratch: Vec::new(),
            inner: Vec::new(),
        };
        builder.stack_locations.iter().for_each(|at| writer.locations[*at as usize] = 0);
        for at in (0..builder.locations.len()).filter(|at| writer.locations[*at] == 0) {
            writer.mappings[builder.locations[at].mapping as usize] = 0;
            builder.location_lines(at as u32).iter().for_each(|line| writer.functions[line.function as usize] = 0);
        }
        [&mut writer.locations, &mut writer.functions, &mut writer.mappings].into_iter().for_each(|used| number(used));
        writer
    }

    fn write(mut self, meta: Option<&'a PprofMeta>) -> Vec<u8> {
        self.samples();
        self.mappings();
        self.locations();
        self.functions();
        if let Some(meta) = meta {
            self.meta(meta);
        }
        for text in &self.table {
            put_bytes(&mut self.out, 6, text.as_bytes());
        }
        self.out
    }

    fn samples(&mut self) {
        for (sample, value) in self.builder.values.iter().enumerate() {
            self.scratch.clear();
            self.inner.clear();
            for at in self.builder.stack(sample) {
                put_varint(&mut self.inner, self.locations[*at as usize].into());
            }
            put_bytes(&mut self.scratch, 1, &self.inner);
            self.inner.clear();
            put_varint(&mut self.inner, *value as u64);
            put_bytes(&mut self.scratch, 2, &self.inner);
            put_bytes(&mut self.out, 2, &self.scratch);
        }
    }

    fn mappings(&mut self) {
        for at in 0..self.mappings.len() {
            if self.mappings[at] == ABSENT {
                continue;
            }
            let mapping = self.builder.mappings[at];
            let fields = [
                self.mappings[at].into(),
                mapping.memory_start,
                mapping.memory_limit,
                mapping.file_offset,
                self.string(mapping.filename),
                self.string(mapping.build_id),
                mapping.has_functions.into(),
                mapping.has_filenames.into(),
                mapping.has_line_numbers.into(),
                mapping.has_inline_frames.into(),
            ];
            self.message(3, &fields);
        }
    }

    fn functions(&mut self) {
        for at in 0..self.functions.len() {
            if self.functions[at] == ABSENT {
                continue;
            }
            let function = self.builder.functions[at];
            let fields = [
                self.functions[at].into(),
                self.string(function.name),
                self.string(function.system_name),
                self.string(function.filename),
                function.start_line as u64,
            ];
            self.message(5, &fields);
        }
    }

    fn locations(&mut self) {
        for at in 0..self.locations.len() {
            if self.locations[at] == ABSENT {
                continue;
            }
            let location = self.builder.locations[at];
            self.scratch.clear();
            put_int(&mut self.scratch, 1, self.locations[at].into());
            put_int(&mut self.scratch, 2, self.mappings[location.mapping as usize].into());
            put_int(&mut self.scratch, 3, location.address);
            for line in self.builder.location_lines(at as u32) {
                self.inner.clear();
                put_int(&mut self.inner, 1, self.functions[line.function as usize].into());
                put_int(&mut self.inner, 2, line.line as u64);
                put_bytes(&mut self.scratch, 4, &self.inner);
            }
            put_int(&mut self.scratch, 5, location.is_folded.into());
            put_bytes(&mut self.out, 4, &self.scratch);
        }
    }

    fn meta(&mut self, meta: &'a PprofMeta) {
        let sample_type = [self.text(&meta.sample_type.0), self.text(&meta.sample_type.1)];
        let period_type = [self.text(&meta.period_type.0), self.text(&meta.period_type.1)];
        self.message(1, &sample_type);
        put_int(&mut self.out, 9, meta.time_nanos as u64);
        put_int(&mut self.out, 10, meta.duration_nanos as u64);
        self.message(11, &period_type);
        put_int(&mut self.out, 12, meta.period as u64);
        put_int(&mut self.out, 14, sample_type[0]);
    }

    /// A message whose fields are numbers, from field 1 on.
    fn message(&mut self, number: u32, fields: &[u64]) {
        self.scratch.clear();
        for (field, value) in (1..).zip(fields) {
            put_int(&mut self.scratch, field, *value);
        }
        put_bytes(&mut self.out, number, &self.scratch);
    }

    fn string(&mut self, at: u32) -> u64 {
        let text = self.builder.strings.get(at);
        if self.strings[at as usize] == ABSENT {
            self.strings[at as usize] = self.text(text) as u32;
        }
        self.strings[at as usize].into()
    }

    /// Appends a text.
    fn text(&mut self, text: &'a str) -> u64 {
        if text.is_empty() {
            return 0;
        }
        self.table.push(text);
        self.table.len() as u64 - 1
    }
}

/// Numbers from 1 in order.
fn number(used: &mut [u32]) {
    let mut next = 0;
    for at in used.iter_mut().filter(|at| **at != ABSENT) {
        next += 1;
        *at = next;
    }
}

pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Zero is the default and is left out.
pub(crate) fn put_int(out: &mut Vec<u8>, field: u32, value: u64) {
    if value != 0 {
        put_varint(out, u64::from(field) << 3);
        put_varint(out, value);
    }
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    put_varint(out, u64::from(field) << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}
