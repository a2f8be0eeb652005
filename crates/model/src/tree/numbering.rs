//! From the numbers of somebody else to our own, for numbers that are dense nearly always.

use std::collections::HashMap;

/// Numbers below this live in a plain vector.
const DENSE_MAX: u32 = 1 << 22;
const UNKNOWN: u32 = u32::MAX;

#[derive(Debug, Default)]
pub(super) struct Numbering {
    dense: Vec<u32>,
    sparse: HashMap<u32, u32, foldhash::fast::RandomState>,
}

impl Numbering {
    pub(super) fn get(&self, theirs: u32) -> Option<u32> {
        if theirs < DENSE_MAX {
            self.dense.get(theirs as usize).copied().filter(|own| *own != UNKNOWN)
        } else {
            self.sparse.get(&theirs).copied()
        }
    }

    pub(super) fn set(&mut self, theirs: u32, own: u32) {
        if theirs >= DENSE_MAX {
            self.sparse.insert(theirs, own);
            return;
        }
        let at = theirs as usize;
        if at >= self.dense.len() {
            self.dense.resize(at + 1, UNKNOWN);
        }
        self.dense[at] = own;
    }
}
