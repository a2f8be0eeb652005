//! A rule: what a request may ask for, what is kept of it, and what it asks the profiles.

use std::collections::{BTreeMap, BTreeSet};

use flamelake_api::settings::v1;
use flamelake_api::types::v1::LabelPair;
use flamelake_model::selector::{MatchOp, Selector};
use flamelake_model::{ProfileType, StatusError, label_name};
use serde::{Deserialize, Serialize};

const METRIC_NAME_BYTES_MAX: usize = 256;
const MATCHERS_MAX: usize = 64;
const MATCHER_BYTES_MAX: usize = 8 << 10;
const GROUP_BY_MAX: usize = 16;
const LABEL_NAME_BYTES_MAX: usize = 1024;
const EXTERNAL_LABELS_MAX: usize = 32;
const LABEL_VALUE_BYTES_MAX: usize = 2048;
const FUNCTION_BYTES_MAX: usize = 64 << 10;

/// A rule as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rule {
    pub(super) id: String,
    pub(super) metric_name: String,
    /// As they were given; all must match. Together they name one profile type.
    pub(super) matchers: Vec<String>,
    pub(super) group_by: Vec<String>,
    pub(super) external_labels: BTreeMap<String, String>,
    /// Whose total counts; `None`: everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) function: Option<String>,
    pub(super) generation: i64,
    pub(super) created_at_ms: i64,
}

/// What a rule asks.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Asked {
    pub(super) profile_type: ProfileType,
    pub(super) selector: Selector,
}

impl Rule {
    /// The rule that a request asks for; `id`, generation and time of creation are the caller's to set.
    pub(super) fn parse(request: v1::UpsertRecordingRuleRequest) -> Result<Self, StatusError> {
        let external_labels = external_labels(request.external_labels)?;
        let rule = Self {
            id: request.id,
            metric_name: request.metric_name,
            matchers: request.matchers,
            group_by: request.group_by,
            external_labels,
            function: function(request.stacktrace_filter)?,
            generation: request.generation,
            created_at_ms: 0,
        };
        rule.check()?;
        Ok(rule)
    }

    fn check(&self) -> Result<(), StatusError> {
        if !is_metric_name(&self.metric_name) || self.metric_name.len() > METRIC_NAME_BYTES_MAX {
            return Err(wrong(format!(
                "metric_name {:?} is none: letters, digits, _ and :, not beginning with a digit, at most {METRIC_NAME_BYTES_MAX}",
                shortened(&self.metric_name)
            )));
        }
        self.asked()?;
        self.check_group_by()
    }

