//! Series labels: what is set, removed and refused (contract `ingest.md` sections 1.1 to 1.3).

use std::fmt::Write as _;

use flamelake_model::label_name;

use crate::error::{PushError, Reason};

/// Labels as pairs sorted by name; repeats are still in there, for [`check`] to find.
pub(crate) type Pairs = Vec<(String, String)>;

/// The bounds of one tenant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LabelLimits {
    /// Labels a series; 0 allows none.
    pub(crate) names_max: usize,
    /// Bytes of a name.
    pub(crate) name_bytes_max: usize,
    /// Bytes of a value.
    pub(crate) value_bytes_max: usize,
    /// Names are made, or refused, as Prometheus of old wants them.
    pub(crate) sanitizes: bool,
}

/// Sorts; drops labels with an empty value together with others of their name; sets `service_name` if it is absent or empty.
pub(crate) fn prepare(mut labels: Pairs, sessions_max: u64) -> Pairs {
    let empty: Vec<String> =
        labels.iter().filter(|(_, value)| value.is_empty()).map(|(name, _)| name.clone()).collect();
    labels.retain(|(name, _)| !empty.contains(name));
    cap_sessions(&mut labels, sessions_max);
    if !labels.iter().any(|(name, _)| name == label_name::SERVICE_NAME) {
        labels.push((label_name::SERVICE_NAME.to_owned(), label_name::UNKNOWN_SERVICE.to_owned()));
    }
    labels.sort();
    labels
}

/// Session ids are folded into `sessions_max` values; 0, and ids that are not 16 hex characters, remove the label.
fn cap_sessions(labels: &mut Pairs, sessions_max: u64) {
    labels.retain_mut(|(name, value)| {
        if name != label_name::SESSION_ID {
            return true;
        }
        let capped = session(value).filter(|_| sessions_max > 0).map(|id| hex(id % sessions_max));
        capped.is_some_and(|text| {
            *value = text;
            true
        })
    });
}

/// 16 hex characters are the eight bytes of a little-endian number.
fn session(text: &str) -> Option<u64> {
    let valid = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
    valid.then(|| u64::from_str_radix(text, 16).ok().map(u64::swap_bytes)).flatten()
}

fn hex(session: u64) -> String {
    format!("{:016x}", session.swap_bytes())
}

/// The value of the first label of a name; empty if there is none.
pub(crate) fn get<'a>(labels: &'a [(String, String)], name: &str) -> &'a str {
    labels.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value.as_str())
}

/// Bytes of all names and values.
pub(crate) fn bytes(labels: &[(String, String)]) -> usize {
    labels.iter().map(|(name, value)| name.len() + value.len()).sum()
}

/// A number that stays the same for a series, on every distributor.
pub(crate) fn hash(labels: &[(String, String)]) -> u64 {
    let mut hasher = xxhash_rust::xxh3::Xxh3::new();
    for (name, value) in labels {
        for text in [name, value] {
            hasher.update(text.as_bytes());
            hasher.update(&[0xFF]);
        }
    }
    hasher.digest()
}

/// `.` in names becomes `_`; labels that are equal then are one. Tells how many names changed.
pub(crate) fn sanitize(labels: &mut Pairs) -> Result<usize, PushError> {
    let is_start = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || byte == b'.';
    let is_valid =
        |name: &str| name.bytes().enumerate().all(|(at, byte)| is_start(byte) || (at > 0 && byte.is_ascii_digit()));
    if let Some((name, _)) = labels.iter().find(|(name, _)| !is_valid(name)) {
        let text = format!("invalid labels '{}' with error: invalid label name '{name}'", show(labels));
        refuse(Reason::InvalidLabels, text)?;
    }
    let mut changed = 0;
    for (name, _) in labels.iter_mut().filter(|(name, _)| name.contains('.')) {
        *name = name.replace('.', "_");
        changed += 1;
    }
    if changed > 0 {
        labels.sort();
        labels.dedup();
    }
    Ok(changed)
}

/// The nine rules of section 1.3 over labels sorted by name. Text is UTF-8 by its type, which settles rule 8.
pub(crate) fn check(labels: &[(String, String)], limits: LabelLimits) -> Result<(), PushError> {
    if labels.is_empty() {
        return refuse(Reason::MissingLabels, "error at least one label pair is required per profile".to_owned());
    }
    if labels.len() > limits.names_max {
        let text =
            format!("profile series '{}' has {} label names; limit {}", show(labels), labels.len(), limits.names_max);
        return refuse(Reason::MaxLabelNamesPerSeries, text);
    }
    if get(labels, label_name::NAME).is_empty() {
        let text = format!("invalid labels '{}' with error: invalid metric name", show(labels));
        return refuse(Reason::InvalidLabels, text);
    }
    if get(labels, label_name::SERVICE_NAME).is_empty() {
        let text = format!("invalid labels '{}' with error: service name is not provided", show(labels));
        return refuse(Reason::MissingLabels, text);
    }
    let mut previous = None;
    for (name, value) in labels {
        check_one(labels, name, value, previous, limits)?;
        previous = Some(name.as_str());
    }
    Ok(())
}

fn check_one(
    all: &[(String, String)],
    name: &str,
    value: &str,
    previous: Option<&str>,
    limits: LabelLimits,
) -> Result<(), PushError> {
    if name.len() > limits.name_bytes_max {
        let text = format!("profile with labels '{}' has label name too long: '{name}'", show(all));
        return refuse(Reason::LabelNameTooLong, text);
    }
    if value.len() > limits.value_bytes_max {
        let text = format!("profile with labels '{}' has label value too long: '{value}'", show(all));
        return refuse(Reason::LabelValueTooLong, text);
    }
    if name.is_empty() {
        let text = format!("invalid labels '{}' with error: invalid label name '{name}'", show(all));
        return refuse(Reason::InvalidLabels, text);
    }
    if previous == Some(name) {
        let text = format!("profile with labels '{}' has duplicate label name: '{name}'", show(all));
        return refuse(Reason::DuplicateLabelNames, text);
    }
    Ok(())
}

fn refuse(reason: Reason, message: String) -> Result<(), PushError> {
    Err(PushError::Rejected { reason, message: shorten(message) })
}

/// Error texts go over the wire and into logs: a hostile label must not make them huge.
fn shorten(mut message: String) -> String {
    const BYTES_MAX: usize = 8192;
    if message.len() > BYTES_MAX {
        message.truncate(message.floor_char_boundary(BYTES_MAX));
        message.push('…');
    }
    message
}

/// `{a="b", c="d"}`.
fn show(labels: &[(String, String)]) -> String {
    let mut text = String::from("{");
    for (at, (name, value)) in labels.iter().enumerate() {
        let separator = if at > 0 { ", " } else { "" };
        write!(text, "{separator}{name}={value:?}").expect("writing to a String");
    }
    text.push('}');
    text
}

#[cfg(test)]
mod tests;
