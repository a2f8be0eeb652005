//! A chunk: header, events, constants and metadata. Each stands alone.

use crate::decode::Refused;
use crate::decode::jfr::metadata::Classes;
use crate::decode::jfr::pools::Pools;
use crate::decode::jfr::reader::{Reader, broken};

const MAGIC: &[u8] = b"FLR\0";
const HEADER_BYTES: usize = 68;
/// Integers take as many bytes as they need.
const FLAG_COMPRESSED: u8 = 1;

/// A chunk whose tables are read.
#[derive(Debug)]
pub(crate) struct Chunk<'a> {
    pub(crate) events: &'a [u8],
    pub(crate) classes: Classes,
    pub(crate) pools: Pools<'a>,
}

impl<'a> Chunk<'a> {
    /// Takes the next chunk off a recording.
    pub(crate) fn split(rest: &mut &'a [u8]) -> Result<Self, Refused> {
        let Some(header) = rest.first_chunk::<HEADER_BYTES>() else { return broken("its header is cut short") };
        if !header.starts_with(MAGIC) {
            return Err(Refused::malformed(
                "not a JFR recording: it does not start with FLR; packed ones are sent as gzip",
            ));
        }
        if !matches!(header[5], 1..=2) || header[4] != 0 {
            return broken("its version is neither 1 nor 2");
        }
        if header[HEADER_BYTES - 1] & FLAG_COMPRESSED == 0 {
            return broken("its integers are not compressed, which no agent does");
        }
        let (size, pools, metadata) = (number(header, 8), number(header, 16), number(header, 24));
        let Some((chunk, after)) = rest.split_at_checked(size).filter(|_| size >= HEADER_BYTES) else {
            return broken("a chunk is cut short");
        };
        *rest = after;
        let Some(bytes) = chunk.get(metadata..) else { return broken("its metadata lies outside its chunk") };
        let mut reader = Reader::new(bytes);
        reader.varint()?;
        if reader.varint()? != 0 {
            return broken("its metadata is not where it says");
        }
        let classes = Classes::read(&mut reader)?;
        let pools = Pools::read(chunk, pools, &classes)?;
        Ok(Self { events: &chunk[HEADER_BYTES..], classes, pools })
    }
}

/// Out of range is far behind the end.
fn number(header: &[u8; HEADER_BYTES], at: usize) -> usize {
    let bytes = header[at..].first_chunk::<8>().copied().unwrap_or_default();
    usize::try_from(i64::from_be_bytes(bytes)).unwrap_or(usize::MAX)
}
