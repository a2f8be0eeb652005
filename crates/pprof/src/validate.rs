//! The checks of contract `ingest.md` section 1.6 in its order, over the profile as sent.
//!
//! The order matters: it decides which of several faults is told. Stacks that are too deep and texts that are too long are cut, not
//! refused. The profile's size is that of the uncompressed message as sent.

use std::time::Duration;

use crate::error::DecodeError;
use crate::scan::{RawProfile, Span};

/// What a tenant allows. 0 switches a limit off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProfileLimits {
    /// Bytes of the uncompressed message.
    pub max_profile_size_bytes: usize,
    /// Samples of a profile (`max_profile_stacktrace_samples`).
    pub max_samples: usize,
    /// Labels of a sample (`max_profile_stacktrace_sample_labels`).
    pub max_sample_labels: usize,
    /// Locations of a stack (`max_profile_stacktrace_depth`); deeper ones lose their leaf side.
    pub max_depth: usize,
    /// Bytes of a text (`max_profile_symbol_value_length`); longer ones lose their start.
    pub max_symbol_length: usize,
    /// Age at which profiles are refused.
    pub reject_older_than: Duration,
    /// How far in the future profiles are refused.
    pub reject_newer_than: Duration,
    /// The present, nanoseconds since the epoch; also the time of profiles that have none.
    pub now_ns: i64,
}

impl Default for ProfileLimits {
    /// The defaults of contract `ingest.md` section 7, at the epoch.
    fn default() -> Self {
        Self {
            max_profile_size_bytes: 4 << 20,
            max_samples: 16_000,
            max_sample_labels: 100,
            max_depth: 1000,
            max_symbol_length: 65_535,
            reject_older_than: Duration::from_secs(3600),
            reject_newer_than: Duration::from_secs(600),
            now_ns: 0,
        }
    }
}

/// `message` is what spans point into, `bytes` the size of the profile.
pub(crate) fn validate(
    profile: &mut RawProfile,
    message: &[u8],
    bytes: usize,
    limits: &ProfileLimits,
) -> Result<(), DecodeError> {
    if profile.sample_types.is_empty() {
        return malformed("empty profile (no sample type)");
    }
    time(profile, limits)?;
    if exceeds(bytes, limits.max_profile_size_bytes) {
        return Err(DecodeError::TooLarge { limit: limits.max_profile_size_bytes });
    }
    if exceeds(profile.samples.len(), limits.max_samples) {
        return Err(DecodeError::TooManySamples { samples: profile.samples.len(), limit: limits.max_samples });
    }
    sample_shapes(profile, limits)?;
    cut_texts(&mut profile.strings, message, limits.max_symbol_length);
    ids(profile)?;
    if profile.samples.iter().any(|sample| sample.values().len() != profile.sample_types.len()) {
        return malformed("sample value length mismatch (each sample needs one value a sample type)");
    }
    if profile.strings.first().is_some_and(|span| span.len != 0) {
        return malformed("string 0 should be empty string");
    }
    indexes(profile)?;
    texts(profile, message)
}

fn exceeds(count: usize, limit: usize) -> bool {
    limit > 0 && count > limit
}

fn malformed<T>(what: impl Into<String>) -> Result<T, DecodeError> {
    Err(DecodeError::Malformed(what.into()))
}

fn time(profile: &mut RawProfile, limits: &ProfileLimits) -> Result<(), DecodeError> {
    if profile.time_nanos <= 0 {
        profile.time_nanos = limits.now_ns;
        return Ok(());
    }
    let (time, now) = (i128::from(profile.time_nanos), i128::from(limits.now_ns));
    let (older, newer) = (limits.reject_older_than, limits.reject_newer_than);
    let too_old = !older.is_zero() && time <= now - older.as_nanos() as i128;
    let too_new = !newer.is_zero() && time >= now + newer.as_nanos() as i128;
    if too_old || too_new {
        return Err(DecodeError::NotInIngestionWindow {
            time_ns: profile.time_nanos,
            now_ns: limits.now_ns,
            older_s: older.as_secs(),
            newer_s: newer.as_secs(),
        });
    }
    Ok(())
}

/// Depth and labels of each sample.
fn sample_shapes(profile: &mut RawProfile, limits: &ProfileLimits) -> Result<(), DecodeError> {
    for sample in &mut profile.samples {
        if exceeds(sample.locations().len(), limits.max_depth) {
            sample.locations_start = sample.locations_end - limits.max_depth as u32;
        }
        let labels = sample.labels().len();
        if exceeds(labels, limits.max_sample_labels) {
            return Err(DecodeError::TooManySampleLabels { labels, limit: limits.max_sample_labels });
        }
    }
    Ok(())
}

/// Keeps the end of long texts, cut where a character starts.
fn cut_texts(strings: &mut [Span], message: &[u8], max: usize) {
    for span in strings.iter_mut().filter(|span| exceeds(span.len as usize, max)) {
        let end = (span.start + span.len) as usize;
        let mut start = end - max;
        while start < end && message[start] & 0xc0 == 0x80 {
            start += 1;
        }
        *span = Span { start: start as u32, len: (end - start) as u32 };
    }
}

fn ids(profile: &RawProfile) -> Result<(), DecodeError> {
    if profile.locations.iter().any(|location| location.id == 0) {
        return malformed("location id is 0");
    }
    if profile.functions.iter().any(|function| function.id == 0) {
        return malformed("function id is 0");
    }
    Ok(())
}

fn indexes(profile: &RawProfile) -> Result<(), DecodeError> {
    let count = profile.strings.len() as u64;
    // A negative index is a huge one here.
    let is_off = |at: i64| at as u64 >= count;
    let check = |off: bool, what: &str| {
        if off { malformed(format!("{what} is outside the string table of {count} strings")) } else { Ok(()) }
    };
    check(profile.sample_types.iter().any(|t| is_off(t.kind)), "a sample type's type")?;
    check(profile.sample_types.iter().any(|t| is_off(t.unit)), "a sample type's unit")?;
    let samples_labels = profile.labels.iter().any(|label| is_off(label.key) || is_off(label.str));
    check(samples_labels, "a sample label's key or value")?;
    let functions = profile.functions.iter().any(|f| is_off(f.name) || is_off(f.system_name) || is_off(f.filename));
    check(functions, "a function's name, system name or file name")?;
    let mappings = profile.mappings.iter().any(|m| is_off(m.filename) || is_off(m.build_id));
    check(mappings, "a mapping's file name or build id")
}

fn texts(profile: &RawProfile, message: &[u8]) -> Result<(), DecodeError> {
    let text = |span: &Span| &message[span.start as usize..(span.start + span.len) as usize];
    for sample_type in &profile.sample_types {
        let kind = text(&profile.strings[sample_type.kind as usize]);
        if kind.contains(&b'-') {
            return malformed(format!("sample type contains -: {:?}", String::from_utf8_lossy(kind)));
        }
    }
    match profile.strings.iter().position(|span| std::str::from_utf8(text(span)).is_err()) {
        Some(at) => malformed(format!("string {at} is not valid UTF-8")),
        None => Ok(()),
    }
}
