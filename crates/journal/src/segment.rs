//! The segment: a group of batches made durable together (docs/formats/journal.md).
//!
//! The body is packed when a group is closed; number and epoch are stamped when it is written, because a failed write gives its
//! number to the next group. Decoding never panics and never allocates more than the bytes at hand can hold.

use bytes::{BufMut, Bytes, BytesMut};
use flamelake_model::TenantId;
use ulid::Ulid;

/// Bytes before the body.
pub(crate) const HEADER_BYTES: usize = 44;
/// Bytes after the body.
pub(crate) const TRAILER_BYTES: usize = 4;
/// First bytes of every segment.
pub(crate) const MAGIC: [u8; 4] = *b"FLJS";
/// Largest body, unpacked.
pub(crate) const BODY_BYTES_MAX: usize = 256 << 20;

const VERSION: u8 = 1;
const KIND_SEGMENT: u8 = 1;
const KIND_TOMBSTONE: u8 = 2;
const CODEC_STORED: u8 = 0;
const CODEC_LZ4: u8 = 1;
/// LZ4 cannot unpack to more than this many times its input.
const LZ4_RATIO_MAX: usize = 255;

/// What one push brought for one tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalEntry {
    /// Whose it is.
    pub tenant: TenantId,
    /// Encoded frames, opaque here.
    pub frames: Vec<Bytes>,
}

impl JournalEntry {
    /// Bytes of all frames with what surrounds them; for limits.
    pub fn bytes(&self) -> usize {
        8 + self.tenant.as_str().len() + self.frames.iter().map(|frame| 4 + frame.len()).sum::<usize>()
    }
}

/// A decoded segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The epoch it was written in.
    pub epoch: Ulid,
    /// Its number in the epoch.
    pub seq: u64,
    /// Name of the ingester.
    pub ingester: String,
    /// A tombstone seals its log; it has no entries.
    pub tombstone: bool,
    /// In the order of arrival.
    pub entries: Vec<JournalEntry>,
}

/// Why bytes are no segment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SegmentError {
    /// Fewer bytes than the header or its lengths ask for.
    #[error("segment is cut short")]
    Truncated,
    /// Not a segment at all.
    #[error("segment does not start with its magic")]
    Magic,
    /// Written by a later version.
    #[error("segment has version {version}, this binary reads {VERSION}: use a newer one")]
    Version {
        /// The version found.
        version: u8,
    },
    /// A checksum does not match.
    #[error("checksum of the {part} does not match")]
    Checksum {
        /// `header` or `segment`.
        part: &'static str,
    },
    /// Checksums match and the content is still impossible.
    #[error("segment is malformed: {what}")]
    Malformed {
        /// What is wrong.
        what: &'static str,
    },
}

/// A header that passed its checksum.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) epoch: Ulid,
    pub(crate) seq: u64,
    pub(crate) stored_bytes: usize,
    raw_bytes: usize,
    codec: u8,
    tombstone: bool,
}

