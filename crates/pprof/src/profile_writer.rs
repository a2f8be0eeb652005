//! Writes a pprof message sample by sample, for formats that hold stacks of named frames and nothing else.
//!
//! Everything is encoded as it comes; only the numbers of texts, functions and locations are remembered. The message never outgrows
//! its bound.

use std::collections::HashMap;

use crate::error::DecodeError;
use crate::write::{put_bytes, put_int, put_varint};

/// What a profile says of all its samples.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProfileHead {
    /// Type and unit of each column of values.
    pub sample_types: Vec<(String, String)>,
    /// Empty: none.
    pub period_type: (String, String),
    /// In units of the period type.
    pub period: i64,
    /// Start, nanoseconds since the epoch.
    pub time_nanos: i64,
    /// Length.
    pub duration_nanos: i64,
    /// All frames belong to one mapping whose functions are known, instead of to none.
    pub has_mapping: bool,
}

/// A message in the making.
#[derive(Clone, Debug)]
pub struct ProfileWriter {
    out: Vec<u8>,
    scratch: Vec<u8>,
    inner: Vec<u8>,
    bytes_max: usize,
    mapping: u64,
    texts: HashMap<Vec<u8>, u64>,
    functions: HashMap<u64, u64>,
    locations: HashMap<(u64, i64), u64>,
    samples: usize,
}

impl ProfileWriter {
    /// An empty one of at most `bytes_max` bytes; what has no samples stays so small that the bound is not looked at.
    pub fn new(head: &ProfileHead, bytes_max: usize) -> Self {
        let mut writer = Self {
            out: Vec::new(),
            scratch: Vec::new(),
            inner: Vec::new(),
            bytes_max,
            mapping: head.has_mapping.into(),
            texts: HashMap::new(),
            functions: HashMap::new(),
            locations: HashMap::new(),
            samples: 0,
        };
        writer.text(b"");
        writer.head(head);
        writer
    }

    /// Samples so far.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// The number of a frame, for [`sample`](Self::sample); the same for the same name and line.
    ///
    /// # Errors
    /// [`DecodeError::TooLarge`].
    pub fn location(&mut self, function: &[u8], line: i64) -> Result<u64, DecodeError> {
        let function = self.function(function);
        if let Some(location) = self.locations.get(&(function, line)) {
            return Ok(*location);
        }
        let location = self.locations.len() as u64 + 1;
        self.locations.insert((function, line), location);
        self.scratch.clear();
        self.inner.clear();
        put_int(&mut self.inner, 1, function);
        put_int(&mut self.inner, 2, line as u64);
        put_int(&mut self.scratch, 1, location);
        put_int(&mut self.scratch, 2, self.mapping);
        put_bytes(&mut self.scratch, 4, &self.inner);
        put_bytes(&mut self.out, 4, &self.scratch);
        self.bounded().map(|()| location)
    }

    /// Adds a sample: locations leaf first, one value a sample type.
    ///
    /// # Errors
    /// [`DecodeError::TooLarge`].
    pub fn sample(&mut self, locations: &[u64], values: &[i64], labels: &[(&[u8], &[u8])]) -> Result<(), DecodeError> {
        let labels: Vec<_> = labels.iter().map(|(key, value)| (self.text(key), self.text(value))).collect();
        self.samples += 1;
        self.scratch.clear();
        self.inner.clear();
        locations.iter().for_each(|location| put_varint(&mut self.inner, *location));
        put_bytes(&mut self.scratch, 1, &self.inner);
        self.inner.clear();
        values.iter().for_each(|value| put_varint(&mut self.inner, *value as u64));
        put_bytes(&mut self.scratch, 2, &self.inner);
        for (key, value) in labels {
            self.inner.clear();
            put_int(&mut self.inner, 1, key);
            put_int(&mut self.inner, 2, value);
            put_bytes(&mut self.scratch, 3, &self.inner);
        }
        put_bytes(&mut self.out, 2, &self.scratch);
        self.bounded()
    }

    /// The message.
    pub fn finish(self) -> Vec<u8> {
        self.out
    }

