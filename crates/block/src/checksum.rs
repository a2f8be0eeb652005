//! CRC-32C per chunk of a file, so that a part of a file can be checked without the rest.

use std::ops::Range;

/// Bytes that one checksum covers; the last chunk of a file is shorter.
pub(crate) const CHUNK_BYTES: u64 = 128 * 1024;

/// Eight lower-case hex digits a chunk, back to back.
pub(crate) fn chunk_checksums(bytes: &[u8], chunk_bytes: u64) -> String {
    bytes.chunks(chunk_bytes as usize).map(|chunk| format!("{:08x}", crc32c::crc32c(chunk))).collect()
}

/// The range widened to whole chunks.
pub(crate) fn widen(range: &Range<u64>, chunk_bytes: u64, file_bytes: u64) -> Range<u64> {
    let start = range.start / chunk_bytes * chunk_bytes;
    start..range.end.div_ceil(chunk_bytes).saturating_mul(chunk_bytes).min(file_bytes)
}

/// Checks bytes that begin at a chunk boundary `start`; the index of the first chunk that differs.
pub(crate) fn verify(bytes: &[u8], start: u64, chunk_bytes: u64, checksums: &str) -> Result<(), u64> {
    let first = start / chunk_bytes;
    for (at, chunk) in bytes.chunks(chunk_bytes as usize).enumerate() {
        let number = first + at as u64;
        let digits = number as usize * 8;
        let wanted = checksums.get(digits..digits + 8).and_then(|hex| u32::from_str_radix(hex, 16).ok());
        if wanted != Some(crc32c::crc32c(chunk)) {
            return Err(number);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flipped_byte_is_found_in_its_chunk() {
        let mut bytes = vec![7_u8; 1000];
        let checksums = chunk_checksums(&bytes, 128);
        assert_eq!(checksums.len(), 8 * 8);
        assert_eq!(verify(&bytes[256..], 256, 128, &checksums), Ok(()));
        bytes[300] ^= 1;
        assert_eq!(verify(&bytes[256..], 256, 128, &checksums), Err(2));
        assert_eq!(verify(&bytes[..256], 0, 128, &checksums), Ok(()));
        assert_eq!(widen(&(130..140), 128, 1000), 128..256);
        assert_eq!(widen(&(900..1000), 128, 1000), 896..1000);
    }
}
