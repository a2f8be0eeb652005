//! The names of a tree: each text once, one after the other in one string, found by hash.

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

/// Names numbered from 0 in the order they came.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    text: String,
    /// Where each name ends in `text`.
    ends: Vec<usize>,
    index: HashTable<u32>,
    hasher: RandomState,
}

impl Names {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn get(&self, id: u32) -> &str {
        slice(&self.text, &self.ends, id)
    }

    /// The number of a name, new or known.
    pub(super) fn intern(&mut self, name: &str) -> u32 {
        let Self { text, ends, index, hasher } = self;
        let hash = hasher.hash_one(name);
        if let Some(id) = index.find(hash, |id| slice(text, ends, *id) == name) {
            return *id;
        }
        let id = u32::try_from(ends.len()).expect("a tree that fits in memory has fewer than 2^32 names");
        text.push_str(name);
        ends.push(text.len());
        index.insert_unique(hash, id, |id| hasher.hash_one(slice(text, ends, *id)));
        id
    }
}

fn slice<'a>(text: &'a str, ends: &[usize], id: u32) -> &'a str {
    let id = id as usize;
    let start = if id == 0 { 0 } else { ends[id - 1] };
    &text[start..ends[id]]
}
