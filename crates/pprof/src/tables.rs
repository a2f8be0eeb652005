//! A profile as tables, built sample by sample: for formats other than pprof. The decoder takes them as they are; no bytes of pprof are
//! written to be read again.
//!
//! What the profile would take as a pprof message is counted all along, and bounds it: limits mean the same in every format.

mod encode;

use std::hash::{BuildHasher as _, Hasher as _};

use hashbrown::hash_table::Entry;
use hashbrown::{HashMap, HashTable};
use xxhash_rust::xxh3::Xxh3;

use crate::error::DecodeError;
use crate::scan::{RawFunction, RawLabel, RawLine, RawLocation, RawMapping, RawProfile, RawSample, RawValueType, Span};
use crate::texts::Texts;

type Hash = foldhash::fast::RandomState;

/// Numbers of 32 bits count everything in a profile of so many bytes.
const BYTES_MAX: usize = 1 << 30;
/// Tag, length, id and two references.
const ROW_BYTES: usize = 8;

/// What a profile says of all its samples.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProfileHead {
    /// Type and unit of each column of values.
    pub sample_types: Vec<(String, String)>,
    /// Empty: none.
    pub period_type: (String, String),
    /// In units of the period type.
    pub period: i64,
    /// Start, nanoseconds since the epoch.
    pub time_nanos: i64,
    /// Length.
    pub duration_nanos: i64,
    /// Locations without a mapping belong to one whose functions are known, instead of to none.
    pub has_mapping: bool,
}

/// A profile that never was a message.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    pub(crate) profile: RawProfile,
    /// What the spans of its strings point into.
    pub(crate) texts: Vec<u8>,
    bytes: usize,
    content_hash: u128,
}

impl Tables {
    /// About what the profile takes as an uncompressed pprof message.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Number of samples.
    pub fn samples(&self) -> usize {
        self.profile.samples.len()
    }

    /// Equal for equal profiles, on every machine and in every release.
    pub fn content_hash(&self) -> u128 {
        self.content_hash
    }

    fn take(&mut self, bytes: usize, limit: usize) -> Result<(), DecodeError> {
        self.bytes += bytes;
        if self.bytes > limit { Err(DecodeError::TooLarge { limit }) } else { Ok(()) }
    }

    fn hash(&self) -> u128 {
        let RawProfile {
            strings, mappings, functions, locations, lines, samples, location_ids, values, labels, ..
        } = &self.profile;
        let RawProfile { sample_types, period_type, period, duration_nanos, .. } = &self.profile;
        let mut hasher = TableHasher { hasher: Xxh3::new(), rows: Vec::with_capacity(location_ids.len()) };
        hasher.table(strings, |span| [span.len]);
        hasher.table(mappings, |m| {
            let ([start, start_high], [limit, limit_high]) = (halves(m.memory_start), halves(m.memory_limit));
            let [offset, offset_high] = halves(m.file_offset);
            let (filename, build_id) = (m.filename as u32, m.build_id as u32);
            [start, start_high, limit, limit_high, offset, offset_high, filename, build_id, flags(m)]
        });
        hasher.table(functions, |f| {
            let [line, line_high] = halves(f.start_line as u64);
            [f.name as u32, f.system_name as u32, f.filename as u32, line, line_high]
        });
        hasher.table(locations, |l| {
            let [address, address_high] = halves(l.address);
            [l.mapping_id as u32, address, address_high, l.lines_end]
        });
        hasher.table(lines, |line| {
            let [low, high] = halves(line.line as u64);
            [line.function_id as u32, low, high]
        });
        hasher.table(samples, |s| [s.locations_end, s.labels_end]);
        hasher.table(location_ids, |id| [*id as u32]);
        hasher.table(values, |value| halves(*value as u64));
        hasher.table(labels, |label| [label.key as u32, label.str as u32]);
        hasher.table(sample_types, |own| [own.kind as u32, own.unit as u32]);
        hasher.table(&[period_type], |own| [own.kind as u32, own.unit as u32]);
        hasher.table(&[period, duration_nanos], |value| halves(**value as u64));
        hasher.hasher.update(&self.texts);
        hasher.hasher.digest128()
    }
}

