//! Stacks that the Go runtime cut off at the root side, completed from other stacks of the same profile.
//!
//! The numbered rule of contract `ingest.md` section 1.7. A stack that was cut shows 16 consecutive locations at its root end which
//! another stack has a few places before its own root; what stands behind them there is what is missing here.

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
        Windows::new(profile).repair(profile);
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
struct Windows {
    /// Leaf side first, in group order.
    windows: Vec<[u64; WINDOW]>,
    /// Group of each sample, or [`ABSENT`].
    of_sample: Vec<u32>,
}

impl Windows {
    fn new(profile: &RawProfile) -> Self {
        let window = |ids: &[u64]| ids.last_chunk::<WINDOW>().copied();
        let of_samples = profile.samples.iter().map(|sample| window(&profile.location_ids[sample.locations()]));
        let mut keyed: Vec<([u64; WINDOW], u32)> =
            of_samples.enumerate().filter_map(|(at, window)| Some((window?, at as u32))).collect();
        keyed.sort_unstable_by(|(a, _), (b, _)| a.iter().rev().cmp(b.iter().rev()));
        let mut windows: Vec<[u64; WINDOW]> = Vec::new();
        let mut of_sample = vec![ABSENT; profile.samples.len()];
        for (window, sample) in keyed {
            if windows.last() != Some(&window) {
                windows.push(window);
            }
            of_sample[sample as usize] = windows.len() as u32 - 1;
        }
        Self { windows, of_sample }
    }

    fn key(&self, group: u32, shift: usize) -> &[u64] {
        let end = WINDOW - shift;
        &self.windows[group as usize][end - KEY..end]
    }

    /// The owner of the key that each group's root end is; `None` for whole groups.
    fn owners(&self) -> Vec<Option<Owner>> {
        let state = foldhash::fast::RandomState::default();
        let hash = |key: &[u64]| std::hash::BuildHasher::hash_one(&state, key);
        let mut owners: HashTable<Owner> = HashTable::with_capacity(self.windows.len() * SHIFT_MAX);
        let groups = 0..self.windows.len() as u32;
        // The largest shift comes first, then group order: whoever is there first owns the key.
        for shift in (1..=SHIFT_MAX).rev() {
            for group in groups.clone() {
                let key = self.key(group, shift);
                let is_same = |owner: &Owner| self.key(owner.group, owner.shift) == key;
                let rehash = |owner: &Owner| hash(self.key(owner.group, owner.shift));
                owners.entry(hash(key), is_same, rehash).or_insert(Owner { group, shift });
            }
        }
        let owner_of = |group: u32| {
            let key = self.key(group, 0);
            let owner = owners.find(hash(key), |owner| self.key(owner.group, owner.shift) == key).copied();
            owner.filter(|owner| owner.group != group)
        };
        groups.map(owner_of).collect()
    }

    /// What a group misses, from where it was cut towards the root.
    fn missing(&self, group: u32, owners: &[Option<Owner>]) -> Vec<u64> {
        let mut missing = Vec::new();
        let mut chain = vec![group];
        let mut at = group;
        while let Some(owner) = owners[at as usize] {
            if chain.len() > LINKS_MAX || chain.contains(&owner.group) {
                break;
            }
            missing.extend_from_slice(&self.windows[owner.group as usize][WINDOW - owner.shift..]);
            chain.push(owner.group);
            at = owner.group;
        }
        missing
    }

    fn repair(&self, profile: &mut RawProfile) {
        let owners = self.owners();
        let missing: Vec<Vec<u64>> = (0..owners.len() as u32).map(|group| self.missing(group, &owners)).collect();
        for (sample, group) in profile.samples.iter_mut().zip(&self.of_sample) {
            let Some(missing) = missing.get(*group as usize).filter(|missing| !missing.is_empty()) else { continue };
            let start = profile.location_ids.len();
            let Ok(end) = u32::try_from(start + sample.locations().len() + missing.len()) else { return };
            profile.location_ids.extend_from_within(sample.locations());
            profile.location_ids.extend_from_slice(missing);
            (sample.locations_start, sample.locations_end) = (start as u32, end);
        }
    }
}