    fn head(&mut self, head: &ProfileHead) {
        for (kind, unit) in &head.sample_types {
            self.value_type(1, kind, unit);
        }
        if !head.period_type.0.is_empty() {
            self.value_type(11, &head.period_type.0, &head.period_type.1);
        }
        if head.has_mapping {
            self.scratch.clear();
            put_int(&mut self.scratch, 1, 1);
            put_int(&mut self.scratch, 7, 1);
            put_bytes(&mut self.out, 3, &self.scratch);
        }
        put_int(&mut self.out, 9, head.time_nanos as u64);
        put_int(&mut self.out, 10, head.duration_nanos as u64);
        put_int(&mut self.out, 12, head.period as u64);
    }

    fn value_type(&mut self, field: u32, kind: &str, unit: &str) {
        let (kind, unit) = (self.text(kind.as_bytes()), self.text(unit.as_bytes()));
        self.scratch.clear();
        put_int(&mut self.scratch, 1, kind);
        put_int(&mut self.scratch, 2, unit);
        put_bytes(&mut self.out, field, &self.scratch);
    }

    fn function(&mut self, name: &[u8]) -> u64 {
        let name = self.text(name);
        let next = self.functions.len() as u64 + 1;
        let function = *self.functions.entry(name).or_insert(next);
        if function == next {
            self.scratch.clear();
            put_int(&mut self.scratch, 1, function);
            put_int(&mut self.scratch, 2, name);
            put_bytes(&mut self.out, 5, &self.scratch);
        }
        function
    }

    fn text(&mut self, text: &[u8]) -> u64 {
        if let Some(at) = self.texts.get(text) {
            return *at;
        }
        let at = self.texts.len() as u64;
        put_bytes(&mut self.out, 6, text);
        self.texts.insert(text.to_vec(), at);
        at
    }

    fn bounded(&self) -> Result<(), DecodeError> {
        if self.out.len() > self.bytes_max { Err(DecodeError::TooLarge { limit: self.bytes_max }) } else { Ok(()) }
    }
}

/// Appends a field that is a text or a message to a protobuf message: what repairs of foreign profiles are made of, as of a repeated
/// scalar the last counts.
pub fn append_field(message: &mut Vec<u8>, field: u32, value: FieldValue<'_>) {
    match value {
        FieldValue::Int(value) => {
            put_varint(message, u64::from(field) << 3);
            put_varint(message, value);
        }
        FieldValue::Bytes(bytes) => put_bytes(message, field, bytes),
    }
}

/// What [`append_field`] appends.
#[derive(Clone, Copy, Debug)]
pub enum FieldValue<'a> {
    /// A varint.
    Int(u64),
    /// Text or message.
    Bytes(&'a [u8]),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Decoder, ProfileLimits};
    use flamelake_model::ProfileId;

    fn head() -> ProfileHead {
        ProfileHead { sample_types: vec![("cpu".into(), "nanoseconds".into())], time_nanos: 5, ..Default::default() }
    }

    #[test]
    fn frames_are_written_once_and_the_message_passes() {
        let mut writer = ProfileWriter::new(&head(), 1 << 20);
        let (main, work) = (writer.location(b"main", 0).unwrap(), writer.location(b"work", 7).unwrap());
        assert_eq!((main, work, writer.location(b"main", 0).unwrap()), (1, 2, 1));
        writer.sample(&[work, main], &[3], &[(b"thread", b"a")]).unwrap();
        writer.sample(&[main], &[4], &[]).unwrap();
        let message = writer.finish();
        let labels = [("__name__".to_owned(), "process_cpu".to_owned()), ("service_name".to_owned(), "s".to_owned())];
        let limits = ProfileLimits { now_ns: 5, ..ProfileLimits::default() };
        let frames = Decoder::new().frames(&message, &labels, &limits, ProfileId([1; 16])).unwrap();
        assert_eq!(frames.len(), 1);
    }

    #[test]
    fn the_bound_holds() {
        let mut writer = ProfileWriter::new(&head(), 64);
        assert!(writer.location(&[b'x'; 65], 0).is_err());
    }
}
