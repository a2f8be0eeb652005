//! Relabelling as Prometheus does it (its documentation, `relabel_config`; contract `ingest.md` section 3.6): rules that change the labels of
//! a series, or drop it.

use std::sync::Arc;

use md5::{Digest as _, Md5};
use regex_automata::meta::Regex;
use regex_automata::util::interpolate;

use crate::selector::compile_anchored;

/// A rule as it is written; what is left out has Prometheus' defaults.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RelabelConfig {
    /// Names of labels whose values are joined; one that is missing counts as empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub source_labels: Vec<String>,
    /// Stands between the joined values.
    pub separator: String,
    /// Matches all of the joined values. RE2.
    pub regex: String,
    /// Divisor of `hashmod`.
    #[serde(skip_serializing_if = "is_zero")]
    pub modulus: u64,
    /// The label that is written; may name groups of the regex (`$1`) for `replace`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub target_label: String,
    /// What is written; names groups of the regex.
    pub replacement: String,
    /// What is done.
    pub action: RelabelAction,
}

impl Default for RelabelConfig {
    fn default() -> Self {
        Self {
            source_labels: Vec::new(),
            separator: ";".to_owned(),
            regex: "(.*)".to_owned(),
            modulus: 0,
            target_label: String::new(),
            replacement: "$1".to_owned(),
            action: RelabelAction::Replace,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde calls")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RelabelAction {
    /// Writes the target label if the regex matches; an empty text removes it.
    Replace,
    /// Writes the joined values in lower case.
    Lowercase,
    /// Writes the joined values in upper case.
    Uppercase,
    /// Drops series that do not match.
    Keep,
    /// Drops series that match.
    Drop,
    /// Drops series whose target label is not the joined values.
    KeepEqual,
    /// Drops series whose target label is the joined values.
    DropEqual,
    /// Writes the hash of the joined values modulo `modulus`.
    HashMod,
    /// Copies labels whose name matches to the name that the replacement gives.
    LabelMap,
    /// Removes labels whose name matches.
    LabelDrop,
    /// Removes labels whose name does not match.
    LabelKeep,
}

/// A rule that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rule {number}: {reason}")]
pub struct RelabelError {
    /// Counted from 1.
    pub number: usize,
    /// What is wrong.
    pub reason: String,
}

/// Rules in order, ready to run. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct RelabelRules(Arc<[Rule]>);

impl PartialEq for RelabelRules {
    fn eq(&self, other: &Self) -> bool {
        self.configs().eq(other.configs())
    }
}

#[derive(Debug)]
struct Rule {
    config: RelabelConfig,
    regex: Regex,
}

impl RelabelRules {
    /// Compiles the rules.
    ///
    /// # Errors
    /// A regex that is none, or a rule that lacks what its action needs.
    pub fn new(configs: impl IntoIterator<Item = RelabelConfig>) -> Result<Self, RelabelError> {
        let rule = |(at, config): (usize, RelabelConfig)| {
            let number = at + 1;
            check(&config).map_err(|reason| RelabelError { number, reason: reason.to_owned() })?;
            let regex = compile_anchored(&config.regex).map_err(|reason| RelabelError { number, reason })?;
            Ok(Rule { config, regex })
        };
        Ok(Self(configs.into_iter().enumerate().map(rule).collect::<Result<_, _>>()?))
    }

    /// As they were written.
    pub fn configs(&self) -> impl Iterator<Item = &RelabelConfig> {
        self.0.iter().map(|rule| &rule.config)
    }

    /// No rule changes anything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Changes the labels; false if the series is dropped. They are sorted by name afterwards, if anything changed.
    pub fn apply(&self, labels: &mut Vec<(String, String)>) -> bool {
        if self.is_empty() {
            return true;
        }
        let kept = self.0.iter().all(|rule| rule.apply(labels));
        labels.sort();
        kept
    }
}

fn check(config: &RelabelConfig) -> Result<(), &'static str> {
    use RelabelAction::{DropEqual, HashMod, KeepEqual, LabelMap, Lowercase, Replace, Uppercase};
    match config.action {
        Replace | Lowercase | Uppercase | HashMod | KeepEqual | DropEqual if config.target_label.is_empty() => {
            Err("target_label is missing")
        }
        HashMod if config.modulus == 0 => Err("modulus is missing or 0"),
        LabelMap if config.replacement.is_empty() => Err("replacement is empty"),
        _ => Ok(()),
    }
}

impl Rule {
    /// False: the series is dropped.
    fn apply(&self, labels: &mut Vec<(String, String)>) -> bool {
        let config = &self.config;
        let joined = || -> String {
            let values: Vec<&str> = config.source_labels.iter().map(|name| value(labels, name)).collect();
            values.join(&config.separator)
        };
        match config.action {
            RelabelAction::Keep => return self.regex.is_match(&joined()),
            RelabelAction::Drop => return !self.regex.is_match(&joined()),
            RelabelAction::KeepEqual => return joined() == value(labels, &config.target_label),
            RelabelAction::DropEqual => return joined() != value(labels, &config.target_label),
            RelabelAction::Replace => self.replace(&joined(), labels),
            RelabelAction::Lowercase => set(labels, &config.target_label, joined().to_lowercase()),
            RelabelAction::Uppercase => set(labels, &config.target_label, joined().to_uppercase()),
            RelabelAction::HashMod => {
                let hash = hash(&joined()) % config.modulus.max(1);
                set(labels, &config.target_label, hash.to_string());
            }
            RelabelAction::LabelMap => self.map(labels),
            RelabelAction::LabelDrop => labels.retain(|(name, _)| !self.regex.is_match(name)),
            RelabelAction::LabelKeep => labels.retain(|(name, _)| self.regex.is_match(name)),
        }
        true
    }

