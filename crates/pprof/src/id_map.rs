//! From the ids of a pprof table to indexes. Ids are almost always dense from 1; then this is an array.

use hashbrown::HashMap;

/// No such id.
pub(crate) const ABSENT: u32 = u32::MAX;

/// Reused from profile to profile.
#[derive(Clone, Debug, Default)]
pub(crate) struct IdMap {
    dense: Vec<u32>,
    sparse: HashMap<u64, u32, foldhash::fast::RandomState>,
    is_sparse: bool,
}

impl IdMap {
    /// Indexes the ids by their position; of equal ids the last wins.
    pub(crate) fn build(&mut self, ids: impl Iterator<Item = u64> + Clone) {
        self.dense.clear();
        self.sparse.clear();
        let (count, max) = ids.clone().fold((0u64, 0), |(count, max), id| (count + 1, id.max(max)));
        self.is_sparse = max > 4 * count + 64;
        if self.is_sparse {
            self.sparse.extend(ids.enumerate().map(|(at, id)| (id, at as u32)));
        } else {
            self.dense.resize(max as usize + 1, ABSENT);
            ids.enumerate().for_each(|(at, id)| self.dense[id as usize] = at as u32);
        }
    }

    /// From now on no such id.
    pub(crate) fn forget(&mut self, id: u64) {
        if self.is_sparse {
            self.sparse.remove(&id);
        } else if let Some(at) = usize::try_from(id).ok().and_then(|id| self.dense.get_mut(id)) {
            *at = ABSENT;
        }
    }

    /// The index of an id, or [`ABSENT`].
    #[inline(always)]
    pub(crate) fn get(&self, id: u64) -> u32 {
        if self.is_sparse {
            self.sparse.get(&id).copied().unwrap_or(ABSENT)
        } else {
            usize::try_from(id).ok().and_then(|id| self.dense.get(id)).copied().unwrap_or(ABSENT)
        }
    }
}
