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
    /// On profiles that sampling kept of many: which rule, as clients see it in annotations. Told as such, and not as a label.
    pub const SAMPLED_BY: &str = "__sampled_by__";
    /// Which SDK sent it; used for language detection.
    pub const PYROSCOPE_SPY: &str = "pyroscope_spy";
    /// What a missing service name becomes.
    pub const UNKNOWN_SERVICE: &str = "unknown_service";
}

/// Up to this many labels, [`Labels::get`] looks at one after the other.
const SCAN_MAX: usize = 16;

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
        // Comparing for equality looks at lengths first, which for the usual dozen of labels beats a binary search.
        let at = if self.0.len() <= SCAN_MAX {
            self.0.iter().position(|label| *label.name == *name)
        } else {
            self.0.binary_search_by(|label| label.name.as_ref().cmp(name)).ok()
        };
        at.map(|at| self.0[at].value.as_ref())
    }

    /// Only the labels that `keep` accepts.
    #[must_use]
    pub fn filtered(&self, mut keep: impl FnMut(&Label) -> bool) -> Self {
        if self.iter().all(&mut keep) {
            return self.clone();
        }
        Self(self.iter().filter(|label| keep(label)).cloned().collect())
    }

    /// Only the labels with these names.
    #[must_use]
    pub fn only<N: AsRef<str>>(&self, names: &[N]) -> Self {
        self.filtered(|label| names.iter().any(|name| *label.name == *name.as_ref()))
    }

    /// All labels but those with these names.
    #[must_use]
    pub fn without<N: AsRef<str>>(&self, names: &[N]) -> Self {
        self.filtered(|label| !names.iter().any(|name| *label.name == *name.as_ref()))
    }

    /// Labels that both sets have with the same value.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.filtered(|label| other.get(&label.name) == Some(&*label.value))
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

    /// Takes a label out; its value if it was there.
    pub fn remove(&mut self, name: &str) -> Option<Arc<str>> {
        let at = self.0.binary_search_by(|label| label.name.as_ref().cmp(name)).ok()?;
        Some(self.0.remove(at).value)
    }

    /// The value of a label so far.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.binary_search_by(|label| label.name.as_ref().cmp(name)).ok().map(|at| self.0[at].value.as_ref())
    }

    /// Drops every label that `keep` refuses.
    pub fn retain(&mut self, keep: impl FnMut(&Label) -> bool) -> &mut Self {
        self.0.retain(keep);
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

    #[test]
    fn sets_are_reduced() {
        let labels = Labels::from_pairs([("a", "1"), ("b", "2"), ("c", "3")]);
        assert_eq!(labels.only(&["c", "a", "x"]).to_string(), r#"{a="1", c="3"}"#);
        assert_eq!(labels.without(&["c", "x"]).to_string(), r#"{a="1", b="2"}"#);
        let other = Labels::from_pairs([("a", "1"), ("b", "9"), ("d", "4")]);
        assert_eq!(labels.intersection(&other).to_string(), r#"{a="1"}"#);
        let mut builder = LabelsBuilder::from_labels(&labels);
        assert_eq!(
            (builder.remove("b").as_deref(), builder.remove("b"), builder.get("a")),
            (Some("2"), None, Some("1"))
        );
        assert_eq!(builder.retain(|label| &*label.name != "a").clone().build().to_string(), r#"{c="3"}"#);
    }

    #[test]
    fn large_sets_are_searched_alike() {
        let pairs: Vec<(String, String)> = (1..=40).map(|at| (format!("n{at}"), format!("v{at}"))).collect();
        for count in [1, 16, 17, 40] {
            let labels = Labels::from_pairs(pairs[..count].iter().map(|(name, value)| (name, value)));
            assert!(pairs[..count].iter().all(|(name, value)| labels.get(name) == Some(value.as_str())), "{count}");
            assert_eq!(labels.get("n0"), None);
        }
    }
}
