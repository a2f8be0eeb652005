//! The way in, step by step: one decoder a thread, reused from profile to profile so that a warm one allocates only the frame.

use std::borrow::Cow;

use flamelake_model::{ProfileId, label_name};

use crate::error::DecodeError;
use crate::frame::Frame;
use crate::go_fixes;
use crate::inflate::{Inflate, Inflater};
use crate::language::Language;
use crate::normalise::Normalised;
use crate::scan::{RawProfile, RawSample};
use crate::split::frames::{FrameWriter, Source};
use crate::split::{Split, split};
use crate::tables::Tables;
use crate::texts::Texts;
use crate::validate::{ProfileLimits, validate};

/// Buffers larger than this are given back after a profile that needed them.
const KEPT_BYTES_MAX: usize = 16 << 20;
/// As many samples' worth of arrays.
const KEPT_ITEMS_MAX: usize = 1 << 20;

/// What metrics and rate limits want to know of a decoded profile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProfileStats {
    /// Bytes of the uncompressed message: the profile's size.
    pub uncompressed_bytes: usize,
    /// Bytes of its texts.
    pub symbol_bytes: usize,
    /// Samples as sent.
    pub samples: usize,
    /// `time_nanos` as sent.
    pub time_nanos: i64,
}

/// One profile at a time: [`decode`](Self::decode) or [`take`](Self::take) first, then the other steps in the order they stand here.
#[derive(Debug, Default)]
pub struct Decoder {
    inflater: Inflater,
    profile: RawProfile,
    /// Bytes of the uncompressed message.
    bytes: usize,
    /// Of tables, which are no message.
    content_hash: Option<[u8; 16]>,
    rewritten: Vec<u8>,
    normalised: Normalised,
    writer: FrameWriter,
}

impl Decoder {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// With another inflate library.
    pub fn with_inflate(inflate: Box<dyn Inflate>) -> Self {
        Self { inflater: Inflater::new(inflate), ..Self::default() }
    }

    /// Unpacks (gzip or plain) and scans a profile of at most `limit` uncompressed bytes; `limit` 0 allows 4 GiB.
    ///
    /// # Errors
    /// Too large, broken gzip, not a pprof message.
    pub fn decode(&mut self, bytes: &[u8], limit: usize) -> Result<ProfileStats, DecodeError> {
        self.give_back();
        self.rewritten.clear();
        let limit = if limit == 0 { u32::MAX as usize - 1 } else { limit };
        let message = self.inflater.run(bytes, limit)?;
        self.profile.scan(message)?;
        (self.bytes, self.content_hash) = (message.len(), None);
        Ok(self.stats())
    }

    /// Takes a profile of another format, of at most `limit` bytes as a message; `limit` 0 allows all that tables hold.
    ///
    /// # Errors
    /// Too large.
    pub fn take(&mut self, tables: Tables, limit: usize) -> Result<ProfileStats, DecodeError> {
        self.give_back();
        self.rewritten.clear();
        if limit > 0 && tables.bytes() > limit {
            return Err(DecodeError::TooLarge { limit });
        }
        (self.bytes, self.content_hash) = (tables.bytes(), Some(tables.content_hash().to_be_bytes()));
        self.inflater.hold(&tables.texts);
        self.profile = tables.profile;
        Ok(self.stats())
    }

    fn stats(&self) -> ProfileStats {
        ProfileStats {
            uncompressed_bytes: self.bytes,
            symbol_bytes: self.profile.strings.iter().map(|span| span.len as usize).sum(),
            samples: self.profile.samples.len(),
            time_nanos: self.profile.time_nanos,
        }
    }

    /// What tells this profile's content from that of others: the uncompressed message, or the hash of tables.
    pub fn content(&self) -> &[u8] {
        self.content_hash.as_ref().map_or_else(|| self.inflater.bytes(), |hash| &hash[..])
    }

    /// From the label `pyroscope_spy` of the series, else from the profile's texts.
    pub fn language(&self, series_labels: &[(String, String)]) -> Language {
        let spy = series_labels.iter().find(|(name, _)| name == label_name::PYROSCOPE_SPY);
        spy.and_then(|(_, spy)| Language::from_spy(spy)).unwrap_or_else(|| {
            let texts = self.texts();
            Language::from_texts(self.profile.strings.iter().map(|span| texts.get(*span)))
        })
    }

    /// Checks the profile, sets a missing time, cuts what is too deep or too long (contract `ingest.md` section 1.6).
    ///
    /// # Errors
    /// The first check that fails.
    pub fn validate(&mut self, limits: &ProfileLimits) -> Result<(), DecodeError> {
        validate(&mut self.profile, self.inflater.bytes(), self.bytes, limits)
    }

