//! What a recording rule asks of profiles, and the metric that it makes of the answer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use crate::selector::{MatchOp, Matcher, Selector};
use crate::{Coded, ErrorCode, ProfileType, label_name};

const METRIC_NAME_BYTES_MAX: usize = 256;
const MATCHERS_MAX: usize = 64;
const MATCHER_BYTES_MAX: usize = 8 << 10;
const GROUP_BY_MAX: usize = 16;
const LABEL_NAME_BYTES_MAX: usize = 1024;
const EXTERNAL_LABELS_MAX: usize = 32;
const LABEL_VALUE_BYTES_MAX: usize = 2048;
const FUNCTION_BYTES_MAX: usize = 64 << 10;

/// Rules that a configuration may hold for a tenant.
const STATIC_RULES_MAX: usize = 1000;
/// Ids of rules of the configuration begin so; no ULID does.
const STATIC_ID: &str = "static-";

/// A rule that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RecordingRuleError(String);

impl Coded for RecordingRuleError {
    fn code(&self) -> ErrorCode {
        ErrorCode::InvalidArgument
    }
}

/// What is asked and what is written. Made by whoever reads it; [`check`](Self::check) tells whether it can be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleSpec {
    /// Of the metric.
    pub metric_name: String,
    /// As they were given; all must match. Together they name one profile type.
    pub matchers: Vec<String>,
    /// Labels whose values make series of their own.
    #[serde(default)]
    pub group_by: Vec<String>,
    /// Labels that each series has besides.
    #[serde(default)]
    pub external_labels: BTreeMap<String, String>,
    /// Whose total counts; `None`: everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
}

/// What a rule asks.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// Of the profiles.
    pub profile_type: ProfileType,
    /// Which of them.
    pub selector: Selector,
}

impl RuleSpec {
    /// Can it be a rule?
    ///
    /// # Errors
    /// The first fault, in words for who wrote it.
    pub fn check(&self) -> Result<(), RecordingRuleError> {
        if !is_metric_name(&self.metric_name) || self.metric_name.len() > METRIC_NAME_BYTES_MAX {
            return Err(wrong(format!(
                "metric_name {:?} is none: letters, digits, _ and :, not beginning with a digit, at most {METRIC_NAME_BYTES_MAX}",
                shortened(&self.metric_name)
            )));
        }
        self.asked()?;
        self.check_external_labels()?;
        if let Some(function) = &self.function
            && (function.is_empty() || function.len() > FUNCTION_BYTES_MAX)
        {
            return Err(wrong(format!("function_name is empty, or longer than {FUNCTION_BYTES_MAX} bytes")));
        }
        self.check_group_by()
    }

    fn check_external_labels(&self) -> Result<(), RecordingRuleError> {
        let count = self.external_labels.len();
        if count > EXTERNAL_LABELS_MAX {
            return Err(wrong(format!("{count} external_labels are given, at most {EXTERNAL_LABELS_MAX} are allowed")));
        }
        for (name, value) in &self.external_labels {
            if !is_label_name(name) || name.len() > LABEL_NAME_BYTES_MAX || name == label_name::NAME {
                return Err(wrong(format!(
                    "external label {:?} is no name that a metric's label may have",
                    shortened(name)
                )));
            }
            if value.is_empty() || value.len() > LABEL_VALUE_BYTES_MAX {
                return Err(wrong(format!(
                    "external label {name:?} has no value, or one of more than {LABEL_VALUE_BYTES_MAX} bytes"
                )));
            }
        }
        Ok(())
    }

