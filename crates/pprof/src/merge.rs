//! The way out: samples of many profiles merged into one pprof with one value column (contract `query.md`, SelectMergeProfile).
//!
//! Everything is interned with an equality check: functions by (start line, name, system name, file), mappings by (size in pages,
//! offset, build id or file), locations and stacks by content. Addresses move with their mapping when two runs of a binary lay at
//! different places. The result does not depend on how the input was cut into parts, but for the order of samples.

use flamelake_model::query::GoPgo;
use flamelake_model::{ProfileType, TimestampMs};
use hashbrown::{HashMap, HashTable};

use crate::error::DecodeError;
use crate::frame::{Function, Line, Location, Mapping, StringRef, StringTable};
use crate::id_map::{ABSENT, IdMap};
use crate::scan::RawProfile;

type State = foldhash::fast::RandomState;

const PAGE: u64 = 4096;

/// A binary, to be interned. Fields as in pprof.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "names are pprof's own")]
pub struct MappingParts<'a> {
    pub memory_start: u64,
    pub memory_limit: u64,
    pub file_offset: u64,
    pub filename: &'a str,
    pub build_id: &'a str,
    pub has_functions: bool,
    pub has_filenames: bool,
    pub has_line_numbers: bool,
    pub has_inline_frames: bool,
}

/// A function, to be interned. Fields as in pprof.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "names are pprof's own")]
pub struct FunctionParts<'a> {
    pub name: &'a str,
    pub system_name: &'a str,
    pub filename: &'a str,
    pub start_line: i64,
}

/// An interned mapping and how far addresses move to lie in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MappingRef {
    pub(crate) index: u32,
    pub(crate) shift: u64,
}

/// What a finished pprof says beside its samples.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PprofMeta {
    /// Type and unit of the values.
    pub sample_type: (String, String),
    /// Type and unit of the period, empty texts for none.
    pub period_type: (String, String),
    /// Sampling period.
    pub period: i64,
    /// Time of the profile.
    pub time_nanos: i64,
    /// How long it covers.
    pub duration_nanos: i64,
}

impl PprofMeta {
    /// Of an answer to a query for a profile type up to `end`.
    pub fn of(profile_type: &ProfileType, end: TimestampMs) -> Self {
        let period = match profile_type.name.as_str() {
            "process_cpu" => 1_000_000_000,
            "memory" => 512 * 1024,
            _ => 1,
        };
        Self {
            sample_type: (profile_type.sample_type.clone(), profile_type.sample_unit.clone()),
            period_type: (profile_type.period_type.clone(), profile_type.period_unit.clone()),
            period,
            time_nanos: end.to_ns().0,
            duration_nanos: 0,
        }
    }
}

/// Collects samples. Feed symbols first, then samples that name them; [`encode`](Self::encode) writes what samples use.
#[derive(Clone, Debug, Default)]
pub struct PprofBuilder {
    pub(crate) strings: StringTable,
    pub(crate) mappings: Vec<Mapping>,
    pub(crate) functions: Vec<Function>,
    pub(crate) locations: Vec<Location>,
    pub(crate) lines: Vec<Line>,
    pub(crate) stack_locations: Vec<u32>,
    pub(crate) stack_ends: Vec<u32>,
    pub(crate) values: Vec<i64>,
    string_index: HashTable<u32>,
    mapping_index: HashMap<(u64, u64, StringRef), u32, State>,
    function_index: HashMap<Function, u32, State>,
    location_index: HashTable<u32>,
    stack_index: HashTable<u32>,
    go_pgo: Option<GoPgo>,
    /// Leaf locations and what PGO shaping makes of them.
    callees: HashMap<u32, u32, State>,
    state: State,
}

impl PprofBuilder {
    /// An empty one.
    pub fn new() -> Self {
        let mut builder = Self::default();
        builder.string("");
        builder
    }

    /// One that shapes each stack for profile-guided optimisation.
    pub fn with_go_pgo(go_pgo: Option<GoPgo>) -> Self {
        Self { go_pgo, ..Self::new() }
    }

    /// No samples?
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Number of distinct stacks.
    pub fn sample_count(&self) -> usize {
        self.values.len()
    }

    /// Interns a mapping.
    pub fn mapping(&mut self, parts: MappingParts<'_>) -> MappingRef {
        let (filename, build_id) = (self.string(parts.filename), self.string(parts.build_id));
        let size = parts.memory_limit.saturating_sub(parts.memory_start);
        let pages = size.div_ceil(PAGE);
        let binary = if build_id == 0 { filename } else { build_id };
        let new = self.mappings.len() as u32;
        let index = *self.mapping_index.entry((pages, parts.file_offset, binary)).or_insert(new);
        if index == new {
            self.mappings.push(Mapping {
                memory_start: parts.memory_start,
                memory_limit: parts.memory_limit,
                file_offset: parts.file_offset,
                filename,
                build_id,
                ..Mapping::default()
            });
        }
        let mapping = &mut self.mappings[index as usize];
        mapping.has_functions |= parts.has_functions;
        mapping.has_filenames |= parts.has_filenames;
        mapping.has_line_numbers |= parts.has_line_numbers;
        mapping.has_inline_frames |= parts.has_inline_frames;
        MappingRef { index, shift: mapping.memory_start.wrapping_sub(parts.memory_start) }
    }

