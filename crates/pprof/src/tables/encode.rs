//! Tables as a pprof message, for those who want bytes.

use super::Tables;
use crate::scan::{RawLocation, RawSample, RawValueType};
use crate::texts::Texts;
use crate::write::{put_bytes, put_int, put_varint};

impl Tables {
    /// The uncompressed message.
    pub fn encode(&self) -> Vec<u8> {
        Encoder { tables: self, out: Vec::with_capacity(self.bytes()), scratch: Vec::new(), inner: Vec::new() }.run()
    }
}

struct Encoder<'a> {
    tables: &'a Tables,
    out: Vec<u8>,
    scratch: Vec<u8>,
    inner: Vec<u8>,
}

impl Encoder<'_> {
    fn run(mut self) -> Vec<u8> {
        let profile = &self.tables.profile;
        profile.sample_types.iter().for_each(|value_type| self.value_type(1, *value_type));
        profile.samples.iter().for_each(|sample| self.sample(sample));
        for m in &profile.mappings {
            let (filename, build_id) = (m.filename as u64, m.build_id as u64);
            let flags = [m.has_functions, m.has_filenames, m.has_line_numbers, m.has_inline_frames].map(u64::from);
            let [functions, filenames, lines, inlined] = flags;
            let place = [m.memory_start, m.memory_limit, m.file_offset];
            let [start, limit, offset] = place;
            self.row(3, &[m.id, start, limit, offset, filename, build_id, functions, filenames, lines, inlined]);
        }
        profile.locations.iter().for_each(|location| self.location(location));
        for f in &profile.functions {
            self.row(5, &[f.id, f.name as u64, f.system_name as u64, f.filename as u64, f.start_line as u64]);
        }
        let texts = Texts { message: &self.tables.texts, rewritten: &[] };
        profile.strings.iter().for_each(|span| put_bytes(&mut self.out, 6, texts.get(*span)));
        put_int(&mut self.out, 9, profile.time_nanos as u64);
        put_int(&mut self.out, 10, profile.duration_nanos as u64);
        if profile.period_type != RawValueType::default() {
            self.value_type(11, profile.period_type);
        }
        put_int(&mut self.out, 12, profile.period as u64);
        self.out
    }

    fn value_type(&mut self, field: u32, value_type: RawValueType) {
        self.row(field, &[value_type.kind as u64, value_type.unit as u64]);
    }

    /// A message whose fields are numbers, from field 1 on.
    fn row(&mut self, number: u32, fields: &[u64]) {
        self.scratch.clear();
        for (field, value) in (1..).zip(fields) {
            put_int(&mut self.scratch, field, *value);
        }
        put_bytes(&mut self.out, number, &self.scratch);
    }

    fn location(&mut self, location: &RawLocation) {
        self.scratch.clear();
        put_int(&mut self.scratch, 1, location.id);
        put_int(&mut self.scratch, 2, location.mapping_id);
        put_int(&mut self.scratch, 3, location.address);
        for line in &self.tables.profile.lines[location.lines()] {
            self.inner.clear();
            put_int(&mut self.inner, 1, line.function_id);
            put_int(&mut self.inner, 2, line.line as u64);
            put_bytes(&mut self.scratch, 4, &self.inner);
        }
        put_bytes(&mut self.out, 4, &self.scratch);
    }

    fn sample(&mut self, sample: &RawSample) {
        let profile = &self.tables.profile;
        self.scratch.clear();
        self.inner.clear();
        profile.location_ids[sample.locations()].iter().for_each(|id| put_varint(&mut self.inner, *id));
        put_bytes(&mut self.scratch, 1, &self.inner);
        self.inner.clear();
        profile.values[sample.values()].iter().for_each(|value| put_varint(&mut self.inner, *value as u64));
        put_bytes(&mut self.scratch, 2, &self.inner);
        for label in &profile.labels[sample.labels()] {
            self.inner.clear();
            put_int(&mut self.inner, 1, label.key as u64);
            put_int(&mut self.inner, 2, label.str as u64);
            put_bytes(&mut self.scratch, 3, &self.inner);
        }
        put_bytes(&mut self.out, 2, &self.scratch);
    }
}