    fn check_group_by(&self) -> Result<(), RecordingRuleError> {
        if self.group_by.len() > GROUP_BY_MAX {
            return Err(wrong(format!(
                "group_by names {} labels, at most {GROUP_BY_MAX} are allowed",
                self.group_by.len()
            )));
        }
        let mut written: BTreeSet<String> = self.external_labels.keys().cloned().collect();
        for name in &self.group_by {
            if name.is_empty() || name.len() > LABEL_NAME_BYTES_MAX || name == label_name::NAME {
                return Err(wrong(format!("group_by {:?} is no label to group by", shortened(name))));
            }
            if !written.insert(written_name(name)) {
                return Err(wrong(format!(
                    "the label {:?} of the metric would come from two places of group_by and external_labels",
                    written_name(name)
                )));
            }
        }
        Ok(())
    }

    /// The one profile type, and which series of it.
    pub fn asked(&self) -> Result<Asked, RecordingRuleError> {
        if self.matchers.len() > MATCHERS_MAX {
            return Err(wrong(format!(
                "{} matchers are given, at most {MATCHERS_MAX} are allowed",
                self.matchers.len()
            )));
        }
        let all = self.matchers.iter().try_fold(Selector::default(), |all, text| {
            if text.len() > MATCHER_BYTES_MAX {
                return Err(wrong(format!(
                    "a matcher has {} bytes, at most {MATCHER_BYTES_MAX} are allowed",
                    text.len()
                )));
            }
            let parsed =
                Selector::parse(text).map_err(|error| wrong(format!("matcher {text:?}: {}", error.message)))?;
            Ok(all.and(parsed))
        })?;
        let is_type = |matcher: &&Matcher| matcher.name() == label_name::PROFILE_TYPE && matcher.op() == MatchOp::Equal;
        let mut types = all.matchers().iter().filter(is_type);
        let (Some(found), None) = (types.next(), types.next()) else {
            let example = format!("{{{}=\"process_cpu:cpu:nanoseconds:cpu:nanoseconds\"}}", label_name::PROFILE_TYPE);
            return Err(wrong(format!("the matchers must name exactly one profile type, as {example}")));
        };
        let profile_type = ProfileType::parse(found.value()).map_err(|error| wrong(error.to_string()))?;
        let rest = all.matchers().iter().filter(|matcher| !is_type(matcher)).cloned().collect();
        Ok(Asked { profile_type, selector: Selector::from_matchers(rest) })
    }

    /// The labels of a series of the metric; `group` has a value for each name of `group_by`, or none.
    pub fn labels(&self, group: &[Option<String>], tenant: Option<(&str, &str)>) -> BTreeMap<String, String> {
        let mut labels = self.external_labels.clone();
        let grouped = self.group_by.iter().zip(group);
        labels.extend(grouped.filter_map(|(name, value)| Some((written_name(name), value.clone()?))));
        labels.extend(tenant.map(|(name, value)| (name.to_owned(), value.to_owned())));
        labels.insert(label_name::NAME.to_owned(), self.metric_name.clone());
        labels
    }
}

fn is_metric_name(name: &str) -> bool {
    is_plain(name, |char| char == '_' || char == ':')
}

/// As every version of Prometheus takes it.
pub fn is_label_name(name: &str) -> bool {
    is_plain(name, |char| char == '_')
}

fn is_plain(name: &str, other: impl Fn(char) -> bool) -> bool {
    name.chars().all(|char| char.is_ascii_alphanumeric() || other(char))
        && name.chars().next().is_some_and(|first| !first.is_ascii_digit())
}

/// The name under which a label to group by is written.
fn written_name(name: &str) -> String {
    let plain = |char: char| if char.is_ascii_alphanumeric() { char } else { '_' };
    let written: String = name.chars().map(plain).collect();
    if written.starts_with(|first: char| first.is_ascii_digit()) { format!("_{written}") } else { written }
}

fn shortened(text: &str) -> String {
    text.chars().take(100).collect()
}

fn wrong(why: String) -> RecordingRuleError {
    RecordingRuleError(why)
}

/// Rules of a configuration, checked. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StaticRules(Arc<BTreeMap<String, RuleSpec>>);

