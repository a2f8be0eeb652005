//! Where an encoded file grows: in parts of one size, so that a caller can store them while the rest is being encoded.

use std::io::{self, Write};

use bytes::Bytes;

use crate::checksum::{CHUNK_BYTES, chunk_checksums};

/// Bytes of a part: the least that object stores take for a part that is not the last, and whole chunks of checksums.
pub const PART_BYTES: usize = 5 * 1024 * 1024;

const _: () = assert!((PART_BYTES as u64).is_multiple_of(CHUNK_BYTES), "checksums do not cross parts");

/// Full parts, and the one that grows.
#[derive(Default)]
pub(super) struct Spool {
    full: Vec<Bytes>,
    current: Vec<u8>,
    /// Of all full parts, those that were taken too.
    checksums: String,
    full_bytes: u64,
}

impl Spool {
    /// Full parts since the last call, in order.
    pub(super) fn take_full(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.full)
    }

    /// Size and checksums of the whole file, and those bytes of it that nobody took.
    pub(super) fn finish(mut self) -> (u64, String, Bytes) {
        let bytes = self.full_bytes + self.current.len() as u64;
        self.checksums.push_str(&chunk_checksums(&self.current, CHUNK_BYTES));
        if self.full.is_empty() {
            return (bytes, self.checksums, self.current.into());
        }
        let mut rest = self.full.concat();
        rest.append(&mut self.current);
        (bytes, self.checksums, rest.into())
    }

    fn end_part(&mut self) {
        let part = std::mem::replace(&mut self.current, Vec::with_capacity(PART_BYTES));
        self.checksums.push_str(&chunk_checksums(&part, CHUNK_BYTES));
        self.full_bytes += part.len() as u64;
        self.full.push(part.into());
    }
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(PART_BYTES - self.current.len());
        self.current.extend_from_slice(&bytes[..taken]);
        if self.current.len() == PART_BYTES {
            self.end_part();
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_and_the_rest_are_the_file() {
        let whole: Vec<u8> = (0..2 * PART_BYTES + 70_000).map(|at| (at / 7) as u8).collect();
        let mut spool = Spool::default();
        spool.write_all(&whole[..PART_BYTES + 5]).expect("memory");
        let taken = spool.take_full();
        spool.write_all(&whole[PART_BYTES + 5..]).expect("memory");
        let (bytes, checksums, rest) = spool.finish();
        assert_eq!(bytes, whole.len() as u64);
        assert_eq!(checksums, chunk_checksums(&whole, CHUNK_BYTES));
        assert_eq!(taken.iter().map(Bytes::len).collect::<Vec<_>>(), [PART_BYTES]);
        assert!([taken[0].as_ref(), rest.as_ref()].concat() == whole, "nothing is missing");
    }
}
