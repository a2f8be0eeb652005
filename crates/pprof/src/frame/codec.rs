//! Frame bytes: what travels from distributor to ingester and lies in the journal. Neither compressed nor checksummed here.
//!
//! Version byte, header (id, service name, time), texts, then the arrays in the order of [`Frame`]. Numbers are LEB128; those that
//! run in sequences are deltas, those that may be negative are zigzag. Counts stand before their items, and a count is believed only
//! as far as the bytes left could hold that many items, so that a lying count cannot make the reader allocate.

use flamelake_model::{Coded, ErrorCode, ProfileId};

use super::{Frame, Function, Group, Line, Location, Mapping, StringTable, ValueType};
use crate::reader::Reader;

const VERSION: u8 = 1;

/// Bytes that are not a frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Written by a newer program, or not a frame at all.
    #[error("frame version {found} is unknown, this program reads {}; upgrade it first", VERSION)]
    Version {
        /// The first byte.
        found: u8,
    },
    /// The bytes contradict themselves.
    #[error("frame is damaged: {0}")]
    Damaged(&'static str),
}

impl Coded for FrameError {
    fn code(&self) -> ErrorCode {
        ErrorCode::DataLoss
    }
}

/// What stands at the start of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameHeader<'a> {
    /// Id of the profile.
    pub id: ProfileId,
    /// The partition key.
    pub service_name: &'a str,
    /// Time of the profile in nanoseconds.
    pub time_ns: i64,
}

