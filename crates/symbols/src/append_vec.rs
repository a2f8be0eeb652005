//! A vector that only grows, cheap to snapshot: full chunks are shared, the last one is copied by the first write after a snapshot.

use std::sync::Arc;

const CHUNK_BITS: u32 = 12;
const CHUNK: usize = 1 << CHUNK_BITS;

/// See the module.
#[derive(Clone, Debug)]
pub struct AppendVec<T> {
    chunks: Vec<Arc<Vec<T>>>,
    len: usize,
}

impl<T> Default for AppendVec<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), len: 0 }
    }
}

impl<T: Clone> AppendVec<T> {
    /// Appends an item and tells its index.
    pub fn push(&mut self, item: T) -> u32 {
        if self.len & (CHUNK - 1) == 0 {
            self.chunks.push(Arc::default());
        }
        let last = self.chunks.last_mut().expect("pushed above when full");
        Arc::make_mut(last).push(item);
        self.len += 1;
        (self.len - 1) as u32
    }
}

impl<T> AppendVec<T> {
    /// The item at an index below [`len`](Self::len).
    pub fn get(&self, at: u32) -> &T {
        &self.chunks[(at >> CHUNK_BITS) as usize][at as usize & (CHUNK - 1)]
    }

    /// Items held.
    pub fn len(&self) -> u32 {
        self.len as u32
    }

    /// Memory of the items themselves.
    pub fn memory_bytes(&self) -> usize {
        self.len * size_of::<T>() + self.chunks.len() * size_of::<Vec<T>>()
    }
}
