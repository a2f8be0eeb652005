//! Primitive values of a recording.

use std::borrow::Cow;

use crate::decode::Refused;

/// What is left of a chunk, an event or a pool, and how much work may still be done on it.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    /// Values that take no bytes must not be read without end.
    work: usize,
    /// Of the constant or event that is being read: those of a stack trace are held in memory together.
    values: usize,
}

/// More than any stack trace holds.
const VALUES_MAX: usize = 1 << 18;

pub(crate) fn broken<T>(what: &str) -> Result<T, Refused> {
    Err(Refused::malformed(format!("the recording is broken: {what}")))
}

impl<'a> Reader<'a> {
    pub(crate) fn new(rest: &'a [u8]) -> Self {
        Self { rest, work: rest.len().saturating_mul(4).saturating_add(64), values: 0 }
    }

    pub(crate) fn left(&self) -> usize {
        self.rest.len()
    }

    /// A constant or an event starts.
    pub(crate) fn begin(&mut self) {
        self.values = 0;
    }

    /// Counts a value.
    pub(crate) fn step(&mut self) -> Result<(), Refused> {
        self.steps(1)
    }

    /// Counts values.
    #[inline]
    pub(crate) fn steps(&mut self, values: usize) -> Result<(), Refused> {
        self.values += values;
        if self.values > VALUES_MAX {
            return broken("a constant or an event holds too many values");
        }
        match self.work.checked_sub(values) {
            Some(work) => {
                self.work = work;
                Ok(())
            }
            None => broken("its classes hold more values than bytes"),
        }
    }

    pub(crate) fn take(&mut self, bytes: usize) -> Result<&'a [u8], Refused> {
        let Some((taken, rest)) = self.rest.split_at_checked(bytes) else { return broken("it is cut short") };
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Refused> {
        self.take(1).map(|bytes| bytes[0])
    }

    /// Seven bits a byte, low ones first; of a ninth byte all eight.
    #[inline]
    pub(crate) fn varint(&mut self) -> Result<i64, Refused> {
        match *self.rest {
            [first, ref rest @ ..] if first < 0x80 => {
                self.rest = rest;
                Ok(i64::from(first))
            }
            // Most numbers of methods and lines.
            [first, second, ref rest @ ..] if second < 0x80 => {
                self.rest = rest;
                Ok(i64::from(first & 0x7f) | i64::from(second) << 7)
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<i64, Refused> {
        let mut value = 0_u64;
        for (at, byte) in self.rest.iter().take(9).enumerate() {
            let bits = if at == 8 { *byte } else { byte & 0x7f };
            value |= u64::from(bits) << (7 * at);
            if *byte < 0x80 || at == 8 {
                self.rest = &self.rest[at + 1..];
                return Ok(value as i64);
            }
        }
        broken("it is cut short")
    }

    /// How many elements follow: no more than there are bytes.
    pub(crate) fn count(&mut self) -> Result<usize, Refused> {
        let count = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
        if count > self.left() { broken("a count runs past the end") } else { Ok(count) }
    }

    /// A text; [`Text::Pooled`] stands in the pool of strings.
    pub(crate) fn text(&mut self) -> Result<Text<'a>, Refused> {
        Ok(match self.byte()? {
            0 | 1 => Text::Own(Cow::Borrowed("")),
            2 => Text::Pooled(self.varint()?),
            3 => {
                let bytes = self.count()?;
                Text::Own(lossy(self.take(bytes)?))
            }
            4 => {
                let units = self.count()?;
                let units: Vec<u16> = (0..units).map(|_| Ok(self.varint()? as u16)).collect::<Result<_, Refused>>()?;
                Text::Own(String::from_utf16_lossy(&units).into())
            }
            5 => {
                let bytes = self.count()?;
                let bytes = self.take(bytes)?;
                // Latin-1, of which ASCII is UTF-8 too.
                let latin = || bytes.iter().map(|byte| char::from(*byte)).collect::<String>();
                Text::Own(if bytes.is_ascii() { lossy(bytes) } else { latin().into() })
            }
            _ => return broken("a text has an unknown encoding"),
        })
    }

    /// Passes over a text.
    pub(crate) fn skip_text(&mut self) -> Result<(), Refused> {
        match self.byte()? {
            0 | 1 => {}
            2 => drop(self.varint()?),
            3 | 5 => {
                let bytes = self.count()?;
                self.take(bytes)?;
            }
            4 => {
                for _ in 0..self.count()? {
                    self.varint()?;
                }
            }
            _ => return broken("a text has an unknown encoding"),
        }
        Ok(())
    }
}

/// Several times faster than the lossy way alone, which goes character by character.
fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

/// See [`Reader::text`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Text<'a> {
    Own(Cow<'a, str>),
    Pooled(i64),
}