impl Frame {
    /// Appends the bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.reserve(self.bytes_estimate());
        out.push(VERSION);
        out.extend_from_slice(&self.id.0);
        put_bytes(out, self.strings.get(self.service_name).as_bytes());
        put_signed(out, self.time_ns);
        put_signed(out, self.duration_ns);
        put_signed(out, self.period);
        encode_strings(&self.strings, out);
        put(out, self.service_name.into());
        put(out, self.name.into());
        put_value_type(out, self.period_type);
        put(out, self.sample_types.len() as u64);
        self.sample_types.iter().for_each(|t| put_value_type(out, *t));
        encode_mappings(&self.mappings, out);
        encode_functions(&self.functions, out);
        self.encode_locations(out);
        self.encode_stacks(out);
        self.encode_groups(out);
        self.encode_samples(out);
    }

    /// About how many bytes it will take, rather too many than too few.
    fn bytes_estimate(&self) -> usize {
        let texts = self.strings.text_bytes() + 2 * self.strings.len();
        let symbols = 8 * self.functions.len() + 8 * self.locations.len() + 4 * self.lines.len();
        let stacks = 5 * (self.stack_locations.len() + self.stack_ends.len());
        let samples = 2 * self.sample_stacks.len() + 3 * self.sample_values.len();
        256 + texts + symbols + stacks + samples + 8 * self.sample_spans.len() + 16 * self.sample_traces.len()
    }

    /// Reads what [`encode`](Self::encode) wrote. Every index is in range afterwards; that stacks are distinct is taken on trust.
    ///
    /// # Errors
    /// Another version, or bytes that are damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        let mut input = Input::new(bytes);
        let frame = Self::decode_all(&mut input).map_err(|what| input.error(what))?;
        if input.reader.is_empty() { Ok(frame) } else { Err(FrameError::Damaged("bytes are left over")) }
    }

    /// Reads the header only.
    ///
    /// # Errors
    /// Another version, or a damaged header.
    pub fn peek_header(bytes: &[u8]) -> Result<FrameHeader<'_>, FrameError> {
        let mut input = Input::new(bytes);
        input.header().map_err(|what| input.error(what))
    }

    fn encode_locations(&self, out: &mut Vec<u8>) {
        put(out, self.locations.len() as u64);
        put(out, self.lines.len() as u64);
        let (mut address, mut function, mut line) = (0u64, 0i64, 0i64);
        for location in &self.locations {
            put(out, location.mapping.into());
            put_signed(out, location.address.wrapping_sub(address) as i64);
            address = location.address;
            let lines = self.location_lines(location);
            put(out, (lines.len() as u64) << 1 | u64::from(location.is_folded));
            for at in lines {
                put_signed(out, i64::from(at.function) - function);
                put_signed(out, at.line.wrapping_sub(line));
                (function, line) = (at.function.into(), at.line);
            }
        }
    }

    fn encode_stacks(&self, out: &mut Vec<u8>) {
        put(out, self.stack_ends.len() as u64);
        put(out, self.stack_locations.len() as u64);
        let mut start = 0;
        for end in &self.stack_ends {
            put(out, (end - start).into());
            start = *end;
        }
        put_deltas(out, &self.stack_locations);
    }

    fn encode_groups(&self, out: &mut Vec<u8>) {
        put(out, self.groups.len() as u64);
        for group in &self.groups {
            put(out, group.labels.len() as u64);
            for (name, value) in &group.labels {
                put(out, (*name).into());
                put(out, (*value).into());
            }
            put(out, (group.samples_end - group.samples_start).into());
        }
    }

    fn encode_samples(&self, out: &mut Vec<u8>) {
        put(out, self.sample_stacks.len() as u64);
        let mut expected = 0i64;
        for stack in &self.sample_stacks {
            put_signed(out, i64::from(*stack) - expected);
            expected = i64::from(*stack) + 1;
        }
        self.sample_values.iter().for_each(|value| put(out, *value as u64));
        out.push(u8::from(!self.sample_spans.is_empty()) | u8::from(!self.sample_traces.is_empty()) << 1);
        self.sample_spans.iter().for_each(|span| out.extend_from_slice(&span.to_le_bytes()));
        self.sample_traces.iter().for_each(|trace| out.extend_from_slice(trace));
    }

    fn decode_all(input: &mut Input<'_>) -> Result<Self, Fault> {
        let FrameHeader { id, service_name: header_service, time_ns } = input.header()?;
        let duration_ns = input.signed()?;
        let period = input.signed()?;
        let strings = decode_strings(input)?;
        let texts = strings.len();
        let service_name = input.index(texts, STRING)?;
        if strings.get(service_name) != header_service {
            return Err("the header names another service");
        }
        let name = input.index(texts, STRING)?;
        let period_type = input.value_type(texts)?;
        let sample_types = input.items(2, |input| input.value_type(texts))?;
        let mappings = input.items(MAPPING_BYTES_MIN, |input| decode_mapping(input, texts))?;
        let functions = decode_functions(input, texts)?;
        let (locations, lines) = decode_locations(input, mappings.len(), functions.len())?;
        let (stack_locations, stack_ends) = decode_stacks(input, locations.len())?;
        let mut frame = Self {
            id,
            time_ns,
            duration_ns,
            period,
            strings,
            service_name,
            name,
            period_type,
            sample_types,
            mappings,
            functions,
            locations,
            lines,
            stack_locations,
            stack_ends,
            groups: Vec::new(),
            sample_stacks: Vec::new(),
            sample_values: Vec::new(),
            sample_spans: Vec::new(),
            sample_traces: Vec::new(),
        };
        frame.decode_groups(input)?;
        frame.decode_samples(input)?;
        Ok(frame)
    }

    fn decode_groups(&mut self, input: &mut Input<'_>) -> Result<(), Fault> {
        let texts = self.strings.len();
        let mut end = 0u32;
        self.groups = input.items(2, |input| {
            let labels = input.items(2, |input| Ok((input.index(texts, STRING)?, input.index(texts, STRING)?)))?;
            let samples_start = end;
            let samples = u32::try_from(input.number()?).map_err(|_| SAMPLES)?;
            end = end.checked_add(samples).ok_or(SAMPLES)?;
            Ok(Group { labels, samples_start, samples_end: end })
        })?;
        Ok(())
    }

    fn decode_samples(&mut self, input: &mut Input<'_>) -> Result<(), Fault> {
        let mut expected = 0i64;
        let stacks = self.stack_ends.len();
        self.sample_stacks = input.items(1, |input| {
            let stack = input.delta(expected, stacks, "a sample names a stack that is not there")?;
            expected = i64::from(stack) + 1;
            Ok(stack)
        })?;
        let samples = self.sample_stacks.len();
        if self.groups.last().map_or(0, |group| group.samples_end as usize) != samples {
            return Err(SAMPLES);
        }
        let values = samples.checked_mul(self.sample_types.len()).ok_or(SAMPLES)?;
        self.sample_values =
            input.exactly(values, 1, |input| i64::try_from(input.number()?).map_err(|_| "a value is negative"))?;
        let flags = input.byte()?;
        if flags & 1 != 0 {
            self.sample_spans = input.exactly(samples, 8, |input| Ok(u64::from_le_bytes(input.array()?)))?;
        }
        if flags & 2 != 0 {
            self.sample_traces = input.exactly(samples, 16, |input| input.array())?;
        }
        if flags > 3 { Err("an unknown flag is set") } else { Ok(()) }
    }
}

type Fault = &'static str;

const STRING: Fault = "a string index is out of range";
const SAMPLES: Fault = "the groups and the samples do not match";
const MAPPING_BYTES_MIN: usize = 6;

#[inline]
fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_signed(out: &mut Vec<u8>, value: i64) {
    put(out, zigzag(value));
}

