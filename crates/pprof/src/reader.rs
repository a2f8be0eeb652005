//! Protobuf wire primitives over a slice, with the strictness of common decoders: no field 0, no overlong varints, balanced groups.

/// What is wrong with the bytes.
pub type Fault = &'static str;

/// Wire type of integers.
pub const VARINT: u8 = 0;
/// Wire type of eight bytes.
pub const FIXED64: u8 = 1;
/// Wire type of texts, messages and packed numbers.
pub const BYTES: u8 = 2;
/// Wire type that starts a group.
pub const GROUP: u8 = 3;
/// Wire type that ends a group.
pub const GROUP_END: u8 = 4;
/// Wire type of four bytes.
pub const FIXED32: u8 = 5;

/// Unknown groups may nest this deep.
const GROUPS_MAX: u32 = 100;

/// What is left of a message.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    /// Not read yet.
    pub rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Of a whole message.
    pub fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    /// Is the message read?
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next integer.
    #[inline(always)]
    pub fn varint(&mut self) -> Result<u64, Fault> {
        match self.rest {
            [a, rest @ ..] if *a < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*a))
            }
            [a, b, rest @ ..] if *b < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*a & 0x7f) | u64::from(*b) << 7)
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, Fault> {
        let mut value = 0;
        for (at, byte) in self.rest.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * at);
            if *byte < 0x80 {
                if at == 9 && *byte > 1 {
                    return Err("a varint overflows 64 bits");
                }
                self.rest = &self.rest[at + 1..];
                return Ok(value);
            }
        }
        Err(if self.rest.len() < 10 { "a varint is cut short" } else { "a varint is longer than 10 bytes" })
    }

    /// Field number and wire type.
    #[inline(always)]
    pub fn tag(&mut self) -> Result<(u32, u8), Fault> {
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).unwrap_or(0);
        if number == 0 || number > 0x1fff_ffff {
            return Err("a field number is out of range");
        }
        Ok((number, (tag & 7) as u8))
    }

    /// The next bytes with their length before them.
    #[inline(always)]
    pub fn bytes(&mut self) -> Result<&'a [u8], Fault> {
        let len = self.varint()?;
        self.take(len)
    }

    /// So many of the next bytes.
    #[inline(always)]
    pub fn take(&mut self, len: u64) -> Result<&'a [u8], Fault> {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or("a length runs past the end")?;
        self.rest = rest;
        Ok(bytes)
    }

    /// A number of a field that is one varint.
    #[inline(always)]
    pub fn int(&mut self, wire: u8) -> Result<u64, Fault> {
        if wire == VARINT { self.varint() } else { Err(WRONG_TYPE) }
    }

    /// The message of a field.
    #[inline(always)]
    pub fn message(&mut self, wire: u8) -> Result<Reader<'a>, Fault> {
        if wire == BYTES { self.bytes().map(Reader::new) } else { Err(WRONG_TYPE) }
    }

    /// One or (packed) many numbers of a repeated field.
    #[inline(always)]
    pub fn ints(&mut self, wire: u8, mut each: impl FnMut(u64)) -> Result<(), Fault> {
        match wire {
            VARINT => each(self.varint()?),
            BYTES => {
                let mut packed = Reader::new(self.bytes()?);
                while !packed.is_empty() {
                    each(packed.varint()?);
                }
            }
            _ => return Err(WRONG_TYPE),
        }
        Ok(())
    }

    /// Skips the value of an unknown field.
    pub fn skip(&mut self, number: u32, wire: u8) -> Result<(), Fault> {
        self.skip_nested(number, wire, GROUPS_MAX)
    }

    fn skip_nested(&mut self, number: u32, wire: u8, depth: u32) -> Result<(), Fault> {
        match wire {
            VARINT => self.varint().map(drop),
            FIXED64 => self.fixed(8),
            BYTES => self.bytes().map(drop),
            FIXED32 => self.fixed(4),
            GROUP => loop {
                let depth = depth.checked_sub(1).ok_or("groups nest too deep")?;
                match self.tag()? {
                    (end, GROUP_END) if end == number => return Ok(()),
                    (_, GROUP_END) => return Err("a group ends that was not begun"),
                    (inner, wire) => self.skip_nested(inner, wire, depth)?,
                }
            },
            GROUP_END => Err("a group ends that was not begun"),
            _ => Err("a wire type is unknown"),
        }
    }

    fn fixed(&mut self, len: usize) -> Result<(), Fault> {
        self.rest = self.rest.get(len..).ok_or("a fixed-size value is cut short")?;
        Ok(())
    }
}

const WRONG_TYPE: Fault = "a field has the wrong wire type";
