//! Sorted label sets of series.

use std::fmt;
use std::sync::Arc;

/// Names of labels that have a meaning here (contract `ingest.md` section 1.2).
pub mod label_name {
    /// The profile's name, first part of the profile type.
    pub const NAME: &str = "__name__";
    /// The service that a profile comes from; partitions data.
    pub const SERVICE_NAME: &str = "service_name";
    /// Copy of `service_name`, set by the server.
    pub const SERVICE_NAME_PRIVATE: &str = "__service_name__";
    /// The five-part profile type id, set by the server.
    pub const PROFILE_TYPE: &str = "__profile_type__";
    /// Sample type.
    pub const TYPE: &str = "__type__";
    /// Sample unit.
    pub const UNIT: &str = "__unit__";
    /// Period type.
    pub const PERIOD_TYPE: &str = "__period_type__";
    /// Period unit.
    pub const PERIOD_UNIT: &str = "__period_unit__";
    /// `false` asks for no delta computation; never stored.
    pub const DELTA: &str = "__delta__";
    /// Internal ordering hint; never stored.
    pub const ORDER: &str = "__order__";
    /// Session id of an agent.
    pub const SESSION_ID: &str = "__session_id__";
    /// `true` on profiles that sampling stripped of their stacks.
    pub const SAMPLED: &str = "__sampled__";
    /// Which SDK sent it; used for language detection.
    pub const PYROSCOPE_SPY: &str = "pyroscope_spy";
    /// What a missing service name becomes.
    pub const UNKNOWN_SERVICE: &str = "unknown_service";
}

/// One name and its value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Label {
    /// Non-empty.
    pub name: Arc<str>,
    /// Non-empty: an empty value means that the label is absent.
    pub value: Arc<str>,
}

/// A label set sorted by name bytes, names unique. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Labels(Arc<[Label]>);

impl Labels {
    /// Builds a set from pairs in any order; of equal names the last wins, empty values are left out.
    pub fn from_pairs<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut builder = LabelsBuilder::default();
        for (name, value) in pairs {
            builder.set(name.as_ref(), value.as_ref());
        }
        builder.build()
    }

    /// The value of a label; `None` when absent.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.binary_search_by(|label| label.name.as_ref().cmp(name)).ok().map(|i| self.0[i].value.as_ref())
    }

    /// The value of a label, empty when absent: selectors see it so.
    pub fn value_or_empty(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    /// In order of names.
    pub fn iter(&self) -> std::slice::Iter<'_, Label> {
        self.0.iter()
    }

    /// As a slice in order of names.
    pub fn as_slice(&self) -> &[Label] {
        &self.0
    }

    /// Number of labels.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// No labels at all?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// xxHash64 over `name 0xFF value 0xFF` of each label (contract `ingest.md` section 1.4). Stable across processes.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = xxhash_rust::xxh64::Xxh64::new(0);
        for label in self.iter() {
            hasher.update(label.name.as_bytes());
            hasher.update(&[0xff]);
            hasher.update(label.value.as_bytes());
            hasher.update(&[0xff]);
        }
        hasher.digest()
    }
}

impl<'a> IntoIterator for &'a Labels {
    type Item = &'a Label;
    type IntoIter = std::slice::Iter<'a, Label>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Labels {
    /// `{a="b", c="d"}` with escaped values, as error texts show it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, label) in self.iter().enumerate() {
            write!(f, "{}{}={:?}", if i > 0 { ", " } else { "" }, label.name, &*label.value)?;
        }
        f.write_str("}")
    }
}

/// Collects labels in any order.
#[derive(Clone, Debug, Default)]
pub struct LabelsBuilder(Vec<Label>);

impl LabelsBuilder {
    /// Starts from an existing set.
    pub fn from_labels(labels: &Labels) -> Self {
        Self(labels.0.to_vec())
    }

    /// Sets a label; an empty value removes it.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        match self.0.binary_search_by(|label| label.name.as_ref().cmp(name)) {
            Ok(at) if value.is_empty() => drop(self.0.remove(at)),
            Ok(at) => self.0[at].value = Arc::from(value),
            Err(_) if value.is_empty() => {}
            Err(at) => self.0.insert(at, Label { name: Arc::from(name), value: Arc::from(value) }),
        }
        self
    }

    /// The finished set.
    pub fn build(self) -> Labels {
        Labels(self.0.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_sorted_unique_and_without_empty_values() {
        let labels = Labels::from_pairs([("b", "1"), ("a", "2"), ("b", "3"), ("c", "")]);
        assert_eq!(labels.to_string(), r#"{a="2", b="3"}"#);
        assert_eq!(labels.get("c"), None);
    }
}
