//! Growing arrays in shared chunks: a clone costs one reference count a chunk and never changes, whatever is appended later.
//!
//! Only the last chunk is ever written. If a clone shares it, the writer copies it first (at most one chunk), so that neither waits
//! for the other. Nothing is removed or overwritten.

use std::sync::Arc;

/// Items of one chunk; a power of two, so that indexing is a shift and a mask.
const CHUNK_ITEMS: usize = 4096;
/// Texts are packed into chunks of this size; a longer text has a chunk of its own.
const CHUNK_TEXT_BYTES: usize = 32 * 1024;

/// Items by dense index.
#[derive(Clone, Debug)]
pub(crate) struct AppendVec<T> {
    chunks: Vec<Arc<Vec<T>>>,
    len: usize,
}

impl<T> Default for AppendVec<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), len: 0 }
    }
}

impl<T: Copy> AppendVec<T> {
    pub(crate) fn len(&self) -> u32 {
        self.len as u32
    }

    pub(crate) fn get(&self, at: u32) -> &T {
        &self.chunks[at as usize / CHUNK_ITEMS][at as usize % CHUNK_ITEMS]
    }

    /// Appends and tells the index.
    ///
    /// # Panics
    /// At 2³² items: a head is cut by its bytes long before.
    pub(crate) fn push(&mut self, item: T) -> u32 {
        let at = u32::try_from(self.len).expect("fewer than 2^32 items: heads are bounded by bytes");
        if self.len.is_multiple_of(CHUNK_ITEMS) {
            self.chunks.push(Arc::default());
        }
        own_tail(&mut self.chunks, 1, CHUNK_ITEMS).push(item);
        self.len += 1;
        at
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let tail = self.chunks.last().map_or(0, |chunk| chunk.capacity());
        let full = self.chunks.len().saturating_sub(1) * CHUNK_ITEMS;
        (full + tail) * size_of::<T>() + self.chunks.capacity() * size_of::<usize>()
    }
}

/// The last chunk, with room for `more`, shared with nobody.
fn own_tail<T: Copy>(chunks: &mut [Arc<Vec<T>>], more: usize, items_max: usize) -> &mut Vec<T> {
    let tail = chunks.last_mut().expect("the caller has pushed a chunk");
    if Arc::get_mut(tail).is_none() {
        // A plain clone would have no spare capacity and be moved again by the first push.
        let capacity = (tail.len() * 2).clamp(16, items_max).max(tail.len() + more);
        let mut copy = Vec::with_capacity(capacity);
        copy.extend_from_slice(tail);
        *tail = Arc::new(copy);
    }
    Arc::get_mut(tail).expect("copied above if shared")
}

/// Where a slice lies in [`AppendSlices`] or a text in [`AppendText`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Span {
    chunk: u32,
    start: u32,
    len: u32,
}

/// Short slices, each contiguous.
#[derive(Clone, Debug)]
pub(crate) struct AppendSlices<T> {
    chunks: Vec<Arc<Vec<T>>>,
    /// Items of all chunks but the last.
    sealed: usize,
}

impl<T> Default for AppendSlices<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), sealed: 0 }
    }
}

impl<T: Copy> AppendSlices<T> {
    pub(crate) fn get(&self, span: Span) -> &[T] {
        if span.len == 0 {
            return &[];
        }
        &self.chunks[span.chunk as usize][span.start as usize..(span.start + span.len) as usize]
    }

    pub(crate) fn push(&mut self, items: &[T]) -> Span {
        if items.is_empty() {
            return Span::default();
        }
        let used = self.chunks.last().map_or(CHUNK_ITEMS, |tail| tail.len());
        if used + items.len() > CHUNK_ITEMS {
            self.sealed += self.chunks.last().map_or(0, |tail| tail.capacity());
            self.chunks.push(Arc::default());
        }
        let chunk = (self.chunks.len() - 1) as u32;
        let tail = own_tail(&mut self.chunks, items.len(), CHUNK_ITEMS);
        let start = tail.len() as u32;
        tail.extend_from_slice(items);
        Span { chunk, start, len: items.len() as u32 }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let tail = self.chunks.last().map_or(0, |chunk| chunk.capacity());
        (self.sealed + tail) * size_of::<T>() + self.chunks.capacity() * size_of::<usize>()
    }
}

/// Texts back to back.
#[derive(Clone, Debug, Default)]
pub(crate) struct AppendText {
    chunks: Vec<Arc<String>>,
    /// Bytes of all chunks but the last.
    sealed: usize,
}

impl AppendText {
    pub(crate) fn get(&self, span: Span) -> &str {
        if span.len == 0 {
            return "";
        }
        &self.chunks[span.chunk as usize][span.start as usize..(span.start + span.len) as usize]
    }

    pub(crate) fn push(&mut self, text: &str) -> Span {
        if text.is_empty() {
            return Span::default();
        }
        let used = self.chunks.last().map_or(CHUNK_TEXT_BYTES, |tail| tail.len());
        if used + text.len() > CHUNK_TEXT_BYTES {
            self.sealed += self.chunks.last().map_or(0, |tail| tail.capacity());
            self.chunks.push(Arc::default());
        }
        let chunk = (self.chunks.len() - 1) as u32;
        let tail = self.own_tail(text.len());
        let start = tail.len() as u32;
        tail.push_str(text);
        Span { chunk, start, len: text.len() as u32 }
    }

    fn own_tail(&mut self, more: usize) -> &mut String {
        let tail = self.chunks.last_mut().expect("the caller has pushed a chunk");
        if Arc::get_mut(tail).is_none() {
            let capacity = (tail.len() * 2).min(CHUNK_TEXT_BYTES).max(tail.len() + more);
            let mut copy = String::with_capacity(capacity);
            copy.push_str(tail);
            *tail = Arc::new(copy);
        }
        Arc::get_mut(tail).expect("copied above if shared")
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let tail = self.chunks.last().map_or(0, |chunk| chunk.capacity());
        self.sealed + tail + self.chunks.capacity() * size_of::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_keep_what_they_saw() {
        let mut growing = AppendVec::default();
        let mut clones = Vec::new();
        for i in 0..10_000_u32 {
            if i % 997 == 0 {
                clones.push((i, growing.clone()));
            }
            assert_eq!(growing.push(i), i);
        }
        for (len, clone) in clones {
            assert_eq!(clone.len(), len);
            assert!((0..len).all(|i| *clone.get(i) == i));
        }
        assert!((0..10_000).all(|i| *growing.get(i) == i));
    }

    #[test]
    fn texts_and_slices_of_any_size_come_back() {
        let (mut texts, mut slices) = (AppendText::default(), AppendSlices::default());
        let mut kept = Vec::new();
        for len in [0, 1, 40_000, 3, 9_000, 9_000, 9_000, 9_000, 5_000, 0, 4_096] {
            let text = "x".repeat(len);
            let items = vec![len as u8; len];
            kept.push((texts.push(&text), slices.push(&items), text, items, texts.clone()));
        }
        for (text_at, items_at, text, items, clone) in kept {
            assert_eq!(texts.get(text_at), text);
            assert_eq!(clone.get(text_at), text);
            assert_eq!(slices.get(items_at), items);
        }
        assert!(texts.memory_bytes() >= 80_000);
    }
}
