//! Sample labels become series (contract `ingest.md` section 1.5), then series become frames, one a service.
//!
//! In two steps, so that the caller relabels and validates the labels of each group in between: [`split`] lists the groups,
//! `FrameWriter` merges those that ended with equal labels and writes only what their samples use.

use std::collections::HashMap;

use flamelake_model::label_name;

use crate::normalise::Normalised;
use crate::scan::RawProfile;
use crate::texts::Texts;

pub(crate) mod frames;

/// The groups of a profile's samples. Change labels and drop groups as rules demand.
#[derive(Clone, Debug, Default)]
pub struct Split {
    /// In order of first appearance.
    pub groups: Vec<SplitGroup>,
    /// Group of each label set.
    pub(crate) sets: Vec<SetIds>,
}

/// Samples with equal labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SplitGroup {
    /// Series labels and the text labels of the samples, sorted by name; names repeat where the sender repeats them.
    pub labels: Vec<(String, String)>,
    pub(crate) number: u32,
}

/// What a label set says about its samples.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SetIds {
    pub(crate) group: u32,
    pub(crate) span: u64,
    pub(crate) trace: [u8; 16],
}

const SPAN_ID: &[u8] = b"span_id";
const PROFILE_ID: &[u8] = b"profile_id";
const TRACE_ID: &[u8] = b"trace_id";

/// Groups the label sets by what becomes series labels.
pub(crate) fn split(
    profile: &RawProfile,
    texts: Texts<'_>,
    normalised: &Normalised,
    series: &[(String, String)],
) -> Split {
    let text = |at: u32| texts.get(profile.strings.get(at as usize).copied().unwrap_or_default());
    let used = used_sets(normalised);
    let mut split = Split { groups: Vec::new(), sets: vec![SetIds::default(); used.len()] };
    let mut numbers: HashMap<Vec<(u32, u32)>, u32, foldhash::fast::RandomState> = HashMap::default();
    let mut own = Vec::new();
    for (set, _) in used.iter().enumerate().filter(|(_, used)| **used) {
        own.clear();
        let ids = &mut split.sets[set];
        for (key, value) in normalised.label_set_at(set as u32) {
            match text(*key) {
                SPAN_ID | PROFILE_ID => ids.span = span_id(text(*value)).unwrap_or(ids.span),
                TRACE_ID => ids.trace = hex(text(*value)).unwrap_or(ids.trace),
                _ => own.push((*key, *value)),
            }
        }
        ids.group = match numbers.get(&own) {
            Some(number) => *number,
            None => {
                let number = split.groups.len() as u32;
                let pairs = own.iter().map(|(key, value)| (text(*key), text(*value)));
                split.groups.push(SplitGroup { labels: merged_labels(series, pairs), number });
                numbers.insert(own.clone(), number);
                number
            }
        };
    }
    split
}

/// Sets that a remaining sample has.
fn used_sets(normalised: &Normalised) -> Vec<bool> {
    let mut used = vec![false; normalised.label_set_ends.len()];
    normalised.sample_sets.iter().for_each(|set| used[*set as usize] = true);
    used
}

/// The series label wins; a label with an empty value goes, and with it all others of its name.
fn merged_labels<'a>(
    series: &[(String, String)],
    sample: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) -> Vec<(String, String)> {
    let mut labels = series.to_vec();
    let own = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
    let is_new = |key: &[u8]| !series.iter().any(|(name, _)| name.as_bytes() == key);
    labels.extend(sample.filter(|(key, _)| is_new(key)).map(|(key, value)| (own(key), own(value))));
    let empty: Vec<String> =
        labels.iter().filter(|(_, value)| value.is_empty()).map(|(name, _)| name.clone()).collect();
    labels.retain(|(name, _)| !empty.contains(name));
    labels.sort();
    labels
}

/// 16 hex characters are the bytes of a little-endian number; 0 means none.
fn span_id(text: &[u8]) -> Option<u64> {
    hex(text).map(u64::from_le_bytes)
}

fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    if text.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// Labels that the server sets or removes: what a client sent under these names is not stored.
const NOT_THE_CLIENTS: [&str; 8] = [
    label_name::DELTA,
    label_name::ORDER,
    label_name::SERVICE_NAME_PRIVATE,
    label_name::PERIOD_TYPE,
    label_name::PERIOD_UNIT,
    label_name::TYPE,
    label_name::UNIT,
    label_name::PROFILE_TYPE,
];
