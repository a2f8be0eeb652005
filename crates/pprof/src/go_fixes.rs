//! Repairs for profiles of Go programs (contract `ingest.md` section 1.7): generic type arguments out of names, truncated stacks.

pub(crate) mod truncated;

use hashbrown::{HashMap, HashTable};

use crate::id_map::{ABSENT, IdMap};
use crate::scan::{RawProfile, Span};
use crate::texts::Texts;

type State = foldhash::fast::RandomState;

const OPEN: &[u8] = b"[go.shape.";

/// Removes every `[go.shape.…]` group from every text, then merges functions and locations that became equal. Rewritten texts go to
/// the end of `rewritten`.
pub(crate) fn remove_type_parameters(profile: &mut RawProfile, message: &[u8], rewritten: &mut Vec<u8>) {
    let mut changed = false;
    for span in &mut profile.strings {
        let text = Texts { message, rewritten }.get(*span);
        if !text.contains(&b'[') {
            continue;
        }
        let Some(clean) = without_type_parameters(text) else { continue };
        let start = message.len() + rewritten.len();
        let Ok(start) = u32::try_from(start) else { return };
        *span = Span { start, len: clean.len() as u32 };
        rewritten.extend_from_slice(&clean);
        changed = true;
    }
    if changed {
        merge_equal(profile, Texts { message, rewritten });
    }
}

/// `None` if there is nothing to remove. From an unbalanced group on the text stays.
fn without_type_parameters(text: &[u8]) -> Option<Vec<u8>> {
    let mut clean: Option<Vec<u8>> = None;
    let mut rest = text;
    while let Some(open) = rest.windows(OPEN.len()).position(|window| window == OPEN) {
        let Some(len) = group_len(&rest[open..]) else { break };
        clean.get_or_insert_default().extend_from_slice(&rest[..open]);
        rest = &rest[open + len..];
    }
    let mut clean = clean?;
    clean.extend_from_slice(rest);
    Some(clean)
}

/// Length of the bracket group that a text starts with.
fn group_len(text: &[u8]) -> Option<usize> {
    let mut depth = 0usize;
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'[' => depth += 1,
            b']' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at + 1);
        }
    }
    None
}

/// Texts, then functions, then locations: of equal ones the first stays and the others' users are sent to it.
fn merge_equal(profile: &mut RawProfile, texts: Texts<'_>) {
    let canonical = equal_strings(profile, texts);
    profile
        .remap_strings(|at| usize::try_from(at).ok().and_then(|at| canonical.get(at)).map_or(at, |at| i64::from(*at)));
    merge_functions(profile);
    merge_locations(profile);
}

/// The first equal string of each.
fn equal_strings(profile: &RawProfile, texts: Texts<'_>) -> Vec<u32> {
    let state = State::default();
    let text = |at: u32| texts.get(profile.strings[at as usize]);
    let hash = |text: &[u8]| std::hash::BuildHasher::hash_one(&state, text);
    let mut table: HashTable<u32> = HashTable::with_capacity(profile.strings.len());
    (0..profile.strings.len() as u32)
        .map(|at| {
            *table.entry(hash(text(at)), |other| text(*other) == text(at), |at| hash(text(*at))).or_insert(at).get()
        })
        .collect()
}

fn merge_functions(profile: &mut RawProfile) {
    let mut first: HashMap<(i64, i64, i64, i64), u64, State> = HashMap::default();
    let mut moved: HashMap<u64, u64, State> = HashMap::default();
    profile.functions.retain(|f| {
        let kept = *first.entry((f.name, f.system_name, f.filename, f.start_line)).or_insert(f.id);
        if kept != f.id {
            moved.insert(f.id, kept);
        }
        kept == f.id
    });
    if !moved.is_empty() {
        for line in &mut profile.lines {
            line.function_id = *moved.get(&line.function_id).unwrap_or(&line.function_id);
        }
    }
}

fn merge_locations(profile: &mut RawProfile) {
    let mut index = IdMap::default();
    index.build(profile.locations.iter().map(|location| location.id));
    let state = State::default();
    let (locations, lines) = (&profile.locations, &profile.lines);
    let key = |at: u32| {
        let l = &locations[at as usize];
        (l.mapping_id, l.address, l.is_folded, &lines[l.lines()])
    };
    let hash = |at: u32| std::hash::BuildHasher::hash_one(&state, key(at));
    let mut table: HashTable<u32> = HashTable::with_capacity(locations.len());
    let canonical: Vec<u64> = (0..locations.len() as u32)
        .map(|at| *table.entry(hash(at), |other| key(*other) == key(at), |at| hash(*at)).or_insert(at).get())
        .map(|at| locations[at as usize].id)
        .collect();
    for id in &mut profile.location_ids {
        let at = index.get(*id);
        if at != ABSENT {
            *id = canonical[at as usize];
        }
    }
}
