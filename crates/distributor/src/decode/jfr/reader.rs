//! Primitive values of a recording.

use crate::decode::Refused;

/// What is left of a chunk, an event or a pool, and how much work may still be done on it.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    /// Values that take no bytes must not be read without end.
    work: usize,
    /// Of the constant or event that is being read: they are held in memory together.
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
        self.values += 1;
        if self.values > VALUES_MAX {
            return broken("a constant or an event holds too many values");
        }
        match self.work.checked_sub(1) {
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
    pub(crate) fn varint(&mut self) -> Result<i64, Refused> {
        let mut value = 0_u64;
        for at in 0..8 {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << (7 * at);
            if byte < 0x80 {
                return Ok(value as i64);
            }
        }
        Ok((value | u64::from(self.byte()?) << 56) as i64)
    }

    /// How many elements follow: no more than there are bytes.
    pub(crate) fn count(&mut self) -> Result<usize, Refused> {
        let count = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
        if count > self.left() { broken("a count runs past the end") } else { Ok(count) }
    }

    /// A text; [`Text::Pooled`] stands in the pool of strings.
    pub(crate) fn text(&mut self) -> Result<Text, Refused> {
        Ok(match self.byte()? {
            0 | 1 => Text::Own(String::new()),
            2 => Text::Pooled(self.varint()?),
            3 => {
                let bytes = self.count()?;
                Text::Own(String::from_utf8_lossy(self.take(bytes)?).into_owned())
            }
            4 => {
                let units = self.count()?;
                let units: Vec<u16> = (0..units).map(|_| Ok(self.varint()? as u16)).collect::<Result<_, Refused>>()?;
                Text::Own(String::from_utf16_lossy(&units))
            }
            5 => {
                let bytes = self.count()?;
                Text::Own(self.take(bytes)?.iter().map(|byte| char::from(*byte)).collect())
            }
            _ => return broken("a text has an unknown encoding"),
        })
    }
}

/// See [`Reader::text`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Text {
    Own(String),
    Pooled(i64),
}
