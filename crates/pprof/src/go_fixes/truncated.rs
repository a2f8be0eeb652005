//! Stacks that the Go runtime cut off at the root side, completed from other stacks of the same profile.
//!
//! The numbered rule of contract `ingest.md` section 1.7. A stack that was cut shows 16 consecutive locations at its root end which
//! another stack has a few places before its own root; what stands behind them there is what is missing here.

use std::hash::BuildHasher as _;

use hashbrown::HashTable;

use crate::id_map::ABSENT;
use crate::scan::RawProfile;
use crate::texts::Texts;

/// Root-side locations that put stacks into one group.
const WINDOW: usize = 24;
/// Locations that recognise a place.
const KEY: usize = 16;
/// How far before the root a key may end.
const SHIFT_MAX: usize = WINDOW - KEY;
const LINKS_MAX: usize = 56;

const HEAP_TYPES: [&[u8]; 4] = [b"alloc_objects", b"alloc_space", b"inuse_objects", b"inuse_space"];

pub(crate) fn repair(profile: &mut RawProfile, texts: Texts<'_>) {
    if is_candidate(profile, texts) {
        let (missing, of_sample) = Windows::new(profile).into_missing();
        append(profile, &missing, &of_sample);
    }
}

fn is_candidate(profile: &RawProfile, texts: Texts<'_>) -> bool {
    let deepest = profile.samples.iter().map(|sample| sample.locations().len()).max().unwrap_or(0);
    let has = |wanted: &[&[u8]]| {
        let kinds = profile.sample_types.iter().filter_map(|t| profile.strings.get(usize::try_from(t.kind).ok()?));
        kinds.map(|span| texts.get(*span)).any(|kind| wanted.contains(&kind))
    };
    // The depths at which runtimes cut: 32 in heap profiles, 64 in CPU profiles; some frames may have been dropped since.
    if has(&HEAP_TYPES) { (28..33).contains(&deepest) } else { has(&[b"cpu"]) && deepest >= 60 }
}

/// Where a truncated group's missing part starts: `shift` root-most locations of `group`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Owner {
    group: u32,
    shift: usize,
}

/// Groups of stacks by window.
struct Windows<'a> {
    location_ids: &'a [u64],
    /// Where the window of each group's first stack starts, in order of first appearance. Leaf side first.
    starts: Vec<u32>,
    /// Group of each sample, or [`ABSENT`].
    of_sample: Vec<u32>,
    /// [`SHIFT_MAX`] + 1 hashes of each group's keys, by shift.
    key_hashes: Vec<u64>,
}

impl<'a> Windows<'a> {
    fn new(profile: &'a RawProfile) -> Self {
        let mut windows = Self {
            location_ids: &profile.location_ids,
            starts: Vec::new(),
            of_sample: Vec::with_capacity(profile.samples.len()),
            key_hashes: Vec::new(),
        };
        let rolling = RollingHash::default();
        let mut known: HashTable<(u64, u32)> = HashTable::new();
        for sample in &profile.samples {
            let group = match sample.locations().len().checked_sub(WINDOW) {
                None => ABSENT,
                Some(before) => windows.group_of(sample.locations().start + before, &rolling, &mut known),
            };
            windows.of_sample.push(group);
        }
        windows
    }

    fn group_of(&mut self, start: usize, rolling: &RollingHash, known: &mut HashTable<(u64, u32)>) -> u32 {
        let hashes = rolling.prefixes(&self.location_ids[start..start + WINDOW]);
        let hash = rolling.range(&hashes, 0, WINDOW);
        let is_same = |(other, group): &(u64, u32)| *other == hash && self.window(*group) == self.window_at(start);
        let new = self.starts.len() as u32;
        let group = known.entry(hash, is_same, |(hash, _)| *hash).or_insert((hash, new)).get().1;
        if group == new {
            self.starts.push(start as u32);
            let keys = (0..=SHIFT_MAX).map(|shift| rolling.range(&hashes, WINDOW - shift - KEY, WINDOW - shift));
            self.key_hashes.extend(keys);
        }
        group
    }

    fn groups(&self) -> std::ops::Range<u32> {
        0..self.starts.len() as u32
    }

