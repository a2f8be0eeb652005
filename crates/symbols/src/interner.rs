//! A set of dense ids, looked up by what the ids stand for; the items themselves lie elsewhere.

use std::fmt;
use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

/// Ids by content. The seed is random: ids follow the order of first sight, never the hash.
#[derive(Default)]
pub(crate) struct Interner {
    ids: HashTable<Entry>,
    hasher: RandomState,
}

/// The hash is kept so that a growing table need not look at the items.
#[derive(Clone, Copy)]
struct Entry {
    hash: u32,
    id: u32,
}

impl Interner {
    pub(crate) fn hash(&self, key: impl std::hash::Hash) -> u64 {
        self.hasher.hash_one(key)
    }

    /// The id of an item whose key hashes to `hash` and for which `is_same(id)`.
    pub(crate) fn find(&self, hash: u64, mut is_same: impl FnMut(u32) -> bool) -> Option<u32> {
        let short = (hash >> 32) as u32;
        self.ids.find(spread(short), |entry| entry.hash == short && is_same(entry.id)).map(|entry| entry.id)
    }

    /// Adds an id that [`find`](Self::find) did not find.
    pub(crate) fn insert(&mut self, hash: u64, id: u32) {
        let short = (hash >> 32) as u32;
        self.ids.insert_unique(spread(short), Entry { hash: short, id }, |entry| spread(entry.hash));
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.ids.allocation_size()
    }
}

/// 32 bits to 64: the table takes its position from the low bits and its tag from the high ones.
fn spread(short: u32) -> u64 {
    u64::from(short).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

impl fmt::Debug for Interner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interner").field("ids", &self.ids.len()).finish()
    }
}
