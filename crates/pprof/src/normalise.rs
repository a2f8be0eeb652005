//! The rules of contract `ingest.md` section 1.7 over a validated profile: which samples stay, and which are one.
//!
//! Rules 2, 3, 8 and 9 decide per sample; rule 4 merges by hash table with an equality check, in order of first appearance. Rules 5
//! to 7 and 10 (drop what nothing uses, renumber, clear) happen when `split` writes a frame, so that no table is copied twice.

use hashbrown::HashTable;

use crate::id_map::{ABSENT, IdMap};
use crate::scan::{RawLocation, RawProfile};

/// What remains of the samples. All arrays are reused.
#[derive(Clone, Debug, Default)]
pub(crate) struct Normalised {
    mapping_ids: IdMap,
    function_ids: IdMap,
    location_ids: IdMap,
    /// Index of each line's function.
    pub(crate) line_functions: Vec<u32>,
    /// Index of each location's mapping, the number of mappings for the shared empty one; [`ABSENT`] for locations to drop.
    pub(crate) location_mappings: Vec<u32>,
    /// Location indexes of all stacks, leaf first.
    pub(crate) stack_locations: Vec<u32>,
    pub(crate) stack_ends: Vec<u32>,
    /// String indexes (key, value) of all label sets, sorted; set 0 is empty.
    pub(crate) label_pairs: Vec<(u32, u32)>,
    pub(crate) label_set_ends: Vec<u32>,
    pub(crate) sample_stacks: Vec<u32>,
    pub(crate) sample_sets: Vec<u32>,
    pub(crate) sample_values: Vec<i64>,
    stacks: HashTable<Hashed>,
    label_sets: HashTable<Hashed>,
    samples: HashTable<Hashed>,
}

/// An index with its hash: growing a table does not hash again, and most unequal entries are told apart without a look.
#[derive(Clone, Copy, Debug)]
struct Hashed {
    hash: u64,
    at: u32,
}

/// The index of an equal entry, or `new` after adding it.
#[inline(always)]
fn intern(table: &mut HashTable<Hashed>, hash: u64, new: u32, is_same: impl Fn(u32) -> bool) -> u32 {
    let same = |entry: &Hashed| entry.hash == hash && is_same(entry.at);
    table.entry(hash, same, |entry| entry.hash).or_insert(Hashed { hash, at: new }).get().at
}

/// A fast hash of integers; the tables check equality.
#[derive(Clone, Copy)]
struct Mix(u64);

impl Mix {
    const SEED: Self = Self(0x243f_6a88_85a3_08d3);

    #[inline(always)]
    fn add(self, word: u64) -> Self {
        let product = u128::from(self.0 ^ word) * 0x9e37_79b9_7f4a_7c15u128;
        Self((product as u64) ^ ((product >> 64) as u64))
    }

    #[inline(always)]
    fn slice(self, words: &[u32]) -> Self {
        let pairs = words.chunks_exact(2);
        let tail = pairs.remainder().first().map_or(1 << 63, |last| u64::from(*last));
        pairs.fold(self, |hash, pair| hash.add(u64::from(pair[0]) | u64::from(pair[1]) << 32)).add(tail)
    }
}

impl Normalised {
    /// Replaces the content by what remains of a profile.
    pub(crate) fn run(&mut self, profile: &RawProfile) {
        self.clear();
        self.resolve(profile);
        let with_labels = profile.labels.iter().any(|label| label.str > 0);
        let columns = profile.sample_types.len();
        for sample in &profile.samples {
            let values = &profile.values[sample.values()];
            // One pass: negative if any sign bit is set, nothing if no bit is.
            let bits = values.iter().fold(0, |bits, value| bits | value);
            if bits <= 0 || values.len() != columns {
                continue;
            }
            let Some((stack, is_new)) = self.stack(&profile.location_ids[sample.locations()]) else { continue };
            if !with_labels {
                self.add(stack, stack, 0, is_new, values);
                continue;
            }
            let set = self.label_set(profile, sample.labels());
            let hash = Mix::SEED.add(u64::from(stack) | u64::from(set) << 32).0;
            let new = self.sample_stacks.len() as u32;
            let (stacks, sets) = (&self.sample_stacks, &self.sample_sets);
            let is_same = |at: u32| stacks[at as usize] == stack && sets[at as usize] == set;
            let at = intern(&mut self.samples, hash, new, is_same);
            self.add(at, stack, set, at == new, values);
        }
    }

    /// Number of samples that remain.
    pub(crate) fn sample_count(&self) -> usize {
        self.sample_stacks.len()
    }

    pub(crate) fn stack_at(&self, stack: u32) -> &[u32] {
        range(&self.stack_locations, &self.stack_ends, stack)
    }

    pub(crate) fn label_set_at(&self, set: u32) -> &[(u32, u32)] {
        range(&self.label_pairs, &self.label_set_ends, set)
    }