/// Numbers that count rows and texts fit 32 bits, see [`BYTES_MAX`]; others are written as two halves.
fn halves(number: u64) -> [u32; 2] {
    [number as u32, (number >> 32) as u32]
}

struct TableHasher {
    hasher: Xxh3,
    /// Reused from table to table.
    rows: Vec<[u8; 4]>,
}

impl TableHasher {
    /// Each table is led by its length, so that no two profiles write the same bytes.
    fn table<T, const FIELDS: usize>(&mut self, rows: &[T], fields: impl Fn(&T) -> [u32; FIELDS]) {
        self.rows.clear();
        self.rows.reserve(rows.len() * FIELDS);
        for row in rows {
            self.rows.extend_from_slice(&fields(row).map(u32::to_le_bytes));
        }
        self.hasher.update(&(rows.len() as u64).to_le_bytes());
        self.hasher.update(self.rows.as_flattened());
    }
}

fn flags(mapping: &RawMapping) -> u32 {
    let flags = [mapping.has_functions, mapping.has_filenames, mapping.has_line_numbers, mapping.has_inline_frames];
    flags.iter().fold(0, |bits, flag| bits << 1 | u32::from(*flag))
}

/// A function, its texts by their numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FunctionRow {
    /// As people read it.
    pub name: u32,
    /// As the linker knows it.
    pub system_name: u32,
    /// Source file.
    pub filename: u32,
    /// 0 = unknown.
    pub start_line: i64,
}

/// A mapped file, its texts by their numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MappingRow {
    /// First address.
    pub memory_start: u64,
    /// First address behind it.
    pub memory_limit: u64,
    /// Where in the file it starts.
    pub file_offset: u64,
    /// Path.
    pub filename: u32,
    /// As the agent writes it.
    pub build_id: u32,
}

/// What is known of the lines of a mapping's locations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// All have functions.
    pub functions: bool,
    /// All functions have files.
    pub filenames: bool,
    /// All lines have numbers.
    pub line_numbers: bool,
    /// Some location has several lines.
    pub inline_frames: bool,
}

/// Tables in the making. Ids count from 1.
#[derive(Clone, Debug)]
pub struct TablesBuilder {
    tables: Tables,
    bytes_max: usize,
    hash: Hash,
    /// Texts by content, each with its hash.
    known: HashTable<(u64, u32)>,
    /// Of each text.
    frames: Vec<Frame>,
    /// By function and line; those of line 0 are in `frames`.
    locations: HashMap<(u64, i64), u64, Hash>,
}

/// What [`TablesBuilder::location`] made of a text; ids, 0 = none.
#[derive(Clone, Copy, Debug, Default)]
struct Frame {
    function: u64,
    /// Of line 0.
    location: u64,
}

impl TablesBuilder {
    /// Empty tables of a profile of at most `bytes_max` bytes, and of 1 GiB.
    pub fn new(bytes_max: usize) -> Self {
        let mut builder = Self {
            tables: Tables::default(),
            bytes_max: bytes_max.min(BYTES_MAX),
            hash: Hash::default(),
            known: HashTable::new(),
            frames: vec![Frame::default()],
            locations: HashMap::default(),
        };
        // Text 0 is the empty one.
        builder.tables.profile.strings.push(Span::default());
        builder
    }

    /// Makes room for so many different frames with texts of so many bytes together: growing step by step costs as much as filling.
    pub fn reserve(&mut self, frames: usize, text_bytes: usize) {
        let (frames, text_bytes) = (frames.min(self.bytes_max / ROW_BYTES), text_bytes.min(self.bytes_max));
        self.tables.texts.reserve(text_bytes);
        self.known.reserve(frames, |known| known.0);
        self.frames.reserve(frames);
        let profile = &mut self.tables.profile;
        profile.strings.reserve(frames);
        profile.functions.reserve(frames);
        profile.locations.reserve(frames);
        profile.lines.reserve(frames);
    }