    /// Interns a function; its index is for [`Line::function`].
    pub fn function(&mut self, parts: FunctionParts<'_>) -> u32 {
        let function = Function {
            name: self.string(parts.name),
            system_name: self.string(parts.system_name),
            filename: self.string(parts.filename),
            start_line: parts.start_line,
        };
        let new = self.functions.len() as u32;
        let index = *self.function_index.entry(function).or_insert(new);
        if index == new {
            self.functions.push(function);
        }
        index
    }

    /// Interns a location; innermost inlined function first.
    ///
    /// # Panics
    /// If a line names a function that this builder does not have.
    pub fn location(&mut self, mapping: MappingRef, address: u64, is_folded: bool, lines: &[Line]) -> u32 {
        assert!(
            lines.iter().all(|line| (line.function as usize) < self.functions.len()),
            "functions come from this builder"
        );
        let address = if address == 0 { 0 } else { address.wrapping_add(mapping.shift) };
        self.intern_location(mapping.index, address, is_folded, lines)
    }

    /// Adds a value to a stack of locations, leaf first. Zero adds nothing.
    ///
    /// # Panics
    /// If a location is not this builder's.
    pub fn sample(&mut self, stack: &[u32], value: i64) {
        if value == 0 {
            return;
        }
        assert!(stack.iter().all(|at| (*at as usize) < self.locations.len()), "locations come from this builder");
        let Some(go_pgo) = self.go_pgo else { return self.add(stack, value) };
        let keep = if go_pgo.keep_locations == 0 { stack.len() } else { go_pgo.keep_locations as usize };
        let mut shaped = stack[..keep.min(stack.len())].to_vec();
        if let Some(leaf) = shaped.first_mut().filter(|_| go_pgo.aggregate_callees) {
            *leaf = self.callee(*leaf);
        }
        self.add(&shaped, value);
    }

    /// Merges the samples of a pprof with one value column, such as another builder encoded. Empty bytes are an empty pprof.
    ///
    /// # Errors
    /// If the bytes are not a pprof.
    pub fn merge_encoded(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        let mut profile = RawProfile::default();
        profile.scan(bytes)?;
        Merge::new(&profile, bytes, self).run(self);
        Ok(())
    }

    /// Replaces all samples.
    pub(crate) fn take_samples(&mut self) -> (Vec<u32>, Vec<u32>, Vec<i64>) {
        self.stack_index.clear();
        (
            std::mem::take(&mut self.stack_locations),
            std::mem::take(&mut self.stack_ends),
            std::mem::take(&mut self.values),
        )
    }

    /// Location indexes of a sample, leaf first.
    pub(crate) fn stack(&self, sample: usize) -> &[u32] {
        stack_at(&self.stack_locations, &self.stack_ends, sample as u32)
    }

    /// Lines of a location, innermost first.
    pub(crate) fn location_lines(&self, location: u32) -> &[Line] {
        let location = &self.locations[location as usize];
        &self.lines[location.lines_start as usize..location.lines_end as usize]
    }

    pub(crate) fn string(&mut self, text: &str) -> StringRef {
        let (strings, state) = (&self.strings, &self.state);
        let hash = |text: &str| std::hash::BuildHasher::hash_one(state, text);
        let is_same = |at: &u32| strings.get(*at) == text;
        let new = strings.len() as u32;
        let at = *self.string_index.entry(hash(text), is_same, |at| hash(strings.get(*at))).or_insert(new).get();
        if at == new {
            self.strings.push(text);
        }
        at
    }

    /// Adds to a stack as it is.
    pub(crate) fn add(&mut self, stack: &[u32], value: i64) {
        let (locations, ends, state) = (&self.stack_locations, &self.stack_ends, &self.state);
        let hash = |stack: &[u32]| std::hash::BuildHasher::hash_one(state, stack);
        let is_same = |at: &u32| stack_at(locations, ends, *at) == stack;
        let rehash = |at: &u32| hash(stack_at(locations, ends, *at));
        let new = self.values.len() as u32;
        let at = *self.stack_index.entry(hash(stack), is_same, rehash).or_insert(new).get();
        if at == new {
            self.stack_locations.extend_from_slice(stack);
            self.stack_ends.push(self.stack_locations.len() as u32);
            self.values.push(0);
        }
        let sum = &mut self.values[at as usize];
        *sum = sum.wrapping_add(value);
    }