    fn clear(&mut self) {
        self.line_functions.clear();
        self.location_mappings.clear();
        self.stack_locations.clear();
        self.stack_ends.clear();
        self.label_pairs.clear();
        self.label_set_ends.clear();
        self.sample_stacks.clear();
        self.sample_sets.clear();
        self.sample_values.clear();
        self.stacks.clear();
        self.label_sets.clear();
        self.samples.clear();
        self.label_set_ends.push(0);
    }

    /// Ids to indexes, and which locations cannot stay (rule 8).
    fn resolve(&mut self, profile: &RawProfile) {
        self.mapping_ids.build(profile.mappings.iter().map(|mapping| mapping.id));
        self.function_ids.build(profile.functions.iter().map(|function| function.id));
        self.location_ids.build(profile.locations.iter().map(|location| location.id));
        let functions = &self.function_ids;
        self.line_functions.extend(profile.lines.iter().map(|line| functions.get(line.function_id)));
        let stub = profile.mappings.len() as u32;
        let (mappings, line_functions) = (&self.mapping_ids, &self.line_functions);
        let mapping_of = |location: &RawLocation| {
            let functions = &line_functions[location.lines()];
            let is_nowhere = functions.is_empty() && location.address == 0;
            if is_nowhere || functions.contains(&ABSENT) {
                return ABSENT;
            }
            if location.mapping_id == 0 { stub } else { mappings.get(location.mapping_id) }
        };
        self.location_mappings.extend(profile.locations.iter().map(mapping_of));
        for (at, location) in profile.locations.iter().enumerate() {
            if self.location_mappings[at] == ABSENT && self.location_ids.get(location.id) == at as u32 {
                self.location_ids.forget(location.id);
            }
        }
    }

    /// The stack's index and whether it is new; `None` if it names a location that is not there (rule 9).
    #[inline(always)]
    fn stack(&mut self, ids: &[u64]) -> Option<(u32, bool)> {
        let start = self.stack_locations.len();
        self.stack_locations.extend(ids.iter().map(|id| self.location_ids.get(*id)));
        if self.stack_locations[start..].contains(&ABSENT) {
            self.stack_locations.truncate(start);
            return None;
        }
        let (known, stack) = self.stack_locations.split_at(start);
        let new = self.stack_ends.len() as u32;
        let ends = &self.stack_ends;
        let at = intern(&mut self.stacks, Mix::SEED.slice(stack).0, new, |at| range(known, ends, at) == stack);
        if at == new {
            self.stack_ends.push(self.stack_locations.len() as u32);
        } else {
            self.stack_locations.truncate(start);
        }
        Some((at, at == new))
    }

    /// The index of a sample's text labels (rule 2 drops the others); the order of labels does not matter.
    fn label_set(&mut self, profile: &RawProfile, labels: std::ops::Range<usize>) -> u32 {
        let start = self.label_pairs.len();
        let texts = profile.labels[labels].iter().filter(|label| label.str > 0);
        self.label_pairs.extend(texts.map(|label| (label.key as u32, label.str as u32)));
        if self.label_pairs.len() == start {
            return 0;
        }
        self.label_pairs[start..].sort_unstable();
        let (known, pairs) = self.label_pairs.split_at(start);
        let hash =
            pairs.iter().fold(Mix::SEED, |hash, (key, value)| hash.add(u64::from(*key) | u64::from(*value) << 32));
        let new = self.label_set_ends.len() as u32;
        let ends = &self.label_set_ends;
        let at = intern(&mut self.label_sets, hash.0, new, |at| range(known, ends, at) == pairs);
        if at == new {
            self.label_set_ends.push(self.label_pairs.len() as u32);
        } else {
            self.label_pairs.truncate(start);
        }
        at
    }

    /// A new sample, or more of sample `at`.
    #[inline(always)]
    fn add(&mut self, at: u32, stack: u32, set: u32, is_new: bool, values: &[i64]) {
        if is_new {
            self.sample_stacks.push(stack);
            self.sample_sets.push(set);
            self.sample_values.extend_from_slice(values);
            return;
        }
        let start = at as usize * values.len();
        add_values(&mut self.sample_values[start..start + values.len()], values);
    }
}

/// Adds column by column. Sums stop at the largest number: a value never turns negative.
pub(crate) fn add_values(sums: &mut [i64], values: &[i64]) {
    sums.iter_mut().zip(values).for_each(|(sum, value)| *sum = sum.saturating_add(*value));
}

/// Item `at` of lists that lie back to back.
#[inline(always)]
fn range<'a, T>(items: &'a [T], ends: &[u32], at: u32) -> &'a [T] {
    let at = at as usize;
    let start = if at == 0 { 0 } else { ends[at - 1] as usize };
    &items[start..ends[at] as usize]
}