    fn replace(&self, joined: &str, labels: &mut Vec<(String, String)>) {
        let Some(target) = self.expand(joined, &self.config.target_label) else { return };
        let text = self.expand(joined, &self.config.replacement).unwrap_or_default();
        if !target.is_empty() {
            set(labels, &target, text);
        }
    }

    fn map(&self, labels: &mut Vec<(String, String)>) {
        let mapped: Vec<(String, String)> = labels
            .iter()
            .filter_map(|(name, value)| Some((self.expand(name, &self.config.replacement)?, value.clone())))
            .collect();
        mapped.into_iter().filter(|(name, _)| !name.is_empty()).for_each(|(name, value)| set(labels, &name, value));
    }

    /// The template with the groups of the match; `None` if the regex does not match.
    fn expand(&self, text: &str, template: &str) -> Option<String> {
        let mut captures = self.regex.create_captures();
        self.regex.captures(text, &mut captures);
        if !captures.is_match() {
            return None;
        }
        let mut out = String::new();
        interpolate::string(
            template,
            |group, out| {
                let span = captures.get_group(group);
                out.push_str(span.and_then(|span| text.get(span.range())).unwrap_or_default());
            },
            |name| self.regex.group_info().to_index(regex_automata::PatternID::ZERO, name),
            &mut out,
        );
        Some(out)
    }
}

/// Of labels with equal names the first counts; a missing one is empty.
fn value<'a>(labels: &'a [(String, String)], name: &str) -> &'a str {
    labels.iter().find(|(own, _)| own == name).map_or("", |(_, value)| value)
}

/// An empty value removes the label.
fn set(labels: &mut Vec<(String, String)>, name: &str, value: String) {
    labels.retain(|(own, _)| own != name);
    if !value.is_empty() {
        labels.push((name.to_owned(), value));
    }
}