    fn intern_location(&mut self, mapping: u32, address: u64, is_folded: bool, lines: &[Line]) -> u32 {
        let (all, all_lines, state) = (&self.locations, &self.lines, &self.state);
        let key = |at: u32| {
            let l = &all[at as usize];
            (l.mapping, l.address, l.is_folded, &all_lines[l.lines_start as usize..l.lines_end as usize])
        };
        let wanted = (mapping, address, is_folded, lines);
        let hash = |key: (u32, u64, bool, &[Line])| std::hash::BuildHasher::hash_one(state, key);
        let new = all.len() as u32;
        let entry = self.location_index.entry(hash(wanted), |at| key(*at) == wanted, |at| hash(key(*at)));
        let at = *entry.or_insert(new).get();
        if at == new {
            let lines_start = self.lines.len() as u32;
            self.lines.extend_from_slice(lines);
            let lines_end = self.lines.len() as u32;
            self.locations.push(Location { mapping, address, is_folded, lines_start, lines_end });
        }
        at
    }

    /// The location with line 0 in its innermost function.
    fn callee(&mut self, location: u32) -> u32 {
        if let Some(callee) = self.callees.get(&location) {
            return *callee;
        }
        let mut lines = self.location_lines(location).to_vec();
        if let Some(line) = lines.first_mut() {
            line.line = 0;
        }
        let Location { mapping, address, is_folded, .. } = self.locations[location as usize];
        let callee = self.intern_location(mapping, address, is_folded, &lines);
        self.callees.insert(location, callee);
        callee
    }
}

fn stack_at<'a>(locations: &'a [u32], ends: &[u32], at: u32) -> &'a [u32] {
    let at = at as usize;
    let start = if at == 0 { 0 } else { ends[at - 1] as usize };
    &locations[start..ends[at] as usize]
}

/// A pprof on its way into a builder.
struct Merge<'a> {
    profile: &'a RawProfile,
    /// The builder's index of each location, [`ABSENT`] for broken ones.
    locations: Vec<u32>,
    location_ids: IdMap,
}

impl<'a> Merge<'a> {
    fn new(profile: &'a RawProfile, bytes: &'a [u8], into: &mut PprofBuilder) -> Self {
        let text = |at: i64| {
            let span = usize::try_from(at).ok().and_then(|at| profile.strings.get(at)).copied().unwrap_or_default();
            String::from_utf8_lossy(&bytes[span.start as usize..(span.start + span.len) as usize])
        };
        let functions: Vec<u32> = profile
            .functions
            .iter()
            .map(|f| {
                let (name, system_name, filename) = (text(f.name), text(f.system_name), text(f.filename));
                let (name, system_name, filename) = (name.as_ref(), system_name.as_ref(), filename.as_ref());
                into.function(FunctionParts { name, system_name, filename, start_line: f.start_line })
            })
            .collect();
        let mappings: Vec<MappingRef> = profile
            .mappings
            .iter()
            .map(|m| {
                into.mapping(MappingParts {
                    memory_start: m.memory_start,
                    memory_limit: m.memory_limit,
                    file_offset: m.file_offset,
                    filename: &text(m.filename),
                    build_id: &text(m.build_id),
                    has_functions: m.has_functions,
                    has_filenames: m.has_filenames,
                    has_line_numbers: m.has_line_numbers,
                    has_inline_frames: m.has_inline_frames,
                })
            })
            .collect();
        let mut merge = Self { profile, locations: Vec::new(), location_ids: IdMap::default() };
        merge.locations(&functions, &mappings, into);
        merge
    }

    fn locations(&mut self, functions: &[u32], mappings: &[MappingRef], into: &mut PprofBuilder) {
        let profile = self.profile;
        let (mut function_ids, mut mapping_ids) = (IdMap::default(), IdMap::default());
        function_ids.build(profile.functions.iter().map(|function| function.id));
        mapping_ids.build(profile.mappings.iter().map(|mapping| mapping.id));
        self.location_ids.build(profile.locations.iter().map(|location| location.id));
        let function_of = |id: u64| functions.get(function_ids.get(id) as usize).copied();
        for raw in &profile.locations {
            let lines = profile.lines[raw.lines()].iter();
            let lines: Option<Vec<Line>> =
                lines.map(|line| Some(Line { function: function_of(line.function_id)?, line: line.line })).collect();
            let mapping = match raw.mapping_id {
                0 => Some(into.mapping(MappingParts::default())),
                id => mappings.get(mapping_ids.get(id) as usize).copied(),
            };
            let location = lines.zip(mapping);
            let location = location.map(|(lines, mapping)| into.location(mapping, raw.address, raw.is_folded, &lines));
            self.locations.push(location.unwrap_or(ABSENT));
        }
    }

    /// Samples that name a broken location are left out.
    fn run(self, into: &mut PprofBuilder) {
        let mut stack = Vec::new();
        for sample in &self.profile.samples {
            let ids = self.profile.location_ids[sample.locations()].iter();
            stack.clear();
            stack.extend(
                ids.map(|id| self.locations.get(self.location_ids.get(*id) as usize).copied().unwrap_or(ABSENT)),
            );
            if let Some(value) = self.profile.values[sample.values()].first().filter(|_| !stack.contains(&ABSENT)) {
                into.sample(&stack, *value);
            }
        }
    }
}
