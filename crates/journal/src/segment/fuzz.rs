//! Mutated segments, as they lie on a disk and with checksums that were made to fit, so that what lies behind them is met too.

use flamelake_testkit::fuzz;

use super::*;

const EPOCH: Ulid = Ulid(0x0198_0000_0000_0000_0000_0000_0000_0001);

fn corpus_entries() -> Vec<Vec<JournalEntry>> {
    let entry = |tenant: &str, frames: &[&[u8]]| JournalEntry {
        tenant: TenantId::parse(tenant).unwrap(),
        frames: frames.iter().map(|frame| Bytes::copy_from_slice(frame)).collect(),
    };
    vec![
        Vec::new(),
        vec![entry("a", &[b"frame"])],
        vec![entry("team-b", &[b"", b"x"]), entry("a", &[]), entry("a", &[&[7; 2_000], &[9; 300]])],
    ]
}

fn segments() -> Vec<Vec<u8>> {
    let pack = |entries: Vec<JournalEntry>| PackedBody::pack("ingester-1", &entries).finish(EPOCH, 9).to_vec();
    let mut corpus: Vec<Vec<u8>> = corpus_entries().into_iter().map(pack).collect();
    corpus.push(Segment::tombstone("ingester-1", EPOCH, 3).to_vec());
    corpus
}

/// Both checksums, and the length if the bytes end elsewhere.
fn stamp(bytes: &mut [u8]) {
    if bytes.len() < HEADER_BYTES + TRAILER_BYTES {
        return;
    }
    bytes[..4].copy_from_slice(&MAGIC);
    let end = bytes.len() - TRAILER_BYTES;
    bytes[32..36].copy_from_slice(&((end - HEADER_BYTES) as u32).to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..40]);
    bytes[40..44].copy_from_slice(&crc.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..end]);
    bytes[end..].copy_from_slice(&crc.to_le_bytes());
}

/// What is read is what would be written.
fn check_read(segment: Segment) {
    let Segment { epoch, seq, ingester, tombstone, entries } = segment;
    let again = if tombstone {
        Segment::tombstone(&ingester, epoch, seq)
    } else {
        PackedBody::pack(&ingester, &entries).finish(epoch, seq)
    };
    let again = Segment::decode(&again).unwrap();
    assert_eq!((again.epoch, again.seq, again.ingester, again.tombstone), (epoch, seq, ingester, tombstone));
    assert_eq!(again.entries, entries);
}

#[test]
fn fuzz_segment() {
    let good: Vec<Segment> = segments().iter().map(|bytes| Segment::decode(bytes).unwrap()).collect();
    fuzz::run("segment", &segments(), |bytes| {
        let is_tombstone = Segment::is_tombstone(bytes);
        if let Ok(segment) = Segment::decode(bytes) {
            // Checksums hold: it is one that was written, whatever follows it.
            assert!(good.contains(&segment));
            assert_eq!(segment.tombstone, is_tombstone);
        }
    });
}

#[test]
fn fuzz_segment_with_checksums() {
    fuzz::run("segment with checksums", &segments(), |bytes| {
        let mut bytes = bytes.to_vec();
        stamp(&mut bytes);
        if let Ok(segment) = Segment::decode(&bytes) {
            check_read(segment);
        }
    });
}

#[test]
fn fuzz_segment_body() {
    let corpus: Vec<Vec<u8>> = corpus_entries().iter().map(|entries| raw_body("ingester-1", entries)).collect();
    fuzz::run("segment body", &corpus, |bytes| {
        let Ok((ingester, entries)) = (Body { bytes: Bytes::copy_from_slice(bytes) }).parse() else { return };
        let read: usize = entries.iter().flat_map(|entry| &entry.frames).map(Bytes::len).sum();
        assert!(read + ingester.len() <= bytes.len(), "frames are slices of the body, none twice");
        check_read(Segment { epoch: EPOCH, seq: 1, ingester, tombstone: false, entries });
    });
}
