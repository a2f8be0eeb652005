//! The frame: one normalised profile of one service in flat arrays, as the distributor hands it to an ingester.
//!
//! Everything past the distributor works on frames: nothing is inflated, parsed or validated twice.
//!
//! Invariants (guaranteed by `split`): every index is in range; `strings[0]` is empty; all text is UTF-8; stacks are distinct and
//! leaf first; no sample is all zero; values are not negative; groups are sorted by their labels and distinct; sample ranges of
//! groups are consecutive. `decode` checks again what could make a reader panic: ranges, UTF-8, signs.

mod codec;

use flamelake_model::ProfileId;

pub use codec::{FrameError, FrameHeader};

/// Index into [`Frame::strings`]; 0 is the empty string.
pub type StringRef = u32;

/// Texts back to back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StringTable {
    text: String,
    /// End of each string in `text`.
    ends: Vec<u32>,
}

impl StringTable {
    /// Appends a text and tells its index.
    pub fn push(&mut self, text: &str) -> StringRef {
        self.text.push_str(text);
        self.ends.push(self.text.len() as u32);
        (self.ends.len() - 1) as u32
    }

    /// The text at an index that is in range.
    pub fn get(&self, at: StringRef) -> &str {
        let at = at as usize;
        let start = if at == 0 { 0 } else { self.ends[at - 1] as usize };
        &self.text[start..self.ends[at] as usize]
    }

    /// Makes room for so many more strings and bytes of text.
    pub(crate) fn reserve(&mut self, strings: usize, bytes: usize) {
        self.ends.reserve(strings);
        self.text.reserve(bytes);
    }

    /// How many strings there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// No strings?
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// All strings in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.ends.len()).map(|at| self.get(at as u32))
    }

    /// Bytes of text.
    pub fn text_bytes(&self) -> usize {
        self.text.len()
    }
}

/// A type and its unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ValueType {
    /// e.g. `cpu`.
    pub kind: StringRef,
    /// e.g. `nanoseconds`.
    pub unit: StringRef,
}

/// A binary that was mapped into the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Mapping {
    /// Start address.
    pub memory_start: u64,
    /// End address.
    pub memory_limit: u64,
    /// Offset in the file.
    pub file_offset: u64,
    /// Path of the binary.
    pub filename: StringRef,
    /// Build id.
    pub build_id: StringRef,
    /// Symbols present: functions.
    pub has_functions: bool,
    /// Symbols present: file names.
    pub has_filenames: bool,
    /// Symbols present: line numbers.
    pub has_line_numbers: bool,
    /// Symbols present: inlined frames.
    pub has_inline_frames: bool,
}

/// A function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Function {
    /// Human-readable name.
    pub name: StringRef,
    /// Mangled name.
    pub system_name: StringRef,
    /// Source file.
    pub filename: StringRef,
    /// First line of the function.
    pub start_line: i64,
}

/// A function and a line in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Line {
    /// Index into [`Frame::functions`].
    pub function: u32,
    /// Line number.
    pub line: i64,
}

/// A place in the program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Location {
    /// Index into [`Frame::mappings`].
    pub mapping: u32,
    /// Address; 0 for symbolised locations.
    pub address: u64,
    /// Several places were folded into one.
    pub is_folded: bool,
    /// First of its lines in [`Frame::lines`]; innermost inlined function first.
    pub lines_start: u32,
    /// One past its last line.
    pub lines_end: u32,
}

/// The samples of one series (before it is taken apart by sample type).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Series labels sorted by name, without those derived from the sample type (`__type__`, `__unit__`, `__profile_type__`).
    /// They include `service_name`, `__service_name__`, `__name__`, and `__period_type__`/`__period_unit__` unless empty.
    pub labels: Vec<(StringRef, StringRef)>,
    /// First sample.
    pub samples_start: u32,
    /// One past the last sample.
    pub samples_end: u32,
}

/// See the module. All vectors are parallel arrays or index spaces of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The profile's id; also what recognises a retry.
    pub id: ProfileId,
    /// When it was taken, nanoseconds since the epoch.
    pub time_ns: i64,
    /// How long it covers.
    pub duration_ns: i64,
    /// Sampling period in units of the period type.
    pub period: i64,
    /// All texts.
    pub strings: StringTable,
    /// Value of label `service_name`: the partition key. Equal in all groups.
    pub service_name: StringRef,
    /// Value of label `__name__`.
    pub name: StringRef,
    /// Period type; both 0 if the pprof has none.
    pub period_type: ValueType,
    /// One per value column.
    pub sample_types: Vec<ValueType>,
    /// Binaries.
    pub mappings: Vec<Mapping>,
    /// Functions.
    pub functions: Vec<Function>,
    /// Locations.
    pub locations: Vec<Location>,
    /// Lines of all locations.
    pub lines: Vec<Line>,
    /// Location indexes of all stacks, leaf first.
    pub stack_locations: Vec<u32>,
    /// End of each stack in `stack_locations`.
    pub stack_ends: Vec<u32>,
    /// Series.
    pub groups: Vec<Group>,
    /// Stack of each sample.
    pub sample_stacks: Vec<u32>,
    /// `sample_types.len()` values a sample, sample by sample.
    pub sample_values: Vec<i64>,
    /// Span id of each sample, 0 = none; empty if no sample has one.
    pub sample_spans: Vec<u64>,
    /// Trace id of each sample, zeros = none; empty if no sample has one.
    pub sample_traces: Vec<[u8; 16]>,
}

impl Frame {
    /// Location indexes of a stack, leaf first.
    pub fn stack(&self, stack: u32) -> &[u32] {
        let stack = stack as usize;
        let start = if stack == 0 { 0 } else { self.stack_ends[stack - 1] as usize };
        &self.stack_locations[start..self.stack_ends[stack] as usize]
    }

    /// Lines of a location, innermost first.
    pub fn location_lines(&self, location: &Location) -> &[Line] {
        &self.lines[location.lines_start as usize..location.lines_end as usize]
    }
}