    fn window_at(&self, start: usize) -> &[u64] {
        &self.location_ids[start..start + WINDOW]
    }

    fn window(&self, group: u32) -> &[u64] {
        self.window_at(self.starts[group as usize] as usize)
    }

    fn key(&self, group: u32, shift: usize) -> &[u64] {
        let end = WINDOW - shift;
        &self.window(group)[end - KEY..end]
    }

    fn key_hash(&self, group: u32, shift: usize) -> u64 {
        self.key_hashes[group as usize * (SHIFT_MAX + 1) + shift]
    }

    /// Does `a` come before `b` in group order: by location from the root towards the leaf?
    fn is_before(&self, a: u32, b: u32) -> bool {
        self.window(a).iter().rev().lt(self.window(b).iter().rev())
    }

    /// The owner of the key that each group's root end is; `None` for whole groups.
    fn owners(&self) -> Vec<Option<Owner>> {
        // Only root ends are ever looked for: one entry for each distinct one, named by the first group that has it.
        let mut wanted: HashTable<u32> = HashTable::new();
        let root_end = |group: u32| self.key(group, 0);
        let first_of: Vec<u32> = self
            .groups()
            .map(|group| {
                let is_same = |other: &u32| root_end(*other) == root_end(group);
                let entry = wanted.entry(self.key_hash(group, 0), is_same, |group| self.key_hash(*group, 0));
                *entry.or_insert(group).get()
            })
            .collect();
        let mut owners: Vec<Option<Owner>> = vec![None; self.starts.len()];
        // The largest shift comes first, then group order.
        for shift in (1..=SHIFT_MAX).rev() {
            for group in self.groups() {
                let is_same = |other: &u32| root_end(*other) == self.key(group, shift);
                let Some(first) = wanted.find(self.key_hash(group, shift), is_same) else { continue };
                let owner = &mut owners[*first as usize];
                let is_ahead = |owner: &Owner| owner.shift == shift && self.is_before(group, owner.group);
                if owner.is_none() || owner.as_ref().is_some_and(is_ahead) {
                    *owner = Some(Owner { group, shift });
                }
            }
        }
        let of_group = |group: u32| owners[first_of[group as usize] as usize].filter(|owner| owner.group != group);
        self.groups().map(of_group).collect()
    }

    /// What a group misses, from where it was cut towards the root.
    fn missing(&self, group: u32, owners: &[Option<Owner>]) -> Vec<u64> {
        let mut missing = Vec::new();
        let mut chain = [group; LINKS_MAX + 1];
        let mut links = 0;
        let mut at = group;
        while let Some(owner) = owners[at as usize] {
            if links == LINKS_MAX || chain[..=links].contains(&owner.group) {
                break;
            }
            missing.extend_from_slice(&self.window(owner.group)[WINDOW - owner.shift..]);
            links += 1;
            chain[links] = owner.group;
            at = owner.group;
        }
        missing
    }

    /// What is missing of each group, and the group of each sample.
    fn into_missing(self) -> (Vec<Vec<u64>>, Vec<u32>) {
        let owners = self.owners();
        (self.groups().map(|group| self.missing(group, &owners)).collect(), self.of_sample)
    }
}

fn append(profile: &mut RawProfile, missing: &[Vec<u64>], of_sample: &[u32]) {
    for (sample, group) in profile.samples.iter_mut().zip(of_sample) {
        let Some(missing) = missing.get(*group as usize).filter(|missing| !missing.is_empty()) else { continue };
        let start = profile.location_ids.len();
        let Ok(end) = u32::try_from(start + sample.locations().len() + missing.len()) else { return };
        profile.location_ids.extend_from_within(sample.locations());
        profile.location_ids.extend_from_slice(missing);
        (sample.locations_start, sample.locations_end) = (start as u32, end);
    }
}

/// Hashes of all parts of a window from one pass: a polynomial over a random number for each id. Seeded, so that nobody can send ids
/// that collide; whoever uses it checks equality.
struct RollingHash {
    state: foldhash::fast::RandomState,
    /// Powers of the base.
    powers: [u64; WINDOW + 1],
}

