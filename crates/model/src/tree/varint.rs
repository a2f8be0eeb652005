//! LEB128 numbers and the checked reader that both byte forms of a tree share.

use super::TreeDecodeError;

/// Appends an unsigned LEB128 number.
pub(super) fn put_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// Reads from the front; every step is checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes not read yet.
    pub(super) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub(super) fn error(&self, what: &'static str) -> TreeDecodeError {
        TreeDecodeError { at: self.at, what }
    }

    pub(super) fn byte(&mut self) -> Result<u8, TreeDecodeError> {
        let byte = *self.bytes.get(self.at).ok_or_else(|| self.error("it ends too early"))?;
        self.at += 1;
        Ok(byte)
    }

    /// At most ten bytes; what does not fit in 64 bits is an error.
    pub(super) fn varint(&mut self) -> Result<u64, TreeDecodeError> {
        let mut value = 0_u64;
        for shift in (0..70).step_by(7) {
            let byte = self.byte()?;
            if shift == 63 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.error("a number is longer than 64 bits"))
    }

    /// A count of things that take at least `bytes_each` bytes each, so that what it makes us allocate is bounded by the input.
    pub(super) fn count(&mut self, bytes_each: usize) -> Result<usize, TreeDecodeError> {
        let count = self.varint()?;
        let fits = usize::try_from(count).ok().filter(|count| *count <= self.left() / bytes_each);
        fits.ok_or_else(|| self.error("a count is larger than what follows"))
    }

    /// A length and as many bytes of UTF-8.
    pub(super) fn text(&mut self) -> Result<&'a str, TreeDecodeError> {
        let length = self.count(1)?;
        let bytes = &self.bytes[self.at..self.at + length];
        let text = std::str::from_utf8(bytes).map_err(|_| self.error("a name is not UTF-8"))?;
        self.at += length;
        Ok(text)
    }
}