impl Header {
    /// Bytes of the whole segment.
    pub(crate) fn total_bytes(&self) -> usize {
        HEADER_BYTES + self.stored_bytes + TRAILER_BYTES
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, SegmentError> {
        let header: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or(SegmentError::Truncated)?;
        if header[..4] != MAGIC {
            return Err(SegmentError::Magic);
        }
        if crc32c::crc32c(&header[..40]) != u32_at(header, 40) {
            return Err(SegmentError::Checksum { part: "header" });
        }
        if header[4] != VERSION {
            return Err(SegmentError::Version { version: header[4] });
        }
        let tombstone = match header[5] {
            KIND_SEGMENT => false,
            KIND_TOMBSTONE => true,
            _ => return Err(SegmentError::Malformed { what: "unknown kind" }),
        };
        let mut epoch = [0; 16];
        epoch.copy_from_slice(&header[8..24]);
        let mut seq = [0; 8];
        seq.copy_from_slice(&header[24..32]);
        Ok(Self {
            epoch: Ulid::from_bytes(epoch),
            seq: u64::from_le_bytes(seq),
            stored_bytes: u32_at(header, 32) as usize,
            raw_bytes: u32_at(header, 36) as usize,
            codec: header[6],
            tombstone,
        })
    }
}

fn u32_at(bytes: &[u8; HEADER_BYTES], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

impl Segment {
    /// The segment at the start of `bytes`; what follows it is ignored.
    pub fn decode(bytes: &[u8]) -> Result<Self, SegmentError> {
        let header = check(bytes)?;
        let stored = &bytes[HEADER_BYTES..HEADER_BYTES + header.stored_bytes];
        let body = unpack(&header, stored)?;
        let (ingester, entries) = Body { bytes: body }.parse()?;
        let Header { epoch, seq, tombstone, .. } = header;
        if tombstone && !entries.is_empty() {
            return Err(SegmentError::Malformed { what: "a tombstone with entries" });
        }
        Ok(Self { epoch, seq, ingester, tombstone, entries })
    }

    /// The bytes of a tombstone.
    pub fn tombstone(ingester: &str, epoch: Ulid, seq: u64) -> Bytes {
        PackedBody::pack(ingester, &[]).stamp(KIND_TOMBSTONE, epoch, seq)
    }

    /// Is this a whole tombstone?
    pub(crate) fn is_tombstone(bytes: &[u8]) -> bool {
        check(bytes).is_ok_and(|header| header.tombstone)
    }
}

/// Header and both checksums, without unpacking.
pub(crate) fn check(bytes: &[u8]) -> Result<Header, SegmentError> {
    let header = Header::parse(bytes)?;
    let end = HEADER_BYTES + header.stored_bytes;
    let trailer: &[u8; TRAILER_BYTES] =
        bytes.get(end..).and_then(<[u8]>::first_chunk).ok_or(SegmentError::Truncated)?;
    if crc32c::crc32c(&bytes[..end]) != u32::from_le_bytes(*trailer) {
        return Err(SegmentError::Checksum { part: "segment" });
    }
    Ok(header)
}

fn unpack(header: &Header, stored: &[u8]) -> Result<Bytes, SegmentError> {
    let raw_bytes = header.raw_bytes;
    match header.codec {
        CODEC_STORED if raw_bytes == stored.len() => Ok(Bytes::copy_from_slice(stored)),
        CODEC_LZ4 if raw_bytes <= BODY_BYTES_MAX && raw_bytes <= stored.len().saturating_mul(LZ4_RATIO_MAX) => {
            let mut raw = vec![0; raw_bytes];
            match lz4_flex::block::decompress_into(stored, &mut raw) {
                Ok(written) if written == raw_bytes => Ok(Bytes::from(raw)),
                _ => Err(SegmentError::Malformed { what: "body does not unpack" }),
            }
        }
        CODEC_STORED | CODEC_LZ4 => Err(SegmentError::Malformed { what: "impossible length of the body" }),
        _ => Err(SegmentError::Malformed { what: "unknown codec" }),
    }
}

/// A body that is ready but for its number; the room for the header lies before it.
#[derive(Debug)]
pub(crate) struct PackedBody {
    bytes: BytesMut,
    raw_bytes: u32,
    codec: u8,
}

impl PackedBody {
    /// Packs entries. The caller has seen to [`BODY_BYTES_MAX`].
    pub(crate) fn pack(ingester: &str, entries: &[JournalEntry]) -> Self {
        let raw = raw_body(ingester, entries);
        let raw_bytes = u32::try_from(raw.len()).expect("bounded by the caller");
        let mut bytes = BytesMut::zeroed(HEADER_BYTES + lz4_flex::block::get_maximum_output_size(raw.len()));
        let packed = lz4_flex::block::compress_into(&raw, &mut bytes[HEADER_BYTES..]);
        match packed {
            Ok(packed) if packed < raw.len() => {
                bytes.truncate(HEADER_BYTES + packed);
                Self { bytes, raw_bytes, codec: CODEC_LZ4 }
            }
            _ => {
                bytes.truncate(HEADER_BYTES);
                bytes.extend_from_slice(&raw);
                Self { bytes, raw_bytes, codec: CODEC_STORED }
            }
        }
    }

    /// The finished segment.
    pub(crate) fn finish(self, epoch: Ulid, seq: u64) -> Bytes {
        self.stamp(KIND_SEGMENT, epoch, seq)
    }

    fn stamp(mut self, kind: u8, epoch: Ulid, seq: u64) -> Bytes {
        let stored = u32::try_from(self.bytes.len() - HEADER_BYTES).expect("bounded by the caller");
        let mut header = [0u8; HEADER_BYTES];
        let mut rest = &mut header[..];
        rest.put_slice(&MAGIC);
        rest.put_slice(&[VERSION, kind, self.codec, 0]);
        rest.put_slice(&epoch.to_bytes());
        rest.put_u64_le(seq);
        rest.put_u32_le(stored);
        rest.put_u32_le(self.raw_bytes);
        let crc = crc32c::crc32c(&header[..40]);
        header[40..].copy_from_slice(&crc.to_le_bytes());
        self.bytes[..HEADER_BYTES].copy_from_slice(&header);
        let crc = crc32c::crc32c(&self.bytes);
        self.bytes.put_u32_le(crc);
        self.bytes.freeze()
    }
}

fn raw_body(ingester: &str, entries: &[JournalEntry]) -> Vec<u8> {
    let mut tenants: Vec<&TenantId> = entries.iter().map(|entry| &entry.tenant).collect();
    tenants.sort_unstable();
    tenants.dedup();
    let mut raw = Vec::with_capacity(64 + entries.iter().map(JournalEntry::bytes).sum::<usize>());
    raw.put_u16_le(u16::try_from(ingester.len()).expect("ingester names are short"));
    raw.put_slice(ingester.as_bytes());
    raw.put_u32_le(tenants.len() as u32);
    for tenant in &tenants {
        raw.put_u8(u8::try_from(tenant.as_str().len()).expect("tenant ids have at most 150 bytes"));
        raw.put_slice(tenant.as_str().as_bytes());
    }
    raw.put_u32_le(entries.len() as u32);
    for entry in entries {
        let tenant = tenants.binary_search(&&entry.tenant).expect("listed above");
        raw.put_u32_le(tenant as u32);
        raw.put_u32_le(entry.frames.len() as u32);
        for frame in &entry.frames {
            raw.put_u32_le(frame.len() as u32);
            raw.put_slice(frame);
        }
    }
    raw
}

/// A cursor over an unpacked body; frames are slices of it.
struct Body {
    bytes: Bytes,
}

impl Body {
    fn parse(mut self) -> Result<(String, Vec<JournalEntry>), SegmentError> {
        let length = self.u16()?;
        let ingester = self.text(length)?;
        let tenants = self.list(1, |body| {
            let length = usize::from(body.take(1)?[0]);
            let text = body.text(length)?;
            TenantId::parse(&text).map_err(|_| SegmentError::Malformed { what: "not a tenant id" })
        })?;
        let entries = self.list(8, |body| {
            let tenant = body.u32()? as usize;
            let tenant = tenants.get(tenant).ok_or(SegmentError::Malformed { what: "tenant out of range" })?.clone();
            let frames = body.list(4, |body| {
                let length = body.u32()? as usize;
                body.take(length)
            })?;
            Ok(JournalEntry { tenant, frames })
        })?;
        Ok((ingester, entries))
    }

    /// A count and so many items of at least `item_bytes_min` bytes each.
    fn list<T>(
        &mut self,
        item_bytes_min: usize,
        mut item: impl FnMut(&mut Self) -> Result<T, SegmentError>,
    ) -> Result<Vec<T>, SegmentError> {
        let count = self.u32()? as usize;
        if count > self.bytes.len() / item_bytes_min {
            return Err(SegmentError::Truncated);
        }
        (0..count).map(|_| item(self)).collect()
    }

    fn take(&mut self, count: usize) -> Result<Bytes, SegmentError> {
        if count > self.bytes.len() { Err(SegmentError::Truncated) } else { Ok(self.bytes.split_to(count)) }
    }

    fn u16(&mut self) -> Result<usize, SegmentError> {
        let bytes = self.take(2)?;
        Ok(usize::from(u16::from_le_bytes([bytes[0], bytes[1]])))
    }

    fn u32(&mut self) -> Result<u32, SegmentError> {
        let bytes = self.take(4)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    fn text(&mut self, length: usize) -> Result<String, SegmentError> {
        let bytes = self.take(length)?;
        String::from_utf8(bytes.to_vec()).map_err(|_| SegmentError::Malformed { what: "text is not utf-8" })
    }
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entries() -> impl Strategy<Value = Vec<JournalEntry>> {
        let frame = proptest::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from);
        let entry = ("[a-c]{1,2}", proptest::collection::vec(frame, 0..4));
        let entry =
            entry.prop_map(|(tenant, frames)| JournalEntry { tenant: TenantId::parse(&tenant).unwrap(), frames });
        proptest::collection::vec(entry, 0..6)
    }

    fn encode(entries: &[JournalEntry]) -> Bytes {
        PackedBody::pack("one", entries).finish(Ulid::from_parts(7, 8), 9)
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(entries in entries()) {
            let segment = Segment::decode(&encode(&entries)).unwrap();
            prop_assert_eq!(&segment.ingester, "one");
            prop_assert_eq!((segment.epoch, segment.seq, segment.tombstone), (Ulid::from_parts(7, 8), 9, false));
            prop_assert_eq!(segment.entries, entries);
        }

        #[test]
        fn any_flipped_bit_is_found(entries in entries(), at in any::<proptest::sample::Index>(), bit in 0u32..8) {
            let mut bytes = encode(&entries).to_vec();
            let at = at.index(bytes.len());
            bytes[at] ^= 1u8 << bit;
            prop_assert!(Segment::decode(&bytes).is_err());
        }

        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Segment::decode(&bytes);
            let _ = Body { bytes: Bytes::from(bytes.clone()) }.parse();
            let mut dressed = PackedBody::pack("x", &[]);
            dressed.bytes.truncate(HEADER_BYTES);
            dressed.bytes.extend_from_slice(&bytes);
            dressed.raw_bytes = 1000;
            dressed.codec = CODEC_LZ4;
            prop_assert!(Segment::decode(&dressed.finish(Ulid::nil(), 1)).is_err());
        }
    }

    #[test]
    fn a_cut_segment_is_refused_at_every_length() {
        let bytes =
            encode(&[JournalEntry { tenant: TenantId::anonymous(), frames: vec![Bytes::from_static(b"frame")] }]);
        for end in 0..bytes.len() {
            assert!(Segment::decode(&bytes[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn a_later_version_is_named() {
        let mut bytes = encode(&[]).to_vec();
        bytes[4] = 2;
        let crc = crc32c::crc32c(&bytes[..40]);
        bytes[40..44].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(Segment::decode(&bytes), Err(SegmentError::Version { version: 2 }));
    }

    #[test]
    fn repeated_bytes_are_packed() {
        let frame = Bytes::from(vec![7; 100_000]);
        let bytes = encode(&[JournalEntry { tenant: TenantId::anonymous(), frames: vec![frame] }]);
        assert!(bytes.len() < 1_000, "{}", bytes.len());
    }

    #[test]
    fn tombstones_are_known() {
        let bytes = Segment::tombstone("one", Ulid::nil(), 4);
        assert!(Segment::is_tombstone(&bytes) && !Segment::is_tombstone(&encode(&[])));
        assert!(Segment::decode(&bytes).unwrap().tombstone);
    }
}