/// The longest list of a frame, so it is written without asking for room each time.
fn put_deltas(out: &mut Vec<u8>, items: &[u32]) {
    /// Of a difference of two 32-bit numbers.
    const BYTES_MAX: usize = 5;
    let start = out.len();
    out.resize(start + BYTES_MAX * items.len(), 0);
    let (mut at, mut last) = (start, 0i64);
    for item in items {
        let delta = i64::from(*item) - last;
        last = (*item).into();
        let mut rest = zigzag(delta);
        while rest >= 0x80 {
            out[at] = rest as u8 | 0x80;
            at += 1;
            rest >>= 7;
        }
        out[at] = rest as u8;
        at += 1;
    }
    out.truncate(at);
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_value_type(out: &mut Vec<u8>, value_type: ValueType) {
    put(out, value_type.kind.into());
    put(out, value_type.unit.into());
}

fn encode_strings(strings: &StringTable, out: &mut Vec<u8>) {
    put(out, strings.ends.len() as u64);
    let mut start = 0;
    for end in &strings.ends {
        put(out, (end - start).into());
        start = *end;
    }
    put_bytes(out, strings.text.as_bytes());
}

fn decode_strings(input: &mut Input<'_>) -> Result<StringTable, Fault> {
    let mut end = 0u32;
    let ends = input.items(1, |input| {
        let len = u32::try_from(input.number()?).map_err(|_| STRING)?;
        end = end.checked_add(len).ok_or(STRING)?;
        Ok(end)
    })?;
    let text = std::str::from_utf8(input.reader.bytes()?).map_err(|_| "a text is not UTF-8")?;
    if text.len() != end as usize || ends.iter().any(|end| !text.is_char_boundary(*end as usize)) {
        return Err("the texts do not match their lengths");
    }
    if ends.first() != Some(&0) {
        return Err("the first text is not empty");
    }
    Ok(StringTable { text: text.to_owned(), ends })
}

fn encode_mappings(mappings: &[Mapping], out: &mut Vec<u8>) {
    put(out, mappings.len() as u64);
    for mapping in mappings {
        put(out, mapping.memory_start);
        put(out, mapping.memory_limit);
        put(out, mapping.file_offset);
        put(out, mapping.filename.into());
        put(out, mapping.build_id.into());
        out.push(
            u8::from(mapping.has_functions)
                | u8::from(mapping.has_filenames) << 1
                | u8::from(mapping.has_line_numbers) << 2
                | u8::from(mapping.has_inline_frames) << 3,
        );
    }
}

fn decode_mapping(input: &mut Input<'_>, texts: usize) -> Result<Mapping, Fault> {
    let mut mapping = Mapping {
        memory_start: input.number()?,
        memory_limit: input.number()?,
        file_offset: input.number()?,
        filename: input.index(texts, STRING)?,
        build_id: input.index(texts, STRING)?,
        ..Mapping::default()
    };
    let flags = input.byte()?;
    mapping.has_functions = flags & 1 != 0;
    mapping.has_filenames = flags & 2 != 0;
    mapping.has_line_numbers = flags & 4 != 0;
    mapping.has_inline_frames = flags & 8 != 0;
    Ok(mapping)
}

fn encode_functions(functions: &[Function], out: &mut Vec<u8>) {
    put(out, functions.len() as u64);
    let (mut name, mut filename) = (0i64, 0i64);
    for function in functions {
        put_signed(out, i64::from(function.name) - name);
        name = function.name.into();
        put_signed(out, i64::from(function.system_name) - name);
        put_signed(out, i64::from(function.filename) - filename);
        filename = function.filename.into();
        put_signed(out, function.start_line);
    }
}

fn decode_functions(input: &mut Input<'_>, texts: usize) -> Result<Vec<Function>, Fault> {
    let (mut last_name, mut last_filename) = (0i64, 0i64);
    input.items(4, |input| {
        let name = input.delta(last_name, texts, STRING)?;
        last_name = name.into();
        let system_name = input.delta(last_name, texts, STRING)?;
        let filename = input.delta(last_filename, texts, STRING)?;
        last_filename = filename.into();
        Ok(Function { name, system_name, filename, start_line: input.signed()? })
    })
}

fn decode_locations(
    input: &mut Input<'_>,
    mappings: usize,
    functions: usize,
) -> Result<(Vec<Location>, Vec<Line>), Fault> {
    let count = input.number()?;
    let line_count = input.count(2)?;
    let mut lines: Vec<Line> = Vec::with_capacity(line_count);
    let (mut address, mut last_function, mut last_line) = (0u64, 0i64, 0i64);
    let locations = input.believed(count, 3, |input| {
        let mapping = input.index(mappings, "a location names a mapping that is not there")?;
        address = address.wrapping_add(input.signed()? as u64);
        let of_location = input.number()?;
        let lines_start = lines.len() as u32;
        for _ in 0..of_location >> 1 {
            let function = input.delta(last_function, functions, "a line names a function that is not there")?;
            last_function = function.into();
            last_line = last_line.wrapping_add(input.signed()?);
            lines.push(Line { function, line: last_line });
        }
        let is_folded = of_location & 1 != 0;
        Ok(Location { mapping, address, is_folded, lines_start, lines_end: lines.len() as u32 })
    })?;
    if lines.len() == line_count { Ok((locations, lines)) } else { Err("the count of lines is wrong") }
}

fn decode_stacks(input: &mut Input<'_>, locations: usize) -> Result<(Vec<u32>, Vec<u32>), Fault> {
    const STACKS: Fault = "the stacks and their lengths do not match";
    let count = input.number()?;
    let total = input.count(1)?;
    let mut end = 0u32;
    let ends = input.believed(count, 1, |input| {
        let len = u32::try_from(input.number()?).map_err(|_| STACKS)?;
        end = end.checked_add(len).ok_or(STACKS)?;
        Ok(end)
    })?;
    if end as usize != total {
        return Err(STACKS);
    }
    let mut last = 0i64;
    let stacks = input.exactly(total, 1, |input| {
        let location = input.delta(last, locations, "a stack names a location that is not there")?;
        last = location.into();
        Ok(location)
    })?;
    Ok((stacks, ends))
}

/// A reader that remembers which version byte it met.
struct Input<'a> {
    reader: Reader<'a>,
    unknown_version: Option<u8>,
}

