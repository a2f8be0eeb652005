//! A flat scanner of the pprof wire format: one pass, no object tree, arrays that are reused from profile to profile.
//!
//! Tables may come in any order, repeated numbers packed or not, unknown fields anywhere; of a repeated scalar the last wins.
//! Nothing is checked here but the wire format itself: see `validate`.

use crate::error::DecodeError;
use crate::reader::{Fault, Reader};

/// Where a text lies: in the message, or behind it among the rewritten ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) len: u32,
}

/// String indexes as sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RawValueType {
    pub(crate) kind: i64,
    pub(crate) unit: i64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RawMapping {
    pub(crate) id: u64,
    pub(crate) memory_start: u64,
    pub(crate) memory_limit: u64,
    pub(crate) file_offset: u64,
    pub(crate) filename: i64,
    pub(crate) build_id: i64,
    pub(crate) has_functions: bool,
    pub(crate) has_filenames: bool,
    pub(crate) has_line_numbers: bool,
    pub(crate) has_inline_frames: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct RawFunction {
    pub(crate) id: u64,
    pub(crate) name: i64,
    pub(crate) system_name: i64,
    pub(crate) filename: i64,
    pub(crate) start_line: i64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct RawLine {
    pub(crate) function_id: u64,
    pub(crate) line: i64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RawLocation {
    pub(crate) id: u64,
    pub(crate) mapping_id: u64,
    pub(crate) address: u64,
    pub(crate) is_folded: bool,
    pub(crate) lines_start: u32,
    pub(crate) lines_end: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RawLabel {
    pub(crate) key: i64,
    pub(crate) str: i64,
    pub(crate) num: i64,
    pub(crate) num_unit: i64,
}

/// Ranges into the flat arrays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RawSample {
    pub(crate) locations_start: u32,
    pub(crate) locations_end: u32,
    pub(crate) values_start: u32,
    pub(crate) values_end: u32,
    pub(crate) labels_start: u32,
    pub(crate) labels_end: u32,
}

/// A scanned profile as sent: ids and indexes are not resolved.
#[derive(Clone, Debug, Default)]
pub struct RawProfile {
    pub(crate) strings: Vec<Span>,
    pub(crate) sample_types: Vec<RawValueType>,
    pub(crate) mappings: Vec<RawMapping>,
    pub(crate) functions: Vec<RawFunction>,
    pub(crate) locations: Vec<RawLocation>,
    pub(crate) lines: Vec<RawLine>,
    pub(crate) samples: Vec<RawSample>,
    pub(crate) location_ids: Vec<u64>,
    pub(crate) values: Vec<i64>,
    pub(crate) labels: Vec<RawLabel>,
    pub(crate) time_nanos: i64,
    pub(crate) duration_nanos: i64,
    pub(crate) period_type: RawValueType,
    pub(crate) period: i64,
    pub(crate) default_sample_type: i64,
}

impl RawSample {
    #[inline(always)]
    pub(crate) fn locations(&self) -> std::ops::Range<usize> {
        self.locations_start as usize..self.locations_end as usize
    }

    #[inline(always)]
    pub(crate) fn values(&self) -> std::ops::Range<usize> {
        self.values_start as usize..self.values_end as usize
    }

    #[inline(always)]
    pub(crate) fn labels(&self) -> std::ops::Range<usize> {
        self.labels_start as usize..self.labels_end as usize
    }
}

impl RawLocation {
    #[inline(always)]
    pub(crate) fn lines(&self) -> std::ops::Range<usize> {
        self.lines_start as usize..self.lines_end as usize
    }
}

impl RawProfile {
    /// Replaces the content by that of a message of less than 4 GiB; keeps the memory.
    ///
    /// # Errors
    /// [`DecodeError::Wire`] if the bytes are no protobuf message of this shape.
    pub fn scan(&mut self, message: &[u8]) -> Result<(), DecodeError> {
        if u32::try_from(message.len()).is_err() {
            return Err(DecodeError::TooMany("bytes"));
        }
        self.clear();
        let mut reader = Reader::new(message);
        while !reader.is_empty() {
            let at = message.len() - reader.rest.len();
            self.field(&mut reader, message.len()).map_err(|what| DecodeError::Wire { what, at })?;
        }
        Ok(())
    }

    /// Number of samples.
    pub fn sample_count(&self) -> usize {
        self.samples.len()
    }

    /// How much the largest arrays can hold.
    pub(crate) fn capacity_items(&self) -> usize {
        self.samples.capacity()
            + self.location_ids.capacity()
            + self.values.capacity()
            + self.labels.capacity()
            + self.locations.capacity()
            + self.strings.capacity()
    }

    /// Sends every string reference elsewhere.
    pub(crate) fn remap_strings(&mut self, to: impl Fn(i64) -> i64) {
        let value_types = self.sample_types.iter_mut().chain([&mut self.period_type]);
        value_types.for_each(|t| (t.kind, t.unit) = (to(t.kind), to(t.unit)));
        self.mappings.iter_mut().for_each(|m| (m.filename, m.build_id) = (to(m.filename), to(m.build_id)));
        for f in &mut self.functions {
            (f.name, f.system_name, f.filename) = (to(f.name), to(f.system_name), to(f.filename));
        }
        for label in &mut self.labels {
            (label.key, label.str, label.num_unit) = (to(label.key), to(label.str), to(label.num_unit));
        }
        self.default_sample_type = to(self.default_sample_type);
    }

    fn clear(&mut self) {
        // Exhaustive, so that a new array cannot keep the last profile's rows.
        let Self {
            strings,
            sample_types,
            mappings,
            functions,
            locations,
            lines,
            samples,
            location_ids,
            values,
            labels,
            time_nanos,
            duration_nanos,
            period_type,
            period,
            default_sample_type,
        } = self;
        strings.clear();
        sample_types.clear();
        mappings.clear();
        functions.clear();
        locations.clear();
        lines.clear();
        samples.clear();
        location_ids.clear();
        values.clear();
        labels.clear();
        (*time_nanos, *duration_nanos, *period, *default_sample_type) = (0, 0, 0, 0);
        *period_type = RawValueType::default();
    }

    #[inline(always)]
    fn field(&mut self, reader: &mut Reader<'_>, total: usize) -> Result<(), Fault> {
        let (number, wire) = reader.tag()?;
        match number {
            1 => {
                let mut value_type = RawValueType::default();
                value_type.merge(reader.message(wire)?)?;
                self.sample_types.push(value_type);
            }
            2 => self.sample(reader.message(wire)?)?,
            3 => self.mappings.push(mapping(reader.message(wire)?)?),
            4 => self.location(reader.message(wire)?)?,
            5 => self.functions.push(function(reader.message(wire)?)?),
            6 => {
                let len = reader.message(wire)?.rest.len() as u32;
                let start = (total - reader.rest.len()) as u32 - len;
                self.strings.push(Span { start, len });
            }
            7 | 8 => drop(reader.int(wire)?),
            9 => self.time_nanos = reader.int(wire)? as i64,
            10 => self.duration_nanos = reader.int(wire)? as i64,
            11 => self.period_type.merge(reader.message(wire)?)?,
            12 => self.period = reader.int(wire)? as i64,
            13 => reader.ints(wire, drop)?,
            14 => self.default_sample_type = reader.int(wire)? as i64,
            _ => reader.skip(number, wire)?,
        }
        Ok(())
    }

    #[inline(always)]
    fn sample(&mut self, mut reader: Reader<'_>) -> Result<(), Fault> {
        let mut sample = RawSample {
            locations_start: self.location_ids.len() as u32,
            values_start: self.values.len() as u32,
            labels_start: self.labels.len() as u32,
            ..RawSample::default()
        };
        while !reader.is_empty() {
            let (number, wire) = reader.tag()?;
            match number {
                1 => reader.ints(wire, |id| self.location_ids.push(id))?,
                2 => reader.ints(wire, |value| self.values.push(value as i64))?,
                3 => self.labels.push(label(reader.message(wire)?)?),
                _ => reader.skip(number, wire)?,
            }
        }
        sample.locations_end = self.location_ids.len() as u32;
        sample.values_end = self.values.len() as u32;
        sample.labels_end = self.labels.len() as u32;
        self.samples.push(sample);
        Ok(())
    }

    #[inline(always)]
    fn location(&mut self, mut reader: Reader<'_>) -> Result<(), Fault> {
        let mut location = RawLocation { lines_start: self.lines.len() as u32, ..RawLocation::default() };
        while !reader.is_empty() {
            let (number, wire) = reader.tag()?;
            match number {
                1 => location.id = reader.int(wire)?,
                2 => location.mapping_id = reader.int(wire)?,
                3 => location.address = reader.int(wire)?,
                4 => self.lines.push(line(reader.message(wire)?)?),
                5 => location.is_folded = reader.int(wire)? != 0,
                _ => reader.skip(number, wire)?,
            }
        }
        location.lines_end = self.lines.len() as u32;
        self.locations.push(location);
        Ok(())
    }
}

impl RawValueType {
    fn merge(&mut self, mut reader: Reader<'_>) -> Result<(), Fault> {
        while !reader.is_empty() {
            let (number, wire) = reader.tag()?;
            match number {
                1 => self.kind = reader.int(wire)? as i64,
                2 => self.unit = reader.int(wire)? as i64,
                _ => reader.skip(number, wire)?,
            }
        }
        Ok(())
    }
}

fn label(mut reader: Reader<'_>) -> Result<RawLabel, Fault> {
    let mut label = RawLabel::default();
    while !reader.is_empty() {
        let (number, wire) = reader.tag()?;
        match number {
            1 => label.key = reader.int(wire)? as i64,
            2 => label.str = reader.int(wire)? as i64,
            3 => label.num = reader.int(wire)? as i64,
            4 => label.num_unit = reader.int(wire)? as i64,
            _ => reader.skip(number, wire)?,
        }
    }
    Ok(label)
}

fn mapping(mut reader: Reader<'_>) -> Result<RawMapping, Fault> {
    let mut mapping = RawMapping::default();
    while !reader.is_empty() {
        let (number, wire) = reader.tag()?;
        match number {
            1 => mapping.id = reader.int(wire)?,
            2 => mapping.memory_start = reader.int(wire)?,
            3 => mapping.memory_limit = reader.int(wire)?,
            4 => mapping.file_offset = reader.int(wire)?,
            5 => mapping.filename = reader.int(wire)? as i64,
            6 => mapping.build_id = reader.int(wire)? as i64,
            7 => mapping.has_functions = reader.int(wire)? != 0,
            8 => mapping.has_filenames = reader.int(wire)? != 0,
            9 => mapping.has_line_numbers = reader.int(wire)? != 0,
            10 => mapping.has_inline_frames = reader.int(wire)? != 0,
            _ => reader.skip(number, wire)?,
        }
    }
    Ok(mapping)
}

#[inline(always)]
fn function(mut reader: Reader<'_>) -> Result<RawFunction, Fault> {
    let mut function = RawFunction::default();
    while !reader.is_empty() {
        let (number, wire) = reader.tag()?;
        match number {
            1 => function.id = reader.int(wire)?,
            2 => function.name = reader.int(wire)? as i64,
            3 => function.system_name = reader.int(wire)? as i64,
            4 => function.filename = reader.int(wire)? as i64,
            5 => function.start_line = reader.int(wire)? as i64,
            _ => reader.skip(number, wire)?,
        }
    }
    Ok(function)
}

#[inline(always)]
fn line(mut reader: Reader<'_>) -> Result<RawLine, Fault> {
    let mut line = RawLine::default();
    while !reader.is_empty() {
        let (number, wire) = reader.tag()?;
        match number {
            1 => line.function_id = reader.int(wire)?,
            2 => line.line = reader.int(wire)? as i64,
            // Upstream's `column` (3) falls in here.
            _ => reader.skip(number, wire)?,
        }
    }
    Ok(line)
}