    /// Makes room for so many samples with so many locations together.
    pub fn reserve_samples(&mut self, samples: usize, locations: usize) {
        let (samples, locations) = (samples.min(self.bytes_max / 4), locations.min(self.bytes_max));
        self.tables.profile.samples.reserve(samples);
        self.tables.profile.location_ids.reserve(locations);
    }

    /// Samples so far.
    pub fn samples(&self) -> usize {
        self.tables.samples()
    }

    /// The number of a text; 0 for none.
    ///
    /// # Errors
    /// [`DecodeError::TooLarge`].
    pub fn text(&mut self, text: &[u8]) -> Result<u32, DecodeError> {
        if text.is_empty() {
            return Ok(0);
        }
        let hash = self.hash_of(text);
        let (texts, strings) = (Texts { message: &self.tables.texts, rewritten: &[] }, &self.tables.profile.strings);
        let is_same = |(own, at): &(u64, u32)| *own == hash && texts.get(strings[*at as usize]) == text;
        let new = match self.known.entry(hash, is_same, |known| known.0) {
            Entry::Occupied(known) => return Ok(known.get().1),
            Entry::Vacant(new) => new,
        };
        self.tables.take(text.len() + 2, self.bytes_max)?;
        let (at, span) =
            (self.frames.len() as u32, Span { start: self.tables.texts.len() as u32, len: text.len() as u32 });
        new.insert((hash, at));
        self.tables.texts.extend_from_slice(text);
        self.tables.profile.strings.push(span);
        self.frames.push(Frame::default());
        Ok(at)
    }

    /// The id of a frame, for [`sample`](Self::sample): the same for the same name and line.
    ///
    /// # Errors
    /// [`DecodeError::TooLarge`].
    pub fn location(&mut self, function: &[u8], line: i64) -> Result<u64, DecodeError> {
        let name = self.text(function)?;
        self.location_of(name, line)
    }

    /// As [`location`](Self::location), by the number that [`text`](Self::text) gave the function's name.
    ///
    /// # Errors
    /// [`DecodeError::TooLarge`].
    pub fn location_of(&mut self, name: u32, line: i64) -> Result<u64, DecodeError> {
        let Frame { function, location } = self.frames[name as usize];
        if line == 0 && location != 0 {
            return Ok(location);
        }
        let function = match function {
            0 => self.function(FunctionRow { name, ..FunctionRow::default() })?,
            known => known,
        };
        if line == 0 {
            let location = self.address(0, 0, std::iter::once((function, line)))?;
            self.frames[name as usize] = Frame { function, location };
            return Ok(location);
        }
        self.frames[name as usize].function = function;
        if let Some(location) = self.locations.get(&(function, line)) {
            return Ok(*location);
        }
        let location = self.address(0, 0, std::iter::once((function, line)))?;
        self.locations.insert((function, line), location);
        Ok(location)
    }

    /// Adds a function; its id.
    ///
    /// # Errors
    /// [`DecodeError::TooLarge`].
    pub fn function(&mut self, row: FunctionRow) -> Result<u64, DecodeError> {
        self.take(ROW_BYTES)?;
        let id = self.tables.profile.functions.len() as u64 + 1;
        self.tables.profile.functions.push(RawFunction {
            id,
            name: row.name.into(),
            system_name: row.system_name.into(),
            filename: row.filename.into(),
            start_line: row.start_line,
        });
        Ok(id)
    }

    /// Adds a mapping; its id.
    ///
    /// # Errors
    /// [`DecodeError::TooLarge`].
    pub fn mapping(&mut self, row: MappingRow, known: Known) -> Result<u64, DecodeError> {
        self.take(4 * ROW_BYTES)?;
        let id = self.tables.profile.mappings.len() as u64 + 1;
        self.tables.profile.mappings.push(RawMapping {
            id,
            memory_start: row.memory_start,
            memory_limit: row.memory_limit,
            file_offset: row.file_offset,
            filename: row.filename.into(),
            build_id: row.build_id.into(),
            has_functions: known.functions,
            has_filenames: known.filenames,
            has_line_numbers: known.line_numbers,
            has_inline_frames: known.inline_frames,
        });
        Ok(id)
    }