    /// Repairs of Go profiles; only for [`Language::Go`].
    pub fn fix_go(&mut self) {
        go_fixes::remove_type_parameters(&mut self.profile, self.inflater.bytes(), &mut self.rewritten);
        let texts = Texts { message: self.inflater.bytes(), rewritten: &self.rewritten };
        go_fixes::truncated::repair(&mut self.profile, texts);
    }

    /// Type and unit of each value column.
    pub fn sample_types(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        self.profile.sample_types.iter().map(|t| (self.text(t.kind), self.text(t.unit)))
    }

    /// Keeps the value columns whose flag is set; flags that are missing count as set.
    pub fn retain_sample_types(&mut self, keep: &[bool]) {
        let is_kept = |column: usize| keep.get(column).copied().unwrap_or(true);
        if (0..self.profile.sample_types.len()).all(is_kept) {
            return;
        }
        let columns = self.profile.sample_types.len();
        let mut column = 0..columns;
        self.profile.sample_types.retain(|_| column.next().is_some_and(is_kept));
        let mut values = Vec::with_capacity(self.profile.values.len());
        for sample in &mut self.profile.samples {
            let start = values.len() as u32;
            let old = self.profile.values[sample.values()].iter().enumerate();
            values.extend(old.filter(|(column, _)| is_kept(*column)).map(|(_, value)| *value));
            (sample.values_start, sample.values_end) = (start, values.len() as u32);
        }
        self.profile.values = values;
    }

    /// Leaves of the samples only their sums: one sample without stack and without labels. Those that [`normalise`](Self::normalise)
    /// would drop for their values do not count; a sum that does not fit stands at its bound.
    pub fn strip(&mut self) {
        let columns = self.profile.sample_types.len();
        let mut sums = vec![0_i64; columns];
        for sample in &self.profile.samples {
            let values = &self.profile.values[sample.values()];
            if values.len() == columns && values.iter().all(|value| *value >= 0) {
                sums.iter_mut().zip(values).for_each(|(sum, value)| *sum = sum.saturating_add(*value));
            }
        }
        self.profile.samples = vec![RawSample { values_end: columns as u32, ..RawSample::default() }];
        self.profile.values = sums;
    }

    /// Drops and merges samples (contract `ingest.md` section 1.7); returns how many remain. With none left there is nothing to
    /// store, and that is no error.
    pub fn normalise(&mut self) -> usize {
        self.normalised.run(&self.profile);
        self.normalised.sample_count()
    }

    /// Groups the remaining samples by what becomes series labels. `series_labels` may be in any order.
    pub fn split(&self, series_labels: &[(String, String)]) -> Split {
        split(&self.profile, self.texts(), &self.normalised, series_labels)
    }

    /// One frame for each distinct `service_name`, in order of those; groups that were removed are not written. All frames have the
    /// same id: an ingester tells profiles apart by service and id.
    ///
    /// # Errors
    /// A group without `service_name`; more than 2³² of something.
    pub fn into_frames(&mut self, split: &Split, id: ProfileId) -> Result<Vec<Frame>, DecodeError> {
        let texts = Texts { message: self.inflater.bytes(), rewritten: &self.rewritten };
        let source = Source { profile: &self.profile, texts, normalised: &self.normalised };
        self.writer.frames(source, split, id)
    }

    /// All steps at once, without relabel rules and label checks.
    ///
    /// # Errors
    /// As of the steps.
    pub fn frames(
        &mut self,
        bytes: &[u8],
        series_labels: &[(String, String)],
        limits: &ProfileLimits,
        id: ProfileId,
    ) -> Result<Vec<Frame>, DecodeError> {
        self.decode(bytes, limits.max_profile_size_bytes)?;
        let language = self.language(series_labels);
        self.validate(limits)?;
        if language == Language::Go {
            self.fix_go();
        }
        if self.normalise() == 0 {
            return Ok(Vec::new());
        }
        let split = self.split(series_labels);
        self.into_frames(&split, id)
    }

    fn texts(&self) -> Texts<'_> {
        Texts { message: self.inflater.bytes(), rewritten: &self.rewritten }
    }

    fn text(&self, at: i64) -> Cow<'_, str> {
        let span = usize::try_from(at).ok().and_then(|at| self.profile.strings.get(at));
        span.map_or(Cow::Borrowed(""), |span| self.texts().str(*span))
    }

    /// A worker must not hold the memory of the largest profile it ever saw.
    fn give_back(&mut self) {
        self.inflater.shrink_to(KEPT_BYTES_MAX);
        if self.profile.capacity_items() > KEPT_ITEMS_MAX {
            self.profile = RawProfile::default();
            self.normalised = Normalised::default();
            self.writer = FrameWriter::default();
        }
    }
}
