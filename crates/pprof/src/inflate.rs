//! gzip or plain, told apart by the magic bytes, into a reused buffer that never outgrows the limit.
//!
//! One libdeflate call is the fast path. libdeflate stops silently after the first gzip member, so whatever may hold a second
//! member or trailing bytes goes through a streaming decoder that reads to the end. The size in the gzip trailer is a hint only.

use std::io::Read as _;

use crate::error::DecodeError;

const MAGIC: [u8; 2] = [0x1f, 0x8b];
/// Header and trailer of the smallest member.
const MEMBER_BYTES_MIN: usize = 18;
/// DEFLATE cannot expand further than this.
const RATIO_MAX: usize = 1032;

/// Why one call did not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InflateFault {
    /// Broken input.
    BadData,
    /// The output does not fit.
    OutOfSpace,
}

/// Unpacks the first gzip member of the input: a door for other libraries than libdeflate.
pub trait Inflate: Send + std::fmt::Debug {
    /// Writes to the start of `out`; returns how many bytes. What follows the member is ignored.
    ///
    /// # Errors
    /// Broken input, or output longer than `out`.
    fn gzip_member(&mut self, input: &[u8], out: &mut [u8]) -> Result<usize, InflateFault>;
}

/// The C library libdeflate.
pub struct Libdeflate(libdeflater::Decompressor);

impl Default for Libdeflate {
    fn default() -> Self {
        Self(libdeflater::Decompressor::new())
    }
}

impl std::fmt::Debug for Libdeflate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Libdeflate")
    }
}

impl Inflate for Libdeflate {
    fn gzip_member(&mut self, input: &[u8], out: &mut [u8]) -> Result<usize, InflateFault> {
        self.0.gzip_decompress(input, out).map_err(|error| match error {
            libdeflater::DecompressionError::BadData => InflateFault::BadData,
            libdeflater::DecompressionError::InsufficientSpace => InflateFault::OutOfSpace,
        })
    }
}

/// The buffer of unpacked bytes. It keeps its largest size, so that a warm one is neither allocated nor zeroed again.
#[derive(Debug)]
pub struct Inflater {
    inflate: Box<dyn Inflate>,
    buffer: Vec<u8>,
    used: usize,
}

impl Default for Inflater {
    fn default() -> Self {
        Self::new(Box::<Libdeflate>::default())
    }
}

impl Inflater {
    /// With another library.
    pub fn new(inflate: Box<dyn Inflate>) -> Self {
        Self { inflate, buffer: Vec::new(), used: 0 }
    }

    /// The bytes of the last [`run`](Self::run).
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[..self.used]
    }

    /// Unpacks gzip, copies anything else. At most `limit` bytes come out; never are more than `limit + 1` allocated.
    ///
    /// Bytes behind a member are found by the size that must end it and by the magic of the next one: garbage that ends in the
    /// member's own size passes unseen, and what comes out is the member.
    ///
    /// # Errors
    /// [`DecodeError::TooLarge`] past the limit; [`DecodeError::Gzip`] if the stream is cut short, damaged or followed by garbage.
    pub fn run(&mut self, input: &[u8], limit: usize) -> Result<&[u8], DecodeError> {
        self.used = 0;
        if input.starts_with(&MAGIC) {
            self.gzip(input, limit)?
        } else {
            self.copy(input, limit)?
        }
        Ok(self.bytes())
    }

    /// Copies bytes, whatever they are.
    pub(crate) fn hold(&mut self, bytes: &[u8]) {
        self.reserve(bytes.len());
        self.buffer[..bytes.len()].copy_from_slice(bytes);
        self.used = bytes.len();
    }

    /// Gives memory back when the largest profile was much larger than usual ones.
    pub fn shrink_to(&mut self, bytes: usize) {
        if self.buffer.len() > bytes {
            self.buffer.truncate(bytes);
            self.buffer.shrink_to_fit();
            self.used = 0;
        }
    }

    fn copy(&mut self, input: &[u8], limit: usize) -> Result<(), DecodeError> {
        if input.len() > limit {
            return Err(DecodeError::TooLarge { limit });
        }
        self.hold(input);
        Ok(())
    }

    fn reserve(&mut self, bytes: usize) {
        if self.buffer.len() < bytes {
            self.buffer.reserve_exact(bytes - self.buffer.len());
            self.buffer.resize(bytes, 0);
        }
    }

    fn gzip(&mut self, input: &[u8], limit: usize) -> Result<(), DecodeError> {
        let most = limit.saturating_add(1).min(input.len().saturating_mul(RATIO_MAX));
        let hint = size_hint(input).ok_or(DecodeError::Gzip("it is cut short"))?;
        self.reserve(hint.min(most).max(1));
        let room = self.buffer.len().min(most.max(1));
        match self.inflate.gzip_member(input, &mut self.buffer[..room]) {
            Ok(used) if used > limit => Err(DecodeError::TooLarge { limit }),
            Ok(used) if is_whole(input, used) => {
                self.used = used;
                Ok(())
            }
            Err(InflateFault::OutOfSpace) if room > limit => Err(DecodeError::TooLarge { limit }),
            // Several members, bytes behind the last, or a trailer that lies.
            Ok(_) | Err(InflateFault::OutOfSpace) => self.stream(input, limit),
            Err(InflateFault::BadData) => Err(DecodeError::Gzip("it is damaged or cut short")),
        }
    }

    fn stream(&mut self, input: &[u8], limit: usize) -> Result<(), DecodeError> {
        let mut stream = flate2::bufread::MultiGzDecoder::new(input);
        loop {
            let room = (self.used + self.used / 2 + 4096).min(limit.saturating_add(1));
            self.reserve(room);
            let read = stream
                .read(&mut self.buffer[self.used..])
                .map_err(|_| DecodeError::Gzip("it is damaged, cut short or followed by other bytes"))?;
            self.used += read;
            if self.used > limit {
                return Err(DecodeError::TooLarge { limit });
            }
            if read == 0 {
                return Ok(());
            }
        }
    }
}

fn size_hint(input: &[u8]) -> Option<usize> {
    let trailer = input.get(MEMBER_BYTES_MIN - 4..)?.last_chunk::<4>()?;
    Some(u32::from_le_bytes(*trailer) as usize)
}

/// Is the first member all there is? Its size must stand at the very end, and no other member may start behind it.
fn is_whole(input: &[u8], used: usize) -> bool {
    size_hint(input).is_some_and(|size| size as u32 == used as u32) && !may_hold_member(&input[MAGIC.len()..])
}

/// Looks for the first three bytes of a member; false alarms only cost the slow path.
fn may_hold_member(input: &[u8]) -> bool {
    const STRIDE: usize = 64;
    let starts = input.len().saturating_sub(2);
    let (a, b, c) = (&input[..starts], &input[1.min(input.len())..], &input[2.min(input.len())..]);
    // Whole strides without a branch inside compile to vector compares.
    a.chunks(STRIDE).zip(b.chunks(STRIDE)).zip(c.chunks(STRIDE)).any(|((a, b), c)| {
        a.iter().zip(b).zip(c).fold(false, |hit, ((a, b), c)| hit | ((*a == 0x1f) & (*b == 0x8b) & (*c == 8)))
    })
}