    /// One more location of a mapping: it knows what all of them know.
    pub fn narrow(&mut self, mapping: u64, known: Known) {
        let at = usize::try_from(mapping).ok().and_then(|id| id.checked_sub(1));
        if let Some(mapping) = at.and_then(|at| self.tables.profile.mappings.get_mut(at)) {
            mapping.has_functions &= known.functions;
            mapping.has_filenames &= known.filenames;
            mapping.has_line_numbers &= known.line_numbers;
            mapping.has_inline_frames |= known.inline_frames;
        }
    }

    /// Adds a location with its lines (function, line; innermost first); its id.
    ///
    /// # Errors
    /// [`DecodeError::TooLarge`].
    pub fn address(
        &mut self,
        mapping_id: u64,
        address: u64,
        lines: impl Iterator<Item = (u64, i64)>,
    ) -> Result<u64, DecodeError> {
        let profile = &mut self.tables.profile;
        let id = profile.locations.len() as u64 + 1;
        let lines_start = profile.lines.len() as u32;
        profile.lines.extend(lines.map(|(function_id, line)| RawLine { function_id, line }));
        let lines_end = profile.lines.len() as u32;
        profile.locations.push(RawLocation { id, mapping_id, address, is_folded: false, lines_start, lines_end });
        self.take(ROW_BYTES + (lines_end - lines_start) as usize * ROW_BYTES)?;
        Ok(id)
    }

    /// Adds a sample: locations leaf first, one value a sample type, keys and values of labels.
    ///
    /// # Errors
    /// [`DecodeError::TooLarge`].
    pub fn sample(
        &mut self,
        locations: impl Iterator<Item = u64>,
        values: &[i64],
        labels: impl Iterator<Item = (u32, u32)>,
    ) -> Result<(), DecodeError> {
        let profile = &mut self.tables.profile;
        let mut sample = RawSample {
            locations_start: profile.location_ids.len() as u32,
            values_start: profile.values.len() as u32,
            labels_start: profile.labels.len() as u32,
            ..RawSample::default()
        };
        profile.location_ids.extend(locations);
        profile.values.extend_from_slice(values);
        profile.labels.extend(labels.map(|(key, value)| RawLabel {
            key: key.into(),
            str: value.into(),
            ..RawLabel::default()
        }));
        sample.locations_end = profile.location_ids.len() as u32;
        sample.values_end = profile.values.len() as u32;
        sample.labels_end = profile.labels.len() as u32;
        profile.samples.push(sample);
        // Most ids take two bytes, values three.
        let (locations, labels) = (sample.locations().len() * 2, sample.labels().len() * ROW_BYTES);
        self.take(4 + locations + values.len() * 3 + labels)
    }

    /// The tables.
    ///
    /// # Errors
    /// [`DecodeError::TooLarge`].
    pub fn finish(mut self, head: &ProfileHead) -> Result<Tables, DecodeError> {
        for (kind, unit) in &head.sample_types {
            let value_type = self.value_type(kind, unit)?;
            self.tables.profile.sample_types.push(value_type);
        }
        self.tables.profile.period_type = self.value_type(&head.period_type.0, &head.period_type.1)?;
        if head.has_mapping {
            let known = Known { functions: true, ..Known::default() };
            let mapping = self.mapping(MappingRow::default(), known)?;
            let nowhere = self.tables.profile.locations.iter_mut().filter(|location| location.mapping_id == 0);
            nowhere.for_each(|location| location.mapping_id = mapping);
        }
        let mut tables = self.tables;
        tables.profile.time_nanos = head.time_nanos;
        tables.profile.duration_nanos = head.duration_nanos;
        tables.profile.period = head.period;
        tables.content_hash = tables.hash();
        Ok(tables)
    }