impl<'a> Input<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { reader: Reader::new(bytes), unknown_version: None }
    }

    fn error(&self, what: Fault) -> FrameError {
        self.unknown_version.map_or(FrameError::Damaged(what), |found| FrameError::Version { found })
    }

    fn header(&mut self) -> Result<FrameHeader<'a>, Fault> {
        let version = self.byte()?;
        if version != VERSION {
            self.unknown_version = Some(version);
            return Err("another version");
        }
        let id = ProfileId(self.array()?);
        let service_name = std::str::from_utf8(self.reader.bytes()?).map_err(|_| "the service name is not UTF-8")?;
        Ok(FrameHeader { id, service_name, time_ns: self.signed()? })
    }

    fn byte(&mut self) -> Result<u8, Fault> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (array, rest) = self.reader.rest.split_first_chunk::<N>().ok_or("it is cut short")?;
        self.reader.rest = rest;
        Ok(*array)
    }

    #[inline(always)]
    fn number(&mut self) -> Result<u64, Fault> {
        self.reader.varint()
    }

    #[inline(always)]
    fn signed(&mut self) -> Result<i64, Fault> {
        let value = self.reader.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// An index below `len`.
    #[inline(always)]
    fn index(&mut self, len: usize, fault: Fault) -> Result<u32, Fault> {
        let at = self.number()?;
        if at < len as u64 && at <= u64::from(u32::MAX) { Ok(at as u32) } else { Err(fault) }
    }

    /// An index below `len`, written as the distance from `base`.
    #[inline(always)]
    fn delta(&mut self, base: i64, len: usize, fault: Fault) -> Result<u32, Fault> {
        let at = base.wrapping_add(self.signed()?) as u64;
        if at < len as u64 && at <= u64::from(u32::MAX) { Ok(at as u32) } else { Err(fault) }
    }

    fn value_type(&mut self, texts: usize) -> Result<ValueType, Fault> {
        Ok(ValueType { kind: self.index(texts, STRING)?, unit: self.index(texts, STRING)? })
    }

    /// A count of items that take at least `bytes_min` each.
    fn count(&mut self, bytes_min: usize) -> Result<usize, Fault> {
        let count = self.number()?;
        self.possible(count, bytes_min)
    }

    fn possible(&self, count: u64, bytes_min: usize) -> Result<usize, Fault> {
        let most = (self.reader.rest.len() / bytes_min).min(u32::MAX as usize);
        usize::try_from(count).ok().filter(|count| *count <= most).ok_or("a count is larger than the bytes that follow")
    }

    fn items<T>(&mut self, bytes_min: usize, item: impl FnMut(&mut Self) -> Result<T, Fault>) -> Result<Vec<T>, Fault> {
        let count = self.number()?;
        self.believed(count, bytes_min, item)
    }

    fn believed<T>(
        &mut self,
        count: u64,
        bytes_min: usize,
        item: impl FnMut(&mut Self) -> Result<T, Fault>,
    ) -> Result<Vec<T>, Fault> {
        let count = self.possible(count, bytes_min)?;
        self.exactly(count, bytes_min, item)
    }

    fn exactly<T>(
        &mut self,
        count: usize,
        bytes_min: usize,
        mut item: impl FnMut(&mut Self) -> Result<T, Fault>,
    ) -> Result<Vec<T>, Fault> {
        let count = self.possible(count as u64, bytes_min)?;
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(item(self)?);
        }
        Ok(items)
    }
}
