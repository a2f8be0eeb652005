//! The part `labels`: texts by number, and sets of them that events refer to as their context.

use std::collections::HashMap;

use flamelake_pprof::reader::{BYTES, Fault, Reader, VARINT};

use crate::decode::Refused;
use crate::decode::jfr::profiles::Context;

/// Longer texts are cut: no limit of labels is meant to be higher.
const TEXT_BYTES_MAX: usize = 4096;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct LabelsSnapshot {
    /// Numbers of keys and values.
    contexts: HashMap<i64, Vec<(i64, i64)>>,
    strings: HashMap<i64, String>,
}

impl LabelsSnapshot {
    pub(crate) fn parse(message: &[u8]) -> Result<Self, Refused> {
        Self::read(message)
            .map_err(|what| Refused::malformed(format!("the part labels is not a labels snapshot: {what}")))
    }

    /// What a sample is labelled with.
    pub(crate) fn of(&self, context: Context) -> Vec<(String, String)> {
        let text = |at: &i64| self.strings.get(at).cloned().unwrap_or_default();
        let pairs = self.contexts.get(&context.id).map_or(&[][..], Vec::as_slice);
        let mut labels: Vec<_> = pairs.iter().map(|(key, value)| (text(key), text(value))).collect();
        if context.span != 0 {
            labels.push(("profile_id".to_owned(), format!("{:016x}", context.span)));
        }
        let span_name = text(&context.span_name);
        if context.span_name != 0 && !span_name.is_empty() {
            labels.push(("span_name".to_owned(), span_name));
        }
        labels.retain(|(key, value)| !key.is_empty() && !value.is_empty());
        labels
    }

    fn read(message: &[u8]) -> Result<Self, Fault> {
        let mut snapshot = Self::default();
        let mut reader = Reader::new(message);
        while !reader.is_empty() {
            match reader.tag()? {
                (1, BYTES) => {
                    let (key, context) = entry(reader.bytes()?)?;
                    snapshot.contexts.insert(key, pairs(context)?);
                }
                (2, BYTES) => {
                    let (key, text) = entry(reader.bytes()?)?;
                    let mut text = String::from_utf8_lossy(&text[..text.len().min(TEXT_BYTES_MAX)]).into_owned();
                    text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
                    snapshot.strings.insert(key, text);
                }
                (field, wire) => reader.skip(field, wire)?,
            }
        }
        Ok(snapshot)
    }
}

/// A map entry whose value is bytes.
fn entry(message: &[u8]) -> Result<(i64, &[u8]), Fault> {
    let (mut key, mut value) = (0, &[][..]);
    let mut reader = Reader::new(message);
    while !reader.is_empty() {
        match reader.tag()? {
            (1, VARINT) => key = reader.varint()? as i64,
            (2, BYTES) => value = reader.bytes()?,
            (field, wire) => reader.skip(field, wire)?,
        }
    }
    Ok((key, value))
}

/// The map of a context.
fn pairs(message: &[u8]) -> Result<Vec<(i64, i64)>, Fault> {
    let mut pairs = Vec::new();
    let mut reader = Reader::new(message);
    while !reader.is_empty() {
        match reader.tag()? {
            (1, BYTES) => {
                let (mut pair, mut entry) = ((0, 0), Reader::new(reader.bytes()?));
                while !entry.is_empty() {
                    match entry.tag()? {
                        (1, VARINT) => pair.0 = entry.varint()? as i64,
                        (2, VARINT) => pair.1 = entry.varint()? as i64,
                        (field, wire) => entry.skip(field, wire)?,
                    }
                }
                pairs.push(pair);
            }
            (field, wire) => reader.skip(field, wire)?,
        }
    }
    Ok(pairs)
}
