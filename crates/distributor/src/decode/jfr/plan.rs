//! How the fields of a class are read: those that are wanted go to slots, the rest is passed over.

use std::borrow::Cow;

use crate::decode::Refused;
use crate::decode::jfr::metadata::{Class, Classes, Field, Kind};
use crate::decode::jfr::reader::{Reader, Text, broken};

/// Classes hold others inline as deep as this.
const DEPTH_MAX: usize = 8;

/// See the module.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    classes: &'a Classes,
    /// The fields in order, with the slot of those that are wanted.
    steps: Vec<(&'a Field, Option<usize>)>,
    /// If every field is one number, as those of stack frames are, of which recordings mostly consist.
    numbers: Option<Vec<Number>>,
}

/// How a number is read.
#[derive(Clone, Copy, Debug)]
struct Number {
    is_byte: bool,
    /// [`NO_SLOT`]: it is not wanted.
    slot: u8,
}

const NO_SLOT: u8 = u8::MAX;

impl<'a> Plan<'a> {
    /// The slots are those of the names.
    pub(crate) fn new(class: &'a Class, classes: &'a Classes, wanted: &[&str]) -> Self {
        let first = |name: &str| class.fields.iter().position(|field| field.name == name);
        let slot = |(at, field): (usize, &Field)| {
            wanted.iter().position(|name| *name == field.name).filter(|_| first(&field.name) == Some(at))
        };
        let steps: Vec<(&Field, Option<usize>)> =
            class.fields.iter().enumerate().map(|step| (step.1, slot(step))).collect();
        let numbers = steps.iter().map(|(field, slot)| number(field, *slot)).collect();
        Self { classes, steps, numbers }
    }

    /// Numbers by slot; 0 where there is none.
    pub(crate) fn numbers<const N: usize>(&self, reader: &mut Reader<'_>) -> Result<[i64; N], Refused> {
        let mut numbers = [0; N];
        if let Some(plain) = &self.numbers {
            reader.steps(plain.len())?;
            for step in plain {
                let number = if step.is_byte { i64::from(reader.byte()?) } else { reader.varint()? };
                if let Some(slot) = numbers.get_mut(usize::from(step.slot)) {
                    *slot = number;
                }
            }
            return Ok(numbers);
        }
        self.each(reader, |slot, field, reader| {
            match field.kind {
                Kind::Byte if !field.is_array => {
                    reader.step()?;
                    numbers[slot] = i64::from(reader.byte()?);
                }
                Kind::Varint | Kind::Pooled(_) if !field.is_array => {
                    reader.step()?;
                    numbers[slot] = reader.varint()?;
                }
                _ => self.skip(reader, field)?,
            }
            Ok(())
        })?;
        Ok(numbers)
    }

    /// Texts by slot; empty where there is none.
    pub(crate) fn texts<'r, const N: usize>(&self, reader: &mut Reader<'r>) -> Result<[Text<'r>; N], Refused> {
        let mut texts = [const { Text::Own(Cow::Borrowed("")) }; N];
        self.each(reader, |slot, field, reader| {
            if field.kind != Kind::Text || field.is_array {
                return self.skip(reader, field);
            }
            reader.step()?;
            texts[slot] = reader.text()?;
            Ok(())
        })?;
        Ok(texts)
    }

    /// `take` reads the wanted fields, each whole.
    #[inline]
    pub(crate) fn each<'r>(
        &self,
        reader: &mut Reader<'r>,
        mut take: impl FnMut(usize, &Field, &mut Reader<'r>) -> Result<(), Refused>,
    ) -> Result<(), Refused> {
        for (field, slot) in &self.steps {
            match slot {
                Some(slot) => take(*slot, field, reader)?,
                None => self.skip(reader, field)?,
            }
        }
        Ok(())
    }

    /// Passes over a field.
    #[inline]
    pub(crate) fn skip(&self, reader: &mut Reader<'_>, field: &Field) -> Result<(), Refused> {
        skip_field(reader, field, self.classes, 0)
    }
}

fn number(field: &Field, slot: Option<usize>) -> Option<Number> {
    let is_number = matches!(field.kind, Kind::Byte | Kind::Varint | Kind::Pooled(_)) && !field.is_array;
    let slot = slot.map_or(Some(NO_SLOT), |slot| u8::try_from(slot).ok().filter(|slot| *slot != NO_SLOT));
    slot.filter(|_| is_number).map(|slot| Number { is_byte: field.kind == Kind::Byte, slot })
}

fn skip_field(reader: &mut Reader<'_>, field: &Field, classes: &Classes, depth: usize) -> Result<(), Refused> {
    let count = if field.is_array { reader.count()? } else { 1 };
    for _ in 0..count {
        reader.step()?;
        match field.kind {
            Kind::Byte => drop(reader.byte()?),
            Kind::Varint | Kind::Pooled(_) => drop(reader.varint()?),
            Kind::Float => drop(reader.take(4)?),
            Kind::Double => drop(reader.take(8)?),
            Kind::Text => reader.skip_text()?,
            Kind::Inline(_) if depth >= DEPTH_MAX => return broken("its classes nest too deep"),
            Kind::Inline(id) => {
                let Some(class) = classes.0.get(&id) else { return broken("a field has an unknown class") };
                class.fields.iter().try_for_each(|field| skip_field(reader, field, classes, depth + 1))?;
            }
        }
    }
    Ok(())
}