    fn check_group_by(&self) -> Result<(), StatusError> {
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
    pub(super) fn asked(&self) -> Result<Asked, StatusError> {
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
        let is_type = |matcher: &&flamelake_model::selector::Matcher| {
            matcher.name() == label_name::PROFILE_TYPE && matcher.op() == MatchOp::Equal
        };
        let mut types = all.matchers().iter().filter(is_type);
        let (Some(found), None) = (types.next(), types.next()) else {
            let example = format!("{{{}=\"process_cpu:cpu:nanoseconds:cpu:nanoseconds\"}}", label_name::PROFILE_TYPE);
            return Err(wrong(format!("the matchers must name exactly one profile type, as {example}")));
        };
        let profile_type = ProfileType::parse(found.value()).map_err(|error| StatusError::from_coded(&error))?;
        let rest = all.matchers().iter().filter(|matcher| !is_type(matcher)).cloned().collect();
        Ok(Asked { profile_type, selector: Selector::from_matchers(rest) })
    }

    /// The labels of a series of the metric; `group` has a value for each name of `group_by`, or none.
    pub(super) fn labels(&self, group: &[Option<String>], tenant: Option<(&str, &str)>) -> BTreeMap<String, String> {
        let mut labels = self.external_labels.clone();
        let grouped = self.group_by.iter().zip(group);
        labels.extend(grouped.filter_map(|(name, value)| Some((written_name(name), value.clone()?))));
        labels.extend(tenant.map(|(name, value)| (name.to_owned(), value.to_owned())));
        labels.insert(label_name::NAME.to_owned(), self.metric_name.clone());
        labels
    }

    /// As clients read it.
    pub(super) fn message(&self) -> v1::RecordingRule {
        let pair = |(name, value): (&String, &String)| LabelPair { name: name.clone(), value: value.clone() };
        v1::RecordingRule {
            id: self.id.clone(),
            metric_name: self.metric_name.clone(),
            // Checked before it was kept.
            profile_type: self.asked().map(|asked| asked.profile_type.to_string()).unwrap_or_default(),
            matchers: self.matchers.clone(),
            group_by: self.group_by.clone(),
            external_labels: self.external_labels.iter().map(pair).collect(),
            generation: self.generation,
            stacktrace_filter: self.function.clone().map(|function_name| v1::StacktraceFilter {
                function_name: Some(v1::StacktraceFilterFunctionName {
                    function_name,
                    metric_type: v1::MetricType::Total as i32,
                }),
            }),
            provisioned: false,
        }
    }
}

fn external_labels(given: Vec<LabelPair>) -> Result<BTreeMap<String, String>, StatusError> {
    if given.len() > EXTERNAL_LABELS_MAX {
        let count = given.len();
        return Err(wrong(format!("{count} external_labels are given, at most {EXTERNAL_LABELS_MAX} are allowed")));
    }
    let mut labels = BTreeMap::new();
    for LabelPair { name, value } in given {
        if !is_label_name(&name) || name.len() > LABEL_NAME_BYTES_MAX || name == label_name::NAME {
            return Err(wrong(format!(
                "external label {:?} is no name that a metric's label may have",
                shortened(&name)
            )));
        }
        if value.is_empty() || value.len() > LABEL_VALUE_BYTES_MAX {
            return Err(wrong(format!(
                "external label {name:?} has no value, or one of more than {LABEL_VALUE_BYTES_MAX} bytes"
            )));
        }
        if labels.insert(name.clone(), value).is_some() {
            return Err(wrong(format!("external label {name:?} is given twice")));
        }
    }
    Ok(labels)
}

fn function(filter: Option<v1::StacktraceFilter>) -> Result<Option<String>, StatusError> {
    let Some(function) = filter.and_then(|filter| filter.function_name) else { return Ok(None) };
    if function.metric_type != v1::MetricType::Total as i32 {
        return Err(wrong(format!("metric_type {} is not known: use TOTAL", function.metric_type)));
    }
    if function.function_name.is_empty() || function.function_name.len() > FUNCTION_BYTES_MAX {
        return Err(wrong(format!("function_name is empty, or longer than {FUNCTION_BYTES_MAX} bytes")));
    }
    Ok(Some(function.function_name))
}

fn is_metric_name(name: &str) -> bool {
    is_plain(name, |char| char == '_' || char == ':')
}

/// As every version of Prometheus takes it.
pub(super) fn is_label_name(name: &str) -> bool {
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

fn wrong(why: String) -> StatusError {
    StatusError::invalid_argument(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CPU: &str = r#"{__profile_type__="process_cpu:cpu:nanoseconds:cpu:nanoseconds"}"#;

    fn request() -> v1::UpsertRecordingRuleRequest {
        v1::UpsertRecordingRuleRequest {
            metric_name: "profiles_recorded_cpu".to_owned(),
            matchers: vec![r#"{ service_name="x", }"#.to_owned(), CPU.to_owned()],
            group_by: vec!["k8s.pod".to_owned(), "region".to_owned()],
            external_labels: vec![LabelPair { name: "team".to_owned(), value: "a".to_owned() }],
            ..v1::UpsertRecordingRuleRequest::default()
        }
    }

    #[test]
    fn a_rule_asks_what_it_was_given() {
        let rule = Rule::parse(request()).unwrap();
        let asked = rule.asked().unwrap();
        assert_eq!(asked.profile_type.to_string(), "process_cpu:cpu:nanoseconds:cpu:nanoseconds");
        assert_eq!(asked.selector.to_string(), r#"{service_name="x"}"#);
        let labels = rule.labels(&[Some("p".to_owned()), None], Some(("tenant", "t")));
        let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(pairs, ["__name__=profiles_recorded_cpu", "k8s_pod=p", "team=a", "tenant=t"]);
        let message = rule.message();
        assert_eq!(message.matchers, request().matchers);
        assert_eq!(message.profile_type, "process_cpu:cpu:nanoseconds:cpu:nanoseconds");
        assert_eq!(message.stacktrace_filter, None);
    }

    #[test]
    fn what_no_rule_can_be_is_refused() {
        let label = |name: &str, value: &str| LabelPair { name: name.to_owned(), value: value.to_owned() };
        let filter = |name: &str, metric_type| v1::StacktraceFilter {
            function_name: Some(v1::StacktraceFilterFunctionName { function_name: name.to_owned(), metric_type }),
        };
        type Change = Box<dyn Fn(&mut v1::UpsertRecordingRuleRequest)>;
        let wrong: Vec<(&str, Change)> = vec![
            ("metric_name", Box::new(|r| r.metric_name = String::new())),
            ("metric_name", Box::new(|r| r.metric_name = "1a".to_owned())),
            ("metric_name", Box::new(|r| r.metric_name = "a-b".to_owned())),
            ("metric_name", Box::new(|r| r.metric_name = "a".repeat(257))),
            ("profile type", Box::new(|r| r.matchers.clear())),
            ("profile type", Box::new(|r| r.matchers.push("{__profile_type__=\"a:b:c:d:e\"}".to_owned()))),
            ("profile-type", Box::new(|r| r.matchers = vec!["{__profile_type__=\"a\"}".to_owned()])),
            ("profile type", Box::new(|r| r.matchers = vec!["{__profile_type__=~\"a.*\"}".to_owned()])),
            ("matcher", Box::new(|r| r.matchers.push("{a=".to_owned()))),
            ("matchers", Box::new(|r| r.matchers = vec![CPU.to_owned(); 65])),
            ("group_by", Box::new(|r| r.group_by = vec![String::new()])),
            ("group_by", Box::new(|r| r.group_by = vec!["__name__".to_owned()])),
            ("two places", Box::new(|r| r.group_by = vec!["a.b".to_owned(), "a_b".to_owned()])),
            ("two places", Box::new(|r| r.group_by = vec!["team".to_owned()])),
            ("group_by", Box::new(|r| r.group_by = (0..17).map(|n| format!("l{n}")).collect())),
            ("external", Box::new(move |r| r.external_labels.push(label("a.b", "x")))),
            ("external", Box::new(move |r| r.external_labels.push(label("__name__", "x")))),
            ("external", Box::new(move |r| r.external_labels.push(label("a", "")))),
            ("twice", Box::new(move |r| r.external_labels.push(label("team", "b")))),
            ("function_name", Box::new(move |r| r.stacktrace_filter = Some(filter("", 0)))),
            ("metric_type", Box::new(move |r| r.stacktrace_filter = Some(filter("f", 1)))),
        ];
        for (number, (part, change)) in wrong.into_iter().enumerate() {
            let mut request = request();
            change(&mut request);
            let error = Rule::parse(request).unwrap_err();
            assert!(error.message.contains(part), "{number}: {error}");
        }
    }
}