impl Default for RollingHash {
    fn default() -> Self {
        let state = foldhash::fast::RandomState::default();
        let base = state.hash_one(0u64) | 1;
        let mut powers = [1u64; WINDOW + 1];
        for at in 1..powers.len() {
            powers[at] = powers[at - 1].wrapping_mul(base);
        }
        Self { state, powers }
    }
}

impl RollingHash {
    /// Hash of the first 0, 1, 2… ids.
    fn prefixes(&self, window: &[u64]) -> [u64; WINDOW + 1] {
        let mut prefixes = [0u64; WINDOW + 1];
        for (at, id) in window.iter().enumerate().take(WINDOW) {
            prefixes[at + 1] = prefixes[at].wrapping_mul(self.powers[1]).wrapping_add(self.state.hash_one(id));
        }
        prefixes
    }

    fn range(&self, prefixes: &[u64; WINDOW + 1], start: usize, end: usize) -> u64 {
        let hash = prefixes[end].wrapping_sub(prefixes[start].wrapping_mul(self.powers[end - start]));
        // Tables look at both ends of a hash; a polynomial is good only at its upper one.
        (hash ^ hash >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::scan::RawSample;

    fn profile_of(stacks: &[Vec<u64>]) -> RawProfile {
        let mut profile = RawProfile::default();
        for stack in stacks {
            let start = profile.location_ids.len() as u32;
            profile.location_ids.extend(stack);
            let end = profile.location_ids.len() as u32;
            profile.samples.push(RawSample { locations_start: start, locations_end: end, ..RawSample::default() });
        }
        profile
    }

    fn stacks_of(profile: &RawProfile) -> Vec<Vec<u64>> {
        profile.samples.iter().map(|sample| profile.location_ids[sample.locations()].to_vec()).collect()
    }

    /// The numbered rule of the contract, word by word.
    fn by_the_rule(stacks: &[Vec<u64>]) -> Vec<Vec<u64>> {
        let window = |stack: &Vec<u64>| stack.len().checked_sub(WINDOW).map(|from| stack[from..].to_vec());
        // Rule 1, by window from the root.
        let mut groups: Vec<Vec<u64>> = stacks.iter().filter_map(window).collect();
        groups.sort_by(|a, b| a.iter().rev().cmp(b.iter().rev()));
        groups.dedup();
        // Rule 2.
        let mut owners: BTreeMap<&[u64], (usize, usize)> = BTreeMap::new();
        for shift in (1..=SHIFT_MAX).rev() {
            for (number, group) in groups.iter().enumerate() {
                owners.entry(&group[WINDOW - shift - KEY..WINDOW - shift]).or_insert((number, shift));
            }
        }
        // Rules 3 and 4.
        let missing = |mut at: usize| {
            let (mut chain, mut missing) = (vec![at], Vec::new());
            while let Some((owner, shift)) = owners.get(&groups[at][WINDOW - KEY..]) {
                if chain.contains(owner) || chain.len() > LINKS_MAX {
                    break;
                }
                missing.extend_from_slice(&groups[*owner][WINDOW - shift..]);
                chain.push(*owner);
                at = *owner;
            }
            missing
        };
        let repaired = |stack: &Vec<u64>| {
            let group = window(stack).and_then(|window| groups.iter().position(|group| *group == window));
            [stack.clone(), group.map(missing).unwrap_or_default()].concat()
        };
        stacks.iter().map(repaired).collect()
    }

    /// Parts of a few long call paths, with repeats: what truncation makes, and recursion.
    fn stacks() -> impl Strategy<Value = Vec<Vec<u64>>> {
        let path = (1u64..4, 1u64..6)
            .prop_map(|(seed, period)| (0..60u64).map(|at| 1 + (at * seed) % (7 * period + 20)).collect::<Vec<u64>>());
        let part = (path, 0usize..20, 20usize..34)
            .prop_map(|(path, from, len)| path[from..(from + len).min(path.len())].to_vec());
        prop::collection::vec(part, 1..25)
    }

    proptest! {
        #[test]
        fn repairs_by_the_rule(stacks in stacks()) {
            let mut profile = profile_of(&stacks);
            let (missing, of_sample) = Windows::new(&profile).into_missing();
            append(&mut profile, &missing, &of_sample);
            prop_assert_eq!(stacks_of(&profile), by_the_rule(&stacks));
        }
    }
}