/// The last eight bytes of the MD5, big-endian, as Prometheus has it: the same shard everywhere.
fn hash(text: &str) -> u64 {
    let digest = Md5::digest(text.as_bytes());
    digest.iter().skip(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(change: impl FnOnce(&mut RelabelConfig)) -> RelabelConfig {
        let mut config = RelabelConfig::default();
        change(&mut config);
        config
    }

    /// `a=1 b=2` before and after; `dropped`.
    fn check(config: RelabelConfig, labels: &str, expected: &str) {
        let pair = |pair: &str| pair.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())).unwrap();
        let mut labels: Vec<(String, String)> = labels.split_whitespace().map(pair).collect();
        let text = format!("{config:?}");
        let kept = RelabelRules::new([config]).unwrap().apply(&mut labels);
        let after: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(if kept { after.join(" ") } else { "dropped".to_owned() }, expected, "{text}");
    }

    #[test]
    fn each_action_does_what_prometheus_documents() {
        use RelabelAction::*;
        let sources = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let of = |action, names: &[&str], regex: &str, target: &str, replacement: &str| {
            rule(|rule| {
                rule.action = action;
                rule.source_labels = sources(names);
                rule.regex = regex.to_owned();
                rule.target_label = target.to_owned();
                rule.replacement = replacement.to_owned();
            })
        };
        check(of(Replace, &["a", "b"], "(.*);(.*)", "c", "$2-${1}"), "a=1 b=2", "a=1 b=2 c=2-1");
        check(of(Replace, &["a"], "x", "a", "y"), "a=1", "a=1");
        check(of(Replace, &["a"], "1", "a", ""), "a=1 b=2", "b=2");
        check(of(Replace, &["missing"], "(.*)", "a", "x$1"), "a=1", "a=x");
        check(of(Replace, &["a"], "(?P<n>.*)", "${n}_x", "v"), "a=1", "1_x=v a=1");
        check(of(Lowercase, &["a"], "(.*)", "a", "$1"), "a=QX", "a=qx");
        check(of(Uppercase, &["a"], "(.*)", "b", "$1"), "a=qx", "a=qx b=QX");
        check(of(Keep, &["a"], "1|2", "", "$1"), "a=2", "a=2");
        check(of(Keep, &["a"], "1", "", "$1"), "a=12", "dropped");
        check(of(Drop, &["a"], "1.*", "", "$1"), "a=12", "dropped");
        check(of(KeepEqual, &["a"], "(.*)", "b", "$1"), "a=1 b=1", "a=1 b=1");
        check(of(KeepEqual, &["a"], "(.*)", "b", "$1"), "a=1 b=2", "dropped");
        check(of(DropEqual, &["a"], "(.*)", "b", "$1"), "a=1 b=1", "dropped");
        check(of(LabelMap, &[], "k8s_(.+)", "", "$1"), "k8s_pod=p x=1", "k8s_pod=p pod=p x=1");
        check(of(LabelDrop, &[], "k8s_.+", "", "$1"), "k8s_pod=p x=1", "x=1");
        check(of(LabelKeep, &[], "k8s_.+", "", "$1"), "k8s_pod=p x=1", "k8s_pod=p");
        let hashed = rule(|rule| {
            rule.action = HashMod;
            rule.source_labels = sources(&["a"]);
            rule.target_label = "shard".to_owned();
            rule.modulus = 8;
        });
        check(hashed, "a=foo", &format!("a=foo shard={}", hash("foo") % 8));
    }

    #[test]
    fn the_hash_is_the_last_half_of_the_md5() {
        // md5("") = d41d8cd98f00b204e9800998ecf8427e
        assert_eq!(hash(""), 0xe980_0998_ecf8_427e);
    }

    #[test]
    fn rules_run_in_order_until_one_drops() {
        let keep = rule(|rule| {
            rule.action = RelabelAction::Keep;
            rule.source_labels = vec!["b".to_owned()];
            rule.regex = "x1".to_owned();
        });
        let write = rule(|rule| {
            rule.source_labels = vec!["a".to_owned()];
            rule.target_label = "b".to_owned();
            rule.replacement = "x$1".to_owned();
        });
        let mut labels = vec![("a".to_owned(), "1".to_owned())];
        assert!(RelabelRules::new([write.clone(), keep.clone()]).unwrap().apply(&mut labels));
        let mut labels = vec![("a".to_owned(), "1".to_owned())];
        assert!(!RelabelRules::new([keep, write]).unwrap().apply(&mut labels));
    }

    #[test]
    fn what_is_wrong_is_told_with_the_number_of_its_rule() {
        let told = |config| {
            RelabelRules::new([RelabelConfig { target_label: "a".to_owned(), ..RelabelConfig::default() }, config])
                .unwrap_err()
                .to_string()
        };
        assert_eq!(told(RelabelConfig::default()), "rule 2: target_label is missing");
        let hashed = rule(|rule| {
            rule.action = RelabelAction::HashMod;
            rule.target_label = "a".to_owned();
        });
        assert_eq!(told(hashed), "rule 2: modulus is missing or 0");
        assert!(
            told(rule(|rule| {
                rule.action = RelabelAction::LabelDrop;
                rule.regex = "(".to_owned();
            }))
            .starts_with("rule 2: ")
        );
    }
}