impl StaticRules {
    /// Checks them.
    ///
    /// # Errors
    /// A rule that cannot be, one that is there twice, or too many.
    pub fn new(rules: impl IntoIterator<Item = RuleSpec>) -> Result<Self, RecordingRuleError> {
        let mut by_id = BTreeMap::new();
        for rule in rules {
            rule.check()?;
            let metric_name = rule.metric_name.clone();
            if by_id.insert(static_id(&rule), rule).is_some() {
                return Err(wrong(format!("the rule of {metric_name:?} is given twice")));
            }
        }
        if by_id.len() > STATIC_RULES_MAX {
            return Err(wrong(format!("{} rules are given, at most {STATIC_RULES_MAX} are allowed", by_id.len())));
        }
        Ok(Self(Arc::new(by_id)))
    }

    /// None?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// (id, rule), by id. The id is made of what the rule says: it is the same everywhere and as long as the rule stays as it is.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &RuleSpec)> {
        self.0.iter().map(|(id, rule)| (id.as_str(), rule))
    }
}

fn static_id(rule: &RuleSpec) -> String {
    let RuleSpec { metric_name, matchers, group_by, external_labels, function } = rule;
    let mut hash = Xxh3::new();
    // Length and bytes: no two rules are written alike.
    let mut add = |text: &str| {
        hash.update(&(text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    };
    add(metric_name);
    for list in [matchers, group_by] {
        add(&list.len().to_string());
        list.iter().for_each(|text| add(text));
    }
    add(&external_labels.len().to_string());
    external_labels.iter().for_each(|(name, value)| {
        add(name);
        add(value);
    });
    add(if function.is_some() { "function" } else { "" });
    add(function.as_deref().unwrap_or_default());
    format!("{STATIC_ID}{:016x}", hash.digest())
}

/// Does the configuration hold the rule of this id, or did it?
pub fn is_static_id(id: &str) -> bool {
    id.starts_with(STATIC_ID)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(metric_name: &str) -> RuleSpec {
        let matchers = vec![r#"{__profile_type__="process_cpu:cpu:nanoseconds:cpu:nanoseconds"}"#.to_owned()];
        RuleSpec { metric_name: metric_name.to_owned(), matchers, ..RuleSpec::default() }
    }

    #[test]
    fn static_rules_are_told_apart_by_what_they_say() {
        let grouped = |name: &str| RuleSpec { group_by: vec![name.to_owned()], ..rule("m") };
        let labelled = RuleSpec { external_labels: BTreeMap::from([("a".to_owned(), "b".to_owned())]), ..rule("m") };
        let of_function = RuleSpec { function: Some("f".to_owned()), ..rule("m") };
        let all = [rule("m"), rule("n"), grouped("a"), grouped("b"), labelled, of_function];
        let rules = StaticRules::new(all.clone()).unwrap();
        assert_eq!((rules.iter().count(), rules.iter().all(|(id, _)| is_static_id(id))), (6, true));
        let turned = StaticRules::new(all.into_iter().rev()).unwrap();
        assert_eq!(turned, rules);
        // It is an id in the bucket: it stays.
        assert_eq!(StaticRules::new([rule("m")]).unwrap().iter().next().unwrap().0, "static-e32c0312e323e43b");
    }

    #[test]
    fn what_a_configuration_must_not_hold_is_refused() {
        let error = |rules: Vec<RuleSpec>| StaticRules::new(rules).unwrap_err().to_string();
        assert!(error(vec![rule("m"), rule("m")]).contains("twice"));
        assert!(error(vec![rule("a-b")]).contains("metric_name"));
        assert!(error((0..1001).map(|n| rule(&format!("m{n}"))).collect()).contains("at most 1000"));
        let labels = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
        for (name, value) in [("a.b", "x"), ("__name__", "x"), ("a", "")] {
            let rule = RuleSpec { external_labels: labels(name, value), ..rule("m") };
            assert!(error(vec![rule]).contains("external"), "{name}");
        }
        assert!(error(vec![RuleSpec { function: Some(String::new()), ..rule("m") }]).contains("function_name"));
    }
}
