//! One file of a block: byte ranges are fetched in whole checksum chunks and checked before anybody looks at them.

use std::io;
use std::ops::Range;

use bytes::{Buf, Bytes, buf::Reader};
use flamelake_object_storage::{Bucket, StorageError};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

use super::ReadError;
use crate::checksum::{verify, widen};
use crate::meta::{FileMeta, Ulid};

/// Where a file lies and what its bytes must be.
#[derive(Debug)]
pub(super) struct BlockFile {
    pub(super) bucket: Bucket,
    pub(super) block: Ulid,
    /// Folder of the block, with a slash at the end.
    pub(super) folder: String,
    pub(super) meta: FileMeta,
}

impl BlockFile {
    /// The bytes of some ranges (in any order, they may touch), checked.
    pub(super) async fn fetch(&self, ranges: impl IntoIterator<Item = Range<u64>>) -> Result<FetchedBytes, ReadError> {
        let chunk = self.meta.checksum_chunk_bytes;
        let ranges = ranges.into_iter().filter(|range| !range.is_empty());
        let mut wanted = Vec::new();
        for range in ranges {
            if range.end > self.meta.bytes {
                return Err(self.damaged(format!("bytes {range:?} of a file of {}", self.meta.bytes)));
            }
            wanted.push(widen(&range, chunk, self.meta.bytes));
        }
        let wanted = merge(wanted);
        let key = format!("{}{}", self.folder, self.meta.name);
        match self.fetch_checked(&key, &wanted).await {
            // What lies on a disk of this machine may be damaged where the block is not.
            Err(ReadError::Damaged { .. }) if self.bucket.forget_cached(&key, self.meta.bytes).await => {
                self.fetch_checked(&key, &wanted).await
            }
            fetched => fetched,
        }
    }

    async fn fetch_checked(&self, key: &str, wanted: &[Range<u64>]) -> Result<FetchedBytes, ReadError> {
        let chunk = self.meta.checksum_chunk_bytes;
        let parts = match self.bucket.get_immutable_ranges(key, self.meta.bytes, wanted).await {
            Ok(parts) => parts,
            Err(source) => return Err(self.explain(key, source).await),
        };
        let mut segments = Vec::with_capacity(parts.len());
        for (range, bytes) in wanted.iter().zip(parts) {
            if bytes.len() as u64 != range.end - range.start {
                return Err(self.damaged(format!("bytes {range:?} are cut off")));
            }
            verify(&bytes, range.start, chunk, &self.meta.crc32c).map_err(|at| {
                self.damaged(format!("checksum differs in bytes {} to {}", at * chunk, (at + 1) * chunk))
            })?;
            segments.push((range.start, bytes));
        }
        Ok(FetchedBytes { segments, file_bytes: self.meta.bytes })
    }

    pub(super) fn damaged(&self, reason: String) -> ReadError {
        ReadError::Damaged { file: self.meta.name.clone(), block: self.block, reason }
    }

    /// A file of another size is not what was written; then the store is not to blame, and asking again will not help.
    async fn explain(&self, key: &str, source: StorageError) -> ReadError {
        match self.bucket.head(key).await {
            Ok(Some(found)) if found.bytes != self.meta.bytes => {
                self.damaged(format!("it is {} bytes long, block.json promises {}", found.bytes, self.meta.bytes))
            }
            _ => ReadError::Storage { file: self.meta.name.clone(), block: self.block, source },
        }
    }
}

/// Sorted, without overlaps; neighbours become one.
fn merge(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.sort_by_key(|range| range.start);
    let mut out: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match out.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => out.push(range),
        }
    }
    out
}

/// Parts of a file, as the Parquet library reads them.
#[derive(Clone, Debug)]
pub(super) struct FetchedBytes {
    /// (offset, bytes), ascending, apart from each other.
    segments: Vec<(u64, Bytes)>,
    file_bytes: u64,
}

impl FetchedBytes {
    pub(super) fn memory_bytes(&self) -> usize {
        self.segments.iter().map(|(_, bytes)| bytes.len()).sum()
    }

    /// From `start` to the end of its segment.
    fn from(&self, start: u64) -> Result<Bytes, ParquetError> {
        let after = self.segments.partition_point(|(offset, _)| *offset <= start);
        let found = after.checked_sub(1).map(|at| &self.segments[at]);
        let rest = found.and_then(|(offset, bytes)| {
            let skip = usize::try_from(start - offset).ok()?;
            (skip <= bytes.len()).then(|| bytes.slice(skip..))
        });
        rest.ok_or_else(|| ParquetError::General(format!("byte {start} was not fetched")))
    }
}

impl Length for FetchedBytes {
    fn len(&self) -> u64 {
        self.file_bytes
    }
}

impl ChunkReader for FetchedBytes {
    type T = Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(self.from(start)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let rest = self.from(start)?;
        if rest.len() < length {
            return Err(ParquetError::External(Box::new(io::Error::from(io::ErrorKind::UnexpectedEof))));
        }
        Ok(rest.slice(..length))
    }
}