    fn value_type(&mut self, kind: &str, unit: &str) -> Result<RawValueType, DecodeError> {
        Ok(RawValueType { kind: self.text(kind.as_bytes())?.into(), unit: self.text(unit.as_bytes())?.into() })
    }

    fn hash_of(&self, text: &[u8]) -> u64 {
        let mut hasher = self.hash.build_hasher();
        hasher.write(text);
        hasher.finish()
    }

    fn take(&mut self, bytes: usize) -> Result<(), DecodeError> {
        self.tables.take(bytes, self.bytes_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Decoder, ProfileLimits};
    use flamelake_model::ProfileId;

    fn head() -> ProfileHead {
        let sample_types = vec![("cpu".into(), "nanoseconds".into())];
        ProfileHead { sample_types, time_nanos: 5, has_mapping: true, ..ProfileHead::default() }
    }

    fn tables() -> Tables {
        let mut builder = TablesBuilder::new(1 << 20);
        let (main, work) = (builder.location(b"main", 0).unwrap(), builder.location(b"work", 7).unwrap());
        assert_eq!((main, work, builder.location(b"main", 0).unwrap()), (1, 2, 1));
        let label = (builder.text(b"thread").unwrap(), builder.text(b"a").unwrap());
        builder.sample([work, main].into_iter(), &[3], std::iter::once(label)).unwrap();
        builder.sample([main].into_iter(), &[4], std::iter::empty()).unwrap();
        builder.finish(&head()).unwrap()
    }

    #[test]
    fn tables_and_their_message_make_the_same_frames() {
        let labels = [("__name__".to_owned(), "process_cpu".to_owned()), ("service_name".to_owned(), "s".to_owned())];
        let limits = ProfileLimits { now_ns: 5, ..ProfileLimits::default() };
        let id = ProfileId([1; 16]);
        let of_message = Decoder::new().frames(&tables().encode(), &labels, &limits, id).unwrap();
        let mut decoder = Decoder::new();
        let stats = decoder.take(tables(), 0).unwrap();
        decoder.validate(&limits).unwrap();
        assert_eq!((stats.samples, decoder.normalise()), (2, 2));
        let split = decoder.split(&labels);
        assert_eq!(decoder.into_frames(&split, id).unwrap(), of_message);
        assert_eq!(of_message.len(), 1);
    }

    #[test]
    fn the_size_is_about_that_of_the_message() {
        let (tables, mut builder) = (tables(), TablesBuilder::new(1 << 20));
        assert!(tables.bytes().abs_diff(tables.encode().len()) < 60, "{} {}", tables.bytes(), tables.encode().len());
        for at in 0..1000_u64 {
            let ids: Vec<u64> = (0..20)
                .map(|depth| builder.location(format!("function.{}", at * depth % 991).as_bytes(), 0).unwrap())
                .collect();
            builder.sample(ids.into_iter(), &[10_000_000], std::iter::empty()).unwrap();
        }
        let tables = builder.finish(&head()).unwrap();
        let (counted, written) = (tables.bytes() as f64, tables.encode().len() as f64);
        assert!((0.8..1.25).contains(&(counted / written)), "{counted} {written}");
    }

    #[test]
    fn contents_differ_in_their_hashes() {
        let mut builder = TablesBuilder::new(1 << 20);
        let main = builder.location(b"main", 0).unwrap();
        builder.sample([main].into_iter(), &[4], std::iter::empty()).unwrap();
        let other = builder.finish(&head()).unwrap();
        assert_eq!(tables().content_hash(), tables().content_hash());
        assert_ne!(tables().content_hash(), other.content_hash());
        // A distributor of another release may see the retry.
        assert_eq!(format!("{:032x}", other.content_hash()), "d33303add8ec14a8ccf2141c6637f24e");
    }

    #[test]
    fn the_bound_holds() {
        assert!(TablesBuilder::new(64).location(&[b'x'; 65], 0).is_err());
    }
}
